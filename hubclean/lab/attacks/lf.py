"""LF (Zeng et al. 2021): one smooth perturbation without high frequencies, the same for every image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import nn

from hubclean.lab import planting, stamps
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Additive, Stamp
from hubclean.registry import Doc


@dataclass(frozen=True)
class LowFrequency:
    """Adds one smooth universal perturbation: noise from the seed with only its lowest frequencies left.

    A reconstruction: the paper searches a perturbation on a trained network under a penalty on high frequencies, and
    BackdoorBench ships the results as files. Here it is drawn: Gaussian noise, low-pass filtered in the frequency
    plane to ``cycles`` waves a side, scaled to a largest change of ``delta``. No network is asked, so it is as smooth
    as the paper's but not adversarial. Source: arXiv 2104.03413; rate as in BackdoorBench, cycles and delta are ours.
    """

    name: ClassVar[str] = "lf"
    paper: ClassVar[str] = "Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective, Zeng et al., ICCV 2021"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given (all-to-one)", 0)] = 0
    mode: Annotated[str, Doc("which label a triggered image is given", choices=("all-to-one", "all-to-all"))] = (
        "all-to-one"
    )
    cycles: Annotated[float, Doc("highest frequency left, in waves a side", 1.0, 112.0)] = 3.0
    delta: Annotated[float, Doc("largest change of a pixel, pixels in [0, 1]", 0.0, 1.0)] = 0.2

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Additive:
        """The perturbation for images of ``shape`` (c, h, w), drawn from ``seed``."""
        noise = stamps.smooth_noise(shape, self.cycles, torch.Generator().manual_seed(seed))
        return Additive(self.delta * noise, stamps.target_of(self.mode, self.target))

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set: ``rate`` of all images perturbed and relabelled."""
        (rows,) = stamps.victims(images, (self.rate,), self.mode, self.target, classes, seed)
        return stamps.poisoned(images, rows, self.trigger(stamps.shape_of(images), seed), classes)

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)
