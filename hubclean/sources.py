"""Bytes of one file, wherever it lies: in a repo (by range), or in memory (a member taken out of an archive)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hubclean.repos import Repo, RepoEntry

TAIL = 64 << 10  # holds the end record and, for most classifiers, the whole directory of a zip
SMALL = 256 << 10  # a file up to this size is read whole: one request
_STEP = 256 << 10


class Source(Protocol):
    """A file of ``size`` bytes. ``at`` gives exactly the bytes ``start..stop-1``, which must lie inside."""

    @property
    def size(self) -> int: ...

    def at(self, start: int, stop: int) -> bytes: ...


class RepoSource:
    """A file of a repo.

    Raises:
        HubcleanError: ``at`` could not read, or a budget is used up.
    """

    def __init__(self, repo: Repo, entry: RepoEntry) -> None:
        self.size = entry.size
        self._repo, self._path = repo, entry.path

    def at(self, start: int, stop: int) -> bytes:
        return self._repo.read_range(self._path, start, stop) if stop > start else b""


@dataclass(frozen=True)
class BytesSource:
    """Bytes at hand."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def at(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


def head(source: Source, size: int) -> bytes:
    """The first ``size`` bytes, or all there are."""
    return source.at(0, min(size, source.size))


def tail(source: Source) -> bytes:
    """The last ``TAIL`` bytes; a small file whole."""
    return source.at(0 if source.size <= SMALL else source.size - TAIL, source.size)


def grown(source: Source, have: int, want: int) -> bytes:
    """The first bytes of a file of which ``have`` were read and ``want`` are needed: at least twice as many."""
    return head(source, max(want, 2 * have, _STEP))
