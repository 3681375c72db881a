"""FlatBuffers read by range: tables, vectors and strings, every offset checked.

Source: flatbuffers.dev, "Internals".
"""

from __future__ import annotations

from hubclean.errors import BudgetError, FormatError
from hubclean.scanning.budget import spend
from hubclean.scanning.sources import Source

MOST_STEPS = 1_000_000  # numbers read of one file
_WHOLE, _PAGE = 4 << 20, 32 << 10  # a file up to this size is read whole; of larger ones, pages


class BrokenFlatbuffer(FormatError):
    """An offset outside the file, or a number of the wrong kind; ``str`` says where."""


class Flatbuffer:
    """Positions are byte offsets of the file; 0 stands for a field that is left out.

    Raises:
        BrokenFlatbuffer: any method, where an offset leads outside the file.
        BudgetError: any method, when more was read than allowed.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.size, self.steps = source, source.size, 0
        self._pages: dict[int, bytes] = {}
        self._page = max(self.size, 1) if self.size <= _WHOLE else _PAGE

    def at(self, start: int, size: int) -> bytes:
        """``size`` bytes."""
        self.steps += 1
        spend()
        if self.steps > MOST_STEPS:
            raise BudgetError(f"more than {MOST_STEPS:,} numbers to read")
        stop = start + size
        if not 0 <= start <= stop <= self.size:
            raise BrokenFlatbuffer(f"bytes {start:,} to {stop:,} are outside the file")
        first, last = start // self._page, max(start, stop - 1) // self._page
        if first != last:
            return self.source.at(start, stop) if size > self._page else self._joined(first, last, start, stop)
        return self._load(first)[start - first * self._page : stop - first * self._page]

    def _joined(self, first: int, last: int, start: int, stop: int) -> bytes:
        body = b"".join(self._load(page) for page in range(first, last + 1))
        return body[start - first * self._page : stop - first * self._page]

    def _load(self, page: int) -> bytes:
        if page not in self._pages:
            begin = page * self._page
            self._pages[page] = self.source.at(begin, min(self.size, begin + self._page))
        return self._pages[page]

    def number(self, at: int, size: int = 4, signed: bool = False) -> int:
        return int.from_bytes(self.at(at, size), "little", signed=signed)

    def root(self) -> int:
        return self.number(0)

    def field(self, table: int, index: int) -> int:
        """Where the field lies; 0 if the table leaves it out."""
        vtable = table - self.number(table, signed=True)
        if self.number(vtable, 2) < 6 + 2 * index:
            return 0
        offset = self.number(vtable + 4 + 2 * index, 2)
        return table + offset if offset else 0

    def value(self, table: int, index: int, size: int = 4, signed: bool = True) -> int:
        """An integer field; 0 if it is left out."""
        at = self.field(table, index)
        return self.number(at, size, signed) if at else 0

    def table(self, table: int, index: int) -> int:
        """The table, vector or string that a field refers to; 0 if it is left out."""
        at = self.field(table, index)
        return at + self.number(at) if at else 0

    def vector(self, table: int, index: int, size: int = 4) -> tuple[int, int]:
        """Where the first element of a vector of elements of ``size`` bytes lies, and how many there are."""
        at = self.table(table, index)
        if not at:
            return 0, 0
        length = self.number(at)
        if at + 4 + length * size > self.size:
            raise BrokenFlatbuffer(f"a list of {length:,} at byte {at:,} ends behind the file")
        return at + 4, length

    def tables(self, table: int, index: int) -> list[int]:
        """The tables of a vector."""
        first, length = self.vector(table, index)
        return [first + 4 * n + self.number(first + 4 * n) for n in range(length)]

    def numbers(self, table: int, index: int, size: int = 4) -> list[int]:
        """The integers of a vector."""
        first, length = self.vector(table, index, size)
        body = self.at(first, length * size) if length else b""
        return [int.from_bytes(body[n : n + size], "little", signed=True) for n in range(0, len(body), size)]

    def text(self, table: int, index: int) -> str:
        """The first 200 bytes of a string."""
        first, length = self.vector(table, index, 1)
        return self.at(first, min(length, 200)).decode("utf-8", "replace") if first else ""
