"""Prunes by masks: units in order of rising mask while clean accuracy holds, baked into the original weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hubclean.methods.interface import Cleansing, Stage
from hubclean.methods.masking.search import Masks
from hubclean.methods.stages import recovered_success, revived
from hubclean.methods.tolerance import FEW_IMAGES, within
from hubclean.methods.tuning import tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import masks
from hubclean.nets.cut.pruning import curve_point
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import clean_accuracy, success_rates, triable
from hubclean.nets.session import Session
from hubclean.nets.trace.units import UnitGroup
from hubclean.nets.training import Schedule, suited
from hubclean.nets.triggers import Trigger
from hubclean.records import CurvePoint

_LISTED = 8  # layers named in a note


@dataclass(frozen=True)
class Budget:
    """What pruning may cost.

    Args:
        max_drop: largest loss of clean accuracy on ``val``; 1 leaves the threshold alone to decide.
        threshold: only units whose mask is at most this are cut, and none whose mask the search left at exactly 1.
        layer_share: largest share of a layer's units, one unit at least.
        skips: units that alone break the tolerance and are left in, before pruning ends.
        tune_epochs: of fine-tuning afterwards; 0 for none.
    """

    max_drop: float = 0.03
    threshold: float = 1.0
    layer_share: float = 0.2
    skips: int = 50
    tune_epochs: int = 0


@dataclass(frozen=True)
class Pruning:
    """Units cut by group name, the accuracy on ``val`` on the way, and images that went forward (in thirds)."""

    dead: dict[str, Tensor]
    curve: tuple[CurvePoint, ...]
    skipped: int
    passes: int

    @property
    def cut(self) -> int:
        return sum(len(units) for units in self.dead.values())


def ranked(values: Sequence[Tensor], sizes: Sequence[Tensor], threshold: float) -> list[tuple[int, int]]:
    """Units as (group, unit) in order of rising mask, larger n~_i first where masks are equal.

    Args:
        values: masks ``(count,)`` by group; ``sizes`` their relative magnitudes.
        threshold: units above it are left out, and those at exactly 1, which the search saw no reason to silence.
    """
    rows = [
        (mask, -size, place, unit)
        for place, (group, large) in enumerate(zip(values, sizes, strict=True))
        for unit, (mask, size) in enumerate(zip(group.tolist(), large.tolist(), strict=True))
        if mask <= threshold and mask < 1
    ]
    return [(place, unit) for _, _, place, unit in sorted(rows)]


def prune_by_masks(
    checkpoint: Checkpoint,
    groups: Sequence[UnitGroup],
    order: Sequence[tuple[int, int]],
    budget: Budget,
    val: ImageSet,
    triggers: tuple[Trigger, ...],
    session: Session,
) -> Pruning:
    """Choose the units to cut, in ``order``, while accuracy on ``val`` stays within ``budget``; nothing is cut yet.

    A unit that alone breaks the tolerance is skipped, a unit of a full layer too. Units are tried in blocks that double
    while accuracy holds and halve when it does not, about two evaluations a doubling instead of one a unit. Every
    accepted state was measured and is within the tolerance. What differs from one unit at a time: inside an accepted
    block a shorter prefix may have been below the tolerance, so a unit that would have been skipped can be cut when
    the units after it make up for it.

    Returns:
        The choice; ``curve`` holds the accepted states, with the mean ASR of ``triggers`` (recovered ones) on ``val``.
    """
    search = BlockSearch(checkpoint, groups, order, budget, val, triggers, session)
    session.progress.start("choosing units to cut", len(order))
    points = tuple(search.points())
    session.progress.finish()
    dead = {group.name: torch.tensor(sorted(search.gone[i]), dtype=torch.long) for i, group in enumerate(groups)}
    return Pruning(dead, points, search.skipped, search.forwards // 3)


class BlockSearch:
    """Units go in blocks as large as the accuracy on ``val`` allows, in the order given."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        groups: Sequence[UnitGroup],
        order: Sequence[tuple[int, int]],
        budget: Budget,
        val: ImageSet,
        triggers: tuple[Trigger, ...],
        session: Session,
    ) -> None:
        self._checkpoint, self._groups, self._order = checkpoint, groups, order
        self._budget, self._val, self._session = budget, val, session
        self._able = triable(triggers, val)
        self._room = [max(1, int(budget.layer_share * group.count + 1e-9)) for group in groups]
        self._room = [min(room, group.count - 1) for room, group in zip(self._room, groups, strict=True)]
        self.gone: list[set[int]] = [set() for _ in groups]
        self.skipped = self.forwards = 0

    def points(self) -> Iterator[CurvePoint]:
        """Every accepted state, the untouched model first."""
        first = self.accuracy_without([])
        yield self._point(first)
        at, size, excess = 0, 1, 0  # the next ``excess`` units are known to be too many together
        while self.skipped < self._budget.skips:
            block, end = self._next(at, excess // 2 or size)
            if not block:
                break
            accuracy = 0.0 if excess == 1 else self.accuracy_without(block)
            if excess != 1 and within(first, accuracy, self._budget.max_drop):
                for place, unit in block:
                    self.gone[place].add(unit)
                excess = excess - len(block) if excess else 0
                at, size = end, 1 if excess else 2 * size
                yield self._point(accuracy)
            elif len(block) == 1:
                self.skipped, at, size, excess = self.skipped + 1, end, 1, 0
            else:
                excess = len(block)

    def _next(self, at: int, size: int) -> tuple[list[tuple[int, int]], int]:
        """The next ``size`` units whose layers have room, and the place after the last of them."""
        block: list[tuple[int, int]] = []
        taken = [len(units) for units in self.gone]
        while at < len(self._order) and len(block) < size:
            place, unit = self._order[at]
            at += 1
            if taken[place] < self._room[place]:
                taken[place] += 1
                block.append((place, unit))
        return block, at

    def _silenced(self, more: Sequence[tuple[int, int]]) -> Any:
        """The model with all units gone and ``more`` of them, by hooks: the file will do the same."""
        off = [set(units) for units in self.gone]
        for place, unit in more:
            off[place].add(unit)
        changed = [(group, units) for group, units in zip(self._groups, off, strict=True) if units]
        values = [torch.ones(group.count).index_fill(0, torch.tensor(sorted(units)), 0) for group, units in changed]
        return masks.masked(self._checkpoint.model, [group for group, _ in changed], values)

    def accuracy_without(self, more: Sequence[tuple[int, int]]) -> float:
        """Clean accuracy on ``val`` with the units gone so far and ``more`` of them silenced."""
        with self._silenced(more):
            self.forwards += len(self._val)
            return clean_accuracy(self._checkpoint.model, self._val, self._session).value

    def _point(self, accuracy: float) -> CurvePoint:
        """Where the choice stands, with the ASR of the recovered triggers."""
        model, classes = self._checkpoint.model, len(self._checkpoint.labels)
        with self._silenced([]):
            rates = success_rates(model, self._val, self._able, classes, self._session)
        self.forwards += sum(rate.n for rate in rates)
        return curve_point(sum(len(units) for units in self.gone), accuracy, [rate.value for rate in rates])


def cleansed(
    checkpoint: Checkpoint,
    found: Masks,
    sizes: Sequence[Tensor],
    budget: Budget,
    data: DefenseData,
    triggers: tuple[Trigger, ...],
    session: Session,
    purpose: str,
) -> Cleansing:
    """From finished masks to a cleansing: choose by rising mask, cut the original weights, fine-tune if asked for.

    Fine-tuning holds the cut entries at exactly zero and keeps the epoch of best accuracy on ``val``; that stage
    becomes the checkpoint unless it is less accurate there than the pruned one, or revives a recovered trigger.

    Args:
        sizes: relative magnitudes n~_i by group; they break ties.
    """
    groups, order = found.groups, ranked(found.values, sizes, budget.threshold)
    pruning = prune_by_masks(checkpoint, groups, order, budget, data.val, triggers, session)
    pruned = checkpoint.copy()
    masks.cut_units(pruned.model, groups, pruning.dead)
    accuracy = clean_accuracy(pruned.model, data.val, session).value
    stages, kept, passes = [Stage("pruned", pruned)], "pruned", pruning.passes + len(data.val) // 3
    notes = [_cut_note(groups, found, pruning, accuracy)]
    if budget.tune_epochs and pruning.cut:
        tuned = pruned.copy()
        best = _tune(tuned, groups, pruning, budget.tune_epochs, data, session, purpose)
        passes += budget.tune_epochs * (len(data.fit) + len(data.val) // 3)
        back = revived(*(recovered_success(one, data.val, triggers, session) for one in (pruned, tuned)))
        stages += [Stage("fine-tuned", tuned)] if best >= 0 else []
        kept = "fine-tuned" if best >= accuracy and not back else "pruned"
        why = "; it revived a recovered trigger" if back else ""
        notes.append(f"val accuracy {max(best, 0):.1%} after fine-tuning{why}: the {kept} stage is kept")
    return Cleansing(tuple(stages), kept, pruning.curve, tuple(notes), pruning.cut, passes)


def _cut_note(groups: Sequence[UnitGroup], found: Masks, pruning: Pruning, accuracy: float) -> str:
    layers = [f"{group.name} {len(pruning.dead[group.name])}" for group in groups if len(pruning.dead[group.name])]
    shown = f" ({', '.join(layers[:_LISTED])}{', ...' if len(layers) > _LISTED else ''})" if layers else ""
    masked = torch.cat(found.values)
    lost = (pruning.curve[0].clean_accuracy - accuracy) * 100
    return (
        f"{pruning.cut} of {len(masked)} units cut in {len(layers)} of {len(groups)} layers{shown}; "
        f"{int((masked < 0.5).sum())} masks ended below 0.5; val accuracy {accuracy:.1%}, {lost:.1f} points lost; "
        f"{pruning.skipped} units left in that alone cost too much"
    )


def _tune(
    tuned: Checkpoint,
    groups: Sequence[UnitGroup],
    pruning: Pruning,
    epochs: int,
    data: DefenseData,
    session: Session,
    purpose: str,
) -> float:
    """Fine-tune in place to the epoch of best accuracy on ``val``, which is returned; -1 if no epoch was finite."""
    optimizer, rate = suited(tuned.model)
    schedule = Schedule(epochs, rate, optimizer, freeze_statistics=len(data.fit) < FEW_IMAGES)
    held = masks.entries_of(tuned.model, groups, pruning.dead)
    return tune(tuned, data, schedule, session, purpose, "best", held=held).accuracy
