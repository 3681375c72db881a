"""Protobuf messages of a file walked field by field, by range: large fields are stepped over, not read.

Nothing here knows a schema beyond the numbers of the fields that a caller asks for. Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hubclean.errors import BudgetError, FormatError
from hubclean.hub.repos import FILE_BUDGET
from hubclean.scanning.budget import spend
from hubclean.scanning.sources import Source

MOST_FIELDS = 2_000_000  # of one file: a language model of 50,000 nodes has 600,000
DEEPEST = 100  # messages inside messages: what protobuf's own parsers stop at
LONGEST_VALUE = 4096  # bytes kept of a string; a path of the system has no more
_FIRST, _SHORT, _LONG = 64 << 10, 8 << 10, 1 << 20  # read at the start, after a jump, and at most at once
_MOST_VALUES = 64  # kept of one field number in one message
_LARGEST = (1 << 29) - 1  # field number
_TAG = 20  # bytes of the longest tag with the longest varint behind it
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class BrokenWire(FormatError):
    """Bytes that are no protobuf message, or one that this walk does not follow; ``str`` says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its number, wire type, and value (of ``BYTES``: the length); ``start..stop-1`` is its
    content in the file.
    """

    number: int
    wire: int
    value: int
    start: int
    stop: int


class Head:
    """The first bytes of a longer file: what lies behind them is not there."""

    def __init__(self, data: bytes, size: int) -> None:
        self.size, self._data = size, data

    def at(self, start: int, stop: int) -> bytes:
        return self._data[start:stop]


class Wire:
    """Fields of the messages in one file. What lies close together is read in growing steps, after a jump little.

    Args:
        most_fields, most_bytes: looked at, and read of the source, before ``BudgetError`` is raised.
    """

    def __init__(self, source: Source, most_fields: int = MOST_FIELDS, most_bytes: int = FILE_BUDGET) -> None:
        self.source, self.seen = source, 0
        self._most, self._left = most_fields, most_bytes
        self._buffer, self._begin, self._step = b"", 0, _FIRST

    def fields(self, start: int, stop: int) -> Iterator[Field]:
        """The fields of the message in ``start..stop-1``, in the order of the file.

        Raises:
            BrokenWire: no message, or one with groups (which nobody writes any more).
            BudgetError: more fields in all than allowed.
        """
        at = start
        while at < stop:
            self._room(at, min(stop, at + _TAG))
            key, at = self._varint(at, stop)
            number, wire = key >> 3, key & 7
            if not 0 < number <= _LARGEST:
                raise BrokenWire(f"no protobuf field at byte {at}")
            self.seen += 1
            spend()
            if self.seen > self._most:
                raise BudgetError(f"more than {self._most:,} fields")
            value, begin = 0, at
            if wire == VARINT:
                value, at = self._varint(at, stop)
            elif wire == BYTES:
                value, begin = self._varint(at, stop)
                at = begin + value
            elif wire in (FIXED64, FIXED32):
                at += 8 if wire == FIXED64 else 4
            else:
                raise BrokenWire(f"wire type {wire} at byte {at}")
            if at > stop:
                raise BrokenWire(f"a field of {value:,} bytes at byte {begin} is longer than what holds it")
            yield Field(number, wire, value, begin, at)

    def content(self, row: Field, limit: int = LONGEST_VALUE) -> bytes:
        """The first ``limit`` bytes of a field's content."""
        stop = min(row.stop, row.start + limit)
        self._room(row.start, stop)
        return self._buffer[row.start - self._begin : stop - self._begin]

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= stop:
                break
            byte = self._buffer[at - self._begin]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & ((1 << 64) - 1), at
        raise BrokenWire(f"a number that does not end at byte {at}")

    def _room(self, start: int, stop: int) -> None:
        """Have ``start..stop-1`` in the buffer."""
        end = self._begin + len(self._buffer)
        if self._begin <= start and stop <= end:
            return
        near = self._buffer and self._begin <= start <= end + self._step
        self._step = min(2 * self._step, _LONG) if near else _SHORT if start else _FIRST
        stop = min(self.source.size, max(stop, start + self._step))
        self._left -= stop - start
        if self._left < 0:
            raise BudgetError("judging it would take too many bytes of the file")
        self._buffer, self._begin = self.source.at(start, stop), start


@dataclass(frozen=True, slots=True)
class Message:
    """What a walk looks at in a kind of message.

    Args:
        inside: field number to the kind of the message that lies in it.
        taken: numbers of the fields whose values are kept.
    """

    inside: Mapping[int, str] = field(default_factory=dict)
    taken: frozenset[int] = frozenset()


@dataclass(slots=True)
class Frame:
    """A message on its way: its kind, its place in the file, what was kept of it.

    Args:
        values: by field number, in order; of more than ``_MOST_VALUES`` the first ones and the last.
        found: pairs that the caller of ``walk`` keeps with it.
    """

    kind: str
    start: int
    stop: int
    fields: Iterator[Field]
    values: dict[int, list[int | bytes]] = field(default_factory=dict)
    found: list[tuple[str, str]] = field(default_factory=list)

    def text(self, number: int) -> str:
        """The last string of a field, as protobuf reads a field given twice; empty if there is none."""
        rows = [row for row in self.values.get(number, ()) if isinstance(row, bytes)]
        return rows[-1].decode("utf-8", "replace") if rows else ""

    def whole(self, number: int) -> int:
        """The last integer of a field; 0 if there is none."""
        rows = [row for row in self.values.get(number, ()) if isinstance(row, int)]
        return rows[-1] if rows else 0


def walk(wire: Wire, schema: Mapping[str, Message], root: str, done: Callable[[list[Frame]], None]) -> None:
    """Walk the whole file as a message of the kind ``root``.

    Args:
        done: called at the end of each message with it and those it lies in, outermost first.

    Raises:
        BrokenWire, BudgetError: as ``Wire.fields``; nested too deep.
    """
    size = wire.source.size
    frames = [Frame(root, 0, size, wire.fields(0, size))]
    while frames:
        frame = frames[-1]
        message = schema[frame.kind]
        for row in frame.fields:
            if row.wire == BYTES and (kind := message.inside.get(row.number)):
                if len(frames) >= DEEPEST:
                    raise BrokenWire(f"messages nested deeper than {DEEPEST} at byte {row.start}")
                frames.append(Frame(kind, row.start, row.stop, wire.fields(row.start, row.stop)))
                break
            if row.number in message.taken:
                kept = frame.values.setdefault(row.number, [])
                value = wire.content(row) if row.wire == BYTES else row.value
                if len(kept) < _MOST_VALUES:
                    kept.append(value)
                else:
                    kept[-1] = value
        else:
            done(frames)
            frames.pop()
