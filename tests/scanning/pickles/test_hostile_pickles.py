"""Attacks that use only what is allowed: listed names with odd arguments, noise, long constants, many small bombs."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.zip_members import Work, read_zip
from hubclean.scanning.pickles import walk
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.sources import BytesSource
from support.pickled import EVIL, PLAIN, call, name, number, row, stream, text, torch_zip
from support.scanned_files import written

OBJECT = call("numpy", "dtype", text("O8"), b"\x89", b"\x88")


def state(*parts: bytes) -> bytes:
    """BUILD with a tuple of three times nothing in the middle, as for a plain dtype."""
    return row(number(3), text("|"), *parts) + b"b"


DENIED = OBJECT + state(b"N", b"N", b"N", number(-1), number(-1), number(0))
FIELD = b"}" + text("a") + row(OBJECT, number(0)) + b"s"
FIELDS = call("numpy", "dtype", text("V8"), b"\x89", b"\x88")
FIELDS += state(b"N", row(text("a")), FIELD, number(8), number(1), number(0))
ODD: dict[str, tuple[bytes, str]] = {
    "a type that denies its objects": (DENIED, "HC-PKL-008"),
    "a scalar of such a type": (call("numpy.core.multiarray", "scalar", DENIED, text("A" * 8)), "HC-PKL-008"),
    "fields that deny their objects": (FIELDS, "HC-PKL-008"),
    "a field outside its element": (
        call("numpy", "dtype", text("V8"), b"\x89", b"\x88")
        + state(
            b"N",
            row(text("a")),
            b"}" + text("a") + row(call("numpy", "dtype", text("f8"), b"\x89", b"\x88"), number(800)) + b"s",
            number(8),
            number(1),
            number(0),
        ),
        "HC-PKL-008",
    ),
    "an element of another size": (
        call("numpy", "dtype", text("U1"), b"\x89", b"\x88")
        + state(b"N", b"N", b"N", number(1 << 20), number(4), number(8)),
        "HC-PKL-008",
    ),
    "objects laid over a buffer": (
        call("numpy", "ndarray", row(number(1)), OBJECT, text("A" * 8)),
        "HC-PKL-008",
    ),
    "an array out of nothing": (
        call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"), row(number(1 << 40)), text("b")),
        "HC-PKL-008",
    ),
    "a storage out of nothing": (call("torch", "FloatStorage", number(1 << 40)), "HC-PKL-007"),
    "a tensor out of nothing": (name("torch", "Tensor") + row(row(number(1 << 40))) + b"\x81", "HC-PKL-007"),
    "a computed function": (
        call("torch._tensor", "_rebuild_from_type_v2", call("collections", "OrderedDict"), name("torch", "Tensor")),
        "HC-PKL-003",
    ),
    "attributes set on a dict": (
        call("collections", "OrderedDict") + row(b"N", b"}" + text("x") + b"Ns") + b"b",
        "HC-PKL-004",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_a_listed_name_with_odd_arguments_is_found(case: str) -> None:
    body, rule = ODD[case]
    assert rule in {problem.rule for problem in read_pickles(BytesSource(stream(body))).problems}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", "bcd"]),
        np.array(["x", None], dtype=object),
        np.zeros((2, 3), dtype=">f4", order="F"),
        np.array(["2020-01-01"], "M8[D]"),
        np.timedelta64(3, "s"),
        np.str_("x"),
        np.longdouble(1),
        np.array(1, dtype=object),
        np.zeros(3, "V5"),
        np.zeros(2, [("a", "f4", (2, 2)), ("b", [("c", "U3"), ("d", "S2")])]),
        np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"]}, align=True),
    ],
    ids=str,
)
def test_whatever_numpy_writes_of_plain_data_is_silent(value: Any, protocol: int) -> None:
    assert read_pickles(BytesSource(pickle.dumps(value, protocol))).problems == []


def test_noise_does_not_hide_the_worst(tmp_path: Path) -> None:
    names = b"".join(name(f"a{at}", "b") + b"0" for at in range(1500))
    odd = b"".join(number(at) + b"0" + b"Q" for at in range(60))
    (tmp_path / "x.bin").write_bytes(stream(names + odd + call("os", "system", text("id"))))
    report = scan(tmp_path, gate="critical")
    assert report.exit_code == 1
    assert report.findings[0].rule == "HC-PKL-001"


PAYLOAD = call("os", "system", text("id")) + b"."
HIDDEN = {
    "notes.txt": b"V" + b"a" * 5000 + b"\n0" + PAYLOAD,
    "README.md": b"".join(b"V" + b"word " * 20 + b"\n0" for _ in range(60)) + PAYLOAD,
    "logo.bmp": b"BM\x20\x00\x00" + b"a" * 0x204D + b"0" + PAYLOAD,
    "data.csv": b"X" + struct.pack("<I", 200_000) + b"a" * 200_000 + b"0" + PAYLOAD,
}


@pytest.mark.parametrize("path", HIDDEN)
def test_a_pickle_behind_a_long_constant_is_found_under_any_name(tmp_path: Path, path: str) -> None:
    rules = {row.rule for row in scan(written(tmp_path, {path: HIDDEN[path]})).findings}
    assert "HC-PKL-001" in rules
    inside = torch_zip(PLAIN, data__0=bytes(16), **{f"extra__{path}": HIDDEN[path]})
    rules = {row.rule for row in scan(written(tmp_path / "zip", {"x.bin": inside})).findings}
    assert "HC-PKL-001" in rules


def test_constants_without_an_end_are_not_checked(tmp_path: Path) -> None:
    files = {"notes.txt": (b"X" + struct.pack("<I", 9000) + b"a" * 9000 + b"0") * 2000 + PAYLOAD}
    assert scan(written(tmp_path, files)).exit_code == 2


def test_many_small_bombs_are_not_all_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_OPCODES", 5000)
    bomb = stream(b"N0" * 2400 + b"N")
    body = BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", PLAIN)
        for at in range(40):
            archive.writestr(f"archive/{at}.pkl", bomb)
    work = Work()
    archived = read_zip(BytesSource(body.getvalue()), work=work)
    assert work.opcodes < 5010
    assert "HC-PKL-007" in {row.rule for row in archived.problems}
    assert {row.rule for row in read_pickles(BytesSource(bomb * 12)).problems} >= {"HC-PKL-006", "HC-PKL-007"}
    assert read_pickles(BytesSource(bomb * 12)).opcodes < 5010


def with_extra(body: bytes, member: bytes, extra: bytes) -> bytes:
    """The zip with an extra field in the central entry of a member."""
    at = body.find(b"PK\x01\x02")
    while body[at + 46 : at + 46 + struct.unpack_from("<H", body, at + 28)[0]] != member:
        at += 46 + sum(struct.unpack_from("<3H", body, at + 28))
    out = bytearray(body)
    out[at + 46 + len(member) : at + 46 + len(member)] = extra
    struct.pack_into("<H", out, at + 30, len(extra))
    end = out.rfind(b"PK\x05\x06")
    struct.pack_into("<L", out, end + 12, struct.unpack_from("<L", out, end + 12)[0] + len(extra))
    return bytes(out)


@pytest.mark.parametrize(
    "extra",
    [
        struct.pack("<HHBL", 0x7075, 9, 1, zlib.crc32(b"archive/data/0")) + b"evil",
        struct.pack("<HHQ", 1, 8, 16) + struct.pack("<HHQ", 1, 8, 999),
    ],
)
def test_a_second_name_or_size_in_extra_fields_is_found(tmp_path: Path, extra: bytes) -> None:
    body = with_extra(torch_zip(), b"archive/data/0", extra)
    rules = {row.rule for row in scan(written(tmp_path, {"x.bin": body})).findings}
    assert "HC-ZIP-001" in rules


@pytest.mark.parametrize("body", [torch_zip() + EVIL, torch_zip(EVIL) + torch_zip()])
def test_bytes_around_a_zip_are_not_called_checked(tmp_path: Path, body: bytes) -> None:
    report = scan(written(tmp_path, {"x.bin": body}))
    assert report.exit_code == 2
    assert "not looked at" in report.files[0].reason
