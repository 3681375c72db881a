"""One thing changed by somebody in between: exit code 1, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import hubclean
from hubclean.cleansing.verifying.report import Check, VerifyReport
from hubclean.scanning.formats.safetensors_header import TensorEntry, read_header_file
from support.stated import AUDIT, Cleansed, audit_of, edited, restated, write_audit
from support.tiny_models import make_repo

CARD, WEIGHTS, TRIGGER = "README.md", "model.safetensors", "hubclean/neural-cleanse-label-2.safetensors"


def verified(made: Cleansed, base: Path | None = None) -> VerifyReport:
    return hubclean.verify(made.out, base=base or made.base)


def check(report: VerifyReport, name: str) -> Check:
    return next(row for row in report.checks if row.name == name)


def untouched(folder: Path) -> TensorEntry:
    """A tensor that cleansing left alone."""
    changed = audit_of(folder).cleansing.changed
    return next(row for row in read_header_file(folder / WEIGHTS).tensors if row.name not in changed and row.shape)


def flip(place: Path, byte: int) -> None:
    body = bytearray(place.read_bytes())
    body[byte] ^= 1
    place.write_bytes(body)


def swap(place: Path, pattern: str, text: str) -> int:
    """Replace the first match, which must be there; the line it stands in, from 1."""
    old = place.read_text(encoding="utf-8")
    found = re.search(pattern, old)
    assert found, pattern
    assert found[0] != text
    place.write_text(old[: found.start()] + text + old[found.end() :], encoding="utf-8")
    return old[: found.start()].count("\n") + 1


def test_what_clean_wrote_is_as_stated(cleansed: Cleansed) -> None:
    report = verified(cleansed)
    assert [(row.name, row.state) for row in report.checks] == [
        (name, "as stated") for name in ("files", "audit", "original", "card", "scan")
    ], report.checks
    assert report.exit_code == 0
    assert report.outcome.startswith("undecided: ")
    (count,) = re.findall(r"(\d+) of \d+ tensors differ", check(report, "original").said)
    assert int(count) == len(audit_of(cleansed.out).cleansing.changed) > 0
    assert any("no image was read" in text for text in report.not_checked)


def test_without_the_original_it_is_not_decided(cleansed: Cleansed) -> None:
    report = hubclean.verify(cleansed.out)
    assert report.exit_code == 2
    assert check(report, "original").said.startswith("the original, 'base', is on no Hub")
    assert check(report, "card").state == "as stated"
    assert report.not_checked[0].startswith("what the card took over"), "its metadata are the original's"
    swap(cleansed.out / CARD, r"value: 0\.\d+", "value: 0.99")
    assert hubclean.verify(cleansed.out).exit_code == 1, "its figures are compared all the same"


def flipped_byte(made: Cleansed) -> None:
    flip(made.out / WEIGHTS, untouched(made.out).start)


def swapped_trigger(made: Cleansed) -> None:
    flip(made.out / TRIGGER, -1)


def extra_pickle(made: Cleansed) -> None:
    (made.out / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")


def extra_config(made: Cleansed) -> None:
    (made.out / "preprocessor_config.json").write_text("{}")


def lost_file(made: Cleansed) -> None:
    (made.out / "LICENSE").unlink()


def shorter_file(made: Cleansed) -> None:
    (made.out / "config.json").write_bytes((made.out / "config.json").read_bytes()[:-1])


@pytest.mark.parametrize(
    ("change", "path", "what"),
    [
        (flipped_byte, WEIGHTS, "has the sha256 [0-9a-f]{64}, the audit says"),
        (swapped_trigger, TRIGGER, "has the sha256 [0-9a-f]{64}, the audit says"),
        (extra_pickle, "pytorch_model.bin", "is not in the audit, and it is a pickle or code"),
        (extra_config, "preprocessor_config.json", "is not in the audit$"),
        (lost_file, "LICENSE", "is in the audit, but not here"),
        (shorter_file, "config.json", r"has \d+ bytes, the audit says \d+"),
    ],
)
def test_files_that_the_audit_does_not_describe(
    cleansed: Cleansed, change: Callable[[Cleansed], None], path: str, what: str
) -> None:
    change(cleansed)
    report = verified(cleansed)
    assert report.exit_code == 1
    (place,) = [row for row in check(report, "files").places if row.path == path]
    assert re.search(what, place.what), place


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"value: 0\.\d+", "value: 0.99"),
        (r"95 % interval 0\.\d+", "95 % interval 0.9999"),
        (r"\d+\.\d % \[", "99.9 % ["),
        (r"Seed \d", "Seed 7"),
        ("is no proof", "is proof"),
    ],
)
def test_an_edited_card(cleansed: Cleansed, pattern: str, new: str) -> None:
    """A number of its metadata, of its text, a word: the line is named."""
    line = swap(cleansed.out / CARD, pattern, new)
    report = verified(cleansed)
    assert report.exit_code == 1
    assert [row.name for row in report.checks if row.state != "as stated"] == ["card"]
    assert [(row.path, row.line) for row in check(report, "card").places] == [(CARD, line)]


def test_a_line_more_in_the_card(cleansed: Cleansed) -> None:
    line = swap(cleansed.out / CARD, "\n## Before and after", "\n\nChecked by the Hub.\n\n## Before and after") + 1
    (place,) = check(verified(cleansed), "card").places
    assert (place.path, place.line) == (CARD, line)


def test_the_name_of_the_repo_may_be_put_into_the_card(cleansed: Cleansed) -> None:
    swap(cleansed.out / CARD, "hf-hub:THIS/REPO", "hf-hub:alice/cleansed-model")
    assert verified(cleansed).exit_code == 0
    swap(cleansed.out / CARD, "alice/cleansed-model", 'alice/x"); import os; os.system("id')
    assert verified(cleansed).exit_code == 1


@pytest.mark.parametrize(
    ("field", "new", "checks"),
    [
        ("seconds", 1.0, {"card"}),
        ("cleansing.seconds", 0.5, {"card"}),
        ("cleansing.defense", "fst", {"card"}),
        ("created", "2020-01-01T00:00:00+00:00", {"card"}),
        ("cleansing.changed", (), {"card", "original"}),
    ],
)
def test_an_edited_audit(cleansed: Cleansed, field: str, new: object, checks: set[str]) -> None:
    write_audit(cleansed.out, edited(audit_of(cleansed.out), field, new))
    report = verified(cleansed)
    assert report.exit_code == 1
    assert {row.name for row in report.checks if row.state == "not as stated"} == checks
    assert check(report, "card").places[0].path == AUDIT, "its hash is not the one that the card states"
    assert any(row.path == CARD and row.line for row in check(report, "card").places), "and what it should be is named"


def test_an_edited_figure_of_the_audit_and_the_card_made_anew(cleansed: Cleansed) -> None:
    """The interval beside it gives it away."""
    audit = audit_of(cleansed.out)
    rate = audit.cleansing.after[0].clean_accuracy
    text = (cleansed.out / AUDIT).read_text()
    (cleansed.out / AUDIT).write_text(text.replace(f'"value": {rate.value},', '"value": 0.975,'))
    assert (cleansed.out / AUDIT).read_text() != text
    restated(cleansed.out, cleansed.base)
    report = verified(cleansed)
    assert report.exit_code == 1
    assert check(report, "card").state == "as stated", "they fit each other"
    assert {row.path for row in check(report, "audit").places} == {AUDIT}
    assert any("cleansing.after" in row.what for row in check(report, "audit").places)


def test_a_flipped_byte_with_an_audit_that_lists_it(cleansed: Cleansed) -> None:
    tensor = untouched(cleansed.out)
    flip(cleansed.out / WEIGHTS, tensor.stop - 1)
    restated(cleansed.out, cleansed.base)
    report = verified(cleansed)
    assert {row.name: row.state for row in report.checks if row.state != "as stated"} == {"original": "not as stated"}
    (place,) = check(report, "original").places
    assert (place.path, place.tensor) == (WEIGHTS, tensor.name)
    assert f"from byte {tensor.stop - 1:,} " in place.what


def test_a_renamed_tensor_with_an_audit_that_lists_it(cleansed: Cleansed) -> None:
    name = untouched(cleansed.out).name
    body = (cleansed.out / WEIGHTS).read_bytes()
    other = name[:-1] + "X"
    (cleansed.out / WEIGHTS).write_bytes(body.replace(f'"{name}"'.encode(), f'"{other}"'.encode()))
    restated(cleansed.out, cleansed.base)
    (place,) = check(verified(cleansed), "original").places
    assert (place.path, place.what) == (WEIGHTS, f"holds the tensor {other!r}, which the original does not have")


def test_a_changed_config_with_an_audit_that_lists_it(cleansed: Cleansed) -> None:
    config = json.loads((cleansed.out / "config.json").read_text())
    (cleansed.out / "config.json").write_text(json.dumps(config | {"num_features": 3}))
    (cleansed.out / "more.json").write_text("{}")
    restated(cleansed.out, cleansed.base)
    places = check(verified(cleansed), "original").places
    assert [row.path for row in places] == ["config.json", "more.json"]
    assert places[1].what == "is no file of the original"


def test_a_config_of_the_original_that_nobody_mentions(cleansed: Cleansed) -> None:
    """Without its own preprocessing a model answers otherwise."""
    (cleansed.base / "preprocessor_config.json").write_text("{}")
    (place,) = check(verified(cleansed), "original").places
    assert place.path == "preprocessor_config.json"
    assert place.what == "is a config or licence of base, and the audit leaves it out"


def test_weights_that_were_never_cleansed(cleansed: Cleansed) -> None:
    """The original's own bytes under an audit that names what was changed."""
    (cleansed.out / WEIGHTS).write_bytes((cleansed.base / WEIGHTS).read_bytes())
    restated(cleansed.out, cleansed.base)
    places = check(verified(cleansed), "original").places
    assert {row.tensor for row in places} == set(audit_of(cleansed.out).cleansing.changed)
    assert {row.what for row in places} == {"names a changed tensor that has the original's bytes"}


