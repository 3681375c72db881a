"""One verdict from many reports: who decides, who only hints, and what the exit code makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubclean.cleansing import verdict as judging
from hubclean.errors import HubcleanError
from hubclean.records import DetectionReport, ErrorRates, LabelScore, Rate, RepoRef, ScanReport, to_json


def score(label: int, norm: float = 40.0, **changes: Any) -> LabelScore:
    usual: dict[str, Any] = {"mask_share": norm / 1024, "index": 0.0, "log_index": 0.0, "asr": Rate.of(0, 0)}
    return LabelScore(label, f"thing {label}", norm, **{**usual, "flagged": 0, "invertible": True, **changes})


def cleanse_report(verdict: Any = "not found", targets: tuple[int, ...] = (), **changes: Any) -> DetectionReport:
    small = {"norm": 4.0, "index": 3.0, "log_index": 5.0, "asr": Rate.of(99, 100), "flagged": 3}
    scores = tuple(score(label, **(small if label in targets else {})) for label in range(10))
    usual: dict[str, Any] = {
        "detector": "neural-cleanse",
        "paper": "p",
        "options": {},
        "statistic": "s",
        "threshold": 2.0,
    }
    more: dict[str, Any] = {"norms_by_seed": (), "reason": "as measured", "seeds": (0, 1, 2), "forward_backwards": 1}
    made = {**usual, **more, "seconds": 1.0, "scores": scores, "targets": targets, "verdict": verdict}
    return DetectionReport(**{**made, **changes})


def hint(p: float) -> DetectionReport:
    return cleanse_report(
        "undecided", detector="mm-bd", scores=(), per_label=(1.0, 9.0, 2.0), measures={"p": p}, decides=False
    )


def test_the_deciding_detector_decides() -> None:
    judged = judging.judge((cleanse_report("backdoored", (3,)), hint(0.4)))
    assert (judged.verdict, judged.targets) == ("backdoored", (3,))
    names = {row.name: row for row in judged.evidence}
    assert names["neural-cleanse anomaly index"].says == "backdoored"
    assert names["neural-cleanse held-out ASR"].value == 0.99
    assert all(row.label == 3 for row in judged.evidence if row.name.startswith("neural-cleanse"))
    assert names["mm-bd p"].says == "nothing"


@pytest.mark.parametrize("p", [0.001, 0.9])
def test_a_hint_never_decides(p: float) -> None:
    assert judging.judge((cleanse_report(), hint(p))).verdict == "not found"
    alone = judging.judge((hint(p),))
    assert alone.verdict == "undecided"
    assert alone.evidence[0].label == 1
    assert alone.evidence[0].says == ("backdoored" if p < 0.05 else "nothing")


def test_a_trigger_that_does_not_carry_over_is_left_open() -> None:
    weak = cleanse_report("backdoored", (3,), measures={"transfer.3": 0.6, "overlap.3": 0.2, "ratio.3": 0.1})
    judged = judging.judge((weak,))
    assert (judged.verdict, judged.targets) == ("undecided", ())
    assert "label 3" in judged.reason
    says = {row.name: row.says for row in judged.evidence}
    assert says["neural-cleanse ASR on the other half"] == "clean"
    assert says["neural-cleanse norm / median"] == "backdoored"
    strong = replace(weak, measures={"transfer.3": 0.95})
    assert judging.judge((strong,)).verdict == "backdoored"


def test_of_two_accused_labels_the_doubtful_one_is_not_named() -> None:
    two = cleanse_report("backdoored", (3, 5), measures={"transfer.3": 0.95, "transfer.5": 0.1})
    judged = judging.judge((two,))
    assert (judged.verdict, judged.targets) == ("backdoored", (3,))


def test_a_label_that_was_not_inverted_again_is_not_accused_where_others_were() -> None:
    measures = {"transfer.3": 0.1, "transfer.4": 0.2}
    assert judging.judge((cleanse_report("backdoored", (3, 4, 7), measures=measures),)).verdict == "undecided"
    assert judging.judge((cleanse_report("backdoored", (7,), measures={}),)).targets == (7,), (
        "nobody tried to carry it over"
    )


def test_an_open_report_keeps_the_verdict_open() -> None:
    open_ = cleanse_report("undecided", reason="too few labels")
    assert judging.judge((cleanse_report(), open_)).verdict == "undecided"
    assert "too few labels" in judging.judge((open_,)).reason
    assert judging.judge((open_, cleanse_report("backdoored", (1,)))).verdict == "backdoored"


def test_nothing_run_is_no_verdict_and_all_is_unseen() -> None:
    judged = judging.judge(())
    assert judged.verdict == "undecided"
    assert "everything that no detector was run for" in judged.blind_to
    assert judging.judge((cleanse_report(),)).blind_to


def test_the_smallest_mask_speaks_where_none_is_accused() -> None:
    scores = tuple(score(label, norm=10.0 if label == 7 else 40.0) for label in range(10))
    judged = judging.judge((cleanse_report(scores=scores),))
    assert {row.label for row in judged.evidence} == {7}
    assert {row.says for row in judged.evidence} <= {"clean", "backdoored"}


def test_models_are_ranked_by_what_their_detector_measures() -> None:
    assert judging.suspicion(cleanse_report("backdoored", (3,))) == 5.0
    assert judging.suspicion(hint(0.02)) == pytest.approx(0.98)
    layers = replace(hint(0.0), measures={"outliers": 4.0})
    assert judging.suspicion(layers) == 4.0


@pytest.mark.parametrize(("verdict", "code"), [("backdoored", 1), ("not found", 0), ("undecided", 2)])
def test_the_exit_code_follows_the_one_verdict(verdict: Any, code: int) -> None:
    report = ScanReport(RepoRef("a/b", "0" * 40, "hub"), "high", (), (), (), 1, 1, 0.1, (cleanse_report(), hint(0.5)))
    assert report.exit_code == 0  # nobody drew a verdict: that of the one that decides, whatever the hint
    judged = replace(judging.judge(()), verdict=verdict)
    assert replace(report, judgement=judged).exit_code == code


def paired(verdict: Any = "backdoored", **changes: Any) -> DetectionReport:
    found = {"pairs": ((4, 7),), "targets": (7,)} if verdict == "backdoored" else {}
    measures = {"score.4.7": 1.6, "share.4.7": 0.01, "success.4.7": 0.98, "carried.4.7": 0.95, "again.4.7": 1.2}
    options = {"score": 1.1, "pair_mask_share": 0.05, "pair_asr": 0.9, "open_score": 0.95}
    usual: dict[str, Any] = {"detector": "source-specific", "scores": (), "measures": measures, "options": options}
    return cleanse_report(verdict, **{**usual, **found, "pairs_examined": 90, "pairs_of": 90, **changes})


def test_a_pair_of_classes_joins_the_verdict() -> None:
    judged = judging.judge((cleanse_report(), paired()))
    assert (judged.verdict, judged.targets, judged.pairs) == ("backdoored", (7,), ((4, 7),))
    says = {row.name: row.says for row in judged.evidence if row.label == 7}
    assert says == {
        f"source-specific 4 -> 7 {key}": "backdoored" for key in ("score", "share", "success", "carried", "again")
    }
    both = judging.judge((cleanse_report("backdoored", (3,)), paired()))
    assert (both.targets, both.pairs) == ((3, 7), ((4, 7),))


def test_a_label_accused_for_all_classes_is_no_pair() -> None:
    judged = judging.judge((cleanse_report("backdoored", (7,)), paired()))
    assert (judged.targets, judged.pairs) == ((7,), ())


def test_what_is_said_of_triggers_of_one_class_follows_what_was_examined() -> None:
    def said(*reports: DetectionReport) -> list[str]:
        return [what for what in judging.judge(reports).blind_to if "some classes" in what]

    assert said(cleanse_report()) == ["triggers that work on images of some classes only"]
    assert said(cleanse_report(), paired("not found")) == []
    (some,) = said(cleanse_report(), paired("not found", pairs_examined=132, pairs_of=1806))
    assert some.endswith("beyond 132 of 1,806 pairs of classes")
    none = paired("undecided", pairs_examined=0, decides=False)
    assert len(said(cleanse_report(), none)) == 1
    assert judging.judge((cleanse_report(), none)).verdict == "not found", "what could not be examined decides nothing"


def test_error_rates_of_the_rule_without_pairs_are_not_shown_with_them() -> None:
    rates = ErrorRates(Rate.of(8, 10), Rate.of(0, 6), Rate.of(1, 16), "16 small models")
    assert judging.judge((cleanse_report(),), rates).errors == rates
    assert judging.judge((cleanse_report(), paired("not found")), rates).errors is None


def test_measured_error_rates_hold_for_their_rule_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = ErrorRates(Rate.of(8, 10), Rate.of(0, 6), Rate.of(1, 16), "16 small models")
    monkeypatch.setattr(judging, "data_folder", lambda _: tmp_path)
    assert judging.measured_errors() is None
    place = tmp_path / judging.ERROR_RATES
    place.write_text(json.dumps({"rule": judging.RULE, "rates": to_json(rates)}))
    assert judging.measured_errors() == rates
    assert judging.judge((cleanse_report(),), rates).errors == rates
    assert judging.judge((hint(0.001),), rates).errors is None, "they are those of deciding detectors"
    place.write_text(json.dumps({"rule": "another", "rates": to_json(rates)}))
    assert judging.measured_errors() is None
    place.write_text("{")
    with pytest.raises(HubcleanError, match="damaged"):
        judging.measured_errors()
