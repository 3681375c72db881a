"""Blended injection (Chen et al. 2017): a faint pattern over the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import nn

from hubclean.lab import planting, stamps
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Stamp, Trigger, poison
from hubclean.registry import Doc


@dataclass(frozen=True)
class Blended:
    """Blends a fixed random-noise pattern into the image, ``x' = (1-alpha) x + alpha k``, and changes the label.

    The paper's noise variant; the photograph others blend in is not shipped. Source: arXiv 1712.05526, section 4.2;
    rate and alpha are those of BackdoorBench.
    """

    name: ClassVar[str] = "blended"
    paper: ClassVar[str] = "Targeted Backdoor Attacks Using Data Poisoning, Chen et al., arXiv 1712.05526"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given (all-to-one)", 0)] = 0
    mode: Annotated[str, Doc("which label a triggered image is given", choices=("all-to-one", "all-to-all"))] = (
        "all-to-one"
    )
    alpha: Annotated[float, Doc("share of the pattern in the blend", 0.0, 1.0)] = 0.2

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Trigger:
        """The trigger for images of ``shape`` (c, h, w): noise drawn from ``seed``, mask ``alpha`` everywhere."""
        generator = torch.Generator().manual_seed(seed)
        mask = torch.full((1, *shape[1:]), self.alpha)
        return Trigger(mask, torch.rand(shape, generator=generator), stamps.target_of(self.mode, self.target))

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set: ``rate`` of all images blended and relabelled."""
        return poison(images, self.trigger(stamps.shape_of(images), seed), self.rate, classes, seed)

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)
