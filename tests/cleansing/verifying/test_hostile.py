"""The publisher is the attacker: audit, card and files are made to stop, mislead or misuse who verifies them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hubclean
from hubclean.cleansing.card import render_card
from hubclean.cleansing.verifying.report import VerifyReport, schema_text
from hubclean.cleansing.verifying.tensors import differing
from hubclean.cli.text.verify import render_verify
from hubclean.errors import FormatError, HubcleanError, TargetError
from hubclean.records import Conversion, FileHash, Finding, RepoRef, Skipped, to_json
from hubclean.scanning.formats.safetensors_header import TensorEntry
from support.sample_audits import DIGEST
from support.sample_audits import cleansed as sample
from support.source_trees import PACKAGE
from support.stated import AUDIT, Cleansed, audit_of, restated, write_audit
from support.work import processor_seconds

OURS = "hubclean/"
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\n\nfiles     as stated: everything"


def check(report: VerifyReport, name: str) -> Any:
    return next(row for row in report.checks if row.name == name)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"{", "is not JSON"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"schema": 1, "schema": 2}', "gives the key 'schema' twice"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" + b"0," * 2_100_000 + b"0]", "more than 2,000,000 values"),
    ],
)
def test_an_audit_that_is_none(cleansed: Cleansed, text: bytes, what: str) -> None:
    (cleansed.out / AUDIT).write_bytes(text)
    with processor_seconds(10):
        report = hubclean.verify(cleansed.out, base=cleansed.base)
    assert report.exit_code == 1
    (place,) = report.checks[0].places
    assert (place.path, what in place.what) == (AUDIT, True), place


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1", '"1"', "null", "9" * 5000])
def test_numbers_that_are_none(cleansed: Cleansed, number: str) -> None:
    text = (cleansed.out / AUDIT).read_text()
    value = json.dumps(audit_of(cleansed.out).cleansing.after[0].clean_accuracy.value)
    (cleansed.out / AUDIT).write_text(text.replace(f'"value": {value},', f'"value": {number},'))
    report = hubclean.verify(cleansed.out, base=cleansed.base)
    assert report.exit_code == 1
    assert AUDIT in {place.path for row in report.checks for place in row.places}


def test_what_is_missing_or_of_another_version_is_not_decided(cleansed: Cleansed) -> None:
    known = json.loads((cleansed.out / AUDIT).read_text())
    known["versions"]["hubclean"] = "9.9"
    (cleansed.out / AUDIT).write_text(json.dumps(known | {"later": 1}))
    with pytest.raises(FormatError, match=r"is of hubclean 9\.9"):
        hubclean.verify(cleansed.out)
    (cleansed.out / AUDIT).write_bytes(b" " * (17 << 20))
    with pytest.raises(FormatError, match="more than the 16,777,216 that are read"):
        hubclean.verify(cleansed.out)
    (cleansed.out / AUDIT).unlink()
    with pytest.raises(TargetError, match="is missing: verify takes a checkpoint written by"):
        hubclean.verify(cleansed.out)
    (cleansed.out / AUDIT).symlink_to("/etc/passwd")
    with pytest.raises(HubcleanError, match="leaves the folder"):
        hubclean.verify(cleansed.out)


def _huge_tables(audit: Any) -> Any:
    row, stage = audit.cleansing.before[0], audit.cleansing.stages[0]
    done = replace(audit.cleansing, before=(row,) * 400, stages=(replace(stage, name="x"),) * 400)
    return replace(audit, cleansing=done)


@pytest.mark.parametrize("change", [_huge_tables, lambda audit: replace(audit, skipped=(Skipped("a", "b"),) * 5000)])
def test_an_audit_made_to_take_long(cleansed: Cleansed, change: Callable[[Any], Any]) -> None:
    write_audit(cleansed.out, change(audit_of(cleansed.out)))
    with processor_seconds(8):
        assert hubclean.verify(cleansed.out, base=cleansed.base).exit_code == 1


def test_a_card_of_many_labels_and_targets_takes_linear_time() -> None:
    audit = sample()
    found = audit.detections[0]
    many = replace(audit, detections=(replace(found, scores=found.scores * 500, targets=(11,) * 500_000),))
    with processor_seconds(5):
        assert render_card(many, None, (), DIGEST)


def test_an_audit_from_which_no_card_can_be_made(cleansed: Cleansed) -> None:
    audit = audit_of(cleansed.out)
    write_audit(cleansed.out, replace(audit, cleansing=replace(audit.cleansing, before=(), after=())))
    report = hubclean.verify(cleansed.out, base=cleansed.base)
    assert report.exit_code == 1
    assert any("gives no card" in place.what for place in check(report, "card").places)
    assert report.outcome == "" or "undecided" in report.outcome


def test_strings_reach_no_terminal(cleansed: Cleansed) -> None:
    """In names of files, tensors, repos, versions, findings; in the card and in the audit."""
    audit = audit_of(cleansed.out)
    (cleansed.out / "\x1b[31mred.md").write_text(EVIL)
    (cleansed.out / "README.md").write_text(EVIL + (cleansed.out / "README.md").read_text())
    audit = replace(
        audit,
        origin=RepoRef(EVIL, None, "local", EVIL),
        versions={**audit.versions, EVIL: EVIL},
        command=EVIL,
        cleansing=replace(audit.cleansing, changed=(EVIL,)),
        outputs=(*audit.outputs, FileHash(EVIL, 3, EVIL)),
        inputs=(*audit.inputs, FileHash(EVIL, 3, EVIL)),
    )
    write_audit(cleansed.out, audit)
    for base in (cleansed.base, None):
        report = hubclean.verify(cleansed.out, base=base)
        assert report.exit_code == 1
        text = render_verify(report)
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert "\nfiles     as stated" not in text
        assert json.dumps(to_json(report), allow_nan=False)


@pytest.mark.parametrize("path", ["../base/config.json", "/etc/passwd", f"{OURS}../../base/config.json", "", "."])
def test_no_path_leads_out_of_the_folder(cleansed: Cleansed, path: str) -> None:
    body = (cleansed.base / "config.json").read_bytes()
    import hashlib

    row = FileHash(path, len(body), hashlib.sha256(body).hexdigest())
    restated(cleansed.out, cleansed.base)
    write_audit(cleansed.out, replace(audit_of(cleansed.out), outputs=(*audit_of(cleansed.out).outputs, row)))
    report = hubclean.verify(cleansed.out, base=cleansed.base)
    assert ("is in the audit, but not here") in {
        place.what for place in check(report, "files").places if place.path == path
    }


def test_a_link_out_of_the_folder(cleansed: Cleansed) -> None:
    (cleansed.out / "config.json").unlink()
    (cleansed.out / "config.json").symlink_to(cleansed.base / "config.json")
    with pytest.raises(TargetError, match="is a link that leaves the folder"):
        hubclean.verify(cleansed.out, base=cleansed.base)


@pytest.mark.parametrize(
    "escape",
    [
        lambda audit: replace(audit, origin=RepoRef("nowhere", None, "local")),
        lambda audit: replace(audit, conversion=Conversion((), "", "", 3), inputs=()),
        lambda audit: replace(audit, versions={}),
        lambda audit: replace(audit, inputs=(), outputs=audit.outputs),
    ],
)
def test_no_way_around_a_check_ends_with_0(cleansed: Cleansed, escape: Callable[[Any], Any]) -> None:
    """An audit that claims to be one of the kinds that cannot be compared is not believed for it."""
    restated(cleansed.out, cleansed.base, escape)
    base = None if audit_of(cleansed.out).origin.repo_id == "nowhere" else cleansed.base
    assert hubclean.verify(cleansed.out, base=base).exit_code in (1, 2)


@pytest.mark.parametrize(
    "path", ["model.fp16.safetensors", "tf_model.h5", "onnx/model.onnx", "unet/model.safetensors", f"{OURS}x.json"]
)
def test_no_second_copy_of_the_original_weights(cleansed: Cleansed, path: str) -> None:
    """Byte for byte the original's, listed as input and as output: another library, or ``variant=``, would load it."""
    for folder in (cleansed.base, cleansed.out):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes((cleansed.base / "model.safetensors").read_bytes())

    def listed(audit: Any) -> Any:
        row = next(row for row in audit.outputs if row.path == path)
        return replace(audit, inputs=(*audit.inputs, row))

    restated(cleansed.out, cleansed.base, listed)
    report = hubclean.verify(cleansed.out, base=cleansed.base)
    assert report.exit_code == 1
    assert [row.path for row in check(report, "original").places] == [path]


