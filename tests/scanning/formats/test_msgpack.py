"""MessagePack as Flax writes it: by range, without the arrays' bytes; what may be unpickled is walked."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.formats import msgpack
from hubclean.scanning.formats.msgpack import read_msgpack
from hubclean.scanning.sources import BytesSource
from support import ROOT
from support.pickled import EVIL
from support.scanned_files import judge

FIXTURES = ROOT / "tests/scanning/fixtures/msgpack"
NAMES = sorted(path.name for path in FIXTURES.glob("*.msgpack"))


class Counted:
    """A file that counts what is read of it."""

    def __init__(self, parts: list[tuple[int, bytes]], size: int) -> None:
        self.size, self.reads, self.read = size, 0, 0
        self._parts = parts

    def at(self, start: int, stop: int) -> bytes:
        self.reads, self.read = self.reads + 1, self.read + stop - start
        body = bytearray(stop - start)
        for begin, part in self._parts:
            for at in range(max(begin, start), min(begin + len(part), stop)):
                body[at - start] = part[at - begin]
        return bytes(body)


def array(count: int, name: bytes = b"float32", length: int | None = None) -> tuple[bytes, int]:
    """The header of an array of floats, and how many bytes follow it."""
    length = 4 * count if length is None else length
    inner = b"\x93\x91\xce" + struct.pack(">I", count) + bytes([0xA0 | len(name)]) + name
    inner += b"\xc6" + struct.pack(">I", length)
    return b"\xc9" + struct.pack(">I", len(inner) + length) + b"\x01" + inner, length


@pytest.mark.parametrize("name", NAMES)
def test_what_the_libraries_write_passes(name: str, tmp_path: Path) -> None:
    body = (FIXTURES / name).read_bytes()
    findings, verdicts = judge("msgpack", tmp_path, {"flax_model.msgpack": body})
    assert findings == []
    assert verdicts["flax_model.msgpack"].state == "ok"


def test_of_350_megabytes_the_headers_are_read() -> None:
    parts: list[tuple[int, bytes]] = []
    at = 3
    for number in range(150):
        head, length = array(590_000)
        key = b"\xa4w%03d" % number
        parts.append((at, key + head))
        at += len(key) + len(head) + length
    source = Counted([(0, b"\xde" + struct.pack(">H", 150)), *parts], at)
    found = read_msgpack(source)
    assert (found.problems, found.unchecked, found.arrays) == ([], [], 150)
    assert source.size > 350_000_000
    assert source.reads < 160
    assert source.read < 3_000_000


def test_more_reads_than_are_made_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgpack, "MOST_READS", 5)
    head, length = array(100_000)
    body = b"\x9f" + (head + bytes(length)) * 15
    assert any("5 reads" in reason for reason in read_msgpack(BytesSource(body)).unchecked)


@pytest.mark.parametrize("kind", [b"\xc4", b"\xd9"])
def test_a_pickle_inside_is_walked(kind: bytes) -> None:
    found = read_msgpack(BytesSource(b"\x81\xa4data" + kind + bytes([len(EVIL)]) + EVIL))
    assert "HC-PKL-001" in {row.rule for row in found.problems}


def test_an_unknown_extension_is_told() -> None:
    found = read_msgpack(BytesSource(b"\x81\xa1w\xd4\x2a\x00"))
    assert [row.rule for row in found.problems] == ["HC-MSG-001"]
    assert found.unchecked


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"\x81\xa1w",
        b"\xdf\xff\xff\xff\xff",
        b"\x80\x00",
        b"\x91" * 100 + b"\x00",
        b"\x91" + array(4, b"object")[0] + bytes(16),
        b"\x91" + array(4, length=12)[0] + bytes(12),
        b"\x91" + array(4)[0] + bytes(15),
    ],
)
def test_what_cannot_be_followed_is_not_checked(body: bytes) -> None:
    found = read_msgpack(BytesSource(body))
    assert found.problems == []
    assert found.unchecked


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 600),
)
def test_a_mutated_file_never_raises(name: str, changes: list[tuple[int, int]], cut: int) -> None:
    body = bytearray((FIXTURES / name).read_bytes())
    for at, value in changes:
        body[at % len(body)] = value
    found = read_msgpack(BytesSource(bytes(body[: max(1, len(body) - cut)])))
    assert found.values <= msgpack.MOST_VALUES + 1
