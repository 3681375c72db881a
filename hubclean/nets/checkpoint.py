"""Tensor shapes and the interfaces between floors. Pixels are float in [0, 1]; models normalise inside.

``Images`` is ``(n, c, h, w)``, ``Labels`` ``(n,)`` int64, ``Logits`` ``(n, k)``, ``Features`` ``(n, d)``.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from hubclean.records import (
    BallotReport,
    Conversion,
    CurvePoint,
    DetectionReport,
    FeatureSite,
    ModelFacts,
    RepoRef,
    TrialReport,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

Images = Tensor
Labels = Tensor
Logits = Tensor
Features = Tensor
# What a method must be given: nothing but the weights, images without labels, or labelled images.
Needs = Literal["nothing", "images", "labels"]


@dataclass(frozen=True)
class Checkpoint:
    """A loaded classifier and where it came from.

    Args:
        model: takes pixels ``(n, c, h, w)`` in [0, 1], normalises inside, returns logits ``(n, k)``; float32, eval.
        site: where feature layer and heads are; module names are those inside ``model.net``.
        facts: what the config says; ``facts.labels`` names the k classes.
        origin: pinned repo.
        folder: the files it was loaded from (``None`` for a model built in memory).
        conversion: how they were made, where the repo has its weights as a pickle only.
    """

    model: nn.Module
    site: FeatureSite
    facts: ModelFacts
    origin: RepoRef
    folder: Path | None = None
    conversion: Conversion | None = None

    def copy(self) -> Checkpoint:
        """The same checkpoint around a deep copy of the model; trials never touch the input."""
        return replace(self, model=copy.deepcopy(self.model))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.facts.labels


class Stamp(Protocol):
    """What an attacker does to an image at test time; ``target`` as in ``Trigger``."""

    @property
    def target(self) -> int | None: ...

    def stamp(self, images: Images) -> Images:
        """Triggered copies of a batch ``(n, c, h, w)``; values stay in [0, 1]."""


@dataclass(frozen=True)
class Trigger:
    """A patch or blend trigger: ``x' = (1 - mask) * x + mask * pattern`` (Neural Cleanse, S&P 2019, eq. 2).

    Args:
        mask: ``(1, h, w)`` in [0, 1], shared by the channels.
        pattern: ``(c, h, w)`` in [0, 1].
        target: the label it leads to; ``None`` for all-to-all (label y becomes y+1 mod k).
    """

    mask: Tensor
    pattern: Tensor
    target: int | None

    def stamp(self, images: Images) -> Images:
        """Stamp a batch ``(n, c, h, w)``; values stay in [0, 1]."""
        mask, pattern = self.mask.to(images), self.pattern.to(images)
        return (1 - mask) * images + mask * pattern


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


class Progress(Protocol):
    """Told of long work; the command line draws a bar with the time left, the API is silent."""

    def start(self, what: str, total: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def finish(self) -> None: ...


class Silent:
    """A ``Progress`` that shows nothing."""

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass


@dataclass(frozen=True)
class Session:
    """Made once in the pipeline, handed down: device and processes, seed, batch size, progress."""

    accelerator: Accelerator
    seed: int = 0
    batch_size: int = 128
    progress: Progress = field(default_factory=Silent)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    def derive(self, *names: str | int) -> int:
        """A 63-bit seed for one purpose, the same on every machine, independent of the order of calls."""
        text = "/".join(str(name) for name in (self.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator for one purpose."""
        return torch.Generator().manual_seed(self.derive(*names))

    @contextmanager
    def seeded(self, *names: str | int) -> Iterator[None]:
        """Seeds the global generators inside and puts their state back after (dropout has no generator of its own)."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.derive(*names))
            yield


@dataclass(frozen=True)
class Detection:
    """A detector's report with the triggers it recovered, one a target, as tensors."""

    report: DetectionReport
    triggers: tuple[Trigger, ...] = ()


@dataclass(frozen=True)
class Guard:
    """A runtime filter: an image is rejected when its mean activation over some final features is too high.

    Neural Cleanse, S&P 2019, section VI-A.

    Args:
        units: channel numbers of ``checkpoint.site`` ``(m,)`` int64 that fire on the trigger.
        threshold: images whose mean over ``units`` is above it are rejected.
        false_alarms: share of clean images that ``threshold`` was set to reject.
        target: the label of the trigger it was made from.
    """

    units: Tensor
    threshold: float
    false_alarms: float
    target: int | None


@dataclass(frozen=True)
class InputRange:
    """Limits of the inputs: a pixel beyond those of its channel becomes the nearer of them.

    Federated pruning, ICDCS 2022, limits extreme inputs as well as extreme weights (abstract; the form is ours).

    Args:
        low, high: one value a channel, in [0, 1].
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def limit(self, images: Images) -> Images:
        """Images ``(n, c, h, w)`` within the limits."""
        low, high = (images.new_tensor(values).view(1, -1, 1, 1) for values in (self.low, self.high))
        return images.clamp(low, high)

    @property
    def excludes(self) -> bool:
        """Whether any value in [0, 1] is beyond the limits of a channel."""
        return max(self.low) > 0 or min(self.high) < 1


Guarding = Guard | InputRange


@dataclass(frozen=True)
class Stage:
    """One artefact of a defense: a name, a full checkpoint, and the filters that belong in front of it."""

    name: str
    checkpoint: Checkpoint
    guards: tuple[Guarding, ...] = ()


@dataclass(frozen=True)
class Cleansing:
    """What a defense returns: its stages, which of them to keep, and how it got there. It measures nothing on test.

    ``passes`` counts images that went forward and backward; one that went forward alone counts a third.
    """

    stages: tuple[Stage, ...]
    kept: str
    curve: tuple[CurvePoint, ...] = ()
    notes: tuple[str, ...] = ()
    cut: int = 0
    passes: int = 0
    trials: tuple[TrialReport, ...] = ()
    ballots: tuple[BallotReport, ...] = ()

    @property
    def stage(self) -> Stage:
        return next(stage for stage in self.stages if stage.name == self.kept)

    @property
    def checkpoint(self) -> Checkpoint:
        return self.stage.checkpoint


class Detector(Protocol):
    """Finds backdoors. Never changes the checkpoint, never sees the attack.

    A detector that ``needs`` nothing takes ``DefenseData.none``; one that needs images makes do
    with the model's own answers for labels.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[Needs]

    def detect(self, checkpoint: Checkpoint, data: DefenseData, session: Session) -> Detection: ...


class Defense(Protocol):
    """Makes a cleansed copy. Never changes its input, never measures itself on test, never sees the attack.

    ``triggers`` are those a detector recovered (possibly none); never the planted one. A defense that works on triggers
    hands back an unchanged copy with a note when there are none.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[Needs]

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing: ...
