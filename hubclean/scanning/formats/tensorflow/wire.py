"""Protobuf's wire format over a source: fields one after the other; what is skipped is not read.

Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hubclean.errors import BudgetError
from hubclean.scanning.sources import Source

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_STEP, _LONG_STEP = 16 << 10, 1 << 20  # a block's size at first, and after many that followed each other
MOST_FIELDS = 2_000_000  # of one file
MOST_READ = 12 << 20  # bytes of one file


class BrokenWire(Exception):
    """Bytes that are no protobuf message; ``str`` says why and where."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its wire type, and the value of a number (0 for others) or where its bytes lie."""

    number: int
    kind: int
    value: int
    start: int
    stop: int


class Wire:
    """Reads messages of one source. Blocks are kept one at a time, since messages are read from front to back.

    Raises:
        BrokenWire, BudgetError, HubcleanError: from every method.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._begin, self._block, self._step = 0, b"", _STEP
        self.fields_seen = 0
        self.bytes_read = 0

    def fields(self, start: int, stop: int) -> Iterator[Field]:
        """The fields of the message that lies at ``start..stop-1``."""
        at = start
        while at < stop:
            self.fields_seen += 1
            if self.fields_seen > MOST_FIELDS:
                raise BudgetError(f"more than {MOST_FIELDS:,} protobuf fields are not looked at")
            tag, at = self._varint(at, stop)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise BrokenWire(f"no protobuf field at byte {at}")
            value, begin = 0, at
            if kind == VARINT:
                value, at = self._varint(at, stop)
            elif kind == LENGTH:
                size, begin = self._varint(at, stop)
                at = begin + size
            elif kind in (FIXED64, FIXED32):
                at += 8 if kind == FIXED64 else 4
            else:
                raise BrokenWire(f"a protobuf field of type {kind} at byte {at}")
            if at > stop:
                raise BrokenWire(f"a protobuf field at byte {begin} goes on behind its message")
            yield Field(number, kind, value, begin, at)

    def text(self, field: Field, most: int = 4096) -> bytes:
        """The bytes of a field, at most so many."""
        return self.at(field.start, min(field.stop, field.start + most))

    def at(self, start: int, stop: int) -> bytes:
        if not (self._begin <= start and stop <= self._begin + len(self._block)):
            follows = start - self._begin - len(self._block) < _STEP and bool(self._block)
            self._step = min(2 * self._step, _LONG_STEP) if follows else _STEP
            end = min(self._source.size, max(stop, start + self._step))
            self.bytes_read += end - start
            if self.bytes_read > MOST_READ:
                raise BudgetError(f"judging it would take more than {MOST_READ:,} bytes of the file")
            self._begin, self._block = start, self._source.at(start, end)
        return self._block[start - self._begin : stop - self._begin]

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        body = self.at(at, min(stop, at + 10))
        value = 0
        for place, byte in enumerate(body):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at + place + 1
        raise BrokenWire(f"a number without an end at byte {at}")
