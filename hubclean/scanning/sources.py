"""Bytes of one file, wherever it lies: in a repo (by range), or in memory (a member taken out of an archive)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Protocol

from hubclean.hub.repos import Repo, RepoEntry
from hubclean.scanning.budget import spend

TAIL = (64 << 10) + 22  # an end record with the longest comment; for most classifiers the whole directory of a zip
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
    """The parts of one file that were read, so that no byte is asked for twice. They never overlap; none is copied."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._parts: list[bytes] = []
        self.size = 0

    def get(self, start: int, stop: int) -> bytes | None:
        """The bytes ``start..stop-1`` if all of them are there."""
        found: list[bytes] = []
        for at in range(max(0, bisect_right(self._begins, start) - 1), len(self._parts)):
            spend()
            begin, body = self._begins[at], self._parts[at]
            if not begin <= start < begin + len(body):
                return None
            found.append(body[start - begin : stop - begin])
            start = min(stop, begin + len(body))
            if start == stop:
                return found[0] if len(found) == 1 else b"".join(found)
        return None

    def missing(self, start: int, stop: int) -> tuple[int, int]:
        """The part of ``start..stop-1`` that must be read, without what is there at its ends."""
        at = max(0, bisect_right(self._begins, start) - 1)
        while at < len(self._parts) and start < stop and self._begins[at] <= start:
            start = min(stop, max(start, self._begins[at] + len(self._parts[at])))
            at += 1
        at = bisect_left(self._begins, stop) - 1
        while at >= 0 and start < stop and self._begins[at] + len(self._parts[at]) >= stop:
            stop = max(start, min(stop, self._begins[at]))
            at -= 1
        return start, stop

    @property
    def parts(self) -> list[tuple[int, bytes]]:
        """Every part with where it begins."""
        return list(zip(self._begins, self._parts, strict=True))

    def replace(self, body: bytes) -> None:
        """Keep the whole file in place of its parts."""
        self._begins, self._parts, self.size = [0], [body], len(body)

    def add(self, start: int, body: bytes) -> None:
        """Keep bytes; of what was there already, the older bytes stay."""
        at = max(0, bisect_right(self._begins, start) - 1)
        stop = start + len(body)
        begin = start
        fresh: list[tuple[int, int]] = []
        while at < len(self._parts) and self._begins[at] < stop:
            if begin < self._begins[at]:
                fresh.append((begin, self._begins[at]))
            begin = max(begin, self._begins[at] + len(self._parts[at]))
            at += 1
        if begin < stop:
            fresh.append((begin, stop))
        for first, last in fresh:
            place = bisect_left(self._begins, first)
            self._begins.insert(place, first)
            self._parts.insert(place, body[first - start : last - start])
            self.size += last - first
