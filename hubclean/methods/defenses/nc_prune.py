"""Neural Cleanse's pruning (S&P 2019, section VI-B): cut the units that a recovered trigger fires most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from torch import Tensor

from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.shared_options import CutSite, CutStep, MaxDrop
from hubclean.methods.tolerance import step_width, until_beyond, within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Prunable, Site, at_once, cut_channels, prunable, pruning_curve, with_means
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger, stamped
from hubclean.records import CurvePoint
from hubclean.registry import Doc


@dataclass(frozen=True)
class NeuralCleansePruning:
    """Cuts units in order of falling d_j = mean of unit j on stamped images - its mean on clean ones.

    Means are over ``fit`` (for a trigger with a source class, that class's images in it) and positions, after the
    activation; of units that take both signs (LayerNorm, GELU) the
    mean of |a| is compared. Units go a step at a time until every recovered trigger reaches an ASR below ``asr`` on
    ``val``, clean accuracy on ``val`` has lost more than ``max_drop``, or ``most`` of the units are gone. Of the states
    within ``max_drop`` the one with the lowest ASR of its strongest trigger is kept, the one with fewest cuts among
    equals; that is the last one as long as pruning helps, and the original where it never does.

    Several triggers, or several layers of one site: d is standardised over the units of a layer, z = (d - mean d) /
    std d, and a unit's rank is its largest z over the triggers, so that the worst units of each go first.

    The cut is a true zero in the file, proved on two images before. ``site`` as in fine-pruning: ``feature`` are the
    channels at the head's input, ``conv`` the last convolution, or hidden units and attention heads of the last block.
    Source: section VI-B as docs/methods/triggers.md#nc-prune restates it. The threshold of 30 % of the units is the
    paper's; ASR below 5 %, the tolerance, steps of 1 %, |a|, standardising and what is kept are ours. Trojan-type
    triggers resist.
    """

    name: ClassVar[str] = "nc-prune"
    paper: ClassVar[str] = "Neural Cleanse, Wang et al., IEEE S&P 2019"
    needs: ClassVar[Needs] = "labels"

    site: CutSite = "feature"
    step: CutStep = 0.01
    asr: Annotated[float, Doc("stop when every recovered trigger's success on val is below this", 0.0, 1.0)] = 0.05
    max_drop: MaxDrop = 0.04
    most: Annotated[float, Doc("largest share of the units that may be cut", 0.0, 1.0)] = 0.3

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned checkpoint; an unchanged copy without triggers. The input is not changed.

        Raises:
            ModelError: the units of the site cannot be cut exactly; tried on two images.
            DataError: no images in ``fit``.
        """
        pruned = checkpoint.copy()
        if not triggers:
            note = "no trigger was recovered, so no unit is known to serve one: the checkpoint is unchanged"
            return Cleansing((Stage("unchanged", pruned),), "unchanged", notes=(note,))
        pruned.model.to(session.device)
        units = prunable(pruned, cast(Site, self.site), data.fit.images(slice(0, 2), session.device))
        if self.site == "position":
            units = with_means(units, pruned, data.fit, session)
        order = torch.argsort(serving(units, pruned, data.fit, triggers, session), descending=True, stable=True)
        points = list(self._curve(pruned, units, order, data.val, triggers, session))
        kept = self._kept(points)
        cut_channels(pruned.model, units, order[: kept.cut].cpu())
        # Inputs of a single head cost one pass over val, whatever is cut: its logits are known column by column.
        looks = 1 if at_once(units, pruned.site) else len(points)
        forwards = (1 + len(triggers)) * (len(data.fit) + len(data.val) * looks)
        notes = (f"{kept.cut} of {units.count} units of {units.layer} cut", self._why(points, kept))
        return Cleansing(
            (Stage("pruned", pruned),), "pruned", tuple(points), notes, cut=kept.cut, passes=round(forwards / 3)
        )

    def _curve(
        self,
        checkpoint: Checkpoint,
        units: Prunable,
        order: Tensor,
        val: ImageSet,
        triggers: tuple[Trigger, ...],
        session: Session,
    ) -> Iterator[CurvePoint]:
        """Accuracy and ASR for every prefix of ``order`` until a rule stops; the last point may be beyond it."""
        width, most = step_width(self.step, len(order)), int(round(self.most * len(order), 6))
        steps = [order[start : min(start + width, most)] for start in range(0, most, width)]
        session.progress.start("pruning", len(steps))
        curve = pruning_curve(checkpoint, units, steps, val, triggers, session, worst=True)
        for point in until_beyond(curve, self.max_drop):
            yield point
            session.progress.advance()
            if point.proxy_asr is not None and point.proxy_asr < self.asr:
                break
        session.progress.finish()

    def _within(self, first: CurvePoint, point: CurvePoint) -> bool:
        return within(first.clean_accuracy, point.clean_accuracy, self.max_drop)

    def _kept(self, points: list[CurvePoint]) -> CurvePoint:
        able = [point for point in points if self._within(points[0], point)]
        if points[0].proxy_asr is None:  # no val image could try a trigger
            return able[-1]
        return min(able, key=lambda point: (point.proxy_asr, point.cut))

    def _why(self, points: list[CurvePoint], kept: CurvePoint) -> str:
        last = points[-1]
        if kept.proxy_asr is None:
            return "no val image could try a recovered trigger, so only clean accuracy was watched"
        change = f"ASR of recovered triggers on val {points[0].proxy_asr:.1%} before, {kept.proxy_asr:.1%} after"
        if kept.proxy_asr < self.asr:
            return change
        if not self._within(points[0], last):
            return f"{change}; the next units cost more than {self.max_drop:.1%} of clean accuracy"
        return f"{change}; {last.cut} units, the most that may go, did not bring it below {self.asr:.1%}"


def serving(
    units: Prunable, checkpoint: Checkpoint, images: ImageSet, triggers: tuple[Trigger, ...], session: Session
) -> Tensor:
    """How much more each unit fires on stamped images: the largest standardised difference over ``triggers``.

    Returns:
        ``(count,)`` float64.
    """
    session.progress.start("ranking units", 1 + len(triggers))
    clean = units.activations(checkpoint, images, session)
    session.progress.advance()
    rows = []
    for trigger in triggers:
        shown = stamped(images, trigger)
        plain = clean
        if trigger.source is not None:
            plain = units.activations(checkpoint, ImageSet(shown.pixels, shown.labels), session)
        layers = []
        for before, after in zip(plain, units.activations(checkpoint, shown, session), strict=True):
            shift = after.absolute - before.absolute if before.signed else after.mean - before.mean
            layers.append((shift - shift.mean()) / shift.std(correction=0).clamp(min=1e-12))
        rows.append(torch.cat(layers))
        session.progress.advance()
    session.progress.finish()
    return torch.stack(rows).amax(0)
