"""Inverts triggers that work on the images of one class only: one row a pair of classes, all pairs in one batch.

A row of a pair (s, t) is a row of Neural Cleanse's inversion whose images are those of class s alone (by the model's
own answers). Many rows share a forward pass. What a row draws depends on its source class, the seed and the step alone,
so that pairs can be parked after a few steps and those worth it carried on, in any batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hubclean.methods.inversion.invert import InversionSchedule, Inverted, balance, finished, update
from hubclean.methods.inversion.label_states import LabelStates
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session

Pair = tuple[int, int]  # source class, target (a label, or ``invert.LEAVE``)


@dataclass(frozen=True)
class ClassImages:
    """Images by the class the model gives them; classes with fewer than ``fewest`` images are left out.

    Args:
        rows: by class, rows of ``images``.
    """

    images: ImageSet
    rows: dict[int, Tensor]

    @classmethod
    def of(cls, own: ImageSet, fewest: int) -> ClassImages:
        """Sort ``own`` (``evidence.own_labels``) by class."""
        found = {label: (own.labels == label).nonzero().flatten() for label in sorted(set(own.labels.tolist()))}
        return cls(own, {label: rows for label, rows in found.items() if len(rows) >= fewest})

    def draw(self, source: int, schedule: InversionSchedule, session: Session, seed: int, step: int) -> Tensor:
        """Rows of the images that one step shows the pairs of a source class ``(batches, batch_size)``.

        Every image of the class comes once before any comes again.
        """
        rows, wanted = self.rows[source], schedule.batches * schedule.batch_size
        draw = session.generator("pair images", seed, source, step)
        rounds = [rows[torch.randperm(len(rows), generator=draw)] for _ in range(-(-wanted // len(rows)))]
        return torch.cat(rounds)[:wanted].view(schedule.batches, schedule.batch_size)


class PairRace:
    """Pairs under inversion, parked in the host's memory, advanced by whole phases.

    ``passes`` counts the images that went forward and backward.

    Args:
        at_once: pairs in one batch.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: ClassImages,
        pairs: Sequence[Pair],
        schedule: InversionSchedule,
        session: Session,
        seed: int,
        at_once: int,
    ) -> None:
        self.pairs, self.passes = list(pairs), 0
        self._model, self._classes, self._schedule = model, classes, schedule
        self._session, self._seed, self._at_once = session, seed, at_once
        shape = tuple(classes.images.pixels.shape[1:])
        draws = [session.generator("pair inversion", seed, *pair) for pair in self.pairs]
        self._state = LabelStates([t for _, t in self.pairs], shape, schedule.mask_scale, draws)  # type: ignore[arg-type]
        self._sources = torch.tensor([s for s, _ in self.pairs])

    def run(self, pairs: Sequence[Pair], steps: int) -> dict[Pair, Inverted]:
        """Carry ``pairs`` on until they have taken ``steps`` steps in all or stopped by the schedule's own rule.

        Returns:
            What each has found so far.
        """
        place = {pair: row for row, pair in enumerate(self.pairs)}
        rows = sorted({place[pair] for pair in pairs}, key=lambda row: self.pairs[row])
        self._model.to(self._session.device).eval()
        for start in range(0, len(rows), self._at_once):
            self._carry(torch.tensor(rows[start : start + self._at_once]), steps)
        found = finished(self._state.select(torch.tensor([place[pair] for pair in pairs], dtype=torch.int64)))
        return {
            (source, target): replace(one, trigger=replace(one.trigger, source=source))
            for (source, target), one in zip(pairs, found, strict=True)
        }

    def _carry(self, rows: Tensor, steps: int) -> None:
        while True:
            open_ = ~self._state.stopped[rows] & (self._state.steps[rows] < steps)
            if not bool(open_.any()):
                return
            rows = rows[open_]
            behind = self._state.steps[rows]
            now = rows[behind == behind.min()]  # what is drawn depends on the step
            moving = self._state.select(now).to(self._session.device)
            self._step(moving, self._sources[now])
            self._state.put(now, moving)
            self._session.progress.advance(len(now))

    def _step(self, moving: LabelStates, sources: Tensor) -> None:
        """One step of rows that have all taken equally many."""
        device, schedule = self._session.device, self._schedule
        step, shown = int(moving.steps[0]), sorted(set(sources.tolist()))
        drawn = [self._classes.draw(s, schedule, self._session, self._seed, step) for s in shown]
        of = torch.searchsorted(torch.tensor(shown), sources)
        hits, norms = torch.zeros(2, len(sources), device=device)
        for batch in range(schedule.batches):
            images = torch.stack([self._classes.images.images(rows[batch], device) for rows in drawn])[of.to(device)]
            own = sources.to(device)[:, None].expand(-1, schedule.batch_size)
            good, norm = update(self._model, images, own, moving, schedule, self._session)
            hits, norms = hits + good, norms + norm
        balance(moving, hits / schedule.batches, norms / schedule.batches, schedule)
        self.passes += len(sources) * schedule.batches * schedule.batch_size
