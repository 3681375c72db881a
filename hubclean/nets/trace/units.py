"""Prunable units: which stored numbers make one unit exactly silent, what reads it, and where a hook can reach it.

A unit is an output channel of a layer with weights after its own norm, an attention head, or a gated pair of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hubclean.nets.trace.recorder import Trace
from hubclean.records import FeatureSite, UnitSummary

Kind = Literal["conv", "depthwise", "linear", "attention", "gate"]


@dataclass(frozen=True, slots=True)
class Entries:
    """Numbers of one stored tensor: ``owner`` is broadcastable to it and holds unit numbers, -1 for no unit."""

    tensor: str
    owner: Tensor

    def mask(self, dead: Tensor, shape: Sequence[int]) -> Tensor:
        """Entries of the units ``dead``, a bool tensor of ``shape`` on the device of ``dead``."""
        return torch.isin(self.owner.to(dead.device), dead).expand(tuple(shape))


@dataclass(frozen=True, slots=True)
class Point:
    """Where units can be read and silenced by a hook.

    Args:
        module: its name.
        side: ``out`` for what it gives, ``in`` for its first argument.
        axis: axis of that tensor along which units lie.
        owner: unit numbers along that axis ``(length,)``, -1 for none.
    """

    module: str
    side: Literal["in", "out"]
    axis: int
    owner: Tensor


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """The units of one layer.

    Args:
        name: the layer that makes them.
        kind: ``conv``, ``depthwise``, ``linear``, ``attention`` (heads) or ``gate``.
        count: number of units.
        order: place in the forward.
        depth: layers with weights on the longest way from the images to this one, itself included.
        positions: pixels or tokens at which the layer gives the unit out.
        producer: entries that are zero when the unit is silent (``()`` if none are stored).
        consumers: all entries that read the unit (``()`` if not all are known).
        residual: the layer's output is added to other values: its branch can be silenced, not the sum.
        point: where a hook silences a unit with the same effect (``None`` if nowhere).
        watch: where the unit is seen after its activation, for statistics.
        norm: the norm that belongs to the layer.
        why: why it cannot be cut, or not on both sides.
    """

    name: str
    kind: Kind
    count: int
    order: int
    depth: int
    positions: int
    producer: tuple[Entries, ...]
    consumers: tuple[Entries, ...]
    residual: bool
    point: Point | None
    watch: Point | None
    norm: str
    why: str

    @property
    def cut(self) -> Literal["both", "producer", "consumer", "none"]:
        """Sides on which a unit can be cut in the file."""
        if self.kind == "gate" or self.point is None or not (self.producer or self.consumers):
            return "none"
        if self.producer and self.consumers:
            return "both"
        return "producer" if self.producer else "consumer"

    def summary(self) -> UnitSummary:
        """What goes into reports."""
        tensors = [entries.tensor for entries in (*self.producer, *self.consumers)]
        return UnitSummary(
            self.name, self.kind, self.count, self.cut, self.residual, tuple(dict.fromkeys(tensors)), self.why
        )


def last_units(groups: Sequence[UnitGroup], trace: Trace, site: FeatureSite) -> tuple[UnitGroup, ...]:
    """The units that stand for "the last convolution": its output channels, or hidden units and attention heads.

    Of the layers that lead to the feature map with more than one position, the deepest whose units can be cut and are
    read by the next layer alone, or are normed on their own in a residual branch. If that is no convolution, the last
    attention heads go with it (Fine-Pruning, section 3.1, prunes the last convolutional layer, which these nets lack).
    """
    given = [call.given[0] for call in trace.calls if call.module == site.feature and call.given]
    end = max(given) if site.feature and given else len(trace.values)
    spread = sum(size > 1 for size in site.shape) > 1
    able = [
        group
        for group in groups
        if group.cut != "none" and group.kind != "depthwise" and group.order <= end
        if group.positions > 1 or not spread
    ]
    fit = [g for g in able if g.consumers or (g.kind == "conv" and (g.norm or not g.residual))]
    fit = fit or [g for g in able if not g.residual]  # behind a norm of its own every hidden unit is seen by all
    if not fit:
        return ()
    deepest = max(fit, key=lambda group: (group.depth, group.order))
    if deepest.kind == "conv":
        readers = {entries.tensor for entries in deepest.consumers}  # branches that are joined are read together
        return tuple(
            group
            for group in fit
            if group is deepest or (readers and readers == {entries.tensor for entries in group.consumers})
        )
    chosen = [max((group for group in fit if group.kind == kind), key=_order, default=None) for kind in _HIDDEN]
    return tuple(group for group in chosen if group is not None)


_HIDDEN: tuple[Kind, ...] = ("attention", "linear")


def _order(group: UnitGroup) -> int:
    return group.order
