"""Compressed streams, unpacked within a budget: gzip, zlib, bzip2, xz, lzma, lz4, and zstd where Python has it.

Sources: RFC 1950, RFC 1952, the formats of bzip2, xz and zstd; ``joblib/compressor.py`` for how pickles are compressed.
"""

from __future__ import annotations

import bz2
import importlib
import importlib.util
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from hubclean.errors import BudgetError, FormatError
from hubclean.scanning.budget import spend
from hubclean.scanning.compression import lz4_frames

STREAMS = ("gzip", "bzip2", "xz", "zstd", "lz4", "zlib", "lzma")
BOMB = 500  # a stream that grows by more than this, beyond all that is unpacked, is made to fill memories
BOMB_SIZE = 10 << 20  # less harms nobody
_STEP = 1 << 20
_FIRST = 256  # packed bytes that are given first
_LZMA_MEMORY = 256 << 20
SIGNATURES = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": lz4_frames.MAGIC,
}


class BrokenPacking(Exception):
    """The stream cannot be unpacked, or something lies behind it."""


class Bomb(Exception):
    """The stream unpacks to more than ``BOMB`` times its size."""


def packing(content: str, head: bytes, named: bool) -> str | None:
    """How a file is compressed, by its content as ``sniff`` names it; ``None`` if it is not.

    zlib and lzma have hardly a signature: they are tried only where the name says pickle (``named``), as joblib does.
    """
    if content in SIGNATURES:
        return content
    if named and content == "unknown":
        if head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0:
            return "zlib"
        if head[:3] == b"\x5d\x00\x00":
            return "lzma"
    return None


def unpacked(kind: str, data: bytes, most: int) -> bytes:
    """All that a stream holds, of all its members one behind the other.

    Raises:
        BrokenPacking, Bomb: see there. BudgetError: it holds more than ``most`` bytes, or Python has no zstd.
    """
    rows: list[bytes] = []
    size = at = 0
    while at < len(data):
        try:
            steps = lz4_frames.frame_blocks(data, at) if kind == "lz4" else _parts(kind, _opened(kind), data, at)
            while (step := next(steps, None)) is not None:
                part, at = step
                rows.append(part)
                size += len(part)
                if size > most:
                    raise (
                        Bomb
                        if size > max(BOMB * len(data), BOMB_SIZE)
                        else BudgetError(f"it unpacks to more than {most:,} bytes")
                    )
        except (zlib.error, lzma.LZMAError, FormatError, OSError, EOFError, ValueError, MemoryError) as error:
            raise BrokenPacking(f"the stream is broken: {error}") from error
        if data[at : at + 1] == b"\0" and not data[at:].strip(b"\0"):
            break  # padding
        if at < len(data) and not data.startswith(SIGNATURES.get(kind, b"?"), at):
            raise BrokenPacking(f"{len(data) - at:,} bytes behind the stream")
    return b"".join(rows)


def _parts(kind: str, stream: Any, data: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """What one stream from ``at`` on unpacks to, a megabyte at most at once, and how far its packed bytes go.

    It is fed little first and then more, so that what lies behind a short stream is not copied for each of many.
    """
    given, step = b"", _FIRST
    while not stream.eof:
        spend()
        fresh = data[at : at + step] if not given and getattr(stream, "needs_input", True) else b""
        at, step = at + len(fresh), min(2 * step, _STEP)
        part = stream.decompress(given or fresh, _STEP)
        given = stream.unconsumed_tail if kind in ("gzip", "zlib") else b""
        if not part and not given and not fresh and not stream.eof:
            raise BrokenPacking("the stream is cut")
        yield part, at - len(stream.unused_data if stream.eof else b"")


def _opened(kind: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "zlib": lambda: zlib.decompressobj(15),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY),
        "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _LZMA_MEMORY),
    }
    if kind in makers:
        return makers[kind]()
    if importlib.util.find_spec("compression") is None:
        raise BudgetError("this Python has no zstd (3.14 has)")
    return importlib.import_module("compression.zstd").ZstdDecompressor()