def test_an_announced_finding_does_not_excuse_code(cleansed: Cleansed) -> None:
    """Listed in the audit, recorded as a finding there, allowed by its gate: a pickle stays one."""
    (cleansed.out / "extra.bin").write_bytes(b"\x80\x04cposix\nsystem\n\x8c\x02id\x85R.")
    finding = Finding("HC-PKL-001", "critical", "extra.bin", "announced", "none", hostile=True)

    def announce(audit: Any) -> Any:
        return replace(audit, scan=replace(audit.scan, gate="critical", findings=(finding,), allowed_unchecked=("*",)))

    restated(cleansed.out, cleansed.base, announce)
    report = hubclean.verify(cleansed.out, base=cleansed.base)
    assert report.exit_code == 1
    assert {row.path for row in check(report, "scan").places} == {"extra.bin"}
    assert "extra.bin" in {row.path for row in check(report, "files").places}


def test_tensors_are_compared_in_linear_time_and_at_every_byte() -> None:
    """Neighbours, gaps, empty ones, and differences at both ends and across blocks."""
    size = 9 << 20
    one = bytearray(size)
    rows = tuple(TensorEntry(f"t{start}", "U8", (7,), start, start + 7) for start in range(0, 70_000, 7))
    rows += (TensorEntry("empty", "U8", (0,), 70_000, 70_000), TensorEntry("big", "U8", (1,), 80_000, size))
    other = bytearray(one)
    for byte in (0, 6, 13, 69_999, 75_000, 80_000 + (5 << 20), size - 1):
        other[byte] ^= 128
    asked: list[int] = []

    def reads(body: bytearray) -> Callable[[int, int], bytes]:
        return lambda start, stop: (asked.append(stop - start), bytes(body[start:stop]))[1]

    with processor_seconds(5):
        found = differing(rows, reads(one), reads(other))
    assert found == {"t0": 0, "t7": 13, "t69993": 69_999, "big": 80_000 + (5 << 20)}
    assert sum(asked) == 2 * (70_000 + size - 80_000), "the gap between them, and nothing twice, is not read"
    assert len(asked) < 20


