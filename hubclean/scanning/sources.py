"""Bytes of one file, wherever it lies: in a repo (by range), or in memory (a member taken out of an archive)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hubclean.hub.repos import Repo, RepoEntry

TAIL = 64 << 10  # holds the end record and, for most classifiers, the whole directory of a zip
LONGEST_TAIL = (64 << 10) + 22  # an end record with the longest comment
# Weights as large as a ViT-L's lie in few, large tensors: 640 fit in, and with the pickle that is less than 100 kB.
LARGE, SHORT_TAIL = 512 << 20, 44 << 10
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


@dataclass(frozen=True)
class Part:
    """The bytes ``start..stop-1`` of another source, as a file of their own."""

    source: Source
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def at(self, start: int, stop: int) -> bytes:
        return self.source.at(self.start + start, self.start + stop)


def head(source: Source, size: int) -> bytes:
    """The first ``size`` bytes, or all there are."""
    return source.at(0, min(size, source.size))


def tail_size(size: int) -> int:
    """How many of its last bytes are read first of a file of ``size`` bytes; a small one whole."""
    return size if size <= SMALL else TAIL if size <= LARGE else SHORT_TAIL


def tail(source: Source) -> bytes:
    """The last ``tail_size`` bytes."""
    return source.at(source.size - tail_size(source.size), source.size)


def grown(source: Source, have: int, want: int) -> bytes:
    """The first bytes of a file of which ``have`` were read and ``want`` are needed: at least twice as many."""
    return head(source, max(want, 2 * have, _STEP))


class Spans:
    """The parts of one file that were read, so that no byte is asked for twice."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, bytes]] = []
        self.size = 0

    def get(self, start: int, stop: int) -> bytes | None:
        """The bytes ``start..stop-1`` if all of them are there."""
        for begin, body in self._parts:
            if begin <= start and stop <= begin + len(body):
                return body[start - begin : stop - begin]
        return None

    def missing(self, start: int, stop: int) -> tuple[int, int]:
        """The part of ``start..stop-1`` that must be read, without what is there at its ends."""
        for begin, body in self._parts:
            end = begin + len(body)
            if begin <= start < end:
                start = min(end, stop)
            if begin < stop <= end:
                stop = max(begin, start)
        return start, stop

    def add(self, start: int, body: bytes) -> None:
        """Keep bytes; parts that touch become one."""
        parts: list[tuple[int, bytes]] = []
        joined = [(start, body)]
        for begin, other in self._parts:
            touches = begin <= start + len(body) and start <= begin + len(other)
            (joined if touches else parts).append((begin, other))
        first = min(begin for begin, _ in joined)
        whole = bytearray(max(begin + len(other) for begin, other in joined) - first)
        for begin, other in joined:
            whole[begin - first : begin - first + len(other)] = other
        self._parts = [*parts, (first, bytes(whole))]
        self.size = sum(len(other) for _, other in self._parts)
