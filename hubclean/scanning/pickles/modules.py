"""Whole pickled models: the tensors of a ``torch.nn.Module`` as its ``state_dict()`` would name them.

A module is an object whose attributes hold ``_parameters``, ``_buffers`` and ``_modules``, whatever its class; no class
is imported. Source: ``torch/nn/modules/module.py`` (``_save_to_state_dict``).
"""

from __future__ import annotations

from collections.abc import Iterator

from hubclean.errors import FormatError
from hubclean.scanning.pickles.torch_tensors import entries, tensor_of, tensors, text_of
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Value

MOST_PARTS = 200_000  # of modules and tensors; a shared module is there under each of its names
DEEPEST = 64


def parts(value: Value) -> list[tuple[str, Value]]:
    """The named parts of a dict or list; of a module its tensors; of another object its attributes.

    Raises:
        RecordError: as ``torch_tensors.entries``. FormatError: modules inside modules without end.
    """
    own = attributes(value)
    if own is None or tensor_of(value) is not None:
        return entries(value)
    return list(_walked(own)) if _is_module(own) else list(own.items())


def tensors_in(value: Value) -> int:
    """How many tensors there are below a value: for a module those that its state dict has."""
    own = attributes(value)
    return len(parts(value)) if own is not None and _is_module(own) else sum(1 for _ in tensors(value))


def classes(value: Value) -> list[str]:
    """The classes of a module and of those inside it, which stay behind."""
    own = attributes(value)
    if own is None or not _is_module(own):
        return []
    found: dict[str, None] = {}
    seen: set[int] = set()
    todo: list[Value] = [value]
    while todo:
        made = todo.pop()
        held = attributes(made)
        if held is None or id(made) in seen or not isinstance(made, Made):
            continue
        seen.add(id(made))
        found |= {made.maker.path: None} if isinstance(made.maker, Name) else {}
        todo += [module for _, module in _modules(held)] if _is_module(held) else []
    return list(found)


def attributes(value: Value) -> dict[str, Value] | None:
    """The attributes that a pickle sets on an object; ``None`` if it is none that has some."""
    if not isinstance(value, Made) or not isinstance(value.state, Pairs) or value.path:
        return None
    return {str(text_of(key)): held for key, held in value.state.pairs if isinstance(key, (str, bytes))}


def _is_module(own: dict[str, Value]) -> bool:
    return {"_parameters", "_buffers", "_modules"} <= own.keys()


def _walked(own: dict[str, Value]) -> Iterator[tuple[str, Value]]:
    """Parameters, lasting buffers, then the modules inside, in the order of ``state_dict()``."""
    todo: list[tuple[str, dict[str, Value], int]] = [("", own, 0)]
    count = 0
    while todo:
        before, held, depth = todo.pop()
        passing = _words(held.get("_non_persistent_buffers_set"))
        for group in ("_parameters", "_buffers"):
            for name, value in entries(held[group]):
                if value is not None and not (group == "_buffers" and name in passing):
                    count += 1
                    yield before + name, value
        inside = _modules(held)
        count += 1 + len(inside)
        if count > MOST_PARTS or depth > DEEPEST:
            raise FormatError(f"modules with more than {MOST_PARTS:,} parts, or nested deeper than {DEEPEST}")
        for name, module in reversed(inside):
            below = attributes(module)
            if below is not None and _is_module(below):
                todo.append((f"{before}{name}.", below, depth + 1))


def _words(value: Value) -> set[str]:
    """The texts of a set, written as one or as its call."""
    if isinstance(value, Made) and isinstance(value.arguments, Items):
        value = value.arguments.items[0] if value.arguments.items else None
    return {item for item in value.items if isinstance(item, str)} if isinstance(value, Items) else set()


def _modules(own: dict[str, Value]) -> list[tuple[str, Value]]:
    return entries(own["_modules"])
