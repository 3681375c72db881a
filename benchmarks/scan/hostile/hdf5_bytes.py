"""HDF5 by hand: a root group with attributes, datasets and links, in the old layout that every library reads."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

NOWHERE = b"\xff" * 8


@dataclass(frozen=True)
class Group:
    """A group: texts as attributes; groups, numbers of zeros (a dataset), soft and external links below it.

    A child that is a pair of texts is an external link (file, object); a single text a soft one; a triple of an int, a
    file and an offset a dataset whose numbers lie in another file.
    """

    attributes: dict[str, str] = field(default_factory=dict)
    children: dict[str, Group | int | str | tuple[str, str] | tuple[int, str, int]] = field(default_factory=dict)


def hdf5(root: Group, block: bytes = b"") -> bytes:
    """A file; ``block`` is a user block of 512, 1024, ... bytes in front of it."""
    assert len(block) in (0, 512, 1024, 2048)
    out = bytearray(96)
    address = _group(out, root)
    start = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    start += struct.pack("<Q", len(block)) + NOWHERE + struct.pack("<Q", len(block) + len(out)) + NOWHERE
    out[:96] = start + struct.pack("<QQII", 0, address, 0, 0) + bytes(16)
    return block + bytes(out)


def _message(kind: int, data: bytes) -> bytes:
    data += bytes(-len(data) % 8)
    return struct.pack("<HHB3x", kind, len(data), 0) + data


def _put(out: bytearray, data: bytes) -> int:
    out += bytes(-len(out) % 8)
    at = len(out)
    out += data
    return at


def _header(out: bytearray, messages: list[bytes]) -> int:
    body = b"".join(messages)
    return _put(out, struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)


def _attribute(name: str, value: str) -> bytes:
    data, key = value.encode(), name.encode() + b"\0"
    kind = b"\x13\x01\x00\x00" + struct.pack("<I", len(data))
    space = b"\x01" + bytes(7)
    padded = key + bytes(-len(key) % 8)
    return _message(0x0C, struct.pack("<BxHHH", 1, len(key), len(kind), len(space)) + padded + kind + space + data)


def _link(name: str, kind: int, value: bytes) -> bytes:
    key = name.encode()
    start = bytes([1, 8, kind]) if kind else bytes([1, 0])
    return _message(0x06, start + bytes([len(key)]) + key + value)


def _group(out: bytearray, group: Group) -> int:
    messages = [_message(0x02, b"\0\0" + NOWHERE + NOWHERE), _message(0x0A, b"\0\0")]
    messages += [_attribute(name, value) for name, value in group.attributes.items()]
    for name, child in group.children.items():
        if isinstance(child, Group):
            messages.append(_link(name, 0, struct.pack("<Q", _group(out, child))))
        elif isinstance(child, str):
            messages.append(_link(name, 1, struct.pack("<H", len(child)) + child.encode()))
        elif isinstance(child, tuple) and len(child) == 2:
            value = b"\0" + b"".join(part.encode() + b"\0" for part in child)
            messages.append(_link(name, 64, struct.pack("<H", len(value)) + value))
        else:
            messages.append(_link(name, 0, struct.pack("<Q", _dataset(out, child))))
    return _header(out, messages)


def _dataset(out: bytearray, what: int | tuple[int, str, int]) -> int:
    """float32 numbers: zeros in the file, or ``(count, file, offset)`` in another."""
    count = what if isinstance(what, int) else what[0]
    space = b"\x01\x01\x00" + bytes(5) + struct.pack("<Q", count)
    kind = b"\x11\x20\x1f\x00" + struct.pack("<IHHBBBBI", 4, 0, 32, 23, 8, 0, 23, 127)
    fill = b"\x02\x02\x02\x00"
    if isinstance(what, int):
        layout, more = struct.pack("<BBQQ", 3, 1, _put(out, bytes(4 * count)), 4 * count), []
    else:
        names = b"\0" * 8 + what[1].encode() + b"\0"
        names += bytes(-len(names) % 8)
        held = _put(out, names)
        heap = _put(out, b"HEAP" + bytes(4) + struct.pack("<QQQ", len(names), 1, held))
        slot = struct.pack("<QQQ", 8, what[2], 4 * count)
        more = [_message(0x07, struct.pack("<B3xHHQ", 1, 1, 1, heap) + slot)]
        layout = struct.pack("<BB", 3, 1) + NOWHERE + struct.pack("<Q", 4 * count)
    return _header(
        out, [_message(0x01, space), _message(0x03, kind), _message(0x05, fill), _message(0x08, layout), *more]
    )
