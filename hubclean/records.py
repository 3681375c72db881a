"""Everything that goes into ``audit.json``: frozen, torch-free, exact through JSON.

Rates are fractions in [0, 1], sizes are bytes, times are seconds, channels and labels count from 0.
``to_json`` and ``from_json`` convert between records and plain JSON values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hubclean.json_records import from_json as from_json
from hubclean.json_records import to_json as to_json
from hubclean.label_records import ClassMatch as ClassMatch
from hubclean.label_records import Fidelity as Fidelity
from hubclean.label_records import LabelCheck as LabelCheck
from hubclean.label_records import lost
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
from hubclean.measurements import Probe as Probe
from hubclean.measurements import Rate as Rate
from hubclean.measurements import Retuning as Retuning
from hubclean.measurements import StageReport as StageReport
from hubclean.measurements import TrialReport as TrialReport
from hubclean.measurements import Verdict as Verdict
from hubclean.model_records import FeatureSite as FeatureSite
from hubclean.model_records import HeadSite as HeadSite
from hubclean.model_records import ModelFacts as ModelFacts
from hubclean.model_records import UnitSummary as UnitSummary
from hubclean.outcomes import Outcome, outcome
from hubclean.scan_records import EVERY_FILE as EVERY_FILE
from hubclean.scan_records import LOADERS as LOADERS
from hubclean.scan_records import SEVERITIES as SEVERITIES
from hubclean.scan_records import Accepted as Accepted
from hubclean.scan_records import FileState as FileState
from hubclean.scan_records import FileVerdict as FileVerdict
from hubclean.scan_records import Finding as Finding
from hubclean.scan_records import Loader as Loader
from hubclean.scan_records import LoadSet as LoadSet
from hubclean.scan_records import RepoRef as RepoRef
from hubclean.scan_records import ScanReport as ScanReport
from hubclean.scan_records import Severity as Severity
from hubclean.scan_records import Skipped as Skipped
from hubclean.scan_records import Stale as Stale

SCHEMA = "hubclean/audit/v1"


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
        notes: what was chosen where they hold weights more than once, and how to choose otherwise.
    """

    inputs: tuple[FileHash, ...]
    key: str
    prefix: str
    tensors: int
    tied: tuple[tuple[str, ...], ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Merging:
    """How a whole checkpoint was made of an adapter and the model that it changes; ``peft`` was not run.

    Args:
        base: the model it changes, pinned.
        kind: ``LoRA``, ``rsLoRA`` or ``DoRA``.
        modules: how many got a low-rank change.
        saved: tensors that the adapter brings whole (its head).
        inputs: what was read, as ``adapter/...`` and ``base/...``.
        changed: names in memory of the tensors that differ from the base's.
        scan: the static scan of the base, at the same gate as the adapter's.
    """

    base: RepoRef
    kind: str
    modules: int
    saved: tuple[str, ...] = ()
    inputs: tuple[FileHash, ...] = ()
    changed: tuple[str, ...] = ()
    scan: ScanReport | None = None


@dataclass(frozen=True, slots=True)
class DataReport:
    """The images used: source (no machine path), split sizes, seed, and how classes were matched to labels.

    Without images the source is ``none`` and all sizes are 0; ``matched_by`` is ``none`` where there were no labels,
    ``index`` where the labels are numbers already, ``map`` where a map of the user's said some.
    ``taken`` says in one line which pictures were taken and which were left; ``left`` counts the latter by reason.

    Args:
        matches: every class of the images that have names, and the label it went to.
        covered: how many of the model's labels the images have.
        warnings: what the user was told about them.
        check: what the original answers on them.
    """

    source: str
    split: str
    fingerprint: str
    fit: int
    val: int
    test: int
    classes: int
    matched_by: Literal["name", "number", "position", "map", "index", "none"]
    seed: int
    taken: str = ""
    left: dict[str, int] = field(default_factory=dict)
    matches: tuple[ClassMatch, ...] = ()
    covered: int = 0
    warnings: tuple[str, ...] = ()
    check: LabelCheck | None = None


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
    rechecks: tuple[DetectionReport, ...] = ()
    probes: tuple[Probe, ...] = ()
    merging: Merging | None = None
    fidelity: Fidelity | None = None

    @property
    def outcome(self) -> Outcome:
        """What it came to, in one word with its reason."""
        return outcome(self)

    @property
    def exit_code(self) -> int:
        """0 no backdoor found, or every probe says that it is gone; 1 it is not, or only covered; 2 no verdict."""
        return self.outcome.exit_code

    @property
    def loss(self) -> str:
        """Why it is not known that accuracy was kept within the tolerance; empty if it was, or nothing was changed."""
        done = self.cleansing
        if self.fidelity is None or not (done.changed or done.guard):
            return ""
        return lost(done.before[0].clean_accuracy, done.after[0].clean_accuracy, self.fidelity, self.data.check)


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
