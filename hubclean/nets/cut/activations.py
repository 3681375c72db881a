"""Activation statistics in one pass over the images: sums grow where the model runs, no feature tensor is kept.

Every hook reduces what it sees to three numbers a channel before the forward goes on; batches add up in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hubclean.errors import DataError, ModelError
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare
from hubclean.nets.cut.features import side_by_side
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace.recorder import tensors_in
from hubclean.nets.trace.units import Point, UnitGroup
from hubclean.records import FeatureSite

# Numbers reduced at a time on a CPU: 4 MiB and their |a| stay in its cache, a whole map would go through the memory.
CACHED = 1 << 20
# Least norm of a column: what it reads has no effect, so that cutting it first or last is all the same.
NOTHING = 1e-12


@dataclass(frozen=True)
class Activations:
    """Statistics of u units over n images, on the CPU in float64; nan for a unit that owns no channel where it is read.

    Args:
        mean: over images and positions ``(u,)``; a unit of several channels is their mean.
        absolute: mean of |a| ``(u,)``, taken before anything cancels.
        largest: maximum over images, positions and a unit's channels ``(u,)``.
        spread: standard deviation of the images' means ``(u,)``; a unit of several channels is the mean of theirs.
        counts: images per true label ``(k,)`` int64.
        labelled: mean of the images of one label, for the p labels that have any, in their order ``(p, u)``.
    """

    mean: Tensor
    absolute: Tensor
    largest: Tensor
    spread: Tensor
    counts: Tensor
    labelled: Tensor

    @property
    def by_class(self) -> Tensor:
        """Mean per true label ``(k, u)``; rows of labels without images are nan. Made when asked for."""
        rows = torch.full((len(self.counts), len(self.mean)), torch.nan, dtype=torch.float64)
        rows[self.counts > 0] = self.labelled
        return rows

    @property
    def signed(self) -> bool:
        """Whether units take negative values: their negative part weighs more than 1 % of the whole."""
        return bool((self.absolute - self.mean).sum() / 2 > 0.01 * self.absolute.sum())


def ranking(found: Activations) -> Tensor:
    """Mean activation, or mean |a| of units that take both signs (LayerNorm, GELU)."""
    return found.absolute if found.signed else found.mean


def feature_activations(checkpoint: Checkpoint, images: ImageSet, session: Session) -> Activations:
    """Statistics of the channels of ``checkpoint.site``, at the inputs of its heads, in one pass.

    Heads of the same width share their channels and are averaged; heads of different width are put side by side.

    Raises:
        DataError: no images, or a label that the model does not have.
    """
    points = tuple(head_points(checkpoint.site))
    totals = _measured(checkpoint.model, points, images, session, len(checkpoint.labels))
    return totals.of(slice(None), torch.cat([point.owner for point in points]), checkpoint.site.channels)


def head_input_means(checkpoint: Checkpoint, images: ImageSet, session: Session) -> tuple[Tensor, ...]:
    """The mean of every input of every head over images and positions, ``(in_features,)`` each, in one pass.

    Raises:
        DataError: as ``feature_activations``.
    """
    heads = checkpoint.site.heads
    lines = [torch.arange(head.in_features) for head in heads]
    points = [
        Point(head.path, "in", 1 if head.kind == "conv" else -1, line) for head, line in zip(heads, lines, strict=True)
    ]
    totals = _measured(checkpoint.model, points, images, session, len(checkpoint.labels))
    found, start = [], 0
    for line in lines:
        found.append(totals.of(slice(start, start + len(line)), line, len(line)).mean)
        start += len(line)
    return tuple(found)


def unit_activations(
    model: nn.Module, groups: Sequence[UnitGroup], images: ImageSet, session: Session, classes: int
) -> tuple[Activations, ...]:
    """Statistics of every unit of ``groups``, in their order, in one pass over the images for all of them.

    Read at ``group.watch``, after the activation, or at ``group.point`` where there is none. Takes 8 bytes a channel
    and label that occurs, on the session's device.

    Args:
        classes: number of labels k; true labels are in ``0..k-1``.

    Raises:
        DataError: no images, or a label outside ``0..classes-1``.
        ModelError: a group is seen by no module, or a module gives something else than when it was recorded.
    """
    points = []
    for group in groups:
        point = group.watch or group.point
        if point is None:
            raise ModelError(f"the units of {group.name!r} cannot be watched: no module gives out their values")
        points.append(point)
    totals = _measured(model, points, images, session, classes)
    found, start = [], 0
    for group, point in zip(groups, points, strict=True):
        found.append(totals.of(slice(start, start + len(point.owner)), point.owner, group.count))
        start += len(point.owner)
    return tuple(found)


def head_points(site: FeatureSite) -> Iterator[Point]:
    """Where the channels of a site enter each of its heads."""
    start = 0
    for head in site.heads:
        owner = start + torch.arange(head.in_features) // site.block
        start += head.in_features // site.block if side_by_side(site) else 0
        yield Point(head.path, "in", 1 if head.kind == "conv" else -1, owner)


class _Totals:
    """Running totals of all channels of all points, side by side: c channels, p labels that occur."""

    def __init__(self, channels: int, labels: Tensor, classes: int, device: torch.device) -> None:
        if not len(labels):
            raise DataError("there are no images to measure activations on")
        if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise DataError(f"an image has a label outside 0..{classes - 1}, the labels of the model")
        self.device = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
        self.counts = torch.bincount(labels, minlength=classes)
        self._labels = self.counts.nonzero().flatten().to(self.device)
        self._sums = torch.zeros(len(self._labels), channels, dtype=torch.float64, device=self.device)
        # Not the sum of the above: on a GPU its order of adding changes from run to run, and this one's must not.
        self._sum = torch.zeros(channels, dtype=torch.float64, device=self.device)
        self._absolute, self._squares = torch.zeros_like(self._sum), torch.zeros_like(self._sum)
        self._largest = torch.full((channels,), -torch.inf, device=self.device)

    def add(self, seen: Sequence[tuple[Tensor, Tensor, Tensor]], labels: Tensor) -> None:
        """One batch: of every point the images' means ``(n, c)``, sum of means of |a| ``(c,)``, maxima ``(c,)``."""
        means, absolutes, maxima = (torch.cat(parts, -1).to(self.device) for parts in zip(*seen, strict=True))
        means = means.double()
        self._sum += means.sum(0)
        self._squares += means.square().sum(0)
        self._sums.index_add_(0, torch.searchsorted(self._labels, labels.to(self.device)), means)
        self._absolute += absolutes.double()
        self._largest = torch.maximum(self._largest, maxima)

    def of(self, columns: slice, owner: Tensor, count: int) -> Activations:
        """The ``count`` units that own ``columns``, ``-1`` is none: means of their channels, the largest maximum."""
        own, images = owner[owner >= 0], self.counts.sum()
        members = torch.bincount(own, minlength=count).double()

        def units(rows: Tensor) -> Tensor:
            kept = rows[..., columns].cpu()[..., owner >= 0]
            return kept.new_zeros(*kept.shape[:-1], count).index_add_(-1, own, kept) / members

        variance = (self._squares / images - (self._sum / images) ** 2).clamp(min=0)
        largest = self._largest[columns].cpu().double()[owner >= 0]
        return Activations(
            mean=units(self._sum) / images,
            absolute=units(self._absolute) / images,
            largest=torch.full_like(members, torch.nan).scatter_reduce_(0, own, largest, "amax", include_self=False),
            spread=units(variance.sqrt()),
            counts=self.counts,
            labelled=units(self._sums) / self.counts[self.counts > 0].unsqueeze(1),
        )


