"""LZ4 frames, unpacked block by block: joblib writes pickles so (``compress="lz4"``).

Source: LZ4 Frame Format 1.6.4, LZ4 Block Format. No library of Python's own reads it. A frame that names a dictionary
is read as far as it does without, as liblz4 does; the older legacy frames are not read, checksums are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubclean.errors import FormatError
from hubclean.scanning.budget import spend

MAGIC = b"\x04\x22\x4d\x18"
_WINDOW = 64 << 10  # how far back a match may reach
_LARGEST = {4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20}


def frame_blocks(data: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """What each block of the frame at ``at`` unpacks to, and how far its packed bytes go; of one to be skipped none.

    Raises:
        FormatError: no frame, or one that is cut or broken, or whose matches reach into a dictionary.
    """
    spend()
    if skippable(data, at):
        size = int.from_bytes(_exactly(data, at + 4, 4), "little")
        yield b"", at + 8 + len(_exactly(data, at + 8, size))
        return
    head = data[at : at + 7]
    if head[:4] != MAGIC or len(head) < 7 or head[4] >> 6 != 1:
        raise FormatError("no LZ4 frame")
    flags, largest = head[4], _LARGEST.get(head[5] >> 4 & 7)
    if largest is None:
        raise FormatError("an LZ4 frame of no known block size")
    at += 6 + 8 * bool(flags & 8) + 4 * bool(flags & 1) + 1
    behind = 4 * bool(flags & 16)  # the checksum of a block
    out = bytearray()  # what matches may reach; of older bytes only now and then taken off, so that blocks may be small
    while True:
        spend()
        size = int.from_bytes(_exactly(data, at, 4), "little")
        at += 4
        if not size:
            break
        body = _exactly(data, at, size & 0x7FFFFFFF)
        at += len(body) + behind
        if flags & 32:  # blocks that stand alone
            out.clear()
        elif len(out) > 4 * _WINDOW:
            del out[:-_WINDOW]
        start = len(out)
        if size >> 31:
            out += body
        else:
            _block(body, out, largest)
        yield bytes(out[start:]), at
    yield b"", at + 4 * bool(flags & 4)


def skippable(data: bytes, at: int) -> bool:
    """Whether a frame begins there that readers pass over: application data, with any content."""
    return 0x50 <= int.from_bytes(data[at : at + 1], "little") <= 0x5F and data.startswith(b"\x2a\x4d\x18", at + 1)


def _exactly(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise FormatError("the LZ4 frame is cut")
    return data[at : at + size]


def _block(body: bytes, out: bytearray, most: int) -> None:
    """Unpack a block behind ``out``."""
    at, begin = 0, len(out)
    while at < len(body):
        spend()
        token = body[at]
        literals, at = _length(body, at + 1, token >> 4)
        out += _exactly(body, at, literals)
        at += literals
        if at == len(body):  # the last sequence has literals only
            break
        back = int.from_bytes(_exactly(body, at, 2), "little")
        length, at = _length(body, at + 2, token & 15)
        length += 4
        if not 0 < back <= len(out) or len(out) - begin + length > most:
            raise FormatError("an LZ4 match that reaches outside")
        start = len(out) - back
        piece = bytes(out[start : start + min(length, back)])
        out += (piece * (length // back + 1))[:length] if length > back else piece
    if len(out) - begin > most:
        raise FormatError("an LZ4 block larger than it may be")


def _length(body: bytes, at: int, first: int) -> tuple[int, int]:
    """A length of four bits, with as many bytes more as are 255, and one."""
    if first < 15:
        return first, at
    end = at
    while end < len(body) and body[end] == 255:
        end += 1
    if end >= len(body):
        raise FormatError("the LZ4 block is cut")
    spend((end - at) >> 10)
    return first + 255 * (end - at) + body[end], end + 1
