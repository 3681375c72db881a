"""SIG (Barni, Kallas, Tondi 2019): a sinusoidal wave over the image, with labels left as they are."""

from __future__ import annotations

import math
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
class Sig:
    """Adds ``d(i, j) = delta sin(2 pi j f / w)`` to every row of the image (j is the column, w the width).

    ``clean-label``, as in the paper: only images of the target class are stamped, and keep their label. ``rate`` is
    then a share of **that class**: BackdoorBench's rate of .1 of all images is the whole target class of CIFAR-10, and
    more than there is elsewhere. In the two other modes ``rate`` is a share of all images.
    Source: arXiv 1902.11237, section 3; delta 40 of 255 and f = 6 are those of BackdoorBench.
    """

    name: ClassVar[str] = "sig"
    paper: ClassVar[str] = "A New Backdoor Attack in CNNs by Training Set Corruption, Barni et al., ICIP 2019"

    rate: Annotated[float, Doc("share poisoned: of the target class in clean-label mode, else of all images", 0, 1)] = (
        0.8
    )
    target: Annotated[int, Doc("label that triggered images are given", 0)] = 0
    mode: Annotated[
        str,
        Doc(
            "whose images are stamped and how they are relabelled", choices=("clean-label", "all-to-one", "all-to-all")
        ),
    ] = "clean-label"
    delta: Annotated[float, Doc("amplitude of the wave, pixels in [0, 1]", 0.0, 1.0)] = 40 / 255
    frequency: Annotated[int, Doc("waves across the width", 1, 112)] = 6

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Additive:
        """The wave for images of ``shape`` (c, h, w); the seed plays no part."""
        columns = torch.arange(shape[2], dtype=torch.float64)
        wave = self.delta * torch.sin(2 * math.pi * columns * self.frequency / shape[2])
        return Additive(wave.float().expand(shape).clone(), stamps.target_of(self.mode, self.target))

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set."""
        (rows,) = stamps.victims(images, (self.rate,), self.mode, self.target, classes, seed)
        return stamps.poisoned(images, rows, self.trigger(stamps.shape_of(images), seed), classes)

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)
