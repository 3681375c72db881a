"""Zip and tar files as trees: one file is read when it is drawn, nothing is ever unpacked to the disk."""

from __future__ import annotations

import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.decode import MOST_BYTES
from hubclean.nets.sources.pictures import Unreadable
from hubclean.nets.sources.trees import MOST_FILES, Tree, shown

#: Bytes that may come out of an archive, as a multiple of its own: pictures hardly shrink.
SWELLING, FREE = 100, 1 << 30
_PACKED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")


def archive(place: Path) -> Tree:
    """A zip or tar file as a tree.

    Raises:
        DataError: it is neither, or damaged, or packed so that no single file can be read.
    """
    name = place.name.casefold()
    if name.endswith(_PACKED):
        raise DataError(f"single pictures cannot be read out of {printable(place.name)!r}: unpack it, or make it a zip")
    try:
        return ZipTree(place) if zipfile.is_zipfile(place) else TarTree(place)
    except DataError:
        raise
    except Exception as error:  # both raise a dozen kinds on a damaged file
        what = printable(str(error), 120)
        raise DataError(f"{printable(place.name)!r} is no zip or tar file that can be read: {what}") from error


def _inside(path: str) -> str | None:
    """A member's path, tidied; ``None`` for one that is hidden or leaves the archive."""
    tidy = posixpath.normpath(path.replace("\\", "/"))
    return tidy if shown(tidy) and not tidy.startswith("/") and "\0" not in tidy else None


class ZipTree:
    """A zip file. What comes out of it all together is bounded by its size."""

    remote = False

    def __init__(self, place: Path) -> None:
        self.name = place.stem
        self.notes: tuple[str, ...] = ()
        self._place = place
        self._budget = max(FREE, SWELLING * place.stat().st_size)
        self._zip = zipfile.ZipFile(place)
        members = self._zip.infolist()
        if len(members) > MOST_FILES:
            raise DataError(f"{printable(place.name)!r} has more than {MOST_FILES:,} files")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            path = _inside(member.filename)
            if path and not member.is_dir() and not _is_link(member):
                self._members.setdefault(path, member)
        self.paths = tuple(sorted(self._members))

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        for path in paths:
            yield path, self._one(path, most)

    def _one(self, path: str, most: int) -> bytes | Unreadable:
        member = self._members.get(path)
        if member is None:
            return Unreadable("missing")
        if member.flag_bits & 1:
            raise DataError(f"{printable(self._place.name)!r} is locked with a password: unpack it first")
        if member.file_size > most:
            return Unreadable(f"more than {most >> 20} MB")
        self._budget -= member.file_size
        if self._budget < 0:
            raise DataError(
                f"far more comes out of {printable(self._place.name)!r} than went in: this is no archive of pictures"
            )
        try:
            with self._zip.open(member) as file:
                body = file.read(most + 1)
        except Exception as error:  # zipfile and its decompressors raise a dozen kinds
            return Unreadable(str(error))
        return body if len(body) <= most else Unreadable(f"more than {most >> 20} MB")

    def local(self, path: str) -> Path:
        raise DataError(f"{printable(path, 80)!r} lies in the archive {printable(self._place.name)!r}: unpack it first")


def _is_link(member: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)


class TarTree:
    """A tar file that is not compressed; only plain files count, links in it are not followed."""

    remote = False

    def __init__(self, place: Path) -> None:
        self.name = place.stem
        self.notes: tuple[str, ...] = ()
        self._place = place
        self._members: dict[str, tuple[int, int]] = {}
        with tarfile.open(place, "r:") as archived:
            for seen, member in enumerate(archived):
                if seen >= MOST_FILES:
                    raise DataError(f"{printable(place.name)!r} has more than {MOST_FILES:,} files")
                path = _inside(member.name)
                if path and member.isreg() and not member.issparse():
                    self._members.setdefault(path, (member.offset_data, member.size))
        self.paths = tuple(sorted(self._members))

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        with self._place.open("rb") as file:
            for path in paths:
                start, size = self._members.get(path, (0, -1))
                if size < 0 or size > most:
                    yield path, Unreadable("missing" if size < 0 else f"more than {most >> 20} MB")
                    continue
                file.seek(start)
                body = file.read(size)
                yield path, body if len(body) == size else Unreadable("cut off")

    def local(self, path: str) -> Path:
        raise DataError(f"{printable(path, 80)!r} lies in the archive {printable(self._place.name)!r}: unpack it first")


class Several:
    """Archives side by side, each a folder with the name of its file."""

    remote = False

    def __init__(self, name: str, trees: Sequence[tuple[str, Tree]]) -> None:
        self.name = name
        self.notes = tuple(note for _, tree in trees for note in tree.notes)
        self._at = {f"{prefix}/{path}": (tree, path) for prefix, tree in trees for path in tree.paths}
        self.paths = tuple(sorted(self._at))

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        for path in paths:
            if path not in self._at:
                yield path, Unreadable("missing")
                continue
            tree, inner = self._at[path]
            yield path, next(iter(tree.read([inner], most)))[1]

    def local(self, path: str) -> Path:
        tree, inner = self._at[path]
        return tree.local(inner)
