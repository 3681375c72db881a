"""What a ``clean`` came to: 0 only where every probe agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hubclean.outcomes import worst
from hubclean.records import Audit, Probe, Rate
from support.sample_audits import cleansed, unsuspicious

GONE = cleansed()
(BACK,) = GONE.retuning


def repair(**changes: Any) -> Audit:
    return replace(GONE, cleansing=replace(GONE.cleansing, **changes))


def said(audit: Audit, verdict: str) -> tuple[Any, ...]:
    return tuple(replace(report, verdict=verdict) for report in audit.detections)


CASES: dict[str, tuple[Callable[[], Audit], str, str]] = {
    "all gone": (lambda: GONE, "cleansed", "none is found anew"),
    "nothing found": (unsuspicious, "audited", "those of the original"),
    "no detector": (lambda: replace(GONE, judgement=None, detections=()), "undecided", "no verdict"),
    "open": (lambda: replace(GONE, judgement=None, detections=said(GONE, "undecided")), "undecided", "no verdict"),
    "its own trigger works": (lambda: repair(after=GONE.cleansing.before), "not cleansed", "still works on 99"),
    "a fresh trigger works": (
        lambda: replace(GONE, probes=(*GONE.probes, Probe(3, 5.0, Rate.of(90, 100), Rate.of(9, 100)))),
        "not cleansed",
        "still works on 9.0%",
    ),
    "found again": (lambda: replace(GONE, rechecks=GONE.detections), "not cleansed", "finds a backdoor for label 3"),
    "found again, and it comes back": (
        lambda: replace(GONE, rechecks=GONE.detections, retuning=(replace(BACK, after=Rate.of(99, 100)),)),
        "not cleansed",
        "repeated on the written net",
    ),
    "comes back": (lambda: replace(GONE, retuning=(replace(BACK, after=Rate.of(99, 100)),)), "covered", "brings"),
    "held by a filter": (lambda: repair(guard="hubclean/guard.safetensors"), "covered", "filter"),
    "nobody could try": (
        lambda: repair(after=tuple(replace(row, asr=Rate.of(0, 0)) for row in GONE.cleansing.after)),
        "undecided",
        "no test image",
    ),
    "not repeated": (lambda: replace(GONE, rechecks=()), "undecided", "not repeated"),
    "repeated, open": (lambda: replace(GONE, rechecks=said(GONE, "undecided")), "undecided", "gave no verdict"),
    "not retuned": (lambda: replace(GONE, retuning=()), "undecided", "comes back was not measured"),
    "no trigger inverted anew": (lambda: replace(GONE, probes=()), "undecided", "inverted anew"),
    "no control, and nothing comes back": (
        lambda: replace(GONE, retuning=(replace(BACK, control=Rate.of(0, 0), after=Rate.of(2, 100)),)),
        "cleansed",
        "none comes back",
    ),
    "one of two without a control": (
        lambda: replace(GONE, retuning=(BACK, replace(BACK, control=Rate.of(0, 0), after=Rate.of(90, 100)))),
        "undecided",
        "not measured",
    ),
    "no control": (
        lambda: replace(GONE, retuning=(replace(BACK, control=Rate.of(0, 0), after=Rate.of(90, 100)),)),
        "undecided",
        "not measured",
    ),
    "no trigger known": (
        lambda: replace(repair(after=(replace(GONE.cleansing.after[0], asr=None),)), probes=()),
        "undecided",
        "no trigger",
    ),
    "nothing found, treated, not repeated": (
        lambda: replace(GONE, judgement=None, detections=said(GONE, "not found"), rechecks=()),
        "undecided",
        "not repeated",
    ),
    "nothing found, treated": (
        lambda: replace(GONE, judgement=None, detections=said(GONE, "not found")),
        "audited",
        "treated all the same",
    ),
    "nothing found, a known trigger works": (
        lambda: replace(unsuspicious(), cleansing=replace(unsuspicious().cleansing, after=GONE.cleansing.before)),
        "not cleansed",
        "still works",
    ),
}


@pytest.mark.parametrize(("made", "word", "why"), CASES.values(), ids=CASES)
def test_the_word_follows_the_evidence(made: Callable[[], Audit], word: str, why: str) -> None:
    found = made().outcome
    assert (found.word, why in found.why) == (word, True), found
    assert made().exit_code == {"audited": 0, "cleansed": 0, "covered": 1, "not cleansed": 1}.get(word, 2)


def test_the_worst_is_that_of_all_triggers_tried() -> None:
    worse = Probe(3, 5.0, Rate.of(90, 100), Rate.of(77, 100))
    assert worst(replace(GONE, probes=(worse,))) == worse.after
    untried = replace(worse, after=Rate.of(0, 0))
    assert worst(replace(GONE, probes=(untried,))) == max(
        (row.asr for row in GONE.cleansing.after), key=lambda r: r.value
    )  # type: ignore[union-attr]
    assert worst(unsuspicious()) is None
