"""LZ4 frames, unpacked block by block: joblib writes pickles so (``compress="lz4"``).

Source: LZ4 Frame Format 1.6.4 and LZ4 Block Format. No library of Python's own reads it; frames with a dictionary and
the older legacy frames are not read, checksums are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubclean.errors import FormatError
from hubclean.scanning.budget import spend

MAGIC = b"\x04\x22\x4d\x18"
_WINDOW = 64 << 10  # how far back a match may reach
_LARGEST = {4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20}


def frame_blocks(data: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """What each block of the frame at ``at`` unpacks to, and how far its packed bytes go.

    Raises:
        FormatError: no frame, one with a dictionary, or one that is cut or broken.
    """
    head = data[at : at + 7]
    if head[:4] != MAGIC or len(head) < 7 or head[4] >> 6 != 1:
        raise FormatError("no LZ4 frame")
    flags, largest = head[4], _LARGEST.get(head[5] >> 4 & 7)
    if flags & 1 or largest is None:
        raise FormatError("an LZ4 frame with a dictionary, or of no known block size")
    at += 6 + 8 * bool(flags & 8) + 1
    behind = 4 * bool(flags & 16)  # the checksum of a block
    window = b""
    while True:
        size = int.from_bytes(_exactly(data, at, 4), "little")
        at += 4
        if not size:
            break
        body = _exactly(data, at, size & 0x7FFFFFFF)
        at += len(body) + behind
        part = body if size >> 31 else _block(body, b"" if flags & 32 else window, largest)
        window = (window + part)[-_WINDOW:]
        yield part, at
    yield b"", at + 4 * bool(flags & 4)


def _exactly(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise FormatError("the LZ4 frame is cut")
    return data[at : at + size]


def _block(body: bytes, window: bytes, most: int) -> bytes:
    out, at = bytearray(window), 0
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
        if not 0 < back <= len(out) or len(out) - len(window) + length > most:
            raise FormatError("an LZ4 match that reaches outside")
        start = len(out) - back
        piece = bytes(out[start : start + min(length, back)])
        out += (piece * (length // back + 1))[:length] if length > back else piece
    if len(out) - len(window) > most:
        raise FormatError("an LZ4 block larger than it may be")
    return bytes(out[len(window) :])


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
