"""A repo to read from: pinned Hub repo, local folder or single file, with one interface and no torch.

``open_target`` understands ``org/model``, ``org/model@rev``, ``hf://org/model@rev``, a Hub URL, a folder, a file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hubclean.errors import IntegrityError, TargetError, strings
from hubclean.escaping import printable
from hubclean.records import RepoRef

# What one scan, or one open repo, reads at most, in bytes.
REPO_BUDGET, FILE_BUDGET = 64 << 20, 16 << 20
# Endings under which weights lie as pickles; who reads, refuses or deletes pickles adds rarer ones of its own.
PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class RepoEntry:
    """One file of a listing. ``sha256`` is known for LFS files, ``blob_id`` (git sha1) for the others on a Hub."""

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None

    @property
    def hash(self) -> str | None:
        """What the commit says of the whole file: sha256 for LFS files, else git's blob sha1; ``None`` off a Hub."""
        return self.sha256 or self.blob_id

    def digest(self) -> Any:
        """The function behind ``hash``, begun; git's begins with the size."""
        return hashlib.sha256() if self.sha256 else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)

    def fits(self, body: bytes) -> bool:
        """Whether this is the whole file, as far as a hash is known."""
        digest = self.digest()
        digest.update(body)
        return len(body) == self.size and self.hash in (None, digest.hexdigest())


class Repo(Protocol):
    """What a scan and a load need of a repo, wherever it lies.

    Attributes:
        ref: origin, pinned to a commit on a Hub.
        requests: number of body requests made so far (file opens on disk).
        bytes_read: body bytes asked for so far.
        alone: the target is one file, so that nothing can be said of the files beside it.
        hub_security: what the Hub's own scanners say, as it tells it; ``None`` if it does not.
    """

    ref: RepoRef
    requests: int
    bytes_read: int
    alone: bool
    hub_security: dict[str, Any] | None

    def files(self) -> tuple[RepoEntry, ...]:
        """All files, sorted by path."""
        ...

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        """Exactly the bytes ``start..stop-1`` of a file.

        Raises:
            IntegrityError: the server answered with other bytes than asked for, or from another commit.
            TransportError: the Hub could not be reached.
        """
        ...

    def read(self, path: str, limit: int) -> bytes:
        """A whole small file, its hash checked against the listing.

        Raises:
            IntegrityError: wrong hash or size, or larger than ``limit`` bytes.
        """
        ...

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        """Bring files to disk, every byte checked against the listing, and return their folder.

        ``into`` is a folder to copy to; without it, a cache or the local folder itself is used.
        """
        ...


class LocalRepo:
    """A folder or a single file on disk. Links that leave the folder are refused."""

    def __init__(self, place: Path) -> None:
        place = Path(os.path.abspath(place))
        self._root = place if place.is_dir() else place.parent
        self._only = None if place.is_dir() else place.name
        self.alone = self._only is not None
        self.hub_security: dict[str, Any] | None = None
        self.ref = RepoRef(place.name or "folder", None, "local")
        self.requests = 0
        self.bytes_read = 0

    def files(self) -> tuple[RepoEntry, ...]:
        if self._only is not None:
            return (RepoEntry(self._only, (self._root / self._only).stat().st_size),)
        rows = []
        for folder, names, files in os.walk(self._root, onerror=_unreadable):
            if Path(folder) == self._root:
                names[:] = [name for name in names if name != ".git"]  # no commit of a Hub can hold one
            if Path(folder).relative_to(self._root).parts[:2] == (".cache", "huggingface"):
                files = [name for name in files if not _CLIENT_FILES.fullmatch(name)]
            for name in names:
                if not (Path(folder) / name).resolve().is_relative_to(self._root.resolve()):
                    raise TargetError(f"{printable(name)!r} is a link that leaves the folder")
            rows += [self._entry(Path(folder) / name) for name in files]
        return tuple(sorted(rows, key=lambda row: row.path))

    def _entry(self, place: Path) -> RepoEntry:
        path = place.relative_to(self._root).as_posix()
        return RepoEntry(path, self._inside(path).stat().st_size)

    def _inside(self, path: str) -> Path:
        place = self._root / path
        if not place.is_file():
            raise TargetError(f"{path!r} is missing, no plain file, or a broken link")
        root = self._root.resolve()
        model = root.parent.parent  # a Hub cache snapshot links to ../../blobs, or with Xet on to a store of all models
        real, stores = place.resolve(), (model, model.parent / "blobs")
        cached = root.parent.name == "snapshots" and any(real.is_relative_to(store) for store in stores)
        if not real.is_relative_to(root) and not cached:
            raise TargetError(f"{path!r} is a link that leaves the folder")
        return place

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        self.requests += 1
        with self._inside(path).open("rb") as file:
            file.seek(start)
            body = file.read(stop - start)
        self.bytes_read += len(body)
        if len(body) != stop - start:
            raise IntegrityError(f"{path!r} ends before byte {stop}")
        return body

    def read(self, path: str, limit: int) -> bytes:
        size = self._inside(path).stat().st_size
        if size > limit:
            raise IntegrityError(f"{path!r} has {size} bytes, more than the {limit} allowed here")
        return self.read_range(path, 0, size)

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        paths = named(paths)
        if into is None:
            for path in paths:
                self._inside(path)
            return self._root
        for path in paths:
            place = into / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self._inside(path).read_bytes())
        return into


def named(paths: Iterable[str]) -> tuple[str, ...]:
    """Paths to fetch.

    Raises:
        OptionError: it is one path, not several.
    """
    return strings("paths", paths if isinstance(paths, (str, bytes)) else tuple(paths))


# What the client of the Hub leaves in ``--local-dir`` folders; anything else there came with the repo.
_CLIENT_FILES = re.compile(r".*\.(?:metadata|lock|incomplete)|CACHEDIR\.TAG|\.gitignore")


def _unreadable(error: OSError) -> None:
    """``os.walk`` would leave such a folder out, and nobody would know that it was not looked at."""
    raise TargetError(f"{printable(str(error.filename))!r} cannot be read: {error.strerror}") from error


def sha256_of(place: Path) -> str:
    """sha256 of a file on disk in hex, read in blocks."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
