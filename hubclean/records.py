"""Everything that goes into ``audit.json``: frozen, torch-free, exact through JSON.

Rates are fractions in [0, 1], sizes are bytes, times are seconds, channels and labels count from 0.
``to_json`` and ``from_json`` convert between records and plain JSON values.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Literal

from hubclean.json_records import from_json as from_json
from hubclean.json_records import to_json as to_json
from hubclean.measurements import BallotReport as BallotReport
from hubclean.measurements import CleansingReport as CleansingReport
from hubclean.measurements import CurvePoint as CurvePoint
from hubclean.measurements import DetectionReport as DetectionReport
from hubclean.measurements import ErrorRates as ErrorRates
from hubclean.measurements import Evidence as Evidence
from hubclean.measurements import Judgement as Judgement
from hubclean.measurements import LabelScore as LabelScore
from hubclean.measurements import Metrics as Metrics
from hubclean.measurements import Option as Option
from hubclean.measurements import Rate as Rate
from hubclean.measurements import Retuning as Retuning
from hubclean.measurements import StageReport as StageReport
from hubclean.measurements import TrialReport as TrialReport
from hubclean.measurements import Verdict as Verdict
from hubclean.model_records import FeatureSite as FeatureSite
from hubclean.model_records import HeadSite as HeadSite
from hubclean.model_records import ModelFacts as ModelFacts
from hubclean.model_records import UnitSummary as UnitSummary

SCHEMA = "hubclean/audit/v1"
# An attack success rate above this after cleansing means that the trigger still works.
REMAINING_ASR = 0.2

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
FileState = Literal["ok", "finding", "unchecked"]


@dataclass(frozen=True, slots=True)
class RepoRef:
    """Where a checkpoint comes from, pinned.

    Args:
        repo_id: ``org/model`` on a Hub, or the bare name of a local folder or file.
        revision: the 40-hex commit on a Hub (never a branch); ``None`` for local files.
        kind: ``hub`` or ``local``.
    """

    repo_id: str
    revision: str | None
    kind: Literal["hub", "local"]

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


@dataclass(frozen=True, slots=True)
class FileHash:
    """One file: path inside its folder, size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """How safetensors were made of pickled weights; nothing was unpickled.

    Args:
        inputs: the checkpoints as they lay in the repo.
        key: the keys that led to the weights in nested dicts, joined by dots.
        prefix: what was taken off every tensor's name (``module.``).
        tensors: how many were written.
        tied: names that are one tensor in the checkpoint; each was written.
        dropped: what else the checkpoints hold, with its key.
    """

    inputs: tuple[FileHash, ...]
    key: str
    prefix: str
    tensors: int
    tied: tuple[tuple[str, ...], ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a scanner saw. ``rule`` is a stable id (``HC-ST-001``), ``offset`` a byte offset."""

    rule: str
    severity: Severity
    path: str
    what: str
    advice: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """What the scan can say of one file: ``ok`` (how it was checked), ``finding`` or ``unchecked`` (why).

    ``sha256`` is the listing's, known for LFS files of a Hub; nobody hashes a file for the scan.
    """

    path: str
    size: int
    state: FileState
    reason: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class DataReport:
    """The images used: source (no machine path), split sizes, seed, and how classes were matched to labels.

    Without images the source is ``none`` and all sizes are 0; ``matched_by`` is ``none`` where there were no labels.
    """

    source: str
    split: str
    fingerprint: str
    fit: int
    val: int
    test: int
    classes: int
    matched_by: Literal["name", "index", "none"]
    seed: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step that was not done, and why. Never ``None`` in place of a result."""

    step: str
    reason: str


def _verdicts(judgement: Judgement | None, detections: tuple[DetectionReport, ...]) -> set[Verdict]:
    """The one verdict over all detectors, or theirs where nobody drew it; hints count where there is nothing else."""
    if judgement:
        return {judgement.verdict}
    deciding = [detection for detection in detections if detection.decides]
    return {detection.verdict for detection in deciding or detections}


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The result of ``scan``: what was read, what was found, what was not checked.

    ``requests`` and ``bytes_read`` count the bodies asked for; the deep stage's weights are not in them.
    ``allowed_unchecked`` holds path patterns (``fnmatch``) of files that may stay not checked, ``allowed_names`` the
    exact names (``timm.models.resnet.ResNet``) that pickles may hold by the caller's wish.
    """

    origin: RepoRef
    gate: Severity
    files: tuple[FileVerdict, ...]
    findings: tuple[Finding, ...]
    allowed_unchecked: tuple[str, ...]
    requests: int
    bytes_read: int
    seconds: float
    detections: tuple[DetectionReport, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    judgement: Judgement | None = None
    allowed_names: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 nothing at the gate and all checked, 1 a finding at the gate, 2 something could not be decided."""
        if self.at_gate:
            return 1
        verdicts = _verdicts(self.judgement, self.detections)
        if "backdoored" in verdicts:
            return 1
        unsure = "undecided" in verdicts or bool(self.skipped)
        return 2 if unsure or self.unchecked else 0

    @property
    def at_gate(self) -> tuple[Finding, ...]:
        """The findings at or above the gate, the worst first: with any, no weight is to be loaded."""
        least = SEVERITIES.index(self.gate)
        return tuple(row for row in self.findings if SEVERITIES.index(row.severity) >= least)

    @property
    def unchecked(self) -> tuple[FileVerdict, ...]:
        """The files nobody judged, without those that a pattern of ``allowed_unchecked`` names."""
        return tuple(
            file
            for file in self.files
            if file.state == "unchecked"
            and not any(fnmatch.fnmatchcase(file.path, pattern) for pattern in self.allowed_unchecked)
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """The machine-readable record of one ``clean``, written to ``hubclean/audit.json``."""

    origin: RepoRef
    command: str
    created: str
    model: ModelFacts
    site: FeatureSite
    data: DataReport
    scan: ScanReport | None
    detections: tuple[DetectionReport, ...]
    cleansing: CleansingReport
    skipped: tuple[Skipped, ...]
    inputs: tuple[FileHash, ...]
    outputs: tuple[FileHash, ...]
    versions: dict[str, str]
    device: str
    seed: int
    seconds: float
    schema: str = field(default=SCHEMA)
    judgement: Judgement | None = None
    retuning: tuple[Retuning, ...] = ()
    conversion: Conversion | None = None

    @property
    def exit_code(self) -> int:
        """0 no backdoor found, or none of its triggers still works; 1 one still works; 2 detection gave no verdict.

        A trigger that no test image could try gives no verdict either.
        """
        verdicts = _verdicts(self.judgement, self.detections)
        if not verdicts or "undecided" in verdicts:
            return 2
        rates = [metrics.asr for metrics in self.cleansing.after if metrics.asr]
        if any(rate.value > REMAINING_ASR for rate in rates):
            return 1
        return 2 if any(rate.n == 0 for rate in rates) else 0


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What ``hubclean site`` prints: origin, facts of the config, where feature layer and heads are, prunable units.

    Args:
        units: every layer between images and heads, in order of computation.
        conv: the layers whose units ``site=conv`` means: the last convolution, or hidden units and attention heads.
        proof: largest difference between a hook and zeros in stored tensors, relative to the largest logit;
            ``None`` on the meta device, where nothing is computed, and where silencing units changes no logit.
    """

    origin: RepoRef
    model: ModelFacts
    site: FeatureSite
    units: tuple[UnitSummary, ...] = ()
    conv: tuple[str, ...] = ()
    proof: float | None = None


@dataclass(frozen=True, slots=True)
class OptionText:
    """One option of a method as shown: ``allowed`` is its range or choices in words."""

    name: str
    type: str
    default: Option
    allowed: str
    text: str


@dataclass(frozen=True, slots=True)
class MethodText:
    """One method as shown by ``hubclean methods``."""

    kind: str
    name: str
    paper: str
    summary: str
    details: str
    options: tuple[OptionText, ...]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo planted, found and published. ``audit`` is that of its ``clean``; paths are inside ``folder``."""

    folder: str
    architecture: str
    attack: str
    planted_target: int
    audit: Audit
    published: str
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 when the planted target was found, else 1. What cleansing left of it stands in the table and the card."""
        return 0 if any(self.planted_target in detection.targets for detection in self.audit.detections) else 1
