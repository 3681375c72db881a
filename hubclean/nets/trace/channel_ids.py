"""Arrays of channel numbers that stay small, and how they go through operators that only move channels.

Numbers are kept as a tensor of the value's rank whose axes have length 1 wherever the numbers do not change along
them; -1 marks entries that carry no channel of the producer under study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hubclean.nets.trace.operators import Operation, Other, Ref
from hubclean.nets.trace.recorder import Value, tensors_in

_LIMIT = 2**24  # entries of one array written out in full
_PICKS = ("__getitem__", "index_select")  # by numbers that may lie in a tensor, whose values are not recorded


@dataclass(frozen=True, slots=True)
class Channels:
    """Numbers of one value: ``base`` has length 1 along axes on which they do not change.

    Args:
        shape: of the value.
        zero: whether an entry is zero whenever its channel is zero at the producer.
    """

    base: Tensor
    shape: tuple[int, ...]
    zero: bool

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes along which the numbers change; an axis of length 1 never does."""
        return tuple(axis for axis, size in enumerate(self.base.shape) if size > 1)

    def numbers(self) -> Tensor:
        """All numbers that occur, sorted, without -1."""
        found = torch.unique(self.base)
        kept: Tensor = found[found >= 0]
        return kept

    def along(self, axis: int) -> Tensor | None:
        """The numbers along one axis, if they change along no other; ``axis`` may be negative."""
        axis %= len(self.shape)
        if any(other != axis for other in self.axes):
            return None
        return self.base.reshape(-1).expand(self.shape[axis]) if self.base.numel() == 1 else self.base.reshape(-1)

    def like(self, shape: Sequence[int], zero: bool) -> Channels | None:
        """The same numbers in a value of another shape, if axes on which they change keep their length."""
        shape = tuple(shape)
        lead = len(shape) - len(self.shape)
        if lead < 0 or any(shape[lead + axis] != self.shape[axis] for axis in self.axes):
            return None
        return Channels(self.base.reshape((1,) * lead + tuple(self.base.shape)), shape, zero)


def channel_axis(op: str, rank: int) -> int:
    """Axis of the channels in what a layer takes and gives, from the operator's name and the rank of the value."""
    places = {"1d": 1, "2d": 2, "3d": 3}
    return rank - 1 - (places[op[-2:]] if op.startswith("conv") else 0)


def first(count: int, axis: int, shape: tuple[int, ...]) -> Channels:
    """Channels 0..count-1 along ``axis`` of a value of ``shape``."""
    sizes = [1] * len(shape)
    sizes[axis] = count
    return Channels(torch.arange(count).view(sizes), shape, True)


def shrunk(full: Tensor, zero: bool) -> Channels:
    """Numbers written out in full (or expanded) with every constant axis cut to length 1."""
    base = full
    for axis in range(full.ndim):
        if base.stride(axis) == 0 and base.shape[axis] > 1:
            base = base.narrow(axis, 0, 1)
    for axis in range(full.ndim):
        if base.shape[axis] > 1:
            head = base.narrow(axis, 0, 1)
            if torch.equal(head, base.narrow(axis, 1, 1)) and bool((base == head).all()):
                base = head
    return Channels(base.clone(), tuple(full.shape), zero)


def moved(value: Value, known: dict[int, Channels], values: Sequence[Value]) -> Channels:
    """Numbers of a value made by one of ``operators.MOVES``; operands without any carry -1.

    Raises:
        RuntimeError, TypeError, IndexError, ValueError: the operator cannot be done to numbers, or they grow too large.
    """
    call = value.call
    assert call is not None
    sources = [known[index] for index in value.inputs if index in known]
    zero = all(source.zero for source in sources)
    if value.op in ("cat", "concat"):
        return _joined(call, value, known, values)
    _check_places(call, known)
    if value.op == "pad":
        return _padded(call, value, sources[0])
    if value.op in ("roll", "flip") and _still(call, value, sources[0]):
        return sources[0]
    blank = 0 if value.op in _PICKS else -1
    try:
        args, kwargs = (_filled(part, known, values, False, blank) for part in (call.args, call.kwargs))
        out = call.function(*args, **kwargs)
    except RuntimeError:  # a view that only memory laid out in full allows
        args, kwargs = (_filled(part, known, values, True, blank) for part in (call.args, call.kwargs))
        out = call.function(*args, **kwargs)
    made = list(tensors_in(out))[value.place]
    if tuple(made.shape) != value.shape:
        raise ValueError("an operator gave numbers of another shape than values")
    found = shrunk(made, zero)
    if value.op in _PICKS and _places(call.args[1:]) and len(found.numbers()) < len(sources[0].numbers()):
        raise ValueError("picked by a tensor")
    return found


