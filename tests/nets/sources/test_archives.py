"""Archives: read in place, within bounds, nothing outside them and nothing that is no plain file."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from hubclean.errors import DataError
from hubclean.nets.sources import archives
from hubclean.nets.sources.archives import archive
from hubclean.nets.sources.pictures import Unreadable


def test_a_zip_bomb_stops_at_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(8):
            packed.writestr(f"a/{number}.png", b"\0" * (1 << 18))
    tree = archive(tmp_path / "x.zip")
    with pytest.raises(DataError, match="far more comes out"):
        list(tree.read(tree.paths))


def test_a_member_larger_than_it_says_or_damaged_is_one_unreadable_picture(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for name in "ab":
            packed.writestr(f"{name}/1.png", name.encode() * 1000)
    body = bytearray((tmp_path / "x.zip").read_bytes())
    body[body.index(b"a" * 1000)] ^= 1  # its checksum is wrong now
    (tmp_path / "x.zip").write_bytes(body)
    found = dict(archive(tmp_path / "x.zip").read(["a/1.png", "b/1.png", "c/1.png"]))
    assert isinstance(found["a/1.png"], Unreadable)
    assert isinstance(found["c/1.png"], Unreadable)
    assert found["b/1.png"] == b"b" * 1000
    small = dict(archive(tmp_path / "x.zip").read(["b/1.png"], most=10))
    assert isinstance(small["b/1.png"], Unreadable)


def test_what_leaves_a_zip_is_hidden_or_a_link_is_not_there(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for name in ("../up.png", "/etc/top.png", ".hidden/1.png", "cat\\2.png", "./cat/./1.png", "cat/"):
            packed.writestr(name, b"x")
        packed.writestr(link, "/etc/passwd")
    assert archive(tmp_path / "x.zip").paths == ("cat/1.png", "cat/2.png")


def test_links_and_devices_in_a_tar_are_not_there(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        plain, link, hard, device = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
        members = {"a/1.png": plain, "a/2.png": link, "a/3.png": hard, "a/4.png": device, "../5.png": plain}
        for name, kind in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", 1 if kind == tarfile.REGTYPE else 0
            packed.addfile(info, io.BytesIO(b"x"))
    tree = archive(tmp_path / "x.tar")
    assert tree.paths == ("a/1.png",)
    assert dict(tree.read(["a/1.png", "a/2.png"]))["a/1.png"] == b"x"


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04", b"\0" * 512, b"x" * 2000])
@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_what_is_no_archive_is_one_sentence(body: bytes, name: str, tmp_path: Path) -> None:
    from hubclean.nets.sources.opening import open_pictures
    from hubclean.nets.sources.pictures import Request

    (tmp_path / name).write_bytes(body)
    with pytest.raises(DataError, match=r"no zip or tar file|no pictures among"):
        open_pictures(str(tmp_path / name), Request())


def test_a_locked_zip_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("a/1.png", b"x")
    body = bytearray((tmp_path / "x.zip").read_bytes())
    body[body.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(body)
    with pytest.raises(DataError, match="locked with a password"):
        list(archive(tmp_path / "x.zip").read(["a/1.png"]))
