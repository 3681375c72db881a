"""Tensor shapes and sets of images. Pixels are float in [0, 1]; models normalise inside.

``Images`` is ``(n, c, h, w)``, ``Labels`` ``(n,)`` int64, ``Logits`` ``(n, k)``, ``Features`` ``(n, d)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Images = Tensor
Labels = Tensor
Logits = Tensor
Features = Tensor


@dataclass(frozen=True)
class ImageSet:
    """Labelled images in memory: ``pixels`` uint8 ``(n, c, h, w)``, ``labels`` int64 ``(n,)``."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: Tensor) -> ImageSet:
        return ImageSet(self.pixels[index], self.labels[index])

    def images(self, index: Tensor | slice, device: torch.device | str = "cpu") -> Images:
        """Float images in [0, 1] of the rows ``index``."""
        return self.pixels[index].to(device).float() / 255

    def batches(self, size: int, device: torch.device | str = "cpu") -> Iterator[tuple[Images, Labels]]:
        """All rows in order, ``size`` at a time, on ``device``."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield self.images(rows, device), self.labels[rows].to(device)


@dataclass(frozen=True)
class DefenseData:
    """What detectors and defenses may see: ``fit`` for optimising, ``val`` for stopping rules. No test, no attack."""

    fit: ImageSet
    val: ImageSet

    @classmethod
    def none(cls, shape: tuple[int, int, int]) -> DefenseData:
        """No image at all, for methods that need nothing; ``shape`` (c, h, w) is that of the model's input."""
        empty = ImageSet(torch.zeros(0, *shape, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
        return cls(empty, empty)
