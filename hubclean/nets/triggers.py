"""Triggers: what a stamp is, the kinds that need no attack, sets of stamped images, stamps in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hubclean import registry
from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.images import Images, ImageSet, Labels

ALL_TO_ONE, ALL_TO_ALL, CLEAN_LABEL = "all-to-one", "all-to-all", "clean-label"


class Stamp(Protocol):
    """What an attacker does to an image at test time; ``target`` as in ``Trigger``."""

    @property
    def target(self) -> int | None: ...

    def stamp(self, images: Images) -> Images:
        """Triggered copies of a batch ``(n, c, h, w)``; values stay in [0, 1]."""


class StoredStamp(Stamp, Protocol):
    """A stamp that a file can hold."""

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and facts that bring it back, besides the target."""


@dataclass(frozen=True)
class Trigger:
    """A patch or blend trigger: ``x' = (1 - mask) * x + mask * pattern`` (Neural Cleanse, S&P 2019, eq. 2).

    Args:
        mask: ``(1, h, w)`` in [0, 1], shared by the channels.
        pattern: ``(c, h, w)`` in [0, 1].
        target: the label it leads to; ``None`` for all-to-all (label y becomes y+1 mod k).
        source: the only class whose images it leads there; ``None`` where it does so with images of every class.
    """

    mask: Tensor
    pattern: Tensor
    target: int | None
    source: int | None = None

    def stamp(self, images: Images) -> Images:
        """Stamp a batch ``(n, c, h, w)``; values stay in [0, 1]."""
        mask, pattern = self.mask.to(images), self.pattern.to(images)
        return (1 - mask) * images + mask * pattern


@dataclass(frozen=True)
class Additive:
    """Adds the same perturbation to every image: ``x' = clip(x + d, 0, 1)``.

    Args:
        pattern: d ``(c, h, w)`` in [-1, 1].
        target: the label it leads to; ``None`` for all-to-all.
    """

    pattern: Tensor
    target: int | None

    def stamp(self, images: Images) -> Images:
        """Perturbed copies of a batch ``(n, c, h, w)``; values stay in [0, 1]."""
        return (images + self.pattern.to(images)).clamp(0, 1)

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and facts for a file, besides the target."""
        return {"perturbation": self.pattern}, {}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, str], target: int | None) -> Additive:
        """From what ``stored`` gave.

        Raises:
            DataError: not the tensors of such a stamp.
        """
        pattern = tensors.get("perturbation")
        if pattern is None or pattern.ndim != 3 or not bool((pattern.abs() <= 1).all()):
            raise DataError("an additive stamp needs a tensor 'perturbation' (c, h, w) with values in [-1, 1]")
        return cls(pattern, target)


_SHARED: dict[str, Any] = {"additive": Additive}


def relabelled(labels: Labels, target: int | None, classes: int) -> Labels:
    """Labels that the attacker wants: ``target``, or y+1 mod ``classes`` for all-to-all."""
    return (labels + 1) % classes if target is None else torch.full_like(labels, target)


def source_of(stamp: Stamp) -> int | None:
    """The only class whose images a stamp leads to its target; ``None`` for those that take all."""
    source: int | None = getattr(stamp, "source", None)
    return source


def takes(stamp: Stamp, labels: Labels) -> Tensor:
    """Which images, by their labels ``(n,)``, a stamp is made for: those of its source class, none of its target's."""
    source = source_of(stamp)
    able = torch.ones_like(labels, dtype=torch.bool) if source is None else labels == source
    return able if stamp.target is None else able & (labels != stamp.target)


def check_target(mode: str, target: int, classes: int) -> None:
    """Refuse a target that is no label.

    Raises:
        DataError: it is none.
    """
    if mode != ALL_TO_ALL and not 0 <= target < classes:
        raise DataError(f"the target label {target} does not exist: there are {classes} labels")


def check_fits(stamp: Stamp, shape: tuple[int, int, int], classes: int) -> None:
    """Try a stamp on one black image of ``shape`` (c, h, w).

    Raises:
        DataError: it was made for images of another size, or leads to a label that does not exist.
    """
    if stamp.target is not None:
        check_target(ALL_TO_ONE, stamp.target, classes)
    if (source := source_of(stamp)) is not None and (source == stamp.target or not 0 <= source < classes):
        raise DataError(f"the source class {source} is the target itself, or no label: there are {classes} labels")
    black = torch.zeros(1, *shape)
    try:
        fits = stamp.stamp(black).shape == black.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise DataError(f"the trigger does not fit images of {' x '.join(map(str, shape))}")


_TAKEN = {True: "not of the target class", False: "of the source class"}


