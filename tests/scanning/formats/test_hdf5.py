"""The HDF5 walker against what h5py wrote, and against files that were changed."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import HubcleanError
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.hdf5.pages import PAGE
from hubclean.scanning.formats.hdf5.walk import read_hdf5
from hubclean.scanning.sources import BytesSource
from support import ROOT
from support.scanned_files import written

FOLDER = ROOT / "tests" / "scanning" / "fixtures"
FILES = {place.name: place.read_bytes() for place in sorted(FOLDER.glob("*/*/*.h5"))}


class Counted(BytesSource):
    """Counts reads and bytes, to hold a walk to its bounds."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        object.__setattr__(self, "asked", [])

    def at(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= self.size
        self.asked.append(stop - start)  # type: ignore[attr-defined]
        return super().at(start, stop)


@pytest.mark.parametrize("name", ["old.h5", "new.h5"])
def test_it_sees_what_h5py_put_there(name: str) -> None:
    found = read_hdf5(BytesSource(FILES[name]))
    assert found.unchecked == []
    assert (found.objects, found.datasets, found.soft) == (64, 2, 1)
    texts = {attribute.name: attribute.texts for attribute, _ in found.attributes}
    assert texts["text"] == (b"x" * 3000,)
    assert texts["row"] == (b"a", b"bb")
    assert [texts[f"name{number}"] for number in range(60)] == [(str(number).encode(),) for number in range(60)]
    assert [texts[f"attribute{number}"][0] for number in range(1, 60)] == [b"y" * number for number in range(1, 60)]
    assert found.numbers == 2 or found.numbers == 3


def test_a_large_file_is_read_in_parts() -> None:
    body = FILES["old.h5"]
    source = Counted(body + bytes(2 << 20))
    found = read_hdf5(source)
    assert found.objects == 64
    assert sum(source.asked) < len(body) + 100 * PAGE  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["old.h5", "new.h5"])
@pytest.mark.parametrize("block", [512, 2048, 8192])
def test_a_block_of_somebody_else_may_lie_before_it(tmp_path: Path, name: str, block: int) -> None:
    body = FILES[name]
    plain = read_hdf5(BytesSource(body))
    moved = bytearray(body)
    at = 24 if moved[8] < 2 else 12  # the base address; two further lies the end of the file
    moved[at : at + 8] = struct.pack("<Q", block)
    moved[at + 16 : at + 24] = struct.pack("<Q", block + len(body))
    whole = b"MATLAB 7.3 MAT-file".ljust(block, b"\0") + bytes(moved)
    found = read_hdf5(BytesSource(whole))
    assert (found.objects, found.datasets, found.unchecked) == (plain.objects, plain.datasets, [])
    assert [place - block for _, place in found.attributes] == [place for _, place in plain.attributes]
    for path in ("features.h5", "x.mat"):
        if block > 2048 and path == "x.mat":
            continue  # too far from the beginning for a name that promises other things too
        report = scan(written(tmp_path / path, {path: whole}))
        assert [(row.path, row.state) for row in report.files] == [(path, "ok")]


def test_noise_under_a_name_of_hdf5_is_no_disguise(tmp_path: Path) -> None:
    report = scan(written(tmp_path / "repo", {"weights.h5": b"\x01\x02\xff" * 400}))
    assert (report.exit_code, [row.state for row in report.files]) == (2, ["unchecked"])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_a_changed_file_never_breaks_the_walk(data: st.DataObject, name: str) -> None:
    body = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        patch = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8)])))
        body[at : at + len(patch)] = patch
    body = body[: data.draw(st.sampled_from([len(body), len(body) - 1, len(body) // 2, 100]))]
    source = Counted(bytes(body))
    try:
        read_hdf5(source)
    except HubcleanError:
        return
    assert sum(source.asked) <= 2 * len(body) + 4096  # type: ignore[attr-defined]


@given(body=st.binary(max_size=400))
def test_any_bytes_behind_the_signature(body: bytes) -> None:
    for version in (0, 2):
        read_hdf5(BytesSource(b"\x89HDF\r\n\x1a\n" + bytes([version]) + body))


def test_fixtures_hold_no_path_of_a_machine() -> None:
    for place in Path(FOLDER).rglob("*"):
        if place.is_file():
            body = place.read_bytes()
            assert not any(str(folder).encode() in body for folder in (Path.home(), ROOT, Path(sys.prefix)))
