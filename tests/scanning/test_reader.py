"""The reader of a scan gives the repo's own bytes, whatever is asked in whatever order, and keeps to its budgets."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import BudgetError, IntegrityError
from hubclean.hub.repos import LocalRepo
from hubclean.scanning import reader as reading
from hubclean.scanning.formats.zip_directory import BrokenZip, read_directory
from hubclean.scanning.reader import Reader
from hubclean.scanning.sources import SHORT_TAIL, SMALL, TAIL

SIZES = {"small.bin": 1000, "m.pth": 600_000, "n.pth": 200_000, "a.safetensors": 150_000, "x.dat": 90_000, "e.bin": 0}
BODIES = {path: bytes((i * 31 + i // 251) % 256 for i in range(size)) for path, size in SIZES.items()}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> LocalRepo:
    folder = tmp_path_factory.mktemp("repo")
    for path, body in BODIES.items():
        (folder / path).write_bytes(body)
    return LocalRepo(folder)


asked = st.tuples(st.sampled_from(sorted(SIZES)), st.floats(0, 1), st.sampled_from([0, 1, 22, 4096, 60_000, 10**6]))


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(asked, max_size=12))
def test_every_range_is_what_the_repo_holds(repo: LocalRepo, rows: list[tuple[str, float, int]]) -> None:
    reader = Reader(repo, repo.files())
    for path, share, length in rows:
        start = int(share * SIZES[path])
        stop = min(start + length, SIZES[path])
        before = reader.requests
        assert reader.read_range(path, start, stop) == BODIES[path][start:stop]
        assert reader.read_range(path, start, stop) == BODIES[path][start:stop]
        assert reader.requests - before <= 3  # its end, its beginning, then what was asked


def test_head_and_tail_of_a_pickle_are_two_requests_and_a_small_file_is_one(repo: LocalRepo) -> None:
    reader = Reader(repo, repo.files())
    reader.read_range("m.pth", 0, 4096)
    reader.read_range("m.pth", SIZES["m.pth"] - 22, SIZES["m.pth"])
    reader.read_range("m.pth", SIZES["m.pth"] - TAIL, SIZES["m.pth"] - 5)
    assert (reader.requests, reader.bytes_read) == (2, SMALL + TAIL)
    reader.read_range("n.pth", 100_000, 100_001)
    reader.read_range("n.pth", 0, SIZES["n.pth"])
    assert reader.requests == 3


def test_the_budgets_are_charged_before_a_byte_is_asked(repo: LocalRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FILE_BUDGET", 400_000)
    reader = Reader(repo, repo.files())
    reader.read_range("m.pth", 0, 60_000)
    before = repo.bytes_read
    with pytest.raises(BudgetError, match="400000 bytes of the file"):
        reader.read_range("m.pth", 60_000, 500_000)
    assert repo.bytes_read == before
    assert reader.read_range("m.pth", 5, 60_000) == BODIES["m.pth"][5:60_000]
    monkeypatch.setattr(reading, "REPO_BUDGET", reader.bytes_read + 1000)
    with pytest.raises(BudgetError, match="one repo"):
        reader.read_range("x.dat", 0, 90_000)


def test_what_changed_on_disk_is_an_error_for_good(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(BODIES["m.pth"])
    repo = LocalRepo(tmp_path)
    reader = Reader(repo, repo.files())
    (tmp_path / "m.pth").write_bytes(b"short")
    for _ in range(2):
        with pytest.raises(IntegrityError):
            reader.read_range("m.pth", 0, 4096)
    assert reader.requests == 1


class Sparse:
    """A file of which only the last bytes are anything but zeros; notes what was asked."""

    def __init__(self, size: int, end: bytes) -> None:
        self.size, self._end = size, end
        self.asked: list[tuple[int, int]] = []

    def at(self, start: int, stop: int) -> bytes:
        self.asked.append((start, stop))
        base = self.size - len(self._end)
        return bytes(max(0, min(stop, base) - start)) + self._end[max(0, start - base) : max(0, stop - base)]


def ended(members: int, size: int, comment: int = 0) -> Sparse:
    """A zip of ``size`` bytes whose directory has so many members of torch's length."""
    begin = size - members * 68 - 22 - comment
    row = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 9, 22, *[0] * 6) + b"pytorch_model/data/295"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, members, members, members * 68, begin, comment)
    return Sparse(size, row * members + end + bytes(comment))


def test_the_directory_of_large_weights_comes_with_a_short_read() -> None:
    large = ended(600, 1200 << 20)
    assert len(read_directory(large).members) == 600
    assert [stop - start for start, stop in large.asked] == [SHORT_TAIL]
    assert SHORT_TAIL + 54_000 < 100_000  # and the pickle of a ViT-L/16
    small = ended(900, 240 << 20)
    assert len(read_directory(small).members) == 900
    assert [stop - start for start, stop in small.asked] == [TAIL]


@pytest.mark.parametrize("size", [1 << 20, 1200 << 20])
def test_a_directory_behind_the_longest_comment_is_found(size: int) -> None:
    source = ended(3, size, 65_535)
    assert len(read_directory(source).members) == 3
    assert max(stop - start for start, stop in source.asked) <= TAIL
    with pytest.raises(BrokenZip, match="without its end record"):
        read_directory(Sparse(size, bytes(10)))
