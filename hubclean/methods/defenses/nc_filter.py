"""Neural Cleanse's filter (S&P 2019, section VI-A): reject at run time what fires the units that the trigger fires."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from hubclean.errors import DataError
from hubclean.methods.interface import Cleansing, Filter, Needs, Stage
from hubclean.methods.runtime_filter import feature_rows
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Features, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger, stamped
from hubclean.records import Rate
from hubclean.registry import Doc


@dataclass(frozen=True)
class NeuralCleanseFilter:
    """Leaves the weights as they are and puts a filter in front of them, one for each recovered trigger.

    Units of the final features (the heads' input) are ranked by rank_j = mean h_j(A(x)) - mean h_j(x) over ``fit``,
    where A stamps the recovered trigger (both means over the images of its source class where it has one); J is the
    top ``units`` of them, at least one. An image is rejected when
    score(x) = mean of h_j(x) over J is above a threshold that at most ``false_alarms`` of clean images exceed: the
    ceil((1 - f)(n + 1))-th smallest of n scores, f being the share of one filter; several filters split
    ``false_alarms`` evenly, because an image is rejected when any of them rejects it.

    The threshold comes from one half of ``val``; the notes give false alarms, and false negatives on images stamped
    with the recovered trigger, on the other half. Labels are not read: images of the target class are among them.

    The backdoor stays in the weights: without the filter, which is written beside them, nothing is won. Source:
    section VI-A as docs/methods/triggers.md#nc-filter restates it (top 1 % and 5 % false alarms are the paper's; the
    paper could not be read again, so the quantile's rounding, the split of ``val`` and of the false alarms are ours).
    """

    name: ClassVar[str] = "nc-filter"
    paper: ClassVar[str] = "Neural Cleanse, Wang et al., IEEE S&P 2019"
    needs: ClassVar[Needs] = "images"

    units: Annotated[float, Doc("share of the final units that a filter watches, at least one", 0.0, 1.0)] = 0.01
    false_alarms: Annotated[float, Doc("share of clean images that may be rejected by all filters", 0.0, 0.5)] = 0.05

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """The same weights with one filter for each trigger; an unchanged copy without triggers.

        Raises:
            DataError: fewer than two images in ``val``.
        """
        same = checkpoint.copy()
        if not triggers:
            note = "no trigger was recovered, so there is nothing to filter: the checkpoint is unchanged"
            return Cleansing((Stage("unchanged", same),), "unchanged", notes=(note,))
        if len(data.val) < 2:
            raise DataError("nc-filter needs at least two images in val: one for the threshold, one for the figures")
        order = torch.randperm(len(data.val), generator=session.generator(self.name))
        half = len(order) // 2
        aside = data.val.subset(order[half:])
        seen = len(data.fit) + len(data.val) + len(triggers) * (len(data.fit) + len(aside))
        session.progress.start("ranking final features", seen)
        clean = feature_rows(same, data.fit, session).mean(0)
        set_on, figures_on = (feature_rows(same, part, session) for part in (data.val.subset(order[:half]), aside))
        filters = []
        for trigger in triggers:
            shown = stamped(data.fit, trigger)
            base = (
                clean
                if trigger.source is None
                else feature_rows(same, ImageSet(shown.pixels, shown.labels), session).mean(0)
            )
            rank = feature_rows(same, shown, session).mean(0) - base
            filters.append(self._filter(rank, set_on, trigger.target, len(triggers)))
        tried = [feature_rows(same, stamped(aside, trigger), session) for trigger in triggers]
        session.progress.finish()
        missed = [Rate.of(int((~_rejected(rows, filters)).sum()), len(rows)) for rows in tried]
        alarms = Rate.of(int(_rejected(figures_on, filters).sum()), len(aside))
        return Cleansing(
            (Stage("filtered", same, tuple(filters)),),
            "filtered",
            notes=self._notes(filters, alarms, missed, len(set_on)),
            passes=round(seen / 3),
        )

    def _filter(self, rank: Tensor, set_on: Features, target: int | None, filters: int) -> Filter:
        count = max(1, round(self.units * len(rank)))
        units = torch.topk(rank, count).indices.sort().values
        share = self.false_alarms / filters
        scores = set_on[:, units].mean(1).sort().values
        place = min(len(scores), ceil(round((1 - share) * (len(scores) + 1), 6)))
        return Filter(units, float(scores[place - 1]), share, target)

    @staticmethod
    def _notes(filters: list[Filter], alarms: Rate, missed: list[Rate], thresholds_from: int) -> tuple[str, ...]:
        notes = [
            f"filter for label {'next' if one.target is None else one.target}: {len(one.units)} final unit(s), "
            f"threshold {one.threshold:.4g}, set on {thresholds_from} clean val images; {rate.value:.1%} of the "
            f"{rate.n} other val images pass when stamped with its recovered trigger"
            for one, rate in zip(filters, missed, strict=True)
        ]
        share = sum(one.false_alarms for one in filters)
        notes.append(
            f"false alarms on {alarms.n} clean val images: {alarms.value:.1%} [{alarms.low:.1%}, {alarms.high:.1%}] "
            f"(wanted: {share:.1%})"
        )
        if filters[0].false_alarms * (thresholds_from + 1) < 1:
            notes.append("too few val images for that share: each threshold is the largest clean score")
        return (*notes, "the weights are unchanged and still hold the backdoor: use them behind the filter only")


def _rejected(features: Features, filters: list[Filter]) -> Tensor:
    """Which rows ``(n, channels)`` any filter rejects ``(n,)``."""
    hits = [features[:, one.units].mean(1) > one.threshold for one in filters]
    return torch.stack(hits).any(0)
