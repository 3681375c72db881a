"""FT-SAM (Zhu et al., ICCV 2023): fine-tuning with adaptive sharpness-aware steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.tuning import TuningOptions, cleansed, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.training import cross_entropy
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class FTSAM(TuningOptions):
    """Fine-tunes all weights towards flat minima, which shrinks the large weights that carry the backdoor.

    Every step takes the gradient g of the cross-entropy at the weights w, moves to w + e with e = rho * w^2 g / ||w g||
    (products entry by entry, the norm over all weights), takes the gradient there, and steps from w with it: two passes
    an image. BatchNorm's running statistics move in the first pass alone. Labels are smoothed. The last epoch is kept;
    ``keep=best`` takes the one with the best ``val`` accuracy, which with a few hundred images is an early one, in
    which the trigger still works (BadNets on MNIST: epochs 1 to 3 of 20, ASR 78 to 99 %).

    Sources: section 4 and the authors' code in BackdoorBench: rho 2 with smoothing .1 for CIFAR-10, rho 8 for GTSRB and
    Tiny-ImageNet, SGD .01, 100 (50) epochs on 5 % of the training images, balanced by class. Departures: fewer epochs
    by default; the images are taken as they come; AdamW for nets with LayerNorm; the rate falls every step; there the
    epoch is chosen on test images.
    """

    name: ClassVar[str] = "ft-sam"
    paper: ClassVar[str] = "FT-SAM, Zhu et al., ICCV 2023"
    needs: ClassVar[Needs] = "labels"

    epochs: Annotated[int, Doc("epochs of fine-tuning, two passes each", 1, 10_000)] = 20
    rho: Annotated[float, Doc("radius of the step uphill; the paper takes 2 or 8", 0.001, 100.0)] = 2.0
    smoothing: Annotated[float, Doc("label smoothing", 0.0, 0.999)] = 0.1
    keep: Annotated[str, Doc("which epoch: best = by val accuracy, last", choices=("best", "last"))] = "last"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        schedule = self.schedule(copy, len(data.fit), self.rho)
        loss = partial(cross_entropy, smoothing=self.smoothing)
        tuned = tune(copy, data, schedule, session, self.name, "last" if self.keep == "last" else "best", loss=loss)
        return cleansed(checkpoint, tuned, data, triggers, session)
