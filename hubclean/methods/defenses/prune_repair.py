"""Prune, fill, repair: cut deeper than accuracy allows, tune with the cut held, and only then judge what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.errors import ModelError, OptionError
from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.shared_options import MaxDrop, Optimizer
from hubclean.methods.stages import recovered_success
from hubclean.methods.tolerance import within
from hubclean.methods.tuning import tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import FeatureChannels, Prunable, Site, cut_channels, prunable, with_means
from hubclean.nets.images import DefenseData, Images, ImageSet, Labels
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Loss, Schedule, suited
from hubclean.nets.triggers import Trigger
from hubclean.records import CurvePoint
from hubclean.registry import Doc

_TEMPERATURE = 2.0
# Two rates closer than this are the same: they are of some hundred images.
_SAME = 0.01


@dataclass(frozen=True)
class _Repaired:
    """One depth: the net with so many units cut, ``stages[-1]`` repaired, and what ``val`` says of that.

    Args:
        raw: accuracy before the repair.
        asr: of the strongest recovered trigger, ``None`` without any.
    """

    cut: int
    stages: tuple[Stage, ...]
    raw: float
    accuracy: float
    asr: float | None
    passes: int

    def note(self, units: Prunable) -> str:
        left = "" if self.asr is None else f", the strongest recovered trigger {self.asr:.1%}"
        repaired = f", {self.accuracy:.1%} repaired" if len(self.stages) > 1 else ""
        return f"{self.cut} of {units.count} units of {units.layer} cut: val accuracy {self.raw:.1%}{repaired}{left}"


@dataclass(frozen=True)
class PruneRepair:
    """Cuts units far beyond the tolerance, leaves their clean mean in the bias, repairs, and judges the tolerance then.

    Fine-Pruning stops cutting where accuracy on ``val`` has lost ``max_drop``; a backdoor often sits deeper. Here
    ``depths`` are tried, each a share of the units of ``site``, in order of rising

        s_i = std of input i over clean images / norm of the weights that read it

    so that what hardly moves on clean images and is read with large weights goes first. What is cut leaves its mean on
    ``fit`` in the bias of the layer that read it. Then all weights are tuned on ``fit`` with the cut entries
    held at zero, on CE + ``distill`` * T^2 KL(original || tuned) at T = 2, and the epoch of best accuracy on ``val`` is
    taken. BatchNorm and dropout are frozen with fewer than ``freeze_below`` images.

    Of the depths whose repaired net is within ``max_drop`` of the original on ``val``, those are looked at whose ASR of
    the strongest recovered trigger there is within a point of the lowest (all of them without triggers); of these the
    deepest is kept that is within a point of the most accurate. If no depth is within ``max_drop``, the checkpoint
    stays as it was and a note says so. The planted trigger is never seen.

    ``site=position`` are the single inputs of the first Linear behind a flatten, ``feature`` the channels at the
    heads' inputs, ``conv`` the last convolution (ranked by activity, cut to zero: no bias can take its mean);
    ``auto`` takes positions where the net has any, else features. No paper: put together from Fine-Pruning (RAID 2018),
    FLAIN's score (arXiv 2408.08655) and distillation; depths, score and rule are ours. It fails where a backdoor does
    not sit in few units: docs/methods/pruning.md#prune-repair.
    """

    name: ClassVar[str] = "prune-repair"
    paper: ClassVar[str] = "none: hubclean's own, after Fine-Pruning (RAID 2018) and FLAIN (arXiv 2408.08655)"
    needs: ClassVar[Needs] = "labels"

    site: Annotated[
        str,
        Doc(
            "units that are cut: position = single inputs of the first Linear behind a flatten, feature = final "
            "channels, conv = last convolution; auto: positions where there are any, else final channels",
            choices=("auto", "position", "feature", "conv"),
        ),
    ] = "auto"
    depths: Annotated[str, Doc("shares of the units to cut, each tried on its own, separated by commas")] = (
        "0.5,0.65,0.8"
    )
    max_drop: MaxDrop = 0.04
    repair: Annotated[bool, Doc("tune after cutting; without it the cut alone must be within the tolerance")] = True
    epochs: Annotated[int, Doc("epochs of repair, for every depth", 1, 10_000)] = 10
    optimizer: Optimizer = "auto"
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 1e-4 for adamw", 0.0, 10.0)] = 0.0
    batch_size: Annotated[int, Doc("images a training step", 2, 65536)] = 64
    distill: Annotated[float, Doc("weight of the original's answers on clean images", 0.0, 1.0)] = 0.5
    shift: Annotated[int, Doc("largest random translation while repairing, in pixels", 0, 64)] = 0
    flip: Annotated[bool, Doc("mirror images by chance (wrong for digits, letters and signs)")] = False
    freeze_below: Annotated[int, Doc("with fewer images than this BatchNorm and dropout are frozen", 0)] = 2000

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned and the repaired checkpoint of the best depth; the input is not changed.

        Raises:
            ModelError: the units of the site cannot be cut exactly; tried on two images.
            OptionError: ``depths`` are no shares between 0 and 1.
        """
        shares = self._shares()
        before = clean_accuracy(checkpoint.model, data.val, session).value
        first = CurvePoint(0, before, max(recovered_success(checkpoint, data.val, triggers, session), default=None))
        ranked = checkpoint.copy()
        ranked.model.to(session.device)
        units = with_means(self._units(ranked, data.fit, session), ranked, data.fit, session)
        order = torch.argsort(_score(units, ranked, data.fit, session), stable=True)
        cuts = sorted({min(units.count - 1, max(1, round(share * units.count))) for share in shares if units.count > 1})
        tried = [self._repaired(checkpoint, units, order[:cut], data, triggers, session) for cut in cuts]
        able = [one for one in tried if within(before, one.accuracy, self.max_drop)]
        points = (first, *(CurvePoint(one.cut, one.accuracy, one.asr) for one in tried))
        notes = tuple(one.note(units) for one in tried)
        passes = (2 * len(data.fit) + (1 + len(triggers)) * len(data.val)) // 3 + sum(one.passes for one in tried)
        if not able:
            lost = f"no depth was within {self.max_drop:.1%} of {before:.1%} on val: the checkpoint is unchanged"
            stage = Stage("unchanged", checkpoint.copy())
            return Cleansing((stage,), stage.name, points, (*notes, lost), 0, passes)
        kept = _deepest(able)
        chosen = f"{kept.cut} of {units.count} are kept cut"
        return Cleansing(kept.stages, kept.stages[-1].name, points, (*notes, chosen), kept.cut, passes)

    def _shares(self) -> tuple[float, ...]:
        try:
            shares = tuple(float(word) for word in self.depths.split(",") if word.strip())
        except ValueError:
            shares = ()
        if not shares or not all(0 < share < 1 for share in shares):
            raise OptionError(f"prune-repair: depths={self.depths} must be shares between 0 and 1")
        return shares

    def _units(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Prunable:
        two = images.images(slice(0, 2), session.device)
        if self.site == "auto":
            try:
                return prunable(checkpoint, "position", two)
            except ModelError:  # no flatten
                return prunable(checkpoint, "feature", two)
        return prunable(checkpoint, cast(Site, self.site), two)

    def _repaired(
        self,
        checkpoint: Checkpoint,
        units: Prunable,
        dead: Tensor,
        data: DefenseData,
        triggers: tuple[Trigger, ...],
        session: Session,
    ) -> _Repaired:
        """Cut, fill and repair one depth."""
        pruned = checkpoint.copy()
        pruned.model.to(session.device)
        dead = dead.cpu()
        cut_channels(pruned.model, units, dead)
        stages, passes = [Stage("pruned", pruned)], len(data.val) // 3
        accuracy = raw = clean_accuracy(pruned.model, data.val, session).value
        if self.repair:
            copy = pruned.copy()
            teacher = checkpoint.model.to(session.device)
            loss, held = _distilling(teacher, self.distill), units.held(copy.model, dead)
            schedule = self._schedule(copy, len(data.fit))
            tuned = tune(copy, data, schedule, session, self.name, "best", held=held, loss=loss)
            passes += tuned.passes + (tuned.passes - tuned.looked) // 3 * bool(self.distill)
            if tuned.epoch:
                stages.append(Stage("repaired", copy))
                accuracy = tuned.accuracy
        rates = recovered_success(stages[-1].checkpoint, data.val, triggers, session)
        passes += len(triggers) * len(data.val) // 3
        return _Repaired(len(dead), tuple(stages), raw, accuracy, max(rates, default=None), passes)

    def _schedule(self, checkpoint: Checkpoint, images: int) -> Schedule:
        optimizer, rate = suited(checkpoint.model, self.optimizer)
        frozen = images < self.freeze_below
        return Schedule(
            self.epochs,
            self.learning_rate or rate,
            optimizer,
            batch_size=self.batch_size,
            shift=self.shift,
            flip=self.flip,
            freeze_statistics=frozen,
            freeze_dropout=frozen,
        )


def _deepest(able: list[_Repaired]) -> _Repaired:
    """The deepest cut of those that leave about the least of the triggers and cost about the least accuracy."""
    least = min(one.asr or 0.0 for one in able)
    clean = [one for one in able if within(one.asr or 0.0, least, _SAME)]
    most = max(one.accuracy for one in clean)
    return max((one for one in clean if within(most, one.accuracy, _SAME)), key=lambda one: one.cut)


def _score(units: Prunable, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
    """What is cut first is least: spread over the norm of the weights that read the unit, where these can be told."""
    if not isinstance(units, FeatureChannels):
        return units.activity(checkpoint, images, session)
    return units.steadiness(checkpoint, images, session)


def _distilling(teacher: nn.Module, weight: float) -> Loss:
    """Cross-entropy, and ``weight`` times the divergence from the answers that ``teacher`` gives the same images."""

    def loss(model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
        logits = model(pixels).float()
        found = functional.cross_entropy(logits, labels)
        if not weight:
            return found
        with torch.no_grad():
            wanted = functional.log_softmax(teacher(pixels).float() / _TEMPERATURE, 1)
        given = functional.log_softmax(logits / _TEMPERATURE, 1)
        apart = functional.kl_div(given, wanted, log_target=True, reduction="batchmean")
        return found + weight * _TEMPERATURE**2 * apart

    return loss