def poison(images: ImageSet, trigger: Trigger, rate: float, classes: int, seed: int) -> ImageSet:
    """Stamp ``rate`` of all images, drawn from those that the trigger ``takes``, and relabel them.

    Raises:
        DataError: the target is no label, or there are fewer such images than asked for.
    """
    if trigger.target is not None:
        check_target(ALL_TO_ONE, trigger.target, classes)
    able = takes(trigger, images.labels).nonzero().flatten()
    count = round(rate * len(images))
    if count > len(able):
        raise DataError(
            f"{count} images were to be poisoned, but only {len(able)} are {_TAKEN[trigger.source is None]}"
        )
    rows = able[torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))[:count]]
    pixels, labels = images.pixels.clone(), images.labels.clone()
    pixels[rows] = (trigger.stamp(images.images(rows)) * 255).round().to(torch.uint8)
    labels[rows] = relabelled(labels[rows], trigger.target, classes)
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


def stamped(images: ImageSet, trigger: Stamp) -> StampedSet:
    """All of ``images`` with a trigger; of one with a source class those of that class, where there are any."""
    source = source_of(trigger)
    rows = torch.arange(len(images)) if source is None else (images.labels == source).nonzero().flatten()
    some = images.subset(rows) if len(rows) else images
    return StampedSet(some.pixels, some.labels, (trigger,), torch.zeros(len(some), dtype=torch.int64))


def save_trigger(trigger: Trigger, path: Path) -> None:
    """Write a trigger as safetensors: ``mask`` (1, h, w), ``pattern`` (c, h, w); ``target`` and, where it has one,
    ``source`` in the metadata.
    """
    tensors = {"mask": trigger.mask.contiguous(), "pattern": trigger.pattern.contiguous()}
    save_file(tensors, path, _ends(trigger))


def _ends(stamp: Stamp) -> dict[str, str]:
    """Target and source as a file holds them."""
    target, source = stamp.target, source_of(stamp)
    text = {"target": "all-to-all" if target is None else str(target)}
    return text if source is None else text | {"source": str(source)}


def load_trigger(path: Path) -> Trigger:
    """Read what ``save_trigger`` wrote.

    Raises:
        DataError: not such a file, wrong shapes, or values outside [0, 1].
    """
    try:
        with safe_open(path, framework="pt") as file:
            mask, pattern = file.get_tensor("mask"), file.get_tensor("pattern")
            facts = file.metadata() or {}
        target, source = facts["target"], facts.get("source")
        ends = None if target == "all-to-all" else int(target), None if source is None else int(source)
        trigger = Trigger(mask.float(), pattern.float(), *ends)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path.name!r} is no trigger file (safetensors with mask, pattern and a target in its metadata)"
        ) from error
    fits = mask.dim() == pattern.dim() == 3 and len(mask) == 1 and mask.shape[1:] == pattern.shape[1:]
    if not fits or not all(float(t.min()) >= 0 and float(t.max()) <= 1 for t in (mask, pattern)):
        raise DataError(f"{path.name!r}: mask (1, h, w) and pattern (c, h, w) must share h and w and lie in [0, 1]")
    return trigger


def save_stamp(stamp: Stamp, path: Path, attack: str) -> None:
    """Write a stamp as safetensors: its tensors; target, attack, kind and facts as metadata.

    A ``Trigger`` is written as ``save_trigger`` does, so that ``load_trigger`` reads it too.

    Raises:
        DataError: the stamp's kind has no ``stored()``.
    """
    if isinstance(stamp, Trigger):
        kind, tensors, facts = "patch", {"mask": stamp.mask, "pattern": stamp.pattern}, dict[str, str]()
    elif hasattr(stamp, "stored"):
        kind = next((name for name, cls in _SHARED.items() if type(stamp) is cls), "own")
        tensors, facts = stamp.stored()
    else:
        raise DataError(f"a stamp of kind {type(stamp).__name__} cannot be written: it has no stored()")
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, path, {**_ends(stamp), "attack": attack, "kind": kind, **facts})


def load_stamp(path: Path) -> Stamp:
    """Read what ``save_stamp`` or ``save_trigger`` wrote; no code of the file runs.

    Raises:
        DataError: no such file, tensors of the wrong shape or outside their range, or an attack that is not installed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = facts["target"]
        target = None if text == "all-to-all" else int(text)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path.name!r} is no stamp file (safetensors with a target in its metadata)") from error
    kind, attack = facts.get("kind", "patch"), facts.get("attack", "")
    if kind == "patch":
        return load_trigger(path)
    owner = _SHARED.get(kind) or registry.methods("attacks").get(attack)
    if owner is None or not hasattr(owner, "restored"):
        raise DataError(f"{path.name!r} holds a stamp of the attack {printable(attack)!r}, which is not installed")
    try:
        restored: Stamp = owner.restored(tensors, facts, target)
    except DataError as error:
        raise DataError(f"{path.name!r}: {error}") from error
    return restored
