"""Files by their path relative to one place: a folder on this disk, walked within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.decode import MOST_BYTES
from hubclean.nets.sources.pictures import Unreadable
from hubclean.nets.sources.split_words import spelled

PICTURES = frozenset(
    spelled(".jpg .jpeg .jpe .jfif .png .gif .webp .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .avif .jp2 .tga .pcx .ico")
)
#: Pictures that nothing here opens; they are named where they are left.
OTHER_PICTURES = frozenset(
    spelled(".heic .heif .svg .dcm .npy .npz .mat .nii .psd .raw .cr2 .nef .dng .exr .mp4 .avi .mov .eps")
)
MOST_FILES = 2_000_000
_DEEPEST = 32
_JUNK = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")


class Tree(Protocol):
    """Files by path, ``/`` between its parts, without hidden ones; ``notes`` is what the walk met.

    ``remote``: a file that is read is fetched first.
    """

    @property
    def name(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def remote(self) -> bool: ...

    @property
    def paths(self) -> tuple[str, ...]: ...

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        """Every path with its bytes, or why there are none."""
        ...

    def local(self, path: str) -> Path:
        """Where the file lies on this disk, for readers that need it whole."""
        ...


def suffix(path: str) -> str:
    return os.path.splitext(path)[1].casefold()


def shown(path: str) -> bool:
    """Whether no part of a path is hidden or left behind by a file manager."""
    return not any(part.startswith(".") or part.casefold() in _JUNK for part in path.split("/"))


def pictures_in(paths: Sequence[str]) -> list[str]:
    """Those that are pictures by their ending, in any case."""
    return [path for path in paths if suffix(path) in PICTURES]


def one_of(tree: Tree, path: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of one file that must be there.

    Raises:
        DataError: it cannot be read.
    """
    for _, body in tree.read([path], most):
        if not isinstance(body, Unreadable):
            return body
        raise DataError(f"{printable(path, 120)!r} cannot be read: {printable(str(body), 120)}")
    raise DataError(f"{printable(path, 120)!r} cannot be read")


class Folder:
    """A folder on this disk. Links are followed; one that leads back into itself is not, and what they lead to outside
    the folder is said.

    Raises:
        DataError: it cannot be read, or has more than ``MOST_FILES`` files.
    """

    remote = False

    def __init__(self, place: Path) -> None:
        self.place = place
        self.name = place.resolve().name
        self._home = os.path.realpath(place)
        self._loops = self._outside = self._seen = 0

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Walked when first asked for."""
        found: list[str] = []
        try:
            self._walk(str(self.place), "", (self._home,), found, False)
        except OSError as error:
            raise DataError(f"the folder {printable(self.name)!r} cannot be read: {error.strerror}") from error
        return tuple(sorted(found))

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [f"of files outside the folder, behind links: {self._outside}"] if self._outside else []
        notes += [f"links into themselves, not followed: {self._loops}"] if self._loops else []
        return tuple(notes)

    def _walk(self, place: str, inner: str, above: tuple[str, ...], found: list[str], outside: bool) -> None:
        with os.scandir(place) as entries:
            rows = sorted(entries, key=lambda entry: entry.name)
        for entry in rows:
            self._seen += 1
            if self._seen > MOST_FILES:
                raise DataError(f"the folder {printable(self.name)!r} has more than {MOST_FILES:,} files")
            if not shown(entry.name):
                continue
            beyond = outside
            try:
                if entry.is_symlink():
                    beyond = not _within(os.path.realpath(entry.path), self._home)
                folder, plain = entry.is_dir(), entry.is_file()
            except OSError:  # a link that leads into itself
                self._loops += 1
                continue
            if folder:
                real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
                if real in above or len(above) > _DEEPEST:
                    self._loops += 1
                    continue
                self._walk(entry.path, f"{inner}{entry.name}/", (*above, real), found, beyond)
            elif plain:
                found.append(inner + entry.name)
                self._outside += beyond
            elif entry.is_symlink():
                found.append(inner + entry.name)  # leads nowhere: one picture that is missing

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        for path in paths:
            yield path, plain_bytes(self.place / path, most)

    def local(self, path: str) -> Path:
        return self.place / path


def _within(place: str, home: str) -> bool:
    return place == home or place.startswith(home.rstrip(os.sep) + os.sep)


def plain_bytes(place: Path, most: int = MOST_BYTES) -> bytes | Unreadable:
    """The bytes of a regular file; a device or a pipe is never opened."""
    try:
        if not stat.S_ISREG(os.stat(place).st_mode):
            return Unreadable("no plain file")
        with place.open("rb") as file:
            body = file.read(most + 1)
    except (OSError, ValueError) as error:
        return Unreadable("missing" if isinstance(error, FileNotFoundError) else str(error))
    return body if len(body) <= most else Unreadable(f"more than {most >> 20} MB")


class Only:
    """Some files of a tree, by the same paths; a folder of it by paths from there."""

    def __init__(self, tree: Tree, paths: Iterable[str], folder: str = "", name: str | None = None) -> None:
        self._tree, self._folder = tree, folder.strip("/") + "/" if folder.strip("/") else ""
        self.name, self.notes = name or tree.name, tree.notes
        self.remote = tree.remote
        cut = len(self._folder)
        self.paths = tuple(sorted(path[cut:] for path in paths if path.startswith(self._folder)))

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        cut = len(self._folder)
        for path, body in self._tree.read([self._folder + path for path in paths], most):
            yield path[cut:], body

    def local(self, path: str) -> Path:
        return self._tree.local(self._folder + path)


class Named(Folder):
    """The files that a table in a folder names, found without a walk; they may lie elsewhere on this disk.

    Args:
        place: the folder of the table.
        values: what the table says, relative to the folder or absolute.
    """

    def __init__(self, place: Path, values: Iterable[str]) -> None:
        super().__init__(place)
        found = dict.fromkeys(os.path.normpath(value) for value in values)
        self.__dict__["paths"] = tuple(sorted(path for path in found if os.path.isfile(place / path)))
        self._outside = sum(path.startswith("..") or os.path.isabs(path) for path in self.paths)

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"of pictures outside the folder of the table: {self._outside}",) if self._outside else ()
