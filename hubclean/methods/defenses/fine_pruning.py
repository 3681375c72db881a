"""Fine-Pruning (Liu, Dolan-Gavitt, Garg, RAID 2018): cut the channels clean images leave asleep, then fine-tune."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from torch import Tensor

from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.shared_options import CutSite, CutStep, MaxDrop, Optimizer
from hubclean.methods.stages import Chain
from hubclean.methods.tolerance import FEW_IMAGES, last_within, step_width, until_beyond
from hubclean.methods.tuning import tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Prunable, Site, cut_channels, prunable, pruning_curve, with_means
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, suited
from hubclean.nets.triggers import Trigger
from hubclean.records import CurvePoint
from hubclean.registry import Doc

_ADAMW = 5e-5  # the gentle end of what transformers take: what was pruned is to be repaired, not retrained


@dataclass(frozen=True)
class FinePruning:
    """Prunes units in order of rising mean activation a_i, then fine-tunes what is left.

    a_i is the mean over clean images (``fit``) and positions of unit i after its activation; where units take negative
    values (LayerNorm, GELU) the mean of |a_i| ranks. Units are cut a step at a time while clean accuracy
    on ``val`` stays within ``max_drop`` of the original; the last state within it is the ``pruned`` stage. Fine-tuning
    holds the cut entries at exactly zero; the epoch with the best ``val`` accuracy is the ``fine-tuned`` stage. Both
    stages are kept, because fine-tuning can bring the backdoor back.

    Which stage becomes the checkpoint: ``fine-tuned``, unless its ``val`` accuracy is lower than the tolerance allows
    and than the pruned stage's, or the ASR of a recovered trigger on ``val`` is more than 0.05 above the pruned
    stage's. The planted trigger is never seen.

    The cut is a true zero in the file, proved on two images before. The paper cuts filters of the last convolutional
    layer. ``site=feature`` cuts the channels at the head's input, shortcuts included: the same where nothing but that
    layer makes them; behind a hidden layer it is that layer's units. ``site=conv`` cuts the last convolution itself,
    which leaves a shortcut around it alive, or the hidden units and attention heads of the last block, ranked relative
    to the mean of their layer. Source: sections 3.1-3.3; steps of 1 % and 4 points of tolerance are our defaults, the
    paper leaves the tolerance to the user.
    """

    name: ClassVar[str] = "fine-pruning"
    paper: ClassVar[str] = "Fine-Pruning, Liu et al., RAID 2018"
    needs: ClassVar[Needs] = "labels"

    site: CutSite = "feature"
    step: CutStep = 0.01
    max_drop: MaxDrop = 0.04
    finetune: Annotated[bool, Doc("fine-tune after pruning")] = True
    epochs: Annotated[int, Doc("epochs of fine-tuning", 0, 10_000)] = 10
    optimizer: Optimizer = "auto"
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 5e-5 for adamw", 0.0, 10.0)] = 0.0
    batch_size: Annotated[int, Doc("images a training step", 2, 65536)] = 128
    shift: Annotated[int, Doc("largest random translation while fine-tuning, in pixels", 0, 64)] = 0

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned and the fine-tuned checkpoint; the input is not changed.

        Raises:
            ModelError: the units of the site cannot be cut exactly; tried on two images.
        """
        pruned = checkpoint.copy()
        pruned.model.to(session.device)
        units = prunable(pruned, cast(Site, self.site), data.fit.images(slice(0, 2), session.device))
        if self.site == "position":
            units = with_means(units, pruned, data.fit, session)
        order = torch.argsort(units.activity(pruned, data.fit, session), stable=True)
        points = list(self._curve(pruned, units, order, data.val, triggers, session))
        kept = last_within(points, self.max_drop)
        dead = order[: kept.cut].cpu()
        cut_channels(pruned.model, units, dead)
        run = Chain(Stage("pruned", pruned), points[0].clean_accuracy, self.max_drop, data, triggers, session)
        run.notes.append(f"{kept.cut} of {units.count} units of {units.layer} cut")
        run.passes += (len(data.fit) + len(data.val)) // 3
        if self.finetune and self.epochs:
            copy = pruned.copy()
            schedule, held = self._schedule(copy, len(data.fit)), units.held(copy.model, dead)
            tuned = tune(copy, data, schedule, session, self.name, "best", held=held)
            run.passes += tuned.passes - tuned.looked
            if tuned.epoch:
                run.offer(Stage("fine-tuned", copy), slack=0.0)
            else:
                why = "fine-tuning diverged in its first epoch and was dropped; a smaller learning rate may help"
                run.notes.append(why)
        return Cleansing(tuple(run.stages), run.kept.name, tuple(points), tuple(run.notes), kept.cut, run.passes)

    def _curve(
        self,
        checkpoint: Checkpoint,
        units: Prunable,
        order: Tensor,
        val: ImageSet,
        triggers: tuple[Trigger, ...],
        session: Session,
    ) -> Iterator[CurvePoint]:
        """Accuracy for every prefix of ``order`` until it leaves the tolerance; the last point may be beyond it."""
        width = step_width(self.step, len(order))
        steps = [order[start : start + width] for start in range(0, len(order) - width, width)]
        return until_beyond(pruning_curve(checkpoint, units, steps, val, triggers, session), self.max_drop)

    def _schedule(self, tuned: Checkpoint, images: int) -> Schedule:
        optimizer, rate = suited(tuned.model, self.optimizer)
        return Schedule(
            self.epochs,
            self.learning_rate or (_ADAMW if optimizer == "adamw" else rate),
            optimizer,
            batch_size=self.batch_size,
            shift=self.shift,
            freeze_statistics=images < FEW_IMAGES,
        )
