"""What every method keeps to: what detectors and defenses are given, and what they hand back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Images
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.records import BallotReport, CurvePoint, DetectionReport, TrialReport

# What a method must be given: nothing but the weights, images without labels, or labelled images.
Needs = Literal["nothing", "images", "labels"]


@dataclass(frozen=True)
class Detection:
    """A detector's report with the triggers it recovered, one a target, as tensors."""

    report: DetectionReport
    triggers: tuple[Trigger, ...] = ()


@dataclass(frozen=True)
class Filter:
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


AnyFilter = Filter | InputRange


@dataclass(frozen=True)
class Stage:
    """One artefact of a defense: a name, a full checkpoint, and the filters that belong in front of it."""

    name: str
    checkpoint: Checkpoint
    filters: tuple[AnyFilter, ...] = ()


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
