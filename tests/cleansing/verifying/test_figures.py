"""With images: what a forger can write into audit and card alike is measured once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import hubclean
from hubclean.cleansing.verifying.report import Check, VerifyReport
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger, load_trigger, save_trigger
from hubclean.records import Audit, Metrics, Rate
from support.image_sets import class_folders, image_set
from support.stated import Cleansed, audit_of, restated


def verified(made: Cleansed, data: Any = None, **options: Any) -> VerifyReport:
    session = open_session("cpu", batch_size=32)
    return hubclean.verify(made.out, base=made.base, data=data or made.pictures, session=session, **options)


def figures(report: VerifyReport) -> Check:
    return next(row for row in report.checks if row.name == "figures")


def with_figures(audit: Audit, when: str, metrics: tuple[Metrics, ...]) -> Audit:
    """Both tables that hold a figure, so that the audit agrees with itself."""
    done = replace(audit.cleansing, **{when: metrics})
    if when == "after":
        stages = tuple(replace(row, metrics=metrics) if row.name == done.kept else row for row in done.stages)
        done = replace(done, stages=stages)
    return replace(audit, cleansing=done)


def test_the_images_of_the_audit_give_its_figures(cleansed: Cleansed) -> None:
    report = verified(cleansed)
    assert (report.exit_code, figures(report).state) == (0, "as stated"), report.checks
    said, done = figures(report).said, audit_of(cleansed.out).cleansing
    assert said.startswith("on the images of the audit, 40 of them: after accuracy ")
    for when, row in (("before", done.before[0]), ("after", done.after[0])):
        assert f"{when} accuracy {100 * row.clean_accuracy.value:.1f} % [" in said
    assert said.count("attack success, recovered trigger") == 2
    assert not any("no image was read" in text for text in report.not_checked)
    assert any("none of it was repeated" in text for text in report.not_checked)


def test_forged_figures_are_found_out(cleansed: Cleansed) -> None:
    """The forger of ``test_tampered.py``, who passes without images."""
    done = audit_of(cleansed.out).cleansing
    best = tuple(replace(row, clean_accuracy=Rate.of(40, 40)) for row in done.after)
    restated(cleansed.out, cleansed.base, lambda audit: with_figures(audit, "after", best))
    report = verified(cleansed)
    assert (report.exit_code, [row.name for row in report.checks if row.state != "as stated"]) == (1, ["figures"])
    (place,) = figures(report).places
    assert place.path == "hubclean/audit.json"
    assert place.what.startswith("cleansing.after[0].clean_accuracy: states 100.0 % [91.2, 100.0] n=40, measured ")


def test_a_trigger_that_never_worked_is_found_out(cleansed: Cleansed) -> None:
    """A forger may store any trigger that does nothing, and say that it worked before."""
    (row,) = audit_of(cleansed.out).cleansing.before
    assert row.asr is not None
    assert row.asr.value > 0.5
    (place,) = (cleansed.out / "hubclean").glob("neural-cleanse-label-*.safetensors")
    other = (load_trigger(place).target or 0) + 1  # the net has random weights, and answers few labels
    save_trigger(Trigger(torch.zeros(1, 32, 32), torch.zeros(3, 32, 32), other % 10), place)
    restated(cleansed.out, cleansed.base)
    assert hubclean.verify(cleansed.out, base=cleansed.base).exit_code == 0
    found = [row.what for row in figures(verified(cleansed)).places]
    assert any(what.startswith("cleansing.before[0].asr: states ") for what in found), found


def test_a_stored_trigger_that_is_gone(cleansed: Cleansed) -> None:
    (trigger,) = (cleansed.out / "hubclean").glob("neural-cleanse-label-*.safetensors")
    trigger.unlink()
    restated(cleansed.out, cleansed.base)
    report = verified(cleansed)
    assert (report.exit_code, figures(report).state) == (2, "undecided")
    assert "figures of 1 recovered triggers, and 0 are stored" in figures(report).said


def test_other_images_are_called_so(cleansed: Cleansed, tmp_path: Path) -> None:
    other = class_folders(tmp_path / "other", image_set(100, seed=9))
    report = verified(cleansed, other)
    assert figures(report).places == ()
    assert "other images" in figures(report).said
    done = audit_of(cleansed.out).cleansing
    best = tuple(replace(row, clean_accuracy=Rate.of(40, 40)) for row in done.after)
    restated(cleansed.out, cleansed.base, lambda audit: with_figures(audit, "after", best))
    (place,) = figures(verified(cleansed, other)).places
    assert place.what.endswith("on other images, and the intervals do not meet")


def test_nothing_is_loaded_that_is_not_as_stated(cleansed: Cleansed) -> None:
    (cleansed.out / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    report = verified(cleansed)
    assert report.exit_code == 1
    assert figures(report).said == "not measured, nothing is loaded while files is not as stated"


def test_planted_triggers_are_with_whoever_planted_them(cleansed: Cleansed) -> None:
    row = audit_of(cleansed.out).cleansing.before[0]
    planted = replace(row, asr_of="planted")

    def add(audit: Audit) -> Audit:
        audit = with_figures(audit, "before", (planted, *audit.cleansing.before))
        return with_figures(audit, "after", (planted, *audit.cleansing.after))

    restated(cleansed.out, cleansed.base, add)
    report = verified(cleansed)
    assert any("planted triggers do: their files are with whoever ran clean" in text for text in report.not_checked)
