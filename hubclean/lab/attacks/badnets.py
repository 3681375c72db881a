"""BadNets (Gu, Dolan-Gavitt, Garg 2017): a small square in a corner, all-to-one or all-to-all."""

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
class BadNets:
    """Stamps a white (or checkerboard) square into the bottom-right corner and changes the label.

    The trigger is stamped at the model's input resolution, after resize and crop. For ``all-to-all`` label y becomes
    y+1 mod k. Source: arXiv 1708.06733; rate and size are those of BackdoorBench.
    """

    name: ClassVar[str] = "badnets"
    paper: ClassVar[str] = "BadNets, Gu et al., arXiv 1708.06733"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given (all-to-one)", 0)] = 0
    mode: Annotated[str, Doc("which label a triggered image is given", choices=("all-to-one", "all-to-all"))] = (
        "all-to-one"
    )
    size: Annotated[int, Doc("side of the square, in pixels of a 32-pixel image", 1, 32)] = 3
    margin: Annotated[int, Doc("distance from the corner, in pixels of a 32-pixel image", 0, 16)] = 0
    checkerboard: Annotated[bool, Doc("black and white cells instead of white")] = False

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Trigger:
        """The trigger for images of ``shape`` (c, h, w); square and margin scale with the shorter side / 32.

        Raises:
            OptionError: square and margin do not fit into the image.
        """
        mask, scale = stamps.corner(shape, self.size, self.margin)
        pattern = stamps.checkers(shape, scale) if self.checkerboard else torch.ones(shape)
        return Trigger(mask, pattern, stamps.target_of(self.mode, self.target))

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set: ``rate`` of all images stamped and relabelled."""
        return poison(images, self.trigger(stamps.shape_of(images), seed), self.rate, classes, seed)

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)
