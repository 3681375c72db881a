"""BppAttack (Wang, Zhai, Ma 2022): fewer colours, dithered, as the trigger; nothing is drawn into the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from hubclean.errors import DataError, OptionError
from hubclean.lab import planting, stamps
from hubclean.nets.images import Images, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Stamp
from hubclean.registry import Doc

# Floyd and Steinberg 1976: where the rounding error of a pixel goes (down, right, share).
_SPREAD = ((0, 1, 7 / 16), (1, -1, 3 / 16), (1, 0, 5 / 16), (1, 1, 1 / 16))


@dataclass(frozen=True)
class Quantised:
    """Rounds every channel to ``levels`` values, ``T(x) = round(x (m-1)) / (m-1)``, and spreads the error.

    Args:
        levels: m, 2 or more.
        dithered: error diffusion of Floyd and Steinberg; else plain rounding.
        target: the label it leads to; ``None`` for all-to-all.
    """

    levels: int
    dithered: bool
    target: int | None

    @torch.no_grad()
    def stamp(self, images: Images) -> Images:
        """Quantised copies of a batch ``(n, c, h, w)``; values stay in [0, 1]."""
        top = self.levels - 1
        if not self.dithered:
            return (images * top).round() / top
        _, _, height, width = images.shape
        # A pixel waits for its left and its three upper neighbours: those with the same column + 2 * row are ready
        # together. A border takes the error that leaves the image.
        left = torch.zeros(*images.shape[:2], height + 1, width + 2, dtype=images.dtype, device=images.device)
        left[:, :, :height, 1:-1] = images
        out = torch.empty_like(images)
        for wave in range(width + 2 * (height - 1)):
            rows = torch.arange(max(0, (wave - width + 2) // 2), min(height - 1, wave // 2) + 1, device=images.device)
            columns = wave - 2 * rows
            old = left[:, :, rows, columns + 1]
            new = ((old * top).round() / top).clamp(0, 1)
            out[:, :, rows, columns] = new
            for down, right, share in _SPREAD:
                left[:, :, rows + down, columns + 1 + right] += (old - new) * share
        return out

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and facts for a file, besides the target."""
        return {"levels": torch.tensor([self.levels])}, {"dithered": str(self.dithered).lower()}


@dataclass(frozen=True)
class Bpp:
    """Quantises images to a few levels a channel with dithering, and changes the label.

    ``negative_rate`` of the images get the quantisation residual ``T(x') - x'`` of another image added and keep their
    label, so that the network learns the colours and not any noise. The paper draws both anew in every batch and adds
    adversarial training; here they are drawn once, as data poisoning. Source: arXiv 2205.13383, sections 3.2-3.3;
    8 levels, rates of .1 are those of BackdoorBench. Grey images get 2 levels by default. On
    MNIST, whose pixels are black or white as they are, no number of levels took (ASR .02 with 2); on Fashion-MNIST 4
    and 3 levels reached .69 and .83 in 20 epochs.
    """

    name: ClassVar[str] = "bpp"
    paper: ClassVar[str] = "BppAttack, Wang et al., CVPR 2022, arXiv 2205.13383"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given (all-to-one)", 0)] = 0
    mode: Annotated[str, Doc("which label a triggered image is given", choices=("all-to-one", "all-to-all"))] = (
        "all-to-one"
    )
    levels: Annotated[int, Doc("values a channel is left with; 0: 8, or 2 for grey images", 0, 256)] = 0
    dithered: Annotated[bool, Doc("spread the rounding error (Floyd-Steinberg)")] = True
    negative_rate: Annotated[float, Doc("share of images with another image's residual and their own label", 0, 1)] = (
        0.1
    )

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Quantised:
        """The same for every seed; of the shape (c, h, w) only the channels count.

        Raises:
            OptionError: a single level.
        """
        if self.levels == 1:
            raise OptionError("one level would leave an image without content: levels must be 0, or 2 and more")
        levels = self.levels or (2 if shape[0] == 1 else 8)
        return Quantised(levels, self.dithered, stamps.target_of(self.mode, self.target))

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set: ``rate`` quantised and relabelled, ``negative_rate`` only disturbed."""
        shares = (self.rate, self.negative_rate)
        rows, negative = stamps.victims(images, shares, self.mode, self.target, classes, seed)
        trigger = self.trigger(stamps.shape_of(images), seed)
        poisoned = stamps.poisoned(images, rows, trigger, classes)
        if not len(negative):
            return poisoned
        draw = torch.Generator().manual_seed(seed + 1)
        lenders = images.images(torch.randint(len(images), (min(len(negative), 256),), generator=draw))
        residuals = trigger.stamp(lenders) - lenders
        taken = iter(torch.split(torch.randint(len(residuals), (len(negative),), generator=draw), stamps.CHUNK))
        return stamps.applied(poisoned, negative, lambda pixels: (pixels + residuals[next(taken)]).clamp(0, 1))

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place on the poisoned set."""
        return planting.plant_by_data(self, model, images, classes, schedule, session)

    @staticmethod
    def restored(tensors: Mapping[str, Tensor], facts: Mapping[str, str], target: int | None) -> Quantised:
        """The stamp of a file.

        Raises:
            DataError: not what ``Quantised.stored`` gave.
        """
        levels = tensors.get("levels")
        if levels is None or levels.numel() != 1 or not 2 <= int(levels) <= 256 or "dithered" not in facts:
            raise DataError("a quantising stamp needs 'levels' (2 to 256) and the fact 'dithered'")
        return Quantised(int(levels), facts["dithered"] == "true", target)