def test_the_report_is_its_schema(cleansed: Cleansed) -> None:
    import jsonschema

    place = PACKAGE / "cleansing" / "verifying" / "verify.schema.json"
    assert place.read_text() == schema_text(), "python -m hubclean.cleansing.verifying.report > ..."
    (cleansed.out / "more.bin").write_bytes(b"x")
    for base in (None, cleansed.base):
        value = to_json(hubclean.verify(cleansed.out, base=base))
        jsonschema.validate(value, json.loads(schema_text()))
        assert value["schema"] == "hubclean/verify/v1"


def test_every_file_is_read_in_blocks(cleansed: Cleansed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint larger than the memory is hashed all the same."""
    from hubclean.hub.repos import LocalRepo

    longest: list[int] = []
    plain = LocalRepo.read_range

    def read(self: LocalRepo, path: str, start: int, stop: int) -> bytes:
        longest.append(stop - start)
        return plain(self, path, start, stop)

    monkeypatch.setattr(LocalRepo, "read_range", read)
    with Path(cleansed.out / "model.safetensors").open("ab") as file:
        file.write(bytes(20 << 20))
    assert hubclean.verify(cleansed.out, base=cleansed.base).exit_code == 1
    restated(cleansed.out, cleansed.base)
    assert hubclean.verify(cleansed.out, base=cleansed.base).exit_code == 1
    assert max(longest) <= 4 << 20
