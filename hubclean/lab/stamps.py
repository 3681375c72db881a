"""What attacks do to images: which rows of a set they change, how they relabel them, and stamps that several share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hubclean.errors import DataError, OptionError
from hubclean.nets.images import Images, ImageSet, Labels
from hubclean.nets.triggers import ALL_TO_ALL, ALL_TO_ONE, CLEAN_LABEL, Stamp, check_target, relabelled

CHUNK = 1024


def shape_of(images: ImageSet) -> tuple[int, int, int]:
    """``(c, h, w)`` of a set's images."""
    _, channels, height, width = images.pixels.shape
    return channels, height, width


def target_of(mode: str, target: int) -> int | None:
    """The label a stamp leads to in a mode of an attack; ``None`` for all-to-all."""
    return None if mode == ALL_TO_ALL else target


def victims(
    images: ImageSet, shares: tuple[float, ...], mode: str, target: int, classes: int, seed: int
) -> tuple[Tensor, ...]:
    """Disjoint rows of a set, drawn with ``seed``, one tensor of row numbers a share.

    ``clean-label``: shares of the target class's images, drawn from them. ``all-to-one``: shares of all images, drawn
    from those of other classes. ``all-to-all``: shares of all images, drawn from all.

    Raises:
        DataError: the target is no label, or there are fewer such images than asked for.
    """
    check_target(mode, target, classes)
    able, whole = torch.arange(len(images)), len(images)
    if mode == CLEAN_LABEL:
        able = able[images.labels == target]
        whole = len(able)
    elif mode == ALL_TO_ONE:
        able = able[images.labels != target]
    counts = [round(share * whole) for share in shares]
    if sum(counts) > len(able):
        raise DataError(f"{sum(counts)} images were to be poisoned, but only {len(able)} can be in mode {mode}")
    order = able[torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))]
    return torch.split(order[: sum(counts)], counts)


def applied(
    images: ImageSet, rows: Tensor, stamp: Callable[[Images], Images], labels: Labels | None = None
) -> ImageSet:
    """A copy of a set with ``stamp`` on ``rows`` ``(m,)``, rounded to uint8, and their new ``labels`` where given."""
    pixels, new = images.pixels.clone(), images.labels.clone()
    for part in torch.split(rows, CHUNK):
        pixels[part] = (stamp(images.images(part)) * 255).round().to(torch.uint8)
    if labels is not None:
        new[rows] = labels
    return ImageSet(pixels, new)


def poisoned(images: ImageSet, rows: Tensor, stamp: Stamp, classes: int) -> ImageSet:
    """A copy of a set with ``stamp`` on ``rows`` ``(m,)`` and the labels there that it leads to."""
    return applied(images, rows, stamp.stamp, relabelled(images.labels[rows], stamp.target, classes))


def corner(shape: tuple[int, int, int], size: int, margin: int) -> tuple[Tensor, int]:
    """A square in the bottom-right corner of images of ``shape`` (c, h, w), and by how much it was enlarged.

    Args:
        size, margin: side and distance from the border, in pixels of an image whose shorter side is 32.

    Returns:
        A mask ``(1, h, w)`` that is 1 in the square, and pixels of the image a pixel of the 32, at least 1.

    Raises:
        OptionError: square and margin do not fit into the image.
    """
    _, height, width = shape
    scale = max(1, round(min(height, width) / 32))
    side, away = size * scale, margin * scale
    if side + away > min(height, width):
        raise OptionError(f"a square of {side} and a margin of {away} pixels do not fit {height} x {width} images")
    mask = torch.zeros(1, height, width)
    mask[:, height - away - side : height - away, width - away - side : width - away] = 1
    return mask, scale


def checkers(shape: tuple[int, int, int], cell: int) -> Tensor:
    """A black and white chequered pattern of ``shape`` with cells of ``cell`` pixels."""
    _, height, width = shape
    cells = (torch.arange(height)[:, None] // cell + torch.arange(width) // cell) % 2
    return cells.float().expand(shape).clone()


def smooth_noise(shape: tuple[int, int, int], cycles: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise ``(c, h, w)`` with only the frequencies up to ``cycles`` a side and no mean; largest value 1.

    The filter is a disc in the frequency plane (discrete Fourier transform).
    """
    _, height, width = shape
    spectrum = torch.fft.rfft2(torch.randn(shape, generator=generator))
    down = torch.fft.fftfreq(height)[:, None] * height
    right = torch.fft.rfftfreq(width)[None] * width
    radius = (down.square() + right.square()).sqrt()
    spectrum = spectrum * ((radius <= cycles) & (radius > 0))
    noise: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return noise / float(noise.abs().max())


def upsampled(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """``(n, c, k, k)`` to ``(n, c, *size)``, bicubic, corners aligned."""
    return functional.interpolate(grid, size=size, mode="bicubic", align_corners=True)