def test_another_original(cleansed: Cleansed, tmp_path: Path) -> None:
    other = make_repo(tmp_path / "other", "timm-resnet", seed=1)
    report = verified(cleansed, other)
    assert report.exit_code == 1
    (place,) = check(report, "original").places
    assert place.path == WEIGHTS
    assert place.what.startswith("of other has the sha256 ")
    (other / WEIGHTS).unlink()
    (place,) = check(verified(cleansed, other), "original").places
    assert place.what == "is an input of the audit, but other has no such file"


def test_a_card_of_another_version(cleansed: Cleansed) -> None:
    """Its words cannot be compared, its figures are."""
    versions = {**audit_of(cleansed.out).versions, "hubclean": "0.0.9"}
    restated(cleansed.out, cleansed.base, lambda audit: edited(audit, "versions", versions))
    report = verified(cleansed)
    assert (report.exit_code, check(report, "card").state) == (2, "undecided")
    assert "the words of the card" in report.not_checked
    line = swap(cleansed.out / CARD, r"\d+\.\d % \[", "99.9 % [")
    (place,) = check(verified(cleansed), "card").places
    assert (place.path, place.line) == (CARD, line)


def test_a_forger_who_edits_everything_is_not_found_out_and_not_vouched_for(cleansed: Cleansed) -> None:
    """Whoever writes audit and card alike can write any figure; what is printed must not say more than was checked."""
    good = audit_of(cleansed.out).cleansing
    best = tuple(edited(row, "clean_accuracy", type(row.clean_accuracy).of(40, 40)) for row in good.after)
    stages = tuple(edited(row, "metrics", best) if row.name == good.kept else row for row in good.stages)

    restated(
        cleansed.out,
        cleansed.base,
        lambda audit: edited(edited(audit, "cleansing.after", best), "cleansing.stages", stages),
    )
    report = verified(cleansed)
    assert report.exit_code == 0
    assert "100.0 % [" in (cleansed.out / CARD).read_text()
    assert not any("accuracy" in row.said or "attack" in row.said for row in report.checks)
    assert any(text.startswith("accuracy, attack success and what the detectors") for text in report.not_checked)
    assert any(text.startswith("who wrote it: ") for text in report.not_checked)
