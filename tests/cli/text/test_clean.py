"""What the terminal says of a cleansing: no more than was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hubclean.cli.text.clean import before_after, render_clean
from hubclean.cli.text.layout import percent
from hubclean.cli.text.verdict import verdict
from hubclean.records import Rate
from support.sample_audits import cleansed, unsuspicious


def test_a_rate_shows_its_interval_and_nothing_where_nothing_was_tried() -> None:
    assert percent(Rate.of(5, 10)).split() == ["50.0%", "[23.7%,", "76.3%]", "n=10"]
    assert percent(Rate.of(0, 0)) == "not measured"


def test_the_table_has_a_row_a_trigger_and_stage_and_marks_the_kept_one() -> None:
    audit = cleansed()
    rows = before_after(audit).splitlines()
    assert len(rows) == 1 + len(audit.cleansing.before) + sum(len(stage.metrics) for stage in audit.cleansing.stages)
    assert sum("(kept)" in row for row in rows) == len(audit.cleansing.after)
    assert all(f"{audit.cleansing.kept} (kept)" in row for row in rows if "(kept)" in row)


@pytest.mark.parametrize(("kind", "said"), [("backdoored", "backdoor found by"), ("undecided", "undecided by")])
def test_the_verdict_is_the_reports(kind: str, said: str) -> None:
    report = replace(cleansed().detections[0], verdict=kind)
    assert verdict(report, cleansed().model.labels).startswith(said)
    assert verdict(unsuspicious().detections[0], cleansed().model.labels).startswith("no backdoor found by")


def test_a_pair_is_said_as_who_becomes_what() -> None:
    labels = cleansed().model.labels
    report = replace(cleansed().detections[0], detector="source-specific", pairs=((1, 3),), pairs_of=90)
    said = f"images of class 1 ({labels[1]}) become class 3 ({labels[3]})"
    assert verdict(report, labels) == f"backdoor found by source-specific: {said}"
    nothing = replace(report, verdict="not found", pairs=(), targets=(), pairs_examined=132, pairs_of=1806)
    assert "132 of 1,806 pairs of classes" in verdict(nothing, labels)


def test_the_last_line_gives_the_exit_code_and_its_meaning() -> None:
    audit = replace(cleansed(), judgement=None)
    worse = replace(audit, cleansing=replace(audit.cleansing, after=audit.cleansing.before))
    for one, said in (
        (cleansed(), "none is found anew"),
        (worse, "still works"),
        (replace(audit, detections=(), judgement=None), "no verdict"),
    ):
        last = render_clean(one, Path("out")).splitlines()[-1]
        assert f"Exit code {one.exit_code}" in last
        assert said in last
