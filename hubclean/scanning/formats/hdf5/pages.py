"""Blocks of one file, read once, in few requests."""

from __future__ import annotations

from collections.abc import Iterable

from hubclean.errors import BudgetError
from hubclean.scanning.budget import spend
from hubclean.scanning.sources import Source

PAGE = 2048  # h5py puts what is not numbers into blocks of this size
# How many pages between two are read with them rather than by a request of their own: many at first, since a request
# takes as long as 200 KB, and few once much was read.
_WIDE, _NARROW, _MUCH = 96, 8, 3 << 20
_SMALL = 1 << 20  # a file up to this size is read whole
_AHEAD = 2
_LONGEST = 512  # pages read at once
MOST_READ = 12 << 20
MOST_REQUESTS = 3000


class Hdf5Broken(Exception):
    """The file cannot be followed; ``str`` says why and where."""


class Pages:
    """A source by pages. Numbers are little-endian.

    Attributes:
        size: of the file. address, length: how many bytes its addresses and lengths have, see ``objects``.
        heaps, huge: what was found in global heaps and among huge objects, see ``heaps``.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size = source.size
        self.address = self.length = 8
        self._held: dict[int, bytes] = {}
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self.huge: dict[int, dict[int, tuple[int, int]]] = {}
        self._read = self._requests = 0

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Read what is not there yet of several ranges, close ones at once; ranges outside the file are left out."""
        last = (self.size - 1) // PAGE
        if self.size <= _SMALL:
            ranges = [(0, self.size)] if not self._held else []
        pages: set[int] = set()
        for start, stop in ranges:
            if 0 <= start < stop <= self.size:
                if (stop - start) // PAGE > MOST_READ // PAGE:
                    raise BudgetError(f"judging it would take more than {MOST_READ:,} bytes of the file")
                pages.update(range(start // PAGE, min(last, (stop - 1) // PAGE) + 1))
        todo = sorted(pages - self._held.keys())
        while todo:
            count, gap = 1, _WIDE if self._read < _MUCH else _NARROW
            while count < len(todo) and todo[count] - todo[count - 1] <= gap and todo[count] - todo[0] < _LONGEST:
                count += 1
            self._load(todo[0], todo[count - 1] + 1)
            todo = todo[count:]

    def _load(self, first: int, behind: int) -> None:
        start, stop = first * PAGE, min(behind * PAGE, self.size)
        self._read += stop - start
        self._requests += 1
        if self._read > MOST_READ or self._requests > MOST_REQUESTS:
            raise BudgetError(f"judging it would take more than {MOST_READ:,} bytes or {MOST_REQUESTS:,} requests")
        body = self._source.at(start, stop)
        for page in range(first, behind):
            self._held[page] = body[(page - first) * PAGE : (page - first + 1) * PAGE]

    def at(self, start: int, stop: int) -> bytes:
        """Exactly the bytes ``start..stop-1``.

        Raises:
            Hdf5Broken: they lie outside the file.
        """
        if not 0 <= start <= stop <= self.size:
            raise Hdf5Broken(f"bytes {start}..{stop} lie outside the file")
        if start == stop:
            return b""
        first, last = start // PAGE, (stop - 1) // PAGE
        spend(1 + last - first)
        if any(page not in self._held for page in range(first, last + 1)):
            ahead = min(self.size, stop + _AHEAD * PAGE)
            self.want([(start, ahead)])
        body = b"".join(self._held[page] for page in range(first, last + 1))
        return body[start - first * PAGE : stop - first * PAGE]

    def signed(self, start: int, stop: int, signature: bytes) -> Cursor:
        """A cursor behind the signature of a structure.

        Raises:
            Hdf5Broken: it has another one, or lies outside the file.
        """
        body = self.at(start, min(stop, self.size))
        if not body.startswith(signature):
            raise Hdf5Broken(f"no {signature.decode('ascii')} at byte {start}")
        return Cursor(body, self, len(signature))

    @property
    def nowhere(self) -> int:
        """The address that stands for none."""
        return (1 << 8 * self.address) - 1


class Cursor:
    """Reads numbers and addresses from bytes, front to back.

    Raises:
        Hdf5Broken: from every method, where the bytes end.
    """

    def __init__(self, body: bytes, pages: Pages, at: int = 0) -> None:
        self.body, self.place, self._pages = body, at, pages

    def take(self, count: int) -> bytes:
        if count < 0 or self.place + count > len(self.body):
            raise Hdf5Broken("a structure ends early")
        self.place += count
        return self.body[self.place - count : self.place]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def address(self) -> int:
        return self.number(self._pages.address)

    def length(self) -> int:
        return self.number(self._pages.length)

    def skip(self, count: int) -> None:
        self.take(count)

    def text(self) -> bytes:
        """Up to the next zero byte, which is taken too."""
        end = self.body.find(b"\0", self.place)
        if end < 0:
            raise Hdf5Broken("a name has no end")
        return self.take(end + 1 - self.place)[:-1]
