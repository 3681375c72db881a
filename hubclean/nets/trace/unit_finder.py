"""Finds the prunable units of a whole network in a recorded forward; what cannot be cut is listed with a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from hubclean.nets.trace.channel_ids import Channels, channel_axis, first, moved
from hubclean.nets.trace.flow import Flow
from hubclean.nets.trace.follower import Follower
from hubclean.nets.trace.operators import AFFINE, MOVES, Other, Ref
from hubclean.nets.trace.recorder import Trace, Value
from hubclean.nets.trace.units import Entries, Kind, Point, UnitGroup

_LAYERS = ("linear", "conv1d", "conv2d", "conv_transpose2d")
# Between a layer and its norm.
_PASS = (MOVES - {"cat", "concat", "stack", "__getitem__", "chunk", "split", "unbind"}) | {"contiguous", "float", "to"}


def find_units(trace: Trace, net: nn.Module) -> tuple[UnitGroup, ...]:
    """All groups of units between the images and the heads, in order of computation; heads themselves are no units."""
    shapes = {name: tuple(parameter.shape) for name, parameter in net.named_parameters()}
    finder, heads = _Finder(trace, shapes), set(trace.heads())
    wanted = set(trace.ancestors((trace.logits,)))
    makers = [
        index
        for index, value in enumerate(trace.values)
        if value.mixes and index in wanted and index not in heads and len(value.shape) >= 2
    ]
    groups, seen = [], dict[str, int]()
    for index in makers:
        group = finder.group(index)
        seen[group.name] = seen.get(group.name, 0) + 1
        runs = seen[group.name]
        groups.append(replace(group, name=f"{group.name}#{runs}") if runs > 1 else group)  # a layer that runs again
    return tuple(groups)


class _Finder:
    def __init__(self, trace: Trace, shapes: dict[str, tuple[int, ...]]) -> None:
        self.trace, self.values, self.shapes = trace, trace.values, shapes
        self.follower = Follower(trace, shapes)
        self.depths: list[int] = []
        for value in trace.values:
            self.depths.append(max((self.depths[i] for i in value.inputs), default=0) + value.mixes)
        self.calls: dict[int, str] = {}  # value -> the innermost module that gives it out
        self.runs: dict[str, int] = {}  # module -> times it ran
        for call in trace.calls:
            self.runs[call.module] = self.runs.get(call.module, 0) + 1
            if call.result >= 0:
                self.calls.setdefault(call.result, call.module)

    def group(self, index: int) -> UnitGroup:
        value = self.values[index]
        name = value.weight.rpartition(".")[0] if value.weight else value.module
        if value.op not in _LAYERS:
            return self._unknown(name or value.module, index)
        axis = channel_axis(value.op, len(value.shape))
        count = value.shape[axis]
        channels = first(count, axis, value.shape)
        at, norm, numbers = self._norm(index, channels)
        flow = self.follower.follow(at, numbers, count)
        units = _numbered(flow)
        producer, why = self._producer(value, self.values[at] if norm else None, numbers, units, count)
        consumers, why_not = _consumers(flow, units)
        point = self._point(at, numbers, flow, units)
        watch = self._watch(flow, units) or point
        point = point or (watch if consumers else None)
        reasons = [why, why_not, "" if point else "no module gives it out"]
        return UnitGroup(
            name=name,
            kind=self._kind(value, flow),
            count=int(units.max()) + 1,
            order=index,
            depth=self.depths[index],
            positions=math.prod(size for place, size in enumerate(value.shape) if place not in (0, axis)),
            producer=producer,
            consumers=consumers,
            residual=flow.residual,
            point=point,
            watch=watch,
            norm=norm,
            why="; ".join(reason for reason in reasons if reason),
        )

    def _unknown(self, name: str, index: int) -> UnitGroup:
        value = self.values[index]
        why = f"{value.op} is no Linear or convolution"
        count = value.shape[channel_axis(value.op, len(value.shape))]
        kind: Kind = "conv" if value.op.startswith("conv") else "linear"
        return UnitGroup(name, kind, count, index, self.depths[index], 0, (), (), False, None, None, "", why)

    def _kind(self, value: Value, flow: Flow) -> Kind:
        if flow.gate and not flow.shifted and flow.reads and not any(read.zero for read in flow.reads):
            return "gate"
        if flow.attention:
            return "attention"
        if value.op == "linear":
            return "linear"
        shape = self.shapes.get(value.weight, ())
        source = self.values[value.inputs[0]].shape
        return "depthwise" if shape and shape[1] == 1 and source[-3:-2] != (1,) and len(shape) == 4 else "conv"

    def _norm(self, index: int, channels: Channels) -> tuple[int, str, Channels]:
        """The affine norm that alone reads a layer's output: its value and module; else the layer itself."""
        at, numbers, path = index, channels, []
        while len(self.follower.users[at]) == 1:
            at = self.follower.users[at][0]
            path.append(at)
            if self.values[at].op not in _PASS:
                break
        if not path or self.values[path[-1]].op not in AFFINE:
            return index, "", channels
        before = index
        for at in path[:-1]:
            try:
                numbers = (
                    moved(self.values[at], {before: numbers}, self.values) if self.values[at].op in MOVES else numbers
                )
            except (RuntimeError, TypeError, IndexError, ValueError):
                return index, "", channels
            before = at
        value, names = self.values[path[-1]], _affine(self.values[path[-1]])
        line = numbers.along(-1 if value.op in ("layer_norm", "rms_norm") else 1)
        fits = names and line is not None and all(self.shapes.get(name) == (len(line),) for name in names)
        if fits and all(len(set(self.follower.used[name])) == 1 for name in names):
            return path[-1], value.module, Channels(numbers.base, value.shape, True)
        return index, "", channels

    def _producer(
        self, value: Value, norm: Value | None, numbers: Channels, units: Tensor, count: int
    ) -> tuple[tuple[Entries, ...], str]:
        """Stored entries whose zeros make the unit's output zero."""
        bias = value.call.operand(2, "bias") if value.call else None
        own: list[Entries] = []
        rows, why = [value.weight], ""
        if not value.weight:
            rows, why = self._scales(value, count)
        if rows and isinstance(bias, (Other, Ref)):
            rows = [*rows, bias.name if isinstance(bias, Other) else ""]
        if not rows or not all(rows):
            rows, why = [], why or "its bias is computed, not stored"
        elif any(len(set(self.follower.used.get(name, ()))) > 1 for name in rows):
            rows, why = [], "its weight is used more than once"
        for name in rows:
            shape = self.shapes[name]
            place = 1 if value.op == "conv_transpose2d" and len(shape) > 1 else 0
            if shape[place : place + 1] != (count,):
                rows, own, why = [], [], "its channels are grouped"
                break
            own.append(Entries(name, units.view([-1 if axis == place else 1 for axis in range(len(shape))])))
        if norm is None:
            return tuple(own), why
        line = numbers.along(-1 if norm.op in ("layer_norm", "rms_norm") else 1)
        assert line is not None
        after = [Entries(name, _owners(line, units)) for name in _affine(norm)]
        together = norm.op not in ("batch_norm", "instance_norm")
        return tuple(after if together else [*after, *own]), ""

    def _scales(self, value: Value, count: int) -> tuple[list[str], str]:
        """What zeroes rows of a computed weight: its scale a row (weight norm), else the rows it is computed from."""
        rows = [
            name
            for name in sorted(value.parameters)
            if self.shapes[name][:1] == (count,) and name.rpartition(".")[2] != "bias"
        ]
        scales = [name for name in rows if len(self.shapes[name]) > 1 and set(self.shapes[name][1:]) == {1}]
        why = "its weight is computed from stored tensors"
        alone = len(rows) == 1 and rows[0] not in self.trace.mixed
        return (scales or rows)[:1] if len(scales) == 1 or alone else [], why

    def _point(self, at: int, numbers: Channels, flow: Flow, units: Tensor) -> Point | None:
        """The first module that gives out the units' values while a zero is still a zero."""
        while True:
            axes = numbers.axes
            if len(axes) <= 1 and self._reaches(at):
                axis = axes[0] if axes else len(numbers.shape) - 1
                line = numbers.along(axis)
                if line is not None:
                    return Point(self.calls[at], "out", axis, _owners(line, units))
            users = self.follower.users[at]
            step = self.follower.alone(users[0], at, numbers) if len(users) == 1 else None
            if step is None or not step.zero:
                return None
            at, numbers = users[0], step

    def _reaches(self, at: int) -> bool:
        """Whether a hook on the module that gives a value out changes it for all that use it."""
        module = self.calls.get(at)
        if module is None or self.runs[module] != 1:
            return False
        inside = [self.values[user].module for user in self.follower.users[at]]
        return bool(module) and not any(f"{name}.".startswith(f"{module}.") for name in inside)

    def _watch(self, flow: Flow, units: Tensor) -> Point | None:
        """The input of the one layer that reads the units, after their activation."""
        if len(flow.reads) != 1 or flow.residual or not flow.reads[0].zero:
            return None
        read = flow.reads[0]
        module = self.values[read.value].module
        call = next((c for c in self.trace.calls if c.module == module and read.value in c.given), None)
        if call is None or call.source != read.source or self.runs[module] != 1:
            return None
        shape = self.values[read.source].shape
        owner = read.owner
        axis = channel_axis(self.values[read.value].op, len(shape))
        if owner.numel() != shape[axis]:  # grouped: rows tell, not columns
            return None
        return Point(module, "in", axis, _owners(owner.reshape(-1), units))


