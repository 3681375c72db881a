"""TFRecord: length, masked CRC32C of the length, data, masked CRC32C of the data; and the events inside.

Source: record_writer.cc, event.proto and example.proto of TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.scanning.budget import spend
from hubclean.scanning.formats.protobuf_wire import BYTES, FIXED64, VARINT, BrokenWire, Wire
from hubclean.scanning.sources import BytesSource, Source

WHOLE = 1 << 20  # bytes up to which a file is read whole
HEAD, TAIL = 256 << 10, 64 << 10  # what is read of a larger one
MOST_SUMMED = 128 << 10  # bytes of data of which the CRC is computed, the lengths' apart
_FRAME = 12
_EVENT = {1: FIXED64, 2: VARINT, **dict.fromkeys(range(3, 11), BYTES)}
_EXAMPLE = {1: BYTES, 2: BYTES}


def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        for _ in range(8):
            row = (row >> 1) ^ (0x82F63B78 if row & 1 else 0)
        rows.append(row)
    return tuple(rows)


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """TensorFlow's masked CRC32C (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def is_tfrecord(head: bytes) -> bool:
    """Whether a file begins with a length and the right CRC of it."""
    return len(head) >= _FRAME and _sound(head, 0)


def _sound(body: bytes, at: int) -> bool:
    return masked_crc(body[at : at + 8]) == int.from_bytes(body[at + 8 : at + _FRAME], "little")


@dataclass(slots=True)
class Records:
    """What a TFRecord file was found to be.

    Args:
        kind: ``events`` or ``examples``. records: how many were looked at.
        whole: every record was framed soundly up to the end; else only the beginning and the end were read.
        cut: the last record is not finished, as a writer that was killed leaves it.
        unchecked: why it cannot be told; empty if it can.
    """

    kind: str = "events"
    records: int = 0
    whole: bool = True
    cut: bool = False
    unchecked: str = ""
    summed: int = 0


def read_records(source: Source) -> Records:
    """Follow the frames: of a file up to ``WHOLE`` bytes all, of a larger one those at its beginning and its end.

    Raises:
        HubcleanError: nothing could be read.
    """
    found = Records(whole=source.size <= WHOLE)
    body = source.at(0, source.size if found.whole else HEAD)
    at = _follow(body, 0, source.size, found)
    if not found.unchecked and not found.records:
        found.unchecked = "its first record is not whole, or longer than what is read"
    if not found.unchecked and not found.whole and at < source.size:
        tail = source.at(source.size - TAIL, source.size)
        if (begin := _aligned(tail)) is None:
            found.unchecked = "no record ends where the file does"
        else:
            _follow(tail, begin, len(tail), found)
    return found


def _follow(body: bytes, at: int, size: int, found: Records) -> int:
    """Frame by frame as far as ``body`` goes, of a file of ``size`` bytes; where the last one ends."""
    while at < size and at + _FRAME <= len(body):
        if not _sound(body, at):
            found.unchecked = f"no TFRecord frame at byte {at}"
            return at
        spend()
        length = int.from_bytes(body[at : at + 8], "little")
        start, stop = at + _FRAME, at + _FRAME + length
        if stop + 4 > size:
            found.cut = True
            return size
        if stop + 4 > len(body):
            return at  # goes on behind what was read
        data = body[start:stop]
        if found.summed + length <= MOST_SUMMED:
            found.summed += length
            if masked_crc(data) != int.from_bytes(body[stop : stop + 4], "little"):
                found.unchecked = f"the record at byte {at} has another CRC than it says"
                return at
        if odd := _odd(data, found):
            found.unchecked = f"the record at byte {at} is {odd}"
            return at
        found.records += 1
        at = stop + 4
    if at < size and size == len(body):
        found.cut = True
    return at


def _odd(data: bytes, found: Records) -> str:
    """What is no event (or, if the first record is none, no example) about a record."""
    try:
        fields = [(field.number, field.wire) for field in Wire(BytesSource(data)).fields(0, len(data))]
    except BrokenWire:
        return "no protobuf message"
    if not found.records and not all(_EVENT.get(number) == kind for number, kind in fields):
        found.kind = "examples"
    known = _EVENT if found.kind == "events" else _EXAMPLE
    return "" if all(known.get(number) == kind for number, kind in fields) else f"none of TensorFlow's {found.kind}"


def _aligned(tail: bytes) -> int | None:
    """Where a frame begins from which frames lead exactly to the end."""
    at = tail.find(bytes(4))
    ends: dict[int, bool] = {}
    while 0 <= at <= len(tail) - _FRAME:
        begin = at - 4
        if begin >= 0 and _sound(tail, begin) and _leads(tail, begin, ends):
            return begin
        at = tail.find(bytes(4), at + 1)
    return None


def _leads(tail: bytes, at: int, ends: dict[int, bool]) -> bool:
    passed = []
    while at + _FRAME <= len(tail) and at not in ends and _sound(tail, at):
        passed.append(at)
        at += _FRAME + int.from_bytes(tail[at : at + 8], "little") + 4
    good = at >= len(tail) - _FRAME + 1 if at not in ends else ends[at]
    ends.update(dict.fromkeys(passed, good))
    return good
