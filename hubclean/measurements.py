"""What is measured: rates with their intervals, detections, verdicts, cleansings. Part of ``audit.json``; torch-free.

Rates are fractions in [0, 1], sizes are bytes, times are seconds, channels and labels count from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["backdoored", "not found", "undecided"]
Option = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured share: ``value`` of ``n`` trials with its 95 % Wilson interval ``low``..``high``."""

    value: float
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, n: int) -> Rate:
        """Wilson score interval at 95 % (Wilson 1927); ``n`` = 0 gives value 0 with the interval [0, 1]."""
        if n == 0:
            return cls(0.0, 0, 0.0, 1.0)
        z, p = 1.959963984540054, hits / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return cls(p, n, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


@dataclass(frozen=True, slots=True)
class Metrics:
    """Clean accuracy, attack success rate and robust accuracy, all on the held-out test images.

    Args:
        clean_accuracy: share of clean images classified as their label.
        asr: share of triggered images, target-class images dropped, classified as the attacker wants.
        asr_of: which trigger: ``planted`` (known to the measurer) or ``recovered`` (inverted by a detector).
        robust_accuracy: share of those same triggered images classified as their true label.
    """

    clean_accuracy: Rate
    asr: Rate | None = None
    asr_of: Literal["planted", "recovered"] | None = None
    robust_accuracy: Rate | None = None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """What a detector measured for one label (medians over its seeds).

    Args:
        norm: L1 norm of the inverted mask, in pixels.
        mask_share: norm as a share of the image's pixels.
        index: anomaly index on norms; ``log_index``: the same on log norms. Signed: positive = smaller than the median.
        asr: success of the inverted trigger on held-out images, target class dropped.
        flagged: number of seeds that flagged the label.
        invertible: whether a trigger reaching the success threshold was found in most seeds.
    """

    label: int
    name: str
    norm: float
    mask_share: float
    index: float
    log_index: float
    asr: Rate
    flagged: int
    invertible: bool


@dataclass(frozen=True, slots=True)
class DetectionReport:
    """A detector's verdict with its evidence. ``verdict`` never says more than ``statistic`` at ``threshold`` shows.

    Args:
        scores: mask norms and their indices by label, of detectors that invert triggers.
        per_label: the statistic of every label in order, of detectors that have another one.
        decides: whether the verdict counts by itself; a detector that accuses clean models too often gives hints only.
        measures: further numbers by name, such as ``p`` of a test or one correlation a layer.
        forward_backwards: images that went forward and backward (an image that went forward alone counts a third).
        pairs: for ``targets`` that only one class is led to, source class and target.
        pairs_examined, pairs_of: how many pairs of classes were examined, of so many; 0 of 0 by detectors of others.
    """

    detector: str
    paper: str
    options: dict[str, Option]
    statistic: str
    threshold: float
    scores: tuple[LabelScore, ...]
    norms_by_seed: tuple[tuple[float, ...], ...]
    targets: tuple[int, ...]
    verdict: Verdict
    reason: str
    seeds: tuple[int, ...]
    forward_backwards: int
    seconds: float
    per_label: tuple[float, ...] = ()
    decides: bool = True
    measures: dict[str, float] = field(default_factory=dict)
    pairs: tuple[tuple[int, int], ...] = ()
    pairs_examined: int = 0
    pairs_of: int = 0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One step of a pruning run: units cut, clean accuracy on ``val``, ASR of the inverted trigger on ``val``."""

    cut: int
    clean_accuracy: float
    proxy_asr: float | None


@dataclass(frozen=True, slots=True)
class StageReport:
    """One artefact of a defense (``pruned``, ``fine-tuned``), measured on test. ``folder`` is where its weights lie."""

    name: str
    metrics: tuple[Metrics, ...]
    folder: str


@dataclass(frozen=True, slots=True)
class TrialReport:
    """One defense that ``auto`` tried, judged on ``val`` by clean accuracy and the ASR of inverted triggers alone.

    Args:
        drop: clean accuracy lost on ``val``, as a fraction (negative: gained).
        asr: largest ASR on ``val`` of the recovered triggers and of those inverted anew; ``None`` without any.
        accepted: whether the loss is within the tolerance.
        note: why it was not tried to the end, or what the defense says.
    """

    defense: str
    stage: str
    clean_accuracy: Rate
    drop: float
    asr: float | None
    accepted: bool
    seconds: float
    passes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Retuning:
    """Whether a backdoor comes back: ASR on test before and after fine-tuning on a few triggered images.

    Args:
        asr_of: which trigger: ``planted`` or ``recovered``.
        target: the label it leads to; ``None`` for all-to-all. ``source``: the only class whose images it leads there.
        images: clean images, and ``triggered`` ones of them or beside them, for ``epochs`` at learning rate ``rate``.
        clean_accuracy: on test, after.
        control: ASR that the same training reaches with the trigger turned by 180 degrees, which nobody planted (n = 0
            where that one works on the original too): what
            so few images teach any net.
    """

    asr_of: Literal["planted", "recovered"]
    target: int | None
    before: Rate
    after: Rate
    clean_accuracy: Rate
    images: int
    triggered: int
    epochs: int
    rate: float
    control: Rate
    source: int | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A trigger that no defense saw: inverted anew on the original, from other starts, on the images of ``val``.

    Args:
        target: the label it leads to; ``None`` for all-to-all.
        norm: L1 norm of its mask, in pixels.
        before, after: attack success rate on test, of the original and of the written checkpoint.
        source: the only class whose images it leads there; ``None`` for all.
    """

    target: int | None
    norm: float
    before: Rate
    after: Rate
    source: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured number that bears on the verdict. ``says`` is what it alone would say."""

    name: str
    value: float
    threshold: float
    says: Literal["backdoored", "clean", "nothing"]
    label: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How the rule behind a verdict did on models whose state is known.

    Args:
        found: backdoored models called ``backdoored`` with the right target.
        accused: clean models called ``backdoored``.
        undecided: models of either kind that were left open.
        source: which models, and where the figures are.
    """

    found: Rate
    accused: Rate
    undecided: Rate
    source: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The one verdict over all detectors, with the evidence it rests on and what it cannot see.

    ``pairs`` holds the source class and the target for those of ``targets`` that images of one class alone are led to.
    """

    verdict: Verdict
    reason: str
    targets: tuple[int, ...]
    evidence: tuple[Evidence, ...]
    blind_to: tuple[str, ...]
    errors: ErrorRates | None = None
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class BallotReport:
    """What one participant of federated pruning said, in a file or as an answer to a server.

    Args:
        file: name of the file; ``client ID`` where there was none.
        sha256: in hex, of the file's bytes or the answer's numbers; empty where there is nothing whole.
        refused: why it was not counted; empty if it was.
    """

    kind: Literal["ballot", "feedback"]
    file: str
    sha256: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class CleansingReport:
    """What a defense did and what it cost, measured alike for all on images nobody tuned on.

    ``before`` and ``after`` hold one ``Metrics`` a trigger (planted first when known), or one without a trigger.
    ``changed`` names the tensors on disk whose bytes differ. ``kept`` is the stage written as the checkpoint, ``cut``
    the number of channels that are dead in it. ``passes`` counts images forward and backward, ``trials`` are those of
    ``auto``, ``guard`` is the path of a runtime filter that belongs to the kept stage (empty: none), ``ballots`` are
    what others said in files or as clients, refused ones among them.
    """

    defense: str
    paper: str
    options: dict[str, Option]
    before: tuple[Metrics, ...]
    after: tuple[Metrics, ...]
    stages: tuple[StageReport, ...]
    kept: str
    curve: tuple[CurvePoint, ...]
    changed: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    cut: int = 0
    passes: int = 0
    trials: tuple[TrialReport, ...] = ()
    guard: str = ""
    ballots: tuple[BallotReport, ...] = ()
