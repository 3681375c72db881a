"""Operators that sum over an axis: channels survive if the axis tells none apart, or become one unit if others do."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from hubclean.nets.trace.channel_ids import Channels
from hubclean.nets.trace.flow import Flow
from hubclean.nets.trace.operators import Ref
from hubclean.nets.trace.recorder import Value


def heads(source: Channels | None, flow: Flow) -> Channels | None:
    """Channels of one attention head become one unit: the axes before the last two tell the heads apart."""
    if source is None:
        return None
    base = flow.united(source.base)
    if base.ndim >= 3 and any(size > 1 for size in base.shape[:-2]) and max(base.shape[-2:]) > 1:
        rows = base.flatten(-2)
        flow.unite(rows, rows.amax(-1, keepdim=True))
        flow.attention, base = True, flow.united(base)
    return Channels(_constant_cut(base), source.shape, source.zero)


def renumbered(source: Channels, flow: Flow) -> Channels:
    """Every channel under the number of its unit."""
    return Channels(_constant_cut(flow.united(source.base)), source.shape, source.zero)


def _constant_cut(base: Tensor) -> Tensor:
    for axis in range(base.ndim):
        if base.shape[axis] > 1 and bool((base == base.narrow(axis, 0, 1)).all()):
            base = base.narrow(axis, 0, 1)
    return base


def product(
    one: Channels | None, other: Channels | None, transposed: bool, shape: tuple[int, ...] | None, flow: Flow
) -> Channels | None:
    """Numbers of ``one @ other`` (``one @ other.T`` if ``transposed``), whose shape is ``shape`` if it is known."""
    bases = []
    if one is not None:
        bases.append(one.base)
    if other is not None:
        bases.append(other.base.transpose(-1, -2) if transposed else other.base)
    if not bases or (one is not None and one.base.shape[-1] > 1) or (other is not None and bases[-1].shape[-2] > 1):
        return None
    if len(bases) == 2:
        a, b = map(flow.united, bases)
        if not torch.equal(a, b):
            if a.shape != b.shape:
                return None
            flow.unite(a, b)
        bases = [flow.united(a)]
    base = bases[0]
    # Scores go through a softmax, after which a zero is none.
    zero = not transposed and any(source is not None and source.zero for source in (one, other))
    if shape is None:
        return Channels(base, tuple(base.shape), zero)
    base = base.reshape((1,) * (len(shape) - base.ndim) + tuple(base.shape))
    if any(size > 1 and size != shape[axis] for axis, size in enumerate(base.shape)):
        return None
    return Channels(base, shape, zero)


def merged(source: Channels, axes: Iterable[int], flow: Flow) -> Channels | None:
    """Numbers that do not change along ``axes``: what lies along them becomes one unit, if others tell units apart."""
    base = flow.united(source.base)
    along = [axis for axis in axes if base.shape[axis] > 1]
    if not along:
        return Channels(base, source.shape, source.zero)
    whole = base.amax(along, keepdim=True)
    others = (base < 0) != (whole < 0)  # entries that carry no channel would be summed with those that do
    if bool(others.any()) or len(torch.unique(whole[whole >= 0])) < 2:
        return None
    flow.unite(base, whole)
    return Channels(flow.united(whole), source.shape, source.zero)


def contracted(value: Value, known: dict[int, Channels], flow: Flow) -> Channels | None:
    """An einsum of which one operand carries channels: they survive if what is summed over tells none apart."""
    assert value.call is not None
    equation, *operands = value.call.args
    operands = list(operands[0]) if operands and isinstance(operands[0], (tuple, list)) else operands
    inputs, arrow, result = str(equation).replace(" ", "").partition("->")
    tracked = [place for place, o in enumerate(operands) if isinstance(o, Ref) and o.index in known]
    if not arrow or "." in equation or len(tracked) != 1:
        return None
    letters, source = inputs.split(",")[tracked[0]], known[operands[tracked[0]].index]
    gone = [axis for axis, letter in enumerate(letters) if letter not in result]
    kept_apart = merged(source, gone, flow)
    if kept_apart is None:
        return None
    base = kept_apart.base
    for axis in reversed(gone):
        base = base.squeeze(axis)
    kept = [letter for letter in letters if letter in result]
    sizes = [base.shape[kept.index(letter)] if letter in kept else 1 for letter in result]
    order = sorted(range(len(kept)), key=lambda place: result.index(kept[place]))
    return Channels(base.permute(order).reshape(sizes), value.shape, source.zero)


def reduced(value: Value, source: Channels, flow: Flow) -> Channels | None:
    """Mean, sum and maximum over axes on which the numbers do not change."""
    assert value.call is not None
    dims = value.call.operand(1, "dim", value.call.kwargs.get("axis"))
    if dims is None:
        return None
    rank = len(source.shape)
    gone = sorted({axis % rank for axis in ((dims,) if isinstance(dims, int) else tuple(dims))})
    kept_apart = merged(source, gone, flow)
    if kept_apart is None:
        return None
    base = kept_apart.base
    if len(value.shape) != rank:
        for axis in reversed(gone):
            base = base.squeeze(axis)
    if base.ndim != len(value.shape):
        return None
    return Channels(base, value.shape, source.zero and value.op != "logsumexp")
