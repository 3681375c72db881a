"""Zip archives made to be read in two ways, to leave their folder, to burst, or to carry more than weights."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.zip_directory import planned_head, read_directory
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.sources import TAIL, BytesSource, Spans
from support.pickled import EVIL, PLAIN, torch_zip
from support.scanned_files import judge, npy, safetensors, written

Edit = Callable[[bytearray, int, int], None]


def zipped(*members: tuple[str, bytes], packed: bool = False) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    return body.getvalue()


def rules(body: bytes) -> set[str]:
    return {problem.rule for problem in read_zip(BytesSource(body)).problems}


def edited(edit: Edit, body: bytes | None = None) -> bytes:
    """A zip of one pickle after ``edit(bytes, place of local header, place of central entry)``."""
    data = bytearray(body or zipped(("a.pkl", PLAIN)))
    edit(data, 0, data.rfind(b"PK\x01\x02"))
    return bytes(data)


def put(data: bytearray, at: int, layout: str, value: int) -> None:
    struct.pack_into(layout, data, at, value)


def link() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        row = zipfile.ZipInfo("a")
        row.external_attr = 0o120777 << 16
        archive.writestr(row, "/etc/passwd")
    return body.getvalue()


def twice() -> bytes:
    body = zipped(("a.txt", b"1"), ("b.txt", b"2"))
    return body.replace(b"b.txt", b"a.txt")


def overlapping() -> bytes:
    body = bytearray(zipped(("a.txt", b"1" * 100), ("b.txt", b"2" * 100)))
    second = body.rfind(b"PK\x01\x02")
    put(body, second + 42, "<I", 0)
    return bytes(body)


def wide() -> bytes:
    """A 64-bit end record that tells another count than the 32-bit one."""
    body = zipped(("a.txt", b"1"))
    at = body.rfind(b"PK\x05\x06")
    size, offset = struct.unpack_from("<2L", body, at + 12)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 7, 7, size, offset)
    return body[:at] + record + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1) + body[at:]


CASES: dict[str, tuple[bytes, str]] = {
    "encrypted by its central flags": (edited(lambda d, a, c: put(d, c + 8, "<H", 0x1)), "HC-ZIP-003"),
    "encrypted by its local flags": (edited(lambda d, a, c: put(d, a + 6, "<H", 0x1)), "HC-ZIP-001"),
    "flag bit 0x20": (edited(lambda d, a, c: (put(d, c + 8, "<H", 0x20), put(d, a + 6, "<H", 0x20))[0]), "HC-ZIP-003"),
    "flag bit 0x40": (edited(lambda d, a, c: put(d, c + 8, "<H", 0x40)), "HC-ZIP-003"),
    "another name in the local header": (edited(lambda d, a, c: put(d, a + 30, "<B", 0x62)), "HC-ZIP-001"),
    "another method in the local header": (edited(lambda d, a, c: put(d, a + 8, "<H", 8)), "HC-ZIP-001"),
    "another size in the local header": (edited(lambda d, a, c: put(d, a + 22, "<I", 7)), "HC-ZIP-001"),
    "another CRC in the local header": (edited(lambda d, a, c: put(d, a + 14, "<I", 7)), "HC-ZIP-001"),
    "a CRC that does not fit": (
        edited(lambda d, a, c: (put(d, a + 14, "<I", 7), put(d, c + 16, "<I", 7))[0]),
        "HC-ZIP-001",
    ),
    "an unknown method": (edited(lambda d, a, c: put(d, c + 10, "<H", 99)), "HC-ZIP-003"),
    "two sizes though stored": (edited(lambda d, a, c: put(d, c + 24, "<I", 1 << 20)), "HC-ZIP-001"),
    "no local header": (edited(lambda d, a, c: put(d, a, "<I", 0)), "HC-ZIP-001"),
    "a wrong count": (edited(lambda d, a, c: put(d, d.rfind(b"PK\x05\x06") + 10, "<H", 9)), "HC-ZIP-001"),
    "a name twice": (twice(), "HC-ZIP-001"),
    "names that differ in case": (zipped(("a/Data.pkl", PLAIN), ("a/data.pkl", PLAIN)), "HC-ZIP-001"),
    "a 64-bit record that disagrees": (wide(), "HC-ZIP-001"),
    "cut": (zipped(("a.txt", b"1"))[:-4], "HC-ZIP-001"),
    "no directory": (b"PK\x03\x04" + bytes(100), "HC-ZIP-001"),
    "up": (zipped(("../../x.txt", b"1")), "HC-ZIP-002"),
    "absolute": (zipped(("/etc/cron.d/x", b"1")), "HC-ZIP-002"),
    "a drive": (zipped(("C:/x.txt", b"1")), "HC-ZIP-002"),
    "a backslash": (zipped(("a.txt", b"1")).replace(b"a.txt", b"a\\txt"), "HC-ZIP-002"),
    "a NUL": (zipped(("a.txt", b"1")).replace(b"a.txt", b"a\0txt"), "HC-ZIP-002"),
    "a link": (link(), "HC-ZIP-002"),
    "a bomb": (zipped(("zeros.bin", bytes(20 << 20)), packed=True), "HC-ZIP-003"),
    "overlapping members": (overlapping(), "HC-ZIP-003"),
    "bytes before": (b"#!/bin/sh\n" + zipped(("a.txt", b"1")), "HC-ZIP-004"),
    "bytes behind": (zipped(("a.txt", b"1")) + b"MZ", "HC-ZIP-004"),
    "a zip in a zip": (zipped(("inner.dat", zipped(("a.txt", b"1")))), "HC-ZIP-004"),
    "ELF": (zipped(("weights", b"\x7fELF" + bytes(60))), "HC-ZIP-005"),
    "PE": (zipped(("weights", b"MZ\x90\x00" + bytes(80))), "HC-ZIP-005"),
    "Mach-O": (zipped(("data/0", b"\xcf\xfa\xed\xfe" + bytes(60))), "HC-ZIP-005"),
    "a script": (zipped(("run", b"#!/bin/sh\nid\n")), "HC-ZIP-005"),
    "Python": (torch_zip(**{"data__0": bytes(16), "hook.py": b"import os\n"}), "HC-ZIP-005"),
    "a pickle without a signature": (zipped(("notes", b"cos\nsystem\n(S'id'\ntR.")), "HC-PKL-001"),
    "a pickle that is packed": (zipped(("x", EVIL), packed=True), "HC-PKL-001"),
    "a pickle two zips down": (zipped(("i", zipped(("j", zipped(("x", EVIL)))))), "HC-PKL-001"),
    "a pickle behind a flag that lies": (
        edited(lambda d, a, c: put(d, c + 8, "<H", 0x1), zipped(("a.pkl", EVIL))),
        "HC-PKL-001",
    ),
    "an array of objects": (zipped(("a.npy", npy("'|O'", EVIL))), "HC-NPY-001"),
    "a command in an array": (zipped(("a.npy", npy("'|O'", EVIL))), "HC-PKL-001"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_trick_is_found(case: str) -> None:
    body, rule = CASES[case]
    assert rule in rules(body)


@pytest.mark.parametrize("length", [1, 60, 8000])
def test_a_hole_between_members_is_found(length: int) -> None:
    body = zipped(("a.txt", b"1"), ("b.txt", b"2"))
    at, directory = body.rindex(b"PK\x03\x04"), body.index(b"PK\x01\x02")
    data = bytearray(body[:at] + bytes(length) + body[at:])
    added = length
    put(data, data.rfind(b"PK\x01\x02") + 42, "<I", at + added)
    put(data, data.rfind(b"PK\x05\x06") + 16, "<I", directory + added)
    assert rules(bytes(data)) == {"HC-ZIP-004"}


@pytest.mark.parametrize("packed", [False, True])
def test_plain_archives_are_silent(tmp_path: Path, packed: bool) -> None:
    body = zipped(("a.npy", npy("'<f4'", bytes(4))), ("b.npy", npy("'|S3'", b"abc")), packed=packed)
    folder = zipped(("x/", b""), ("x/config.json", b"{}"), ("x/a.txt", b"words"), packed=packed)
    findings, verdicts = judge("archives", tmp_path, {"a.npz": body, "w.zip": folder, "e.zip": zipped()})
    assert findings == []
    assert {path: row.state for path, row in verdicts.items()} == dict.fromkeys(["a.npz", "w.zip", "e.zip"], "ok")


def test_what_numpy_writes_is_silent(tmp_path: Path) -> None:
    import numpy as np

    for save in (np.savez, np.savez_compressed):
        body = io.BytesIO()
        save(body, a=np.ones((3, 4)), b=np.array(["x", "yy"]), c=np.zeros(2, [("a", "<i4"), ("b", "u1", (2, 2))]))
        assert judge("archives", tmp_path, {"a.npz": body.getvalue()})[0] == []
        body = io.BytesIO()
        save(body, a=np.array([{}], dtype=object))
        assert "HC-NPY-001" in rules(body.getvalue())


def test_members_of_no_known_kind_are_not_checked(tmp_path: Path) -> None:
    files = {
        "odd.zip": zipped(("m.dat", bytes(range(1, 60)))),
        "seven.zip": zipped(("m.7z", b"7z\xbc\xaf\x27\x1c" + bytes(30))),
        "tensors.zip": zipped(("m.safetensors", safetensors())),
        "deep.zip": zipped(("a", zipped(("b", zipped(("c", zipped(("d", zipped(("e", zipped(("x", EVIL)))))))))))),
    }
    _, verdicts = judge("archives", tmp_path, files)
    assert {path: row.state for path, row in verdicts.items()} == dict.fromkeys(files, "unchecked")


def test_a_member_too_large_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubclean.scanning.formats.zip_members.LARGEST_MEMBER", 100)
    found = read_zip(BytesSource(zipped(("a.pkl", PLAIN + bytes(100)))))
    assert "more than the 100" in found.unchecked[0]
    monkeypatch.setattr("hubclean.scanning.formats.zip_members.MOST_READ", 3)
    many = read_zip(BytesSource(zipped(*((f"{n}.txt", b"x") for n in range(9)))))
    assert many.unchecked == ["more than 3 members; the others were not read"]


def test_a_member_that_says_less_than_it_unpacks_to_costs_no_memory() -> None:
    body = bytearray(zipped(("a.pkl", bytes(50 << 20)), packed=True))
    at = body.rfind(b"PK\x01\x02")
    put(body, at + 24, "<I", 10)
    put(body, 22, "<I", 10)
    assert "HC-ZIP-001" in rules(bytes(body))


def test_the_first_read_holds_all_that_is_small() -> None:
    body = torch_zip(PLAIN, byteorder=b"little", data__0=bytes(1 << 20), data__1=bytes(8), version=b"3\n")
    stop = planned_head(body[-TAIL:], len(body))
    assert body.index(b"archive/byteorder") < body.index(b"archive/data/0") < stop < 5000
    assert planned_head(bytes(TAIL), 1 << 30) == 256 << 10


@settings(max_examples=50, deadline=None)
@given(reads=st.lists(st.tuples(st.integers(0, 99), st.integers(1, 40)), max_size=12))
def test_spans_give_what_was_read_and_ask_for_nothing_twice(reads: list[tuple[int, int]]) -> None:
    data, spans, asked = bytes(range(100)), Spans(), bytearray(100)
    for start, length in reads:
        stop = min(100, start + length)
        if spans.get(start, stop) is None:
            begin, end = spans.missing(start, stop)
            spans.add(begin, data[begin:end])
            asked[begin:end] = bytes(count + 1 for count in asked[begin:end])
        assert spans.get(start, stop) == data[start:stop]
    assert spans.size == sum(count > 0 for count in asked)


@settings(max_examples=80, deadline=None)
@given(
    body=st.sampled_from([body for body, _ in CASES.values() if len(body) < 50_000]),
    cuts=st.lists(st.tuples(st.integers(1, 400), st.binary(min_size=1, max_size=4)), max_size=3),
)
def test_no_bytes_raise(body: bytes, cuts: list[tuple[int, bytes]]) -> None:
    for place, other in cuts:
        body = body[:-place] + other + body[-place + len(other) :] if place > len(other) else body + other
    found = read_zip(BytesSource(body))
    assert found.directory or found.unchecked


def test_zlib_is_what_the_crc_is_checked_with() -> None:
    (member,) = read_directory(BytesSource(zipped(("a", b"123456789")))).members
    assert member.crc == zlib.crc32(b"123456789") == 0xCBF43926


def program(target: str) -> bytes:
    node = {"target": target, "inputs": [], "outputs": []}
    return json.dumps({"graph_module": {"graph": {"nodes": [{"x": [node]}]}}}).encode()


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("torch.ops.aten.linear.default", ""),
        ("torch.ops.torchvision.nms.default", ""),
        ("torch.ops.higher_order.cond", ""),
        ("_operator.mul", ""),
        ("math.sqrt", ""),
        ("torch.sym_max", ""),
        ("torch.ops.aten.from_file.default", "HC-TS-001"),
        ("torch.ops.load_library", "HC-TS-001"),
        ("torch.ops.aten.add.__globals__", "HC-TS-001"),
        ("_operator.attrgetter", "HC-TS-001"),
        ("torch.hub.load", "HC-TS-001"),
        ("torch.load", "HC-TS-001"),
        ("torch.ops.acme.run.default", "HC-TS-002"),
        ("torch.nn.functional.relu", "HC-TS-002"),
        ("#acme.op", "HC-TS-002"),
    ],
)
def test_the_targets_of_exported_programs_are_judged(target: str, rule: str) -> None:
    raw = ("m/data/weights/weight_0", b"\x00\x01\xff\x80" * 9)
    found = read_zip(BytesSource(zipped(raw, ("m/models/model.json", program(target)))))
    assert ([row.rule for row in found.problems], found.unchecked) == ([rule] if rule else [], [])
    assert rules(zipped(("m/serialized_exported_program.json", program(target)))) == ({rule} if rule else set())


@pytest.mark.parametrize("name", ["src.zip", "tool-0.1-py3-none-any.whl"])
def test_code_in_a_plain_archive_lies_there_as_code_beside_does(tmp_path: Path, name: str) -> None:
    members = ("tool/__init__.py", b"import os"), ("tool-0.1.dist-info/RECORD", b"")
    repo = {"config.json": b'{"model_type": "vit"}', "model.safetensors": safetensors()}
    weights = zipped(("archive/data.pkl", b"\x80\x02}."), ("archive/x.py", b"import os"))
    assert scan(written(tmp_path / "a", repo | {name: zipped(*members)})).exit_code == 0
    assert scan(written(tmp_path / "b", repo | {"old.pt": weights})).exit_code == 1
    assert scan(written(tmp_path / "c", repo | {"images.zip.001": zipped(*members)[:-40]})).exit_code == 0
    assert scan(written(tmp_path / "d", {"model.pt": zipped(*members)[:-40]})).exit_code == 1
