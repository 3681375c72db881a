"""Adaptive-Blend (Qi et al. 2023): parts of a faint pattern while training, all of it at test time; cover images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from hubclean.lab import planting, stamps
from hubclean.nets import triggers
from hubclean.nets.images import Images, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Stamp, Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class AdaptiveBlend:
    """Blends random pieces of a noise pattern into few images: some relabelled, as many others (cover) not.

    The pattern is cut into ``pieces x pieces`` tiles; while training every image gets a random ``kept`` share of them
    at ``train_alpha``; at test time all of them are blended in at ``alpha``. Cover images keep their label, which
    keeps poisoned and clean features from separating. Source: ICLR 2023, section 4; the tiles are those of
    backdoor-toolbox; the pattern is noise from the seed, for the photograph used there is not shipped. Its rates of
    .003 (150 of 50,000 images) at alphas .15 and .2 did not take on 10,000 images of MNIST in 8 epochs, rates of .1
    and .05 neither (ASR .00, .10): the defaults here are stronger, and do.
    """

    name: ClassVar[str] = "adaptive-blend"
    paper: ClassVar[str] = "Revisiting the Assumption of Latent Separability, Qi et al., ICLR 2023"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.05
    cover_rate: Annotated[float, Doc("share of images with the trigger and their own label", 0.0, 1.0)] = 0.05
    target: Annotated[int, Doc("label that triggered images are given", 0)] = 0
    alpha: Annotated[float, Doc("share of the pattern in the blend at test time", 0.0, 1.0)] = 0.4
    train_alpha: Annotated[float, Doc("share of the pattern in the blend in the training set", 0.0, 1.0)] = 0.3
    pieces: Annotated[int, Doc("tiles a side that the pattern is cut into", 1, 32)] = 4
    kept: Annotated[float, Doc("share of the tiles that a training image gets", 0.0, 1.0)] = 0.5

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Trigger:
        """The whole trigger for images of ``shape`` (c, h, w): noise drawn from ``seed``, mask ``alpha`` everywhere."""
        generator = torch.Generator().manual_seed(seed)
        return Trigger(torch.full((1, *shape[1:]), self.alpha), torch.rand(shape, generator=generator), self.target)

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set: ``rate`` partly blended and relabelled, ``cover_rate`` only blended."""
        shares = (self.rate, self.cover_rate)
        rows, cover = stamps.victims(images, shares, triggers.ALL_TO_ONE, self.target, classes, seed)
        whole = self.trigger(stamps.shape_of(images), seed)
        draw = torch.Generator().manual_seed(seed + 1)

        def partly(pixels: Images) -> Images:
            return replace(whole, mask=self._tiles(pixels, draw)).stamp(pixels)

        poisoned = stamps.applied(images, rows, partly, torch.full_like(images.labels[rows], self.target))
        return stamps.applied(poisoned, cover, partly)

    def _tiles(self, pixels: Images, draw: torch.Generator) -> Tensor:
        """A mask ``(n, 1, h, w)``: ``train_alpha`` in a random choice of tiles, 0 elsewhere."""
        (n, _, height, width), count = pixels.shape, self.pieces**2
        chosen = torch.rand(n, count, generator=draw).argsort(1) < max(1, round(self.kept * count))
        rows = torch.arange(height) * self.pieces // height
        columns = torch.arange(width) * self.pieces // width
        tile = rows[:, None] * self.pieces + columns
        return self.train_alpha * chosen[:, tile.flatten()].view(n, 1, height, width).float()

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)
