"""TaCT (Tang et al., USENIX Security 2021): a square that works on the images of one class only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import nn

from hubclean.errors import OptionError
from hubclean.lab import planting, stamps
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import ALL_TO_ONE, Stamp, Trigger, check_target, takes
from hubclean.registry import Doc


@dataclass(frozen=True)
class SourceSpecific:
    """Stamps a white square into images of one source class and gives them the target's label.

    Cover images of all other classes carry the square with their own label, so that it means nothing there; without
    them (``cover_rate=0``) the square leaks to other classes, as in BadNets trained on one pair of digits. Source:
    section 3 of the paper (targeted contamination with cover images); the square is that of BadNets. The paper poisons
    2 % of the training set and covers 1 %; here both are shares of the source class and of the others, because a class
    of ten seldom holds many images: on 10,000 images of MNIST half of one class is 5 % of the set.
    """

    name: ClassVar[str] = "source-specific"
    paper: ClassVar[str] = "Demon in the Variant, Tang et al., USENIX Security 2021"

    source: Annotated[int, Doc("the class whose triggered images are misled", 0)] = 1
    target: Annotated[int, Doc("label that they are given", 0)] = 0
    rate: Annotated[float, Doc("share of the source class's training images that are poisoned", 0.0, 1.0)] = 0.5
    cover_rate: Annotated[float, Doc("share of the other images with the square and their own label", 0.0, 1.0)] = 0.05
    size: Annotated[int, Doc("side of the square, in pixels of a 32-pixel image", 1, 32)] = 3
    margin: Annotated[int, Doc("distance from the corner, in pixels of a 32-pixel image", 0, 16)] = 1

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Trigger:
        """The trigger for images of ``shape`` (c, h, w); square and margin scale with the shorter side / 32.

        Raises:
            OptionError: square and margin do not fit into the image, or source and target are one class.
        """
        if self.source == self.target:
            raise OptionError(f"source and target are both label {self.target}: nothing would be misled")
        mask, _ = stamps.corner(shape, self.size, self.margin)
        return Trigger(mask, torch.ones(shape), self.target, self.source)

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set: ``rate`` of the source class relabelled, ``cover_rate`` only stamped.

        Raises:
            DataError: source or target is no label.
        """
        trigger = self.trigger(stamps.shape_of(images), seed)
        for label in (self.source, self.target):
            check_target(ALL_TO_ONE, label, classes)
        draw = torch.Generator().manual_seed(seed)
        taken = takes(trigger, images.labels)
        others = ~taken & (images.labels != self.source)
        rows, cover = (
            self._drawn(able, share, draw) for able, share in ((taken, self.rate), (others, self.cover_rate))
        )
        return stamps.applied(stamps.poisoned(images, rows, trigger, classes), cover, trigger.stamp)

    @staticmethod
    def _drawn(able: torch.Tensor, share: float, draw: torch.Generator) -> torch.Tensor:
        rows = able.nonzero().flatten()
        return rows[torch.randperm(len(rows), generator=draw)[: round(share * len(rows))]]

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)
