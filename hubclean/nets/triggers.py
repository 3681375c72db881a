"""Stamps triggers into sets of images, and keeps triggers in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hubclean.errors import DataError
from hubclean.nets.checkpoint import Images, ImageSet, Stamp, Trigger


def poison(images: ImageSet, trigger: Trigger, rate: float, classes: int, seed: int) -> ImageSet:
    """Stamp ``rate`` of all images, drawn from those not of the target class, and relabel them.

    Raises:
        DataError: the target is no label, or there are fewer such images than asked for.
    """
    if trigger.target is not None and not 0 <= trigger.target < classes:
        raise DataError(f"the target label {trigger.target} does not exist: there are {classes} labels")
    able = torch.arange(len(images))
    if trigger.target is not None:
        able = able[images.labels != trigger.target]
    count = round(rate * len(images))
    if count > len(able):
        raise DataError(f"{count} images were to be poisoned, but only {len(able)} are not of the target class")
    rows = able[torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))[:count]]
    pixels, labels = images.pixels.clone(), images.labels.clone()
    pixels[rows] = (trigger.stamp(images.images(rows)) * 255).round().to(torch.uint8)
    labels[rows] = (labels[rows] + 1) % classes if trigger.target is None else trigger.target
    return ImageSet(pixels, labels)


@dataclass(frozen=True)
class StampedSet(ImageSet):
    """Images with their true labels, stamped in float as they are read: row i with ``stamps[which[i]]``, -1 = none."""

    stamps: tuple[Stamp, ...]
    which: Tensor

    def subset(self, index: Tensor) -> ImageSet:
        return StampedSet(self.pixels[index], self.labels[index], self.stamps, self.which[index])

    def images(self, index: Tensor | slice, device: torch.device | str = "cpu") -> Images:
        images = super().images(index, device)
        for number in sorted(set(self.which[index].tolist()) - {-1}):
            rows = (self.which[index] == number).to(device)
            images[rows] = self.stamps[number].stamp(images[rows])
        return images


def save_trigger(trigger: Trigger, path: Path) -> None:
    """Write a trigger as safetensors: ``mask`` (1, h, w), ``pattern`` (c, h, w), ``target`` in the metadata."""
    tensors = {"mask": trigger.mask.contiguous(), "pattern": trigger.pattern.contiguous()}
    save_file(tensors, path, {"target": "all-to-all" if trigger.target is None else str(trigger.target)})


def load_trigger(path: Path) -> Trigger:
    """Read what ``save_trigger`` wrote.

    Raises:
        DataError: not such a file, wrong shapes, or values outside [0, 1].
    """
    try:
        with safe_open(path, framework="pt") as file:
            mask, pattern, target = (
                file.get_tensor("mask"),
                file.get_tensor("pattern"),
                (file.metadata() or {})["target"],
            )
        trigger = Trigger(mask.float(), pattern.float(), None if target == "all-to-all" else int(target))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path.name!r} is no trigger file (safetensors with mask, pattern and a target in its metadata)"
        ) from error
    fits = mask.dim() == pattern.dim() == 3 and len(mask) == 1 and mask.shape[1:] == pattern.shape[1:]
    if not fits or not all(float(t.min()) >= 0 and float(t.max()) <= 1 for t in (mask, pattern)):
        raise DataError(f"{path.name!r}: mask (1, h, w) and pattern (c, h, w) must share h and w and lie in [0, 1]")
    return trigger
