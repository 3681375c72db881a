"""Follows the channels of one layer through a recorded forward to every place that reads them; names no family.

Every output channel of a convolution or linear layer has a number. Operators that move, scale or pool channels keep
the numbers; the columns of the next layers with weights read them. Channels that are multiplied, or added, entry by
entry within the same layer's output (gated units, attention heads) become one unit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hubclean.nets.trace import operators, reductions
from hubclean.nets.trace.channel_ids import Channels, channel_axis, moved
from hubclean.nets.trace.flow import Flow, Read
from hubclean.nets.trace.operators import Operation, Other, Ref
from hubclean.nets.trace.recorder import Trace, Value


class Follower:
    """Follows channels through one trace; ``users`` and shapes are worked out once."""

    def __init__(self, trace: Trace, shapes: dict[str, tuple[int, ...]]) -> None:
        self.values, self.shapes = trace.values, shapes
        self.users: list[list[int]] = [[] for _ in trace.values]
        for index, value in enumerate(trace.values):
            for source in set(value.inputs):
                self.users[source].append(index)
        self.used: dict[str, list[int]] = {}
        for index, value in enumerate(trace.values):
            for name in value.parameters if value.op != "opaque" else ():
                self.used.setdefault(name, []).append(index)

    def follow(self, start: int, channels: Channels, count: int) -> Flow:
        """Channels ``0..count-1`` of the value ``start``, to everything that reads them."""
        flow, known = Flow(count), {start: channels}
        waiting = set(self.users[start])
        if not waiting:
            flow.lose(range(count), "nothing reads it")
        while waiting:
            index = min(waiting)
            waiting.discard(index)
            made = self._step(index, known, flow)
            if made is not None:
                known[index] = made
                waiting.update(self.users[index])
        return flow

    def alone(self, index: int, at: int, channels: Channels) -> Channels | None:
        """Numbers of the value ``index``, made of the value ``at`` alone by an operator that keeps channels apart."""
        flow = Flow(int(channels.base.max()) + 1)
        if set(self.values[index].inputs) != {at} or self.values[index].mixes:
            return None
        return self._step(index, {at: channels}, flow)

    def _step(self, index: int, known: dict[int, Channels], flow: Flow) -> Channels | None:
        """Numbers of one value whose inputs carry some; ``None`` where they end, which is noted in ``flow``."""
        value = self.values[index]
        if flow.joined:  # numbers of one unit are one number from here on, which keeps arrays small
            known.update({i: reductions.renumbered(known[i], flow) for i in set(value.inputs) if i in known})
        sources = [known[i] for i in dict.fromkeys(value.inputs) if i in known]
        why = value.op
        try:
            made = self._done(index, value, sources, known, flow)
        except (RuntimeError, TypeError, IndexError, ValueError, AssertionError, KeyError, AttributeError) as error:
            made, why = None, f"{value.op} ({str(error).splitlines()[0][:80] if str(error) else type(error).__name__})"
        if made is None:
            for source in sources:
                flow.lose(source.numbers().tolist(), f"mixed by {why} in {value.module!r}")
            return None
        return None if isinstance(made, _End) else made

    def _done(
        self, index: int, value: Value, sources: list[Channels], known: dict[int, Channels], flow: Flow
    ) -> Channels | _End | None:
        op, call, source = value.op, value.call, sources[0]
        if op == "einsum":
            return reductions.contracted(value, known, flow)
        if value.mixes:
            return self._read(index, value, known, flow)
        if call is None:
            return None
        if op in operators.MOVES:
            made = moved(value, known, self.values)
            if made.zero or op == "pad" or not any(one.zero for one in sources):
                return made
            for one in sources:  # of what is joined, some are zero when their unit is, others are not: these are lost
                flow.lose(() if one.zero else one.numbers().tolist(), "a zero is no zero where it is read")
            return Channels(made.base, made.shape, True)
        if op in operators.TIMES | operators.OVER | operators.PLUS:
            return self._binary(value, known, flow)
        if op in operators.MATMUL or op == "scaled_dot_product_attention":
            return self._attention(value, known, flow)
        operand = call.args[0] if call.args else call.kwargs.get("input")
        if len(sources) > 1 or not isinstance(operand, Ref) or operand.index not in known:
            return None  # a bound, slope or scale made of channels is not followed
        if op in operators.CHANNEL_NORMS or op in operators.STATISTIC_NORMS or op in operators.SOFTMAX:
            return _normed(value, call, source, flow)
        return _carried(value, call, source, flow)

    def _binary(self, value: Value, known: dict[int, Channels], flow: Flow) -> Channels | _End | None:
        assert value.call is not None
        operands = [value.call.operand(0, "input"), value.call.operand(1, "other")]
        tracked = [known[o.index] if isinstance(o, Ref) and o.index in known else None for o in operands]
        one, other = tracked
        plus = value.op in operators.PLUS
        if one is not None and other is not None:
            left, right = one.like(value.shape, one.zero), other.like(value.shape, other.zero)
            if left is None or right is None:
                return None
            a, b = flow.united(left.base), flow.united(right.base)
            together = torch.equal(a < 0, b < 0) and not plus
            zero = left.zero or right.zero if together else left.zero and right.zero
            if value.op in operators.OVER:
                zero = left.zero and not right.zero and together
            if a.shape == b.shape and torch.equal(a, b):
                return Channels(a, value.shape, zero)
            alike = a.shape == b.shape and torch.equal(a < 0, b < 0)
            if not alike and (plus or a.shape != b.shape):
                return None
            flow.unite(a, b)
            return Channels(flow.united(torch.where(a >= 0, a, b)), value.shape, zero)
        source = one if one is not None else other
        rest = operands[1] if one is not None else operands[0]
        assert source is not None
        made = source.like(value.shape, source.zero)
        if made is None:
            return None
        scales = isinstance(rest, Ref) and value.op in operators.TIMES and not source.zero
        flow.gate = flow.gate or (flow.lifted and scales)
        if isinstance(rest, Ref) and plus:
            flow.residual = True
            return _End()
        if plus or (value.op in operators.OVER and one is None):
            flow.shifted = flow.shifted or made.zero
            return Channels(made.base, made.shape, False)
        return made

    def _read(self, index: int, value: Value, known: dict[int, Channels], flow: Flow) -> Channels | _End | None:
        """A layer with weights: its columns read the channels, or it works beside them and lets them pass."""
        if value.op not in ("linear", "conv2d", "conv1d", "conv_transpose2d") or value.call is None:
            return None
        source_index = value.inputs[0]
        if source_index not in known or any(i in known for i in value.inputs[1:]):
            return None
        source = known[source_index]
        linear = value.op == "linear"
        axis = channel_axis(value.op, len(source.shape))
        if linear and axis not in source.axes and source.axes:
            bias = value.call.operand(2, "bias")
            return Channels(source.base, value.shape, source.zero and bias is None)  # tokens are mixed, channels pass
        line = source.along(axis)
        if line is None:
            return None
        numbers = flow.united(line)
        shape = self.shapes.get(value.weight)
        if shape is None:
            return self._unread(flow, numbers, f"the weight of {value.module!r} is computed, not stored")
        if len(set(self.used.get(value.weight, ()))) > 1:
            return self._unread(flow, numbers, f"{value.weight!r} is used more than once")
        transposed = value.op == "conv_transpose2d"  # its weight is (in, out / groups, *kernel)
        owner = numbers.view(-1, *[1] * (len(shape) - 1)) if transposed else _columns(numbers, shape)
        flow.reads.append(Read(index, source_index, value.weight, owner, source.zero))
        return _End()

    @staticmethod
    def _unread(flow: Flow, numbers: Tensor, why: str) -> _End:
        flow.lose(numbers[numbers >= 0].tolist(), why)
        return _End()

    def _attention(self, value: Value, known: dict[int, Channels], flow: Flow) -> Channels | None:
        """A product of two values: channels survive it if the axis summed over is none of theirs; heads are units."""
        assert value.call is not None
        named = value.call.kwargs
        roles = list(value.call.args[:3]) or []
        if value.op == "scaled_dot_product_attention":
            roles += [named[key] for key in ("query", "key", "value")[len(roles) :]]
            if any(i in known for i in value.inputs if Ref(i) not in roles):
                return None  # a mask made of channels
            query, key, content = (
                reductions.heads(known.get(r.index), flow) if isinstance(r, Ref) else None for r in roles
            )
            scores = reductions.product(query, key, True, None, flow) if query or key else None
            flow.gate = flow.gate or bool(query or key)
            if (query or key) and scores is None:
                return None
            return reductions.product(scores, content, False, value.shape, flow)
        roles += [named[key] for key in ("other", "mat2") if key in named]
        one, other = (reductions.heads(known.get(r.index), flow) if isinstance(r, Ref) else None for r in roles[:2])
        return reductions.product(one, other, False, value.shape, flow)


class _End:
    """The channels were read by a layer, or added to other values; nothing is lost."""


def _carried(value: Value, call: Operation, source: Channels, flow: Flow) -> Channels | None:
    """Operators on one value that work entry by entry, pool, or mix the pixels of each channel."""
    op = value.op
    if op in operators.KEEP_ZERO or op in operators.CLAMP or op in operators.POWER:
        keeps = op in operators.KEEP_ZERO or _clamps_zero(op, call)
        return source.like(value.shape, source.zero and keeps)
    if op in operators.LOSE_ZERO:
        flow.lifted = flow.lifted or source.zero
        return source.like(value.shape, False)
    if op in operators.REDUCE:
        return reductions.reduced(value, source, flow)
    if op == "conv2d":  # a fixed filter, as in anti-aliasing
        filters, bias = call.operand(1, "weight"), call.operand(2, "bias")
        apart = isinstance(filters, Other) and filters.shape[:2] == (source.shape[1], 1) and set(source.axes) <= {1}
        return source.like(value.shape, source.zero and bias is None) if apart else None
    if op in operators.SPATIAL:
        places = 1 if "1d" in op else 2
        apart = len(value.shape) == len(source.shape) == places + 2 and set(source.axes) <= {1}
        return source.like(value.shape, source.zero) if apart else None
    return None


def _normed(value: Value, call: Operation, source: Channels, flow: Flow) -> Channels | None:
    """Norms and softmax: they keep channels apart, or make one unit of what they take their statistics over."""
    op = value.op
    if op in operators.CHANNEL_NORMS:
        flow.shifted = flow.shifted or source.zero
        return source.like(value.shape, False)
    dim = -1
    if op in operators.SOFTMAX or op == "normalize":
        dim = call.operand(1, "dim", -1) if op in operators.SOFTMAX else call.operand(2, "dim", 1)
    merged = reductions.merged(source, [dim % len(value.shape)], flow) if op != "group_norm" else None
    if op in operators.SOFTMAX:
        flow.gate = True
        return merged and merged.like(value.shape, False)
    if merged is None:
        flow.lose(source.numbers().tolist(), f"normalised together in {value.module!r}")
    return (merged or source).like(value.shape, op == "normalize" and source.zero)


def _columns(numbers: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Channel numbers of a weight's entries by what they read; ``shape`` is ``(out, in / groups, *kernel)``."""
    if len(numbers) == shape[1]:
        return numbers.view(1, -1, *[1] * (len(shape) - 2))
    groups = len(numbers) // shape[1]
    if len(numbers) % shape[1] or shape[0] % groups:
        raise ValueError("columns and channels do not match")
    rows = numbers.view(groups, 1, shape[1]).expand(groups, shape[0] // groups, shape[1])
    return rows.reshape(shape[0], shape[1], *[1] * (len(shape) - 2))


def _clamps_zero(op: str, call: Operation) -> bool:
    """Whether a power or a clamp leaves zero at zero."""
    if op in operators.POWER:
        power = call.operand(1, "exponent")
        return isinstance(power, (int, float)) and power > 0
    low = None if op == "clamp_max" else call.operand(1, "min", call.kwargs.get("min_val"))
    high = call.operand(1, "max") if op == "clamp_max" else call.operand(2, "max", call.kwargs.get("max_val"))
    return all(
        bound is None or (isinstance(bound, (int, float)) and bound * sign <= 0)
        for bound, sign in ((low, 1), (high, -1))
    )
