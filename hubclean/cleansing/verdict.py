"""Draws one verdict from all detectors: what each number says alone, what together, what nobody could see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from hubclean.errors import HubcleanError
from hubclean.methods.tolerance import FEWEST_LABELS
from hubclean.records import DetectionReport, ErrorRates, Evidence, Judgement, LabelScore, Verdict, from_json
from hubclean.resources import data_folder

RULE = "2"  # a new number whenever the rule below changes: measured error rates hold for one rule
ERROR_RATES = "error_rates.json"
_SURE_TRANSFER = 0.9
_HINT = 0.05
# Measures of a pair of classes, with the option of its detector that each is compared with.
_PAIR_LIMITS = {"score": "score", "share": "pair_mask_share", "success": "pair_asr", "carried": "pair_asr",
                "again": "open_score"}  # fmt: skip
_ONE_CLASS = "triggers that work on images of some classes only"
_BLIND = (
    "triggers that depend on the image (input-aware, warping, quantisation) or act on features alone",
    "attackers who trained against these detectors",
)


def judge(reports: tuple[DetectionReport, ...], errors: ErrorRates | None = None) -> Judgement:
    """Combine reports into one verdict.

    A report that ``decides`` counts as its detector judged, with one check more: where the trigger of an accused label
    was inverted a second time on the other half of the data, it must succeed on the first half in 90 % of the images,
    or the label is left open; so is one beyond the five that were inverted again. Reports that are hints (MM-BD,
    magnitude and saliency) are shown and never decide: on clean nets they raise alarms too often (methods in their
    docstrings). Without a deciding report all is open. A detector of single pairs of classes does that check itself;
    a label that is accused for images of all classes is not named as a pair as well.

    Args:
        errors: how this rule did on known models (``measured_errors``); left out where no deciding detector was run,
            and where one of pairs decides too, which was not among those measured.
    """
    deciding = [report for report in reports if report.decides]
    evidence = tuple(row for report in reports for row in _evidence(report))
    targets, doubted = _accused(deciding)
    verdict, reason = _verdict(deciding, targets, doubted)
    blind = (_BLIND[0], *_classes_unseen(reports), *_BLIND[1:])
    if not any(report.scores for report in reports):
        blind = ("everything that no detector was run for", *blind)
    measured = deciding and not any(report.pairs_of for report in deciding)
    found, errors = verdict == "backdoored", errors if measured else None
    return Judgement(
        verdict, reason, targets if found else (), evidence, blind, errors, _pairs(deciding, targets) if found else ()
    )


def _pairs(deciding: list[DetectionReport], targets: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Accused pairs of source class and target, but for targets that are accused for all classes."""
    whole = {label for report in deciding if not report.pairs for label in report.targets}
    found = (pair for report in deciding if report.verdict == "backdoored" for pair in report.pairs)
    return tuple(dict.fromkeys(pair for pair in found if pair[1] in targets and pair[1] not in whole))


def _classes_unseen(reports: tuple[DetectionReport, ...]) -> tuple[str, ...]:
    """What of triggers that work on one class nobody looked for."""
    most = max(reports, key=lambda report: report.pairs_examined, default=None)
    if most is None or not most.pairs_examined:
        return (_ONE_CLASS,)
    if most.pairs_examined < most.pairs_of:
        return (f"{_ONE_CLASS}, beyond {most.pairs_examined:,} of {most.pairs_of:,} pairs of classes",)
    return ()


