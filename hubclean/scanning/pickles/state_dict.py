"""The state dict inside a walked checkpoint: which of its nested dicts are the weights, and what else it holds.

Source: timm ``models/_helpers.py`` (``load_state_dict``) and what trainers write around the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.errors import FormatError
from hubclean.escaping import printable
from hubclean.scanning.pickles.modules import classes, parts, tensors_in
from hubclean.scanning.pickles.tensor_names import (
    PREFIXES,
    Fit,
    best_fit,
    common_prefix,
    counted,
    first_parts,
    without_wrappers,
)
from hubclean.scanning.pickles.torch_tensors import RecordError, TensorRecord, nameless, tensor_of
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Value

# Keys under which trainers keep the weights, in the order in which loaders look for them.
_WEIGHTS = ("state_dict", "model", "model_state_dict", "module", "net", "network", "weights", "params", "backbone")
# Averaged copies, and the parts of self-supervised training: only where there is nothing else.
_COPIES = ("model_ema", "state_dict_ema", "ema", "ema_state_dict", "ema_model", "params_ema", "teacher", "student")
KEYS = _WEIGHTS + _COPIES
_AVERAGED = ("state_dict_ema", "model_ema")  # what timm takes before anything else
_DEEPEST, _MOST_DICTS, _SHOWN = 4, 500, 8
_LONGEST_NAME = 512


@dataclass(frozen=True)
class Sought:
    """What the caller knows of the weights that are looked for.

    Args:
        key: the keys that lead to them, joined by dots; ``None`` looks for them.
        prefix: what stands before every name of theirs; ``None`` looks at the names.
        averaged: the loader takes an averaged copy before the weights, as timm does.
        names: sets of names of which the architecture has one (``Architecture.names``).
    """

    key: str | None = None
    prefix: str | None = None
    averaged: bool = False
    names: tuple[frozenset[str], ...] = ()


ANYTHING = Sought()


@dataclass(frozen=True)
class StateDict:
    """Tensors by name as the model knows them, and what was left behind.

    Attributes:
        tensors: name to record, in order of writing.
        key: the keys that led to them, joined by dots; empty at the top.
        prefix: what was taken off every name.
        dropped: what else the checkpoint holds, each with its key and what it is; printable.
        notes: what was chosen where a checkpoint holds weights more than once, and how to choose otherwise.
    """

    tensors: dict[str, TensorRecord]
    key: str = ""
    prefix: str = ""
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def state_dict(root: Value, sought: Sought = ANYTHING) -> StateDict:
    """Find the weights in the object that a checkpoint holds.

    Args:
        root: the walked object. sought: what the caller knows of them.

    Raises:
        FormatError: no dict of tensors is there, a name is twice or too long, or a tensor is not written as torch
            writes it. Where there are weights elsewhere, it names their keys.
    """
    try:
        chosen, path, dropped, notes = _found(root, sought)
        held: dict[str, TensorRecord] = {}
        for name, value in parts(chosen):
            record, plain = tensor_of(value), without_wrappers(name)
            if record is None:
                dropped.append(_said((*path, name), value))
            elif plain in held or len(name) > _LONGEST_NAME:
                raise FormatError(f"the tensor {printable(name, 80)!r} is there twice, or its name is too long")
            else:
                held[plain] = record
        dropped += [_said((*path, "(a key that is no text)"), value) for value in nameless(chosen)]
        if left := classes(chosen):
            dropped.append(f"classes and their attributes: {printable(', '.join(left), 600)}")
        if not held:
            where = f" under {printable('.'.join(path), 80)!r}" if path else ""
            raise FormatError(f"there is no dict of tensors{where}{_elsewhere(root)}")
    except RecordError as error:
        raise FormatError(f"{error} (at byte {error.offset:,} of the pickle)") from error
    prefix, kept = _named(held, sought)
    if rest := [name for name in held if name not in kept]:
        dropped.append(f"of other names: {first_parts(rest)}")
    named = {name.removeprefix(prefix): held[name] for name in kept}
    return StateDict(named, ".".join(path), prefix, tuple(dropped), tuple(notes))


def _named(held: dict[str, TensorRecord], sought: Sought) -> tuple[str, list[str]]:
    """What is to be taken off the names, and the names that are the model's."""
    if sought.prefix is not None:
        kept = [name for name in held if name.startswith(sought.prefix) and name != sought.prefix]
        if not kept:
            raise FormatError(f"no name begins with {printable(sought.prefix, 80)!r}; they begin: {first_parts(held)}")
        return sought.prefix, kept
    fit = best_fit(held, sought.names, KEYS)
    if fit.complete:
        return fit.prefix, [name for name in held if name.removeprefix(fit.prefix) in _ours(held, fit)]
    prefix = fit.prefix or common_prefix(held)
    return prefix, [name for name in held if name.startswith(prefix)]


