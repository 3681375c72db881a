"""Compressed files and tar archives: members judged by all scanners, within budgets."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.records import ScanReport
from hubclean.scanning import scanners
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.packing.tar import read_tar
from hubclean.scanning.scanners import packed
from hubclean.scanning.sources import BytesSource
from support.pickled import EVIL, stream
from support.scanned_files import safetensors, written

GOOD = {"m/config.json": b"{}", "m/model.safetensors": safetensors(), "README.md": b"# hi", "m/w.bin": stream(b"}")}


def tarred(members: dict[str, bytes], mode: str = "w", link: str = "", **options: int) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=mode, **options) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            row = tarfile.TarInfo(name)
            row.size = len(content)
            archive.addfile(row, io.BytesIO(content))
        if link:
            row = tarfile.TarInfo("link")
            row.type, row.linkname = tarfile.SYMTYPE, link
            archive.addfile(row)
    return bytes(body.getvalue())


def judged(folder: Path, path: str, body: bytes) -> ScanReport:
    return scan(written(folder / "repo", {path: body}) / path)


@pytest.mark.parametrize(("mode", "ending"), [("w", "tar"), ("w:gz", "tgz"), ("w:bz2", "tar.bz2"), ("w:xz", "tar.xz")])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_judged(mode: str, ending: str, form: int, tmp_path: Path) -> None:
    members = GOOD if form == tarfile.USTAR_FORMAT else {**GOOD, "long/" * 40 + "é.txt": b"text"}
    good = judged(tmp_path / "good", f"a.{ending}", tarred(members, mode, format=form))
    assert good.exit_code == 0, good
    bad = judged(tmp_path / "bad", f"a.{ending}", tarred({**members, "m/x.bin": EVIL}, mode, format=form))
    assert (bad.exit_code, bad.findings[0].rule) == (1, "HC-PKL-001")
    assert bad.findings[0].path == f"a.{ending}"


@pytest.mark.parametrize(
    ("path", "pack"),
    [
        ("a.pkl.gz", gzip.compress),
        ("a.joblib", gzip.compress),
        ("a.joblib", zlib.compress),
        ("a.pkl", bz2.compress),
        ("a.pkl", lambda body: lzma.compress(body, lzma.FORMAT_ALONE)),
        ("a.pkl", lambda body: gzip.compress(body[:5], mtime=0) + gzip.compress(body[5:], mtime=0)),
        ("a.pkl.xz", lzma.compress),
        ("a.pkl.lz4", lz4.frame.compress),
        ("a.joblib", lz4.frame.compress),
    ],
)
def test_streams_are_judged(path: str, pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    assert judged(tmp_path / "good", path, pack(stream(b"}"))).exit_code == 0
    bad = judged(tmp_path / "bad", path, pack(EVIL))
    assert (bad.exit_code, bad.findings[0].rule) == (1, "HC-PKL-001")


SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"  # a frame of LZ4 that readers pass over


def with_dictionary(body: bytes) -> bytes:
    """An LZ4 frame that names a dictionary, which nobody needs to read it."""
    frame = lz4.frame.compress(body, store_size=False)
    return frame[:4] + bytes([frame[4] | 1]) + frame[5:6] + b"\1\0\0\0" + frame[6:]


BROKEN = [
    ("s.pkl.gz", lambda body: gzip.compress(body) + b"junk"),
    ("s.pkl.gz", lambda body: gzip.compress(body)[:-8]),
    ("s.pkl.gz", lambda body: gzip.compress(body)[:-8] + bytes(8)),
    ("s.pkl.bz2", lambda body: bz2.compress(body) + b"junk"),
    ("s.pkl.xz", lambda body: lzma.compress(body) + b"junkjunk"),
    ("s.pkl.xz", lambda body: lzma.compress(body)[:-12]),
    ("s.joblib", lambda body: zlib.compress(body) + b"junk"),
    ("s.joblib", lambda body: zlib.compress(body)[:-4]),
    ("s.joblib", lambda body: zlib.compress(body)[:-4] + bytes(4)),
    ("s.joblib", lambda body: lzma.compress(body, lzma.FORMAT_ALONE) + b"junkjunk"),
    ("s.joblib", lambda body: lz4.frame.compress(body) + b"junkjunk"),
    ("s.joblib", lambda body: lz4.frame.compress(body, content_checksum=True)[:-5]),
]
SEVERAL = [
    ("s.pkl.gz", lambda body: gzip.compress(body[:3]) + bytes(8) + gzip.compress(body[3:])),
    ("s.joblib", lambda body: zlib.compress(body[:3]) + zlib.compress(body[3:])),
    ("s.joblib", lambda body: lz4.frame.compress(body[:3]) + SKIPPED + lz4.frame.compress(body[3:])),
    ("s.joblib", with_dictionary),
]


@pytest.mark.parametrize(("path", "pack"), BROKEN)
def test_what_a_broken_stream_gives_is_judged(path: str, pack: object, tmp_path: Path) -> None:
    """Readers give, and loaders unpickle, what lies before the fault; that it is broken is no malice by itself."""
    assert callable(pack)
    beside = {"config.json": b"{}", "model.safetensors": safetensors()}
    bad = scan(written(tmp_path / "bad", {**beside, path: pack(EVIL)}))
    assert (bad.exit_code, bad.findings[0].rule) == (1, "HC-PKL-001")
    good = scan(written(tmp_path / "good", {**beside, path: pack(stream(b"}"))}))
    assert good.exit_code != 1
    assert any(row.path == path and row.state == "unchecked" for row in good.files)


@pytest.mark.parametrize(("path", "pack"), SEVERAL)
def test_streams_that_readers_join_are_joined(path: str, pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    assert judged(tmp_path / "good", path, pack(stream(b"}"))).exit_code == 0
    bad = judged(tmp_path / "bad", path, pack(EVIL))
    assert (bad.exit_code, bad.findings[0].rule) == (1, "HC-PKL-001")


def test_the_last_page_before_a_fault_is_judged(tmp_path: Path) -> None:
    """A long stream, with the call just before a wrong check sum."""
    call = EVIL[2:-1] if EVIL.startswith(b"\x80") else EVIL[:-1]
    packed_up = zlib.compress(b"\x80\x02" + b"N0" * 9000 + call + b"0N.")
    assert judged(tmp_path, "s.joblib", packed_up[:-4] + bytes(4)).exit_code == 1


@pytest.mark.parametrize(
    "body",
    [
        *(tarred({"../../x": b"a"}), tarred({"/etc/x": b"a"}), tarred({}, link="/etc/passwd")),
        *(tarred({}, link="a/../../x"), tarred({}, link="C:/x"), tarred({}, link="a\\..\\x")),
    ],
)
def test_paths_and_links_that_leave(body: bytes, tmp_path: Path) -> None:
    report = judged(tmp_path, "a.tar", body)
    assert report.exit_code == 1
    assert "HC-ZIP-002" in {row.rule for row in report.findings}


def test_a_link_to_a_neighbour_is_ordinary(tmp_path: Path) -> None:
    report = judged(tmp_path, "a.tar", tarred({"run/epoch_3.txt": b"a"}, link="run/epoch_3.txt"))
    assert (report.exit_code, report.findings) == (0, ())


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanners, "MOST_UNPACKED", 12 << 20)
    report = judged(tmp_path, "a.csv.gz", gzip.compress(bytes(16 << 20), mtime=0))
    assert {row.rule for row in report.findings if row.severity == "high"} == {"HC-ZIP-003"}
    nested = {f"{n}.csv.gz": gzip.compress(b"a,b\n" * (300 << 10), mtime=0) for n in range(12)}
    assert judged(tmp_path / "nested", "a.tar", tarred(nested)).exit_code == 2
    monkeypatch.setattr(packed, "MOST_MEMBERS", 10)
    assert judged(tmp_path / "many", "a.tar", tarred({f"{n}.txt": b"x" for n in range(20)})).exit_code == 2


@pytest.mark.parametrize("layer", ["tar", "zip", "gzip"])
def test_archives_in_archives(layer: str, tmp_path: Path) -> None:
    """Four deep is what nobody has by chance, and no place to hide in."""
    body, path = EVIL, "a.pkl"
    for _ in range(4):
        if layer == "gzip":
            body, path = gzip.compress(body, mtime=0), path + ".gz"
        elif layer == "tar":
            body, path = tarred({path: body}), "a.tar"
        else:
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as out:
                out.writestr(path, body)
            body, path = archive.getvalue(), "a.zip"
    report = judged(tmp_path, path, body)
    assert (report.exit_code, "HC-PKL-001" in {row.rule for row in report.findings}) == (1, True)


def test_too_deep_is_not_checked(tmp_path: Path) -> None:
    body, path = b"a,b\n", "a.csv"
    for _ in range(9):
        body, path = gzip.compress(body, mtime=0), path + ".gz"
    assert judged(tmp_path, path, body).exit_code == 2


@pytest.mark.parametrize(
    "body", [gzip.compress(b"a" * 99, mtime=0)[:-9], gzip.compress(b"a", mtime=0) + b"x" * 20, b"\x1f\x8b\x08"]
)
def test_broken_streams_are_not_checked(body: bytes, tmp_path: Path) -> None:
    assert judged(tmp_path, "a.csv.gz", body).exit_code == 2


def test_what_lies_behind_a_tar_is_not_passed_over(tmp_path: Path) -> None:
    assert judged(tmp_path, "a.tar", tarred(GOOD) + EVIL).exit_code != 0


@settings(max_examples=200, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6), cut=st.integers(0, 5000))
def test_a_mutated_tar_never_raises(changes: list[tuple[int, int]], cut: int) -> None:
    body = bytearray(tarred({"long/" * 40: b"x", "a": b"y" * 700}))
    for at, value in changes:
        body[at % len(body)] = value
    assert len(read_tar(BytesSource(bytes(body[: len(body) - cut]))).members) <= 5


def test_what_is_hostile_inside_is_hostile_outside_the_load_set(tmp_path: Path) -> None:
    files = {
        "config.json": b'{"architecture": "resnet18"}',
        "model.safetensors": safetensors(),
        "old/states.tar.gz": gzip.compress(tarred({"state/optimizer.pkl": EVIL}, "w"), mtime=0),
    }
    report = scan(written(tmp_path, files))
    assert not report.load_set.holds("old/states.tar.gz")
    assert report.exit_code == 1


@pytest.mark.parametrize("path", ["features.dat", "cache/0001", "vocab.txt", "notes.md"])
@pytest.mark.parametrize("pack", [zlib.compress, lambda body: lzma.compress(body, lzma.FORMAT_ALONE)])
def test_streams_without_a_name_are_tried(path: str, pack: object, tmp_path: Path) -> None:
    """joblib goes by the first bytes, whatever the file is called; what is not hostile is left to whoever knows it."""
    assert callable(pack)
    beside = {"config.json": b"{}", "model.safetensors": safetensors()}
    bad = scan(written(tmp_path / "bad", {**beside, path: pack(EVIL)}))
    assert (bad.exit_code, bad.findings[0].rule, bad.findings[0].path) == (1, "HC-PKL-001", path)
    good = scan(written(tmp_path / "good", {**beside, path: pack(b"some bytes of a cache")}))
    assert good.exit_code != 1
    assert len([row for row in good.files if row.path == path]) == 1
