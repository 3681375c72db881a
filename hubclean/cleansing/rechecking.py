"""Evidence that a repair was not made from: triggers inverted anew, and detection repeated on the cleansed net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.interface import Cleansing, Detector
from hubclean.methods.inversion.anew import Aim, invert_anew
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Splits
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import attack_rates
from hubclean.nets.session import Session
from hubclean.outcomes import REMAINING_ASR
from hubclean.records import CleansingReport, DetectionReport, Judgement, Probe, Skipped

_STARTS = (101, 102, 103)  # no detector has so many seeds
_MOST = 3  # labels, as many as are retuned
RECHECK = "detection on the written net"


@dataclass(frozen=True)
class Found:
    """What was found beside the repair's own triggers, and what was not looked for."""

    probes: tuple[Probe, ...] = ()
    rechecks: tuple[DetectionReport, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def gather(
    checkpoint: Checkpoint,
    cleansing: Cleansing,
    report: CleansingReport,
    judgement: Judgement | None,
    detectors: Sequence[Detector],
    splits: Splits,
    session: Session,
) -> Found:
    """Probe what was accused, and repeat detection on weights that changed, where that can still change the outcome.

    Args:
        report: the kept stage, measured.
        detectors: those whose report decides.
    """
    if judgement is None or judgement.verdict == "undecided":
        return Found()
    inverter = next((one for one in detectors if isinstance(one, NeuralCleanse)), NeuralCleanse())
    filters = bool(cleansing.stage.filters)
    probes = () if filters else probe(checkpoint, cleansing.checkpoint, judgement, inverter, splits, session)
    rates = [one.after for one in probes] + [one.asr for one in report.after if one.asr]
    if any(rate.value > REMAINING_ASR for rate in rates):
        return Found(probes, (), (Skipped(RECHECK, "a trigger still works, so there is nothing to confirm"),))
    if filters:
        return Found(probes, (), (Skipped(RECHECK, "what is kept works behind a runtime filter only"),))
    if same_weights(checkpoint, cleansing.checkpoint):
        return Found(probes)
    return Found(probes, recheck(detectors, cleansing.checkpoint, splits.defense, session))


def probe(
    checkpoint: Checkpoint,
    cleansed: Checkpoint,
    judgement: Judgement,
    inverter: NeuralCleanse,
    splits: Splits,
    session: Session,
) -> tuple[Probe, ...]:
    """Invert the triggers of the accused labels on the original once more and try them on the cleansed net.

    A repair made from a recovered trigger removes that trigger; the backdoor may answer to others of its kind. These
    come from three other starts and from ``val``, where detectors inverted on ``fit``; no defense is shown them. At
    most three labels; one that no start can invert has no probe. The schedule is that of ``inverter``.
    """
    if judgement.verdict != "backdoored" or not len(splits.test) or not len(splits.defense.val):
        return ()
    aims = _aims(judgement)
    schedule, found = inverter.settled_schedule(checkpoint, session), []
    session.progress.start("inverting triggers anew", schedule.steps * len(aims) * len(_STARTS))
    for seed in _STARTS:
        found += invert_anew(checkpoint.model, splits.defense.val, aims, schedule, session, seed)[0]
    session.progress.finish()
    classes, rows = len(checkpoint.labels), []
    for one in found:
        before, _ = attack_rates(checkpoint.model, splits.test, one.trigger, classes, session)
        after, _ = attack_rates(cleansed.model, splits.test, one.trigger, classes, session)
        rows.append(Probe(one.trigger.target, one.norm, before, after, one.trigger.source))
    return tuple(rows)


def _aims(judgement: Judgement) -> list[Aim]:
    """The accused labels, three at most: of all classes, or of one where it was the source that was found."""
    found = {target: source for source, target in judgement.pairs}
    return [(found.get(target), target) for target in judgement.targets[:_MOST]] or [(None, None)]


def recheck(
    detectors: Sequence[Detector], cleansed: Checkpoint, data: DefenseData, session: Session
) -> tuple[DetectionReport, ...]:
    """Run the detectors once more, on the cleansed net: other starts, ``fit`` and ``val`` exchanged."""
    other = replace(session, seed=session.derive("recheck"))
    swapped = DefenseData(data.val, data.fit)
    return tuple(detector.detect(cleansed, swapped, other).report for detector in detectors)


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether every tensor of both nets is equal."""
    left, right = one.model.state_dict(), other.model.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k].cpu(), right[k].cpu()) for k in left)
