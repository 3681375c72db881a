"""The index of a TensorFlow checkpoint: a sorted table of tensors, their shards and places.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.h, tensorflow/core/protobuf/tensor_bundle.proto,
tensorflow/core/lib/io/table_format.txt (LevelDB's table).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hubclean.scanning.budget import spend
from hubclean.scanning.formats.protobuf_wire import VARINT, BrokenWire, Wire
from hubclean.scanning.sources import BytesSource, Source

MOST_SHARDS = 4096
LARGEST = 8 << 20
MOST_TENSORS = 200_000
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48


@dataclass(slots=True)
class Bundle:
    """What an index says: how many shards and tensors, where the last tensor of each shard ends in bytes.

    ``unchecked`` says why it cannot be told; empty if it can.
    """

    shards: int = 0
    tensors: int = 0
    ends: dict[int, int] = field(default_factory=dict)
    unchecked: str = ""


def shard_name(index: str, number: int, count: int) -> str:
    """The name of a shard beside its index."""
    return f"{index.removesuffix('.index')}.data-{number:05}-of-{count:05}"


def read_bundle(source: Source) -> Bundle | None:
    """Read an index; ``None`` if it is no table.

    Raises:
        HubcleanError: nothing could be read.
    """
    if source.size < _FOOTER or source.at(source.size - 8, source.size) != _MAGIC:
        return None
    if source.size > LARGEST:
        return Bundle(unchecked=f"{source.size:,} bytes, more than the {LARGEST:,} that are read")
    body, found = source.at(0, source.size), Bundle()
    try:
        for key, value in _entries(body):
            _entry(key, value, found)
    except (BrokenWire, IndexError) as error:
        found.unchecked = str(error) or "cut"
    if not found.unchecked and not 0 < found.shards <= MOST_SHARDS:
        found.unchecked = "no header, or too many files"
    return found


def _entry(key: bytes, value: bytes, found: Bundle) -> None:
    wire = Wire(BytesSource(value))
    numbers = {row.number: row.value for row in wire.fields(0, len(value)) if row.wire == VARINT}
    if not key:
        found.shards = numbers.get(1, 0)
        return
    found.tensors += 1
    if found.tensors > MOST_TENSORS:
        raise BrokenWire(f"more than {MOST_TENSORS:,} tensors")
    shard, end = numbers.get(3, 0), numbers.get(4, 0) + numbers.get(5, 0)
    found.ends[shard] = max(found.ends.get(shard, 0), end)


def _entries(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the table, block by block."""
    at = len(body) - _FOOTER
    for _ in range(2):  # the handle of the block of names, which is empty
        _, at = _varint(body, at)
    start, at = _varint(body, at)
    size, at = _varint(body, at)
    for _, handle in _block(body, start, size):
        begin, place = _varint(handle, 0)
        length, _ = _varint(handle, place)
        yield from _block(body, begin, length)


def _block(body: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if start + size + 5 > len(body) or size < 4:
        raise BrokenWire(f"a block of the table at byte {start} leaves the file")
    if body[start + size]:
        raise BrokenWire("a table that is compressed")
    stop = start + size - 4
    stop -= 4 * int.from_bytes(body[stop : stop + 4], "little")
    at, key = start, b""
    while at < stop:
        shared, at = _varint(body, at)
        rest, at = _varint(body, at)
        length, at = _varint(body, at)
        if shared > len(key) or at + rest + length > stop:
            raise BrokenWire(f"an entry of the table at byte {at} leaves its block")
        spend(1 + (shared + rest) // 64)
        key = key[:shared] + body[at : at + rest]
        yield key, body[at + rest : at + rest + length]
        at += rest + length


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = body[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise BrokenWire(f"a number without an end at byte {at}")