def _affine(value: Value) -> list[str]:
    """Names of a norm's stored weight and bias, ``[]`` if it has no weight, or either is computed."""
    assert value.call is not None
    places = zip(AFFINE[value.op], ("weight", "bias"), strict=True)
    weight, bias = (value.call.operand(place, key) for place, key in places)
    found = [weight, bias] if isinstance(bias, (Other, Ref)) else [weight]
    names = [one.name for one in found if isinstance(one, Other)]
    return names if len(names) == len(found) and all(names) else []


def _numbered(flow: Flow) -> Tensor:
    """Unit number of every channel, from 0 in order of their first channels.

    Channels that are lost are -1 if others are not: queries and keys where values alone are units.
    """
    lost = torch.isin(flow.parent, flow.parent[torch.tensor(sorted(flow.lost), dtype=torch.long)])
    if not flow.reads or bool(lost.all()):
        lost = torch.zeros_like(lost)
    kept = torch.where(lost, -1, flow.parent)
    _, units = torch.unique(kept, return_inverse=True)
    numbers: Tensor = units
    return numbers - 1 if bool(lost.any()) else numbers


def _owners(line: Tensor, units: Tensor) -> Tensor:
    owners: Tensor = torch.where(line >= 0, units[line.clamp(min=0)], -1)
    return owners


def _consumers(flow: Flow, units: Tensor) -> tuple[tuple[Entries, ...], str]:
    """Everything that reads the units, or nothing and why."""
    if flow.lost and bool((units[torch.tensor(sorted(flow.lost))] >= 0).any()):
        return (), next(iter(flow.lost.values()))
    if flow.residual:
        return (), "added to a residual stream"
    if not flow.reads:
        return (), "nothing reads it"
    if not all(read.zero for read in flow.reads):
        return (), "a zero is no zero where it is read"
    return tuple(Entries(read.weight, _owners(read.owner, units)) for read in flow.reads), ""
