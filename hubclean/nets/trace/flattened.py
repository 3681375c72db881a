"""Finds the first Linear that reads a flattened map: each of its inputs is one channel at one position."""

from __future__ import annotations

import torch

from hubclean.nets.trace.operators import Other
from hubclean.nets.trace.recorder import RecordedCall, Trace, Value
from hubclean.nets.trace.units import Entries, Point, UnitGroup


def flattened_inputs(trace: Trace) -> tuple[UnitGroup, str] | None:
    """The inputs of the first Linear behind a flatten as units, cut in its columns; ``None`` where there is none.

    A flatten is seen by its sizes: the Linear reads a row an image that has as many numbers as a map with channels and
    more than one position before it, and no layer with weights stands between. In what order they lie is of no
    account, so channels may come first or last. An image that is flattened itself is such a map of pixels.

    Returns:
        The units, and the name of the bias that the Linear adds (``""`` without one).
    """
    runs: dict[str, int] = {}
    for one in trace.calls:
        runs[one.module] = runs.get(one.module, 0) + 1
    wanted = set(trace.ancestors((trace.logits,)))
    for index, value in enumerate(trace.values):
        if index not in wanted or value.op != "linear" or not value.weight or len(value.shape) != 2:
            continue
        call = next((c for c in trace.calls if c.module == value.module and index in c.given), None)
        if call is not None and runs[call.module] == 1 and _reads_a_map(trace, index, call):
            return _units(trace, index, value), _bias(value)
    return None


def _reads_a_map(trace: Trace, index: int, call: RecordedCall) -> bool:
    """Whether the Linear's row, which a hook must reach, is a map laid flat."""
    source = trace.values[index].inputs[0]
    batch, width = trace.values[0].shape[0], trace.values[source].shape[-1]
    if call.source != source or trace.values[source].shape != (batch, width):
        return False
    todo, seen = [source], set()
    while todo:
        at = todo.pop()
        value = trace.values[at]
        size = 1
        for axis in value.shape[1:]:
            size *= axis
        if at in seen or value.shape[:1] != (batch,) or size != width:
            continue
        if sum(axis > 1 for axis in value.shape[1:]) > 1:
            return True
        seen.add(at)
        todo.extend(() if value.mixes else value.inputs)
    return False


def _units(trace: Trace, index: int, value: Value) -> UnitGroup:
    count = trace.values[value.inputs[0]].shape[-1]
    line = torch.arange(count)
    point = Point(value.module, "in", -1, line)
    return UnitGroup(
        name=f"inputs of {value.module}",  # the Linear's own name is that of its outputs
        kind="linear",
        count=count,
        order=index,
        depth=0,
        positions=1,
        producer=(),
        consumers=(Entries(value.weight, line.view(1, -1)),),
        residual=False,
        point=point,
        watch=point,
        norm="",
        why="",
    )


def _bias(value: Value) -> str:
    bias = value.call.operand(2, "bias") if value.call else None
    return bias.name if isinstance(bias, Other) else ""