def _check_places(call: Operation, known: dict[int, Channels]) -> None:
    """Only the first operand may carry channels: where entries go must not depend on them."""
    rest = [*_places(call.args[1:]), *_places([one for key, one in call.kwargs.items() if key != "input"])]
    named = getattr(call.function, "__name__", "")
    data = named == "stack" or named.endswith("_as")  # more operands, or one that lends its shape
    if not data and any(isinstance(one, Ref) and one.index in known for one in rest):
        raise ValueError("moved by what the channels say")


def _places(arguments: Any) -> list[Ref | Other]:
    """The tensors among arguments."""
    if isinstance(arguments, (Ref, Other)):
        return [arguments]
    items = arguments.values() if isinstance(arguments, dict) else arguments
    return [place for item in items for place in _places(item)] if isinstance(arguments, (tuple, list, dict)) else []


def _filled(arguments: Any, known: dict[int, Channels], values: Sequence[Value], full: bool, blank: int) -> Any:
    """The arguments of a call with numbers in place of values; ``blank`` where a tensor carries none."""
    if isinstance(arguments, (Ref, Other)):
        source = known.get(arguments.index) if isinstance(arguments, Ref) else None
        shape = values[arguments.index].shape if isinstance(arguments, Ref) else arguments.shape
        numbers = (torch.full((), blank) if source is None else source.base).expand(shape)
        if full and numbers.numel() > _LIMIT:
            raise ValueError("too many entries to follow")
        return numbers.contiguous() if full else numbers
    if type(arguments) in (tuple, list):
        return type(arguments)(_filled(item, known, values, full, blank) for item in arguments)
    if isinstance(arguments, dict):
        return {key: _filled(item, known, values, full, blank) for key, item in arguments.items()}
    return arguments


def _joined(call: Operation, value: Value, known: dict[int, Channels], values: Sequence[Value]) -> Channels:
    """Concatenation, without writing out the axes on which no part changes."""
    parts = call.args[0] if call.args else call.kwargs["tensors"]
    axis = call.kwargs.get("dim", call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else 0))
    axis %= len(value.shape)
    rows, around = [], [1] * len(value.shape)
    for part in parts:
        source = known.get(part.index) if isinstance(part, Ref) else None
        shape = values[part.index].shape if isinstance(part, Ref) else part.shape
        if len(shape) == len(value.shape):
            base = torch.full([1] * len(shape), -1) if source is None else source.base
            rows.append((base, shape[axis]))
            around = [max(one, size) for one, size in zip(around, base.shape, strict=True)]
    whole = torch.cat([base.expand([*around[:axis], length, *around[axis + 1 :]]) for base, length in rows], axis)
    zero = all(known[part.index].zero for part in parts if isinstance(part, Ref) and part.index in known)
    return Channels(shrunk(whole, zero).base, value.shape, zero)


def _padded(call: Operation, value: Value, source: Channels) -> Channels:
    """Padding beside the channels moves none; padding of the channel axis itself adds entries that carry none."""
    pads, mode = call.operand(1, "pad"), call.operand(2, "mode", "constant")
    filled, base, zero = mode == "constant" and call.operand(3, "value"), source.base, source.zero
    for place in range(0, len(pads), 2):
        here = pads[place : place + 2]
        if any(here) and base.ndim - 1 - place // 2 in source.axes:
            if mode != "constant":
                raise ValueError("channels are padded by repetition")
            base = functional.pad(base, [0] * place + list(here), value=-1)
        elif any(here) and filled:
            zero = False
    return Channels(base, value.shape, zero)


def _still(call: Operation, value: Value, source: Channels) -> bool:
    """Whether rolling or flipping goes along axes on which the numbers do not change."""
    if value.op == "roll":
        dims = call.operand(2, "dims", ())
    else:
        dims = call.kwargs.get("dims", call.args[1] if len(call.args) == 2 else call.args[1:])
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    return bool(dims) and not any(axis % len(value.shape) in source.axes for axis in dims)