def _accused(deciding: list[DetectionReport]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Labels accused, and those among them whose trigger did not carry over to the other half of the data."""
    sure: list[int] = []
    doubted: list[int] = []
    for report in deciding:
        if report.verdict != "backdoored":
            continue
        tried = any(name.startswith("transfer.") for name in report.measures)
        if report.pairs:
            sure += report.targets
            continue
        for label in report.targets:
            carried = report.measures.get(f"transfer.{label}", 0.0 if tried else 1.0)
            (sure if carried >= _SURE_TRANSFER else doubted).append(label)
    return tuple(dict.fromkeys(sure)), tuple(dict.fromkeys(doubted))


def _verdict(
    deciding: list[DetectionReport], targets: tuple[int, ...], doubted: tuple[int, ...]
) -> tuple[Verdict, str]:
    accusing = [report for report in deciding if report.verdict == "backdoored"]
    if not deciding:
        return "undecided", "no detector was run that could decide; what was run gives hints only"
    if targets or any(not report.targets for report in accusing):
        return "backdoored", "; ".join(f"{report.detector}: {report.reason}" for report in accusing)
    if doubted:
        return "undecided", f"the trigger of label {doubted[0]} does not carry over to the other half of the images"
    for report in deciding:
        if report.verdict == "undecided":
            return "undecided", f"{report.detector}: {report.reason}"
    return "not found", "; ".join(f"{report.detector}: {report.reason}" for report in deciding)


def _evidence(report: DetectionReport) -> Iterator[Evidence]:
    name = report.detector
    for score in _candidates(report):
        yield from _inverted(name, score, report)
    for pair in report.pairs or _likeliest(report):
        yield from _paired(name, pair, report)
    if "p" in report.measures:
        p = report.measures["p"]
        yield Evidence(f"{name} p", p, _HINT, "backdoored" if p < _HINT else "nothing", _argmax(report.per_label))


def _inverted(name: str, score: LabelScore, report: DetectionReport) -> Iterator[Evidence]:
    options, label = report.options, score.label

    def limit(key: str, usual: float) -> float:
        return float(options.get(key, usual))

    # Over few labels no number of masks says anything, and one that leads to a label anyway says nothing of a trigger.
    few, answered = len(report.scores) < FEWEST_LABELS, report.measures.get(f"answered.{label}")

    def row(what: str, value: float, threshold: float, high: bool = True) -> Evidence:
        passed = value >= threshold if high else value <= threshold
        says: Literal["backdoored", "clean"] = "backdoored" if passed else "clean"
        return Evidence(f"{name} {what}", value, threshold, "nothing" if few or answered else says, label)

    if answered:
        yield row("clean images answered so", answered, 0.0)
    if not few:
        yield row("anomaly index", score.index, report.threshold)
        yield row("log anomaly index", score.log_index, limit("log_threshold", 2.0))
    yield row("mask share", score.mask_share, limit("mask_share", 0.05), high=False)
    if score.asr.n:
        yield row("held-out ASR", score.asr.value, limit("held_out_asr", 0.9))
    yield row("seeds that flag it", score.flagged / max(len(report.seeds), 1), 0.5)
    for key, what, threshold, high in (
        ("ratio", "norm / median", limit("sure_ratio", 0.33), False),
        ("transfer", "ASR on the other half", _SURE_TRANSFER, True),
    ):
        if f"{key}.{label}" in report.measures:
            yield row(what, report.measures[f"{key}.{label}"], threshold, high)
    if f"overlap.{label}" in report.measures:
        yield Evidence(f"{name} overlap of seeds", report.measures[f"overlap.{label}"], 0.0, "nothing", label)


def _paired(name: str, pair: tuple[int, int], report: DetectionReport) -> Iterator[Evidence]:
    """What was measured of one pair of classes, against the limits that its detector has as options."""
    for key, limit in _PAIR_LIMITS.items():
        value, threshold = (report.measures.get(f"{key}.{pair[0]}.{pair[1]}"), report.options.get(limit))
        if value is not None and threshold is not None:
            passed = value <= float(threshold) if key == "share" else value >= float(threshold)
            says: Literal["backdoored", "clean"] = "backdoored" if passed else "clean"
            yield Evidence(f"{name} {pair[0]} -> {pair[1]} {key}", value, float(threshold), says, pair[1])


def _likeliest(report: DetectionReport) -> list[tuple[int, int]]:
    """The pair with the highest score, where none is accused."""
    scores = {name: value for name, value in report.measures.items() if name.startswith("score.")}
    if not scores:
        return []
    _, source, target = max(scores, key=lambda name: scores[name]).split(".")
    return [(int(source), int(target))]


def _candidates(report: DetectionReport) -> list[LabelScore]:
    """The labels accused, or the smallest mask."""
    accused = [score for score in report.scores if score.label in report.targets]
    return accused or sorted(report.scores, key=lambda score: score.norm)[:1]


def _argmax(values: tuple[float, ...]) -> int | None:
    return max(range(len(values)), key=values.__getitem__) if values else None


def suspicion(report: DetectionReport) -> float:
    """One number, larger = more suspicious, by which models can be ranked (AUROC)."""
    if report.scores:
        return max(score.log_index for score in report.scores)
    if scores := [value for name, value in report.measures.items() if name.startswith("score.")]:
        return max(scores)
    if "p" in report.measures:
        return 1 - report.measures["p"]
    return report.measures.get("outliers", 0.0)


def measured_errors() -> ErrorRates | None:
    """How ``judge`` did on models of known state, as committed with this version; ``None`` if that was another rule."""
    place = data_folder("model_cards") / ERROR_RATES
    if not place.is_file():
        return None
    try:
        held = json.loads(place.read_text(encoding="utf-8"))
        return from_json(ErrorRates, held["rates"]) if held["rule"] == RULE else None
    except (ValueError, KeyError) as error:
        raise HubcleanError(f"{place.name} of this installation is damaged: {error}") from error
