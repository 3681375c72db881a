"""The state dict inside a walked checkpoint: which of its nested dicts are the weights, and what else it holds.

Source: timm ``models/_helpers.py`` (``load_state_dict``) and what trainers write around the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.errors import FormatError
from hubclean.escaping import printable
from hubclean.scanning.pickles.modules import classes, parts, tensors_in
from hubclean.scanning.pickles.torch_tensors import RecordError, TensorRecord, nameless, tensor_of
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Value

# Keys under which trainers keep the weights, in the order in which loaders look for them.
_WEIGHTS = ("state_dict", "model", "model_state_dict", "module", "net", "network", "weights", "params", "backbone")
# Averaged copies, and the parts of self-supervised training: only where there is nothing else.
_COPIES = ("model_ema", "state_dict_ema", "ema", "ema_state_dict", "ema_model", "params_ema", "teacher", "student")
KEYS = _WEIGHTS + _COPIES
# What DataParallel and torch.compile put before every name. Lightning's ``model.`` is also the name of a part in
# transformers, so it stays.
PREFIXES = ("module.", "_orig_mod.")
_DEEPEST = 4
_LONGEST_NAME = 512


@dataclass(frozen=True)
class StateDict:
    """Tensors by name as the model knows them, and what was left behind.

    Attributes:
        tensors: name to record, in order of writing.
        key: the keys that led to them, joined by dots; empty at the top.
        prefix: what was taken off every name.
        dropped: what else the checkpoint holds, each with its key and what it is; printable.
    """

    tensors: dict[str, TensorRecord]
    key: str = ""
    prefix: str = ""
    dropped: tuple[str, ...] = ()


def state_dict(root: Value, key: str | None = None) -> StateDict:
    """Find the weights in the object that a checkpoint holds.

    Args:
        root: the walked object. key: its keys to the weights, joined by dots; ``None`` looks for them.

    Raises:
        FormatError: no dict of tensors is there, a name is twice or too long, or a tensor is not written as torch
            writes it.
    """
    try:
        chosen, path, dropped = _found(root, key)
        held: dict[str, TensorRecord] = {}
        for name, value in parts(chosen):
            record = tensor_of(value)
            if record is None:
                dropped.append(_said((*path, name), value))
            elif name in held or len(name) > _LONGEST_NAME:
                raise FormatError(f"the tensor {printable(name, 80)!r} is there twice, or its name is too long")
            else:
                held[name] = record
        dropped += [_said((*path, "(a key that is no text)"), value) for value in nameless(chosen)]
        if left := classes(chosen):
            dropped.append(f"classes and their attributes: {printable(', '.join(left), 600)}")
    except RecordError as error:
        raise FormatError(f"{error} (at byte {error.offset:,} of the pickle)") from error
    if not held:
        where = f" under {printable('.'.join(path), 80)!r}" if path else ""
        raise FormatError(f"there is no dict of tensors{where}")
    prefix = _prefix(held)
    return StateDict(
        {name.removeprefix(prefix): record for name, record in held.items()}, ".".join(path), prefix, tuple(dropped)
    )


def _found(root: Value, key: str | None) -> tuple[Value, tuple[str, ...], list[str]]:
    """The dict that holds the weights, the keys to it, and the siblings passed on the way."""
    at = root
    path: tuple[str, ...] = ()
    dropped: list[str] = []
    wanted = key.split(".") if key else []
    for _ in range(_DEEPEST):
        rows = dict(parts(at))
        below = wanted[len(path)] if len(path) < len(wanted) else ""
        if key is None:
            below = _inner(rows)
        if not below:
            break
        if below not in rows:
            names = ", ".join(printable(name, 40) for name in list(rows)[:12])
            raise FormatError(f"there is no key {printable(below, 40)!r}; there are: {names or 'none'}")
        dropped += [_said((*path, name), value) for name, value in rows.items() if name != below]
        dropped += [_said((*path, "(a key that is no text)"), value) for value in nameless(at)]
        at, path = rows[below], (*path, below)
    return at, path, dropped


def _inner(rows: dict[str, Value]) -> str:
    """The key to go on with: a known one with at least as many tensors as lie here; empty to stay."""
    here = sum(tensor_of(value) is not None for value in rows.values())
    for name in KEYS:
        value = rows.get(name)
        if tensor_of(value) is None and isinstance(value, (Pairs, Made)):
            count = tensors_in(value)
            if count and count >= here:
                if both := _bare(rows) & _bare(dict(parts(value))):
                    what = f"the tensor {printable(min(both), 80)!r} is both at the top and under {name!r}"
                    raise FormatError(f"{what}, and loaders differ: say which by its key, '' for the top")
                return name
    return ""


def _bare(rows: dict[str, Value]) -> set[str]:
    """The names of the tensors right here, without what wrappers put before them."""
    names = {name for name, value in rows.items() if tensor_of(value) is not None}
    for prefix in PREFIXES * 2:
        names = {name.removeprefix(prefix) for name in names}
    return names


def _said(path: tuple[str, ...], value: Value) -> str:
    """What stays behind, in words: how many tensors, or what kind of value."""
    count = tensors_in(value)
    kind = "a list" if isinstance(value, Items) else "a dict" if isinstance(value, Pairs) else type(value).__name__
    if isinstance(value, Made):
        kind = printable(value.maker.path, 60) if isinstance(value.maker, Name) else "an object"
    words = f"{count} tensors" if count > 1 else "a tensor" if count else kind
    return f"{printable('.'.join(path), 120)}: {words}"


def _prefix(held: dict[str, TensorRecord]) -> str:
    """What stands before every name because the model was wrapped, perhaps twice."""
    taken = ""
    for _ in range(_DEEPEST):
        names = [name.removeprefix(taken) for name in held]
        more = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in names)), "")
        if not more or any(name == more for name in names):
            break
        taken += more
    return taken