@torch.no_grad()
def _measured(model: nn.Module, points: Sequence[Point], images: ImageSet, session: Session, classes: int) -> _Totals:
    """The pass over the images; every process of several sees all of them."""
    model.to(session.device).eval()
    net = bare(model)
    totals = _Totals(sum(len(point.owner) for point in points), images.labels, classes, session.device)
    with _watching(net, points) as seen:
        for batch, labels in images.batches(session.batch_size, session.device):
            seen.start(len(batch))
            model(batch)
            totals.add(seen.take(), labels)
    return totals


class _Seen:
    """What the points' hooks made of one batch of ``images`` images, by place of the point."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points, self._images, self._scratch = points, 0, torch.empty(0)
        self._reduced: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def start(self, images: int) -> None:
        self._images, self._reduced = images, {}

    def keep(self, index: int, passing: Any) -> None:
        point, value = self._points[index], next(tensors_in(passing), None)
        if value is None:
            raise ModelError(f"no tensor passes at {point.module!r}")
        shape, channels = tuple(value.shape), len(point.owner)
        if not -value.ndim <= point.axis < value.ndim or shape[point.axis] != channels:
            raise ModelError(f"{shape} passes at {point.module!r}, where {channels} channels were expected")
        if shape[0] % self._images:
            raise ModelError(f"{shape} passes at {point.module!r}: its first axis is not that of the images")
        if (self._scratch.dtype, self._scratch.device) != (value.dtype, value.device):
            self._scratch = value.new_empty(0)
        self._reduced[index] = _reduced(value, point.axis % value.ndim, self._images, self._scratch)

    def take(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        for index, point in enumerate(self._points):
            if index not in self._reduced:
                raise ModelError(f"{point.module!r} did not run in this forward, so its units cannot be measured")
        return [self._reduced[index] for index in range(len(self._points))]


def _reduced(value: Tensor, axis: int, images: int, scratch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means of every image ``(n, c)``, their sum for |a| ``(c,)``, and maxima ``(c,)`` of a batch; float32.

    Args:
        value: rows of an image follow each other along its first axis: one, or its windows.
        scratch: memory for |a|, used again by every call: new pages would cost more than all the arithmetic.
    """
    if value.ndim == 2:
        value = value.unsqueeze(-1)
    places = tuple(place for place in range(1, value.ndim) if place != axis)
    rows, per_row = len(value), value.numel() // len(value)
    step = max(1, CACHED // per_row) if value.device.type == "cpu" else rows
    sums, absolutes, maxima = [], [], []
    for part in torch.split(value, step):
        sums.append(part.sum(places, dtype=torch.float32))
        absolutes.append(torch.abs(part, out=scratch.resize_(0)).sum((0, *places), dtype=torch.float32))
        maxima.append(part.amax(places))
    weight = images / rows / (per_row // value.shape[axis])
    means = torch.cat(sums).view(images, rows // images, -1).sum(1) * weight
    return means, torch.stack(absolutes).sum(0) * weight, torch.cat(maxima).amax(0).float()


@contextmanager
def _watching(net: nn.Module, points: Sequence[Point]) -> Iterator[_Seen]:
    """Reduce what passes the points in every forward inside the block; hooks are gone after, come what may."""
    seen = _Seen(points)
    handles: list[Any] = []

    def taken(index: int) -> Callable[..., None]:
        return lambda module, args, kwargs: seen.keep(index, (args, kwargs))

    def given(index: int) -> Callable[..., None]:
        return lambda module, args, out: seen.keep(index, out)

    try:
        for index, point in enumerate(points):
            try:
                module = net.get_submodule(point.module)
            except AttributeError as error:
                raise ModelError(f"the model has no module {point.module!r}") from error
            if point.side == "in":
                handles.append(module.register_forward_pre_hook(taken(index), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(given(index)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()
