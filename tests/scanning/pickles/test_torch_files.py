"""torch's own files: every save format is silent, every way to bend one is found, and they are cheap to judge."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.records import ScanReport
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.sources import BytesSource
from support.pickled import (
    EVIL,
    MAGIC,
    PLAIN,
    call,
    legacy,
    name,
    number,
    row,
    state_dict,
    storage,
    stream,
    tensor,
    text,
    torch_zip,
)
from support.scanned_files import judge, written


def found(body: bytes, path: str = "model.pt") -> set[str]:
    return {row.rule for row in report_of(body, path).findings if row.severity != "info"}


def report_of(body: bytes, path: str = "model.pt") -> ScanReport:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return scan(written(Path(folder), {path: body}))


START = stream(number(MAGIC)) + stream(number(1001))
TWO = stream(state_dict(a=tensor(storage()), b=tensor(storage("0", 2), (2,))))
KEYS = stream(b"](" + text("0") + b"e")
BENT: dict[str, tuple[bytes, str]] = {
    "a command in the zip": (torch_zip(EVIL), "HC-PKL-001"),
    "the pickle under another case": (torch_zip(PLAIN, **{"version": b"3"}, **{"DATA.PKL": EVIL}), "HC-PKL-001"),
    "a second pickle in the zip": (torch_zip(data__0=bytes(16), hidden__x=EVIL), "HC-PKL-001"),
    "a storage that is a pickle nobody refers to": (torch_zip(data__0=bytes(16), data__9=EVIL), "HC-PKL-001"),
    "a storage that is missing": (torch_zip(version=b"3\n"), "HC-PKL-008"),
    "a storage too short": (torch_zip(data__0=bytes(8)), "HC-PKL-008"),
    "a storage too long": (torch_zip(data__0=bytes(32)), "HC-PKL-008"),
    "a tensor that reaches outside": (torch_zip(stream(tensor(storage(), (4,), (2,)))), "HC-PKL-008"),
    "a tensor that begins outside": (torch_zip(stream(tensor(storage(), (1,), (1,), 4))), "HC-PKL-008"),
    "a tensor with a negative stride": (torch_zip(stream(tensor(storage(), (4,), (-1,), 3))), "HC-PKL-008"),
    "a tensor of two lengths": (
        torch_zip(TWO),
        "HC-PKL-008",
    ),
    "a storage of an unknown type": (torch_zip(stream(tensor(storage(kind="Tensor")))), "HC-PKL-008"),
    "a persistent id that is no storage": (torch_zip(stream(text("x") + b"Q")), "HC-PKL-008"),
    "a magic number by a call": (legacy(magic=stream(call("builtins", "eval", text(str(MAGIC))))), "HC-PKL-001"),
    "a magic number by an unknown call": (legacy(magic=stream(call("m", "n"))), "HC-PKL-006"),
    "a command in the legacy object": (legacy(EVIL), "HC-PKL-001"),
    "a command in the legacy keys": (
        legacy(storages=b"")[: -len(KEYS)] + EVIL,
        "HC-PKL-001",
    ),
    "legacy with four streams": (
        START + stream(b"}") * 2,
        "HC-PKL-005",
    ),
    "legacy of another version": (legacy().replace(number(1001), number(1002)), "HC-PKL-005"),
    "legacy with a name in its system": (
        START + stream(name("torch", "Size")) + stream(b"}") + stream(b"]"),
        "HC-PKL-004",
    ),
    "legacy with other keys": (legacy(keys=("1",)), "HC-PKL-008"),
    "legacy cut": (legacy()[:-1], "HC-PKL-008"),
    "legacy with bytes behind": (legacy() + b"x", "HC-PKL-006"),
}


@pytest.mark.parametrize("case", BENT)
def test_what_is_bent_is_found(case: str) -> None:
    body, rule = BENT[case]
    assert rule in found(body)


def test_our_own_plain_files_are_silent() -> None:
    assert found(torch_zip()) == {"HC-PKL-009"}
    assert found(legacy()) == {"HC-PKL-009"}
    assert found(PLAIN) == {"HC-PKL-004", "HC-PKL-009"}  # its storages are nowhere


def test_the_name_does_not_matter() -> None:
    for path in ("model.safetensors", "cat.png", "README.md", "weights", "x.npy", "a.json"):
        assert "HC-PKL-001" in found(EVIL, path), path
        assert "HC-PKL-001" in found(torch_zip(EVIL), path), path
    assert "HC-FMT-001" in found(EVIL, "model.safetensors")
    assert "HC-PKL-001" in found(b"cos\nsystem\n(S'id'\ntR.", "notes.txt")
    assert "HC-PKL-001" in found(b"cos\nsystem\n(S'id'\ntR\xff", "notes.txt")


def test_a_pickle_in_front_of_a_zip_is_both() -> None:
    rules = found(EVIL + torch_zip())
    assert {"HC-PKL-001", "HC-PKL-006", "HC-ZIP-004"} <= rules


def test_a_pickle_that_is_also_a_tar_is_walked() -> None:
    body = bytearray(b"cos\nsystem\n(X" + struct.pack("<I", 300) + bytes(300) + b"tR.")
    body[257:262] = b"ustar"
    report = report_of(bytes(body))
    assert "HC-PKL-001" in {row.rule for row in report.findings}


def test_torchscript_without_its_code_is_no_verdict_and_what_it_hides_is_found() -> None:
    plain = torch_zip(stream(call("__torch__.net", "Net")), constants__pkl=b"x").replace(
        b"constants/pkl", b"constants.pkl"
    )
    report = report_of(plain)
    assert report.exit_code != 0
    hidden = torch_zip(EVIL, **{"constants.pkl": PLAIN})
    assert "HC-PKL-001" in found(hidden)


@pytest.mark.parametrize(
    "start", [b"\x1f\x8b\x08", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"BZh9", b"\x04\x22\x4d\x18", b"\xfd7zXZ\0"]
)
def test_what_is_packed_is_not_checked_with_a_reason(start: bytes) -> None:
    report = report_of(start + bytes(200), "model.joblib")
    assert report.files[0].state == "unchecked"
    assert re.search("cannot be checked|the stream is broken|is not opened here", report.files[0].reason)
    assert "HC-INC-001" in {row.rule for row in report.findings}
    assert report.exit_code in (1, 2)


def big_zip(megabytes: int = 3) -> bytes:
    return torch_zip(
        stream(state_dict(weight=tensor(storage(numel=megabytes << 18), (megabytes << 18,)))),
        byteorder=b"little",
        data__0=bytes(megabytes << 20),
        version=b"3\n",
    )


def test_large_weights_cost_two_requests(hub: Any) -> None:
    numel = 3 << 18
    old = legacy(
        stream(state_dict(weight=tensor(storage(numel=numel, legacy=True), (numel,)))),
        storages=struct.pack("<q", numel) + bytes(4 * numel),
    )
    hub.create("org/model", {"pytorch_model.bin": big_zip()})
    report = scan("org/model")
    assert (report.requests, report.exit_code) == (2, 0), report
    assert report.bytes_read < 100_000
    assert {row.rule for row in report.findings} - {"HC-REP-003"} == {"HC-PKL-009"}
    hub.create("org/old", {"old.pth": old})
    report = scan("org/old")
    assert (report.requests, report.exit_code) == (2, 0), report
    assert report.bytes_read < 400_000


def test_equal_bytes_get_equal_verdicts_here_and_on_a_hub(hub: Any, tmp_path: Path) -> None:
    files = {f"{place}.pt": body for place, (body, _) in enumerate(BENT.values())}
    files |= {"big.pt": big_zip(), "evil.pt": big_zip().replace(b"torch\nFloatStorage", b"posix\nFloatStorag")}
    hub.create("org/model", files)
    here, there = scan(written(tmp_path / "repo", files)), scan("org/model")
    assert list(here.findings) == [row for row in there.findings if row.rule != "HC-REP-003"]
    assert [(row.path, row.state, row.reason) for row in here.files] == [
        (row.path, row.state, row.reason) for row in there.files
    ]


def test_a_budget_used_up_is_not_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hubclean.scanning.reader.FILE_BUDGET", 600 << 10)
    body = b"\x80\x02cos\nsystem\n(" + (b"X\x00\x00\x01\x00" + bytes(1 << 16)) * 20 + b"tR."
    report = scan(written(tmp_path / "repo", {"a.bin": body}))
    assert report.files[0].state == "unchecked"
    assert "goes on behind" in report.files[0].reason
    assert "HC-PKL-002" in {row.rule for row in report.findings}  # what was seen before stands


def test_torch_jit_s_own_names_are_not_taken_for_an_attack(tmp_path: Path) -> None:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()))
        torch.jit.save(module, str(tmp_path / "script.pt"))
    report = scan(tmp_path)
    assert {row.rule for row in report.findings} == {"HC-PKL-009"}, report.findings
    assert report.exit_code == 0


def test_a_tensor_inside_another_call_is_looked_at() -> None:
    inner = tensor(storage(), (9,))
    assert "HC-PKL-008" in found(torch_zip(stream(call("torch._utils", "_rebuild_sparse_tensor", b"N", row(inner)))))


def test_findings_in_a_member_have_their_place_in_the_file() -> None:
    body = torch_zip(EVIL)
    offsets = [row.offset for row in report_of(body).findings if row.rule == "HC-PKL-001"]
    assert offsets == [body.index(b"cos\n")]


@settings(max_examples=60, deadline=None)
@given(
    body=st.sampled_from([torch_zip(), legacy(), torch_zip(EVIL)]),
    cuts=st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=4)), max_size=4),
)
def test_no_bytes_raise(body: bytes, cuts: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory) -> None:
    for place, other in cuts:
        body = body[:place] + other + body[place + len(other) :]
    read_pickles(BytesSource(body))
    read_zip(BytesSource(body))
    findings, _ = judge("archives", tmp_path_factory.mktemp("bent"), {"a.pt": body})
    assert not any("the check failed" in row.what for row in findings), findings


def test_names_in_any_member_count_towards_the_report() -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.pkl", EVIL)
    assert "HC-PKL-001" in found(body.getvalue(), "anything.zip")
