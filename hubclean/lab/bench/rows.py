"""What the bench writes: one JSON line a model, a detection or a cleansing, each with an ``id`` that names it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hubclean.json_records import from_json, to_json
from hubclean.measurements import Evidence, Option, Rate, Retuning


@dataclass(frozen=True, slots=True)
class Case:
    """A trained model: what it is and what was planted. ``attack`` is ``clean`` for a twin.

    Args:
        options: of the attack, where they differ from its defaults.
        train: images it was trained on.
        epochs: of training.
    """

    data: str
    net: str
    attack: str
    options: str
    seed: int
    train: int
    epochs: int

    @property
    def title(self) -> str:
        given = f" {self.options}" if self.options else ""
        return f"{self.data} {self.net} {self.attack}{given} s{self.seed}"


@dataclass(frozen=True, slots=True)
class Figures:
    """Clean accuracy, and ASR and RA of the planted trigger, on test images."""

    clean_accuracy: Rate
    asr: Rate | None = None
    robust_accuracy: Rate | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One planted model. ``took`` says whether the attack passes the check of ``planting.verify_planted``."""

    id: str
    case: Case
    figures: Figures
    twin_accuracy: float | None
    target: int | None
    took: bool
    why: str
    seconds: float
    kind: Literal["model"] = "model"


@dataclass(frozen=True, slots=True)
class DetectionRow:
    """One detector on one model.

    Args:
        images: fit and val together.
        score: larger = more suspicious; ranks models for the AUROC.
    """

    id: str
    case: Case
    images: int
    detector: str
    options: str
    verdict: str
    targets: tuple[int, ...]
    planted: int | None
    score: float
    reason: str
    measures: dict[str, float]
    norms: tuple[float, ...]
    indices: tuple[float, ...]
    log_indices: tuple[float, ...]
    passes: int
    seconds: float
    kind: Literal["detection"] = "detection"


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The one verdict over all detectors of the plan on one model."""

    id: str
    case: Case
    images: int
    verdict: str
    targets: tuple[int, ...]
    planted: int | None
    reason: str
    evidence: tuple[Evidence, ...]
    kind: Literal["verdict"] = "verdict"


@dataclass(frozen=True, slots=True)
class DefenseRow:
    """One defense on one model: before, after (the kept stage), every stage.

    Args:
        images: fit and val together.
        triggers: how many recovered triggers it was given; ``right`` whether one leads to the planted target.
        rating: defense effectiveness rating (BackdoorBench), in [0, 1]; ``None`` on clean models.
        guarded: the figures after hold behind a runtime filter.
        reloads: worst difference of logits after saving and loading by the plain library, relative to the largest.
    """

    id: str
    case: Case
    images: int
    defense: str
    options: str
    triggers: int
    right: bool | None
    before: Figures
    after: Figures
    stages: dict[str, Figures]
    kept: str
    rating: float | None
    reloads: float
    cut: int
    notes: tuple[str, ...]
    passes: int
    seconds: float
    guarded: bool = False
    retuned: Retuning | None = None
    chosen: dict[str, Option] = field(default_factory=dict)
    kind: Literal["defense"] = "defense"


@dataclass(frozen=True, slots=True)
class FailureRow:
    """What did not finish, and the error; run again only when asked for. An empty error: it did, later."""

    id: str
    title: str
    error: str
    seconds: float
    kind: Literal["failure"] = "failure"


Row = ModelRow | DetectionRow | VerdictRow | DefenseRow | FailureRow
_KINDS: dict[str, type[Row]] = {
    "model": ModelRow,
    "detection": DetectionRow,
    "verdict": VerdictRow,
    "defense": DefenseRow,
    "failure": FailureRow,
}


def rating(before: Figures, after: Figures) -> float | None:
    """Defense effectiveness rating: ``(max(0, ASR drop) - max(0, CA drop) + 1) / 2`` (BackdoorBench, 2022)."""
    if before.asr is None or after.asr is None:
        return None
    gain = max(0.0, before.asr.value - after.asr.value)
    loss = max(0.0, before.clean_accuracy.value - after.clean_accuracy.value)
    return (gain - loss + 1) / 2


def append_row(path: Path, row: Row) -> None:
    """Add one line in a single write, so that a killed process leaves whole lines or one torn last line."""
    line = json.dumps(to_json(row), allow_nan=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = "\n" + line
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_rows(path: Path) -> Iterator[Row]:
    """All whole lines; a torn one, and what a later line with the same id replaces, is left out."""
    found: dict[str, Row] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row = _row(line)
            if row is not None:
                found[row.id] = row
    yield from (row for row in found.values() if not isinstance(row, FailureRow) or row.error)


def _row(line: str) -> Row | None:
    try:
        values: Any = json.loads(line)
        return from_json(_KINDS[values["kind"]], values)
    except (ValueError, KeyError, TypeError):
        return None