def _ours(held: dict[str, TensorRecord], fit: Fit) -> frozenset[str]:
    """The model's names that stand behind the prefix."""
    return frozenset(name for name in fit.wanted if fit.prefix + name in held)


def _found(root: Value, sought: Sought) -> tuple[Value, tuple[str, ...], list[str], list[str]]:
    """The dict that holds the weights, the keys to it, the siblings passed on the way, and what was chosen."""
    if sought.key is not None:
        return *_led(root, tuple(sought.key.split(".")) if sought.key else ()), []
    path, notes = _looked_for(root, sought.averaged)
    if sought.names and not _fits(_led(root, path)[0], sought):
        fitting = [found for found, value in _dicts(root) if _fits(value, sought)]
        if len(fitting) > 1:
            shown = ", ".join(printable(".".join(found) or "''", 60) for found in fitting[:_SHOWN])
            raise FormatError(f"{len(fitting)} dicts of tensors have the names of the model: choose by --key: {shown}")
        path = fitting[0] if fitting else path
    return *_led(root, path), notes


def _led(root: Value, path: tuple[str, ...]) -> tuple[Value, tuple[str, ...], list[str]]:
    """The value that the keys lead to, they themselves, and the siblings passed on the way."""
    at = root
    dropped: list[str] = []
    for number, below in enumerate(path[:_DEEPEST]):
        rows = dict(parts(at))
        if below not in rows:
            names = ", ".join(_with_count(name, value) for name, value in list(rows.items())[:12])
            raise FormatError(
                f"there is no key {printable(below, 40)!r}; there are: {names or 'none'}{_elsewhere(root)}"
            )
        dropped += [_said((*path[:number], name), value) for name, value in rows.items() if name != below]
        dropped += [_said((*path[:number], "(a key that is no text)"), value) for value in nameless(at)]
        at = rows[below]
    return at, path[:_DEEPEST], dropped


def _looked_for(root: Value, averaged: bool) -> tuple[tuple[str, ...], list[str]]:
    """The keys to the weights, as a loader would look for them, and what was chosen between copies."""
    path: tuple[str, ...] = ()
    notes: list[str] = []
    at = root
    for _ in range(_DEEPEST):
        rows = dict(parts(at))
        below = next((name for name in _AVERAGED if tensors_in(rows.get(name))), "") if averaged and not path else ""
        below = below or _inner(rows)
        if not below:
            break
        copies = [name for name in KEYS if name != below and _holds(rows.get(name))]
        if copies:
            others = ", ".join(_with_count(name, rows[name]) for name in copies[:4])
            why = "the averaged copy, which timm takes first" if averaged and below in _AVERAGED else "the weights"
            notes.append(f"taken: {below!r}, {why}; --key takes another: {others}")
        at, path = rows[below], (*path, below)
    return path, notes


def _holds(value: Value) -> bool:
    """Whether a value is a dict or a module with tensors in it."""
    return isinstance(value, (Pairs, Made)) and tensor_of(value) is None and tensors_in(value) > 1


def _fits(value: Value, sought: Sought) -> bool:
    names = {without_wrappers(name) for name, held in parts(value) if tensor_of(held) is not None}
    return best_fit(names, sought.names, KEYS).complete


def _dicts(root: Value) -> list[tuple[tuple[str, ...], Value]]:
    """Every dict or module with tensors right in it, at most four keys deep, with the keys to it."""
    found: list[tuple[tuple[str, ...], Value]] = []
    todo: list[tuple[tuple[str, ...], Value]] = [((), root)]
    seen: set[int] = set()
    while todo and len(seen) < _MOST_DICTS:
        path, value = todo.pop(0)
        if not isinstance(value, (Pairs, Made)) or id(value) in seen or tensor_of(value) is not None:
            continue
        seen.add(id(value))
        rows = parts(value)
        if any(tensor_of(held) is not None for _, held in rows):
            found.append((path, value))
        if len(path) < _DEEPEST:
            todo += [((*path, name), held) for name, held in rows]
    return found


def _elsewhere(root: Value) -> str:
    """Where else there are tensors, as ``--key`` takes it."""
    rows = [(path, tensors_in(value)) for path, value in _dicts(root) if path]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row[1])
    shown = ", ".join(f"{printable('.'.join(path), 80)} ({counted(count)})" for path, count in rows[:_SHOWN])
    return f"; --key takes one of: {shown}{f' and {len(rows) - _SHOWN} more' if len(rows) > _SHOWN else ''}"


def _with_count(name: str, value: Value) -> str:
    count = tensors_in(value)
    return printable(name, 40) + (f" ({counted(count)})" if count else "")


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
