"""Compressed streams, unpacked in memory within a budget: gzip, zlib, bzip2, xz, lzma, and zstd where Python has it.

Sources: RFC 1950, RFC 1952, the formats of bzip2, xz and zstd; ``joblib/compressor.py`` for how pickles are compressed.
"""

from __future__ import annotations

import bz2
import importlib
import importlib.util
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from hubclean.errors import BudgetError

STREAMS = ("gzip", "bzip2", "xz", "zstd", "zlib", "lzma")
BOMB = 500  # a stream that grows by more than this, beyond all that is unpacked, is made to fill memories
BOMB_SIZE = 10 << 20  # less harms nobody
_STEP = 1 << 20
_LZMA_MEMORY = 256 << 20
_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\x00", "zstd": b"\x28\xb5\x2f\xfd"}


class BrokenPacking(Exception):
    """The stream cannot be unpacked, or something lies behind it."""


class Bomb(Exception):
    """The stream unpacks to more than ``BOMB`` times its size."""


def packing(content: str, head: bytes, named: bool) -> str | None:
    """How a file is compressed, by its content as ``sniff`` names it; ``None`` if it is not.

    zlib and lzma have hardly a signature: they are tried only where the name says pickle (``named``), as joblib does.
    """
    if content in _MAGIC:
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
    size, packed = 0, len(data)
    while data:
        stream = _opened(kind)
        try:
            while not stream.eof:
                part, data = _step(kind, stream, data)
                rows.append(part)
                size += len(part)
                if size > most:
                    raise (
                        Bomb
                        if size > max(BOMB * packed, BOMB_SIZE)
                        else BudgetError(f"it unpacks to more than {most:,} bytes")
                    )
                if not part and not data and not stream.eof:
                    raise BrokenPacking("the stream is cut")
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as error:
            raise BrokenPacking(f"the stream is broken: {error}") from error
        data = stream.unused_data
        if data and not data.strip(b"\0"):
            break  # padding
        if data and not data.startswith(_MAGIC.get(kind, b"?")):
            raise BrokenPacking(f"{len(data):,} bytes behind the stream")
    return b"".join(rows)


def _step(kind: str, stream: Any, data: bytes) -> tuple[bytes, bytes]:
    """The next unpacked bytes, a megabyte at most, and the packed ones that are left."""
    part = stream.decompress(data, _STEP)
    return part, stream.unconsumed_tail if kind in ("gzip", "zlib") else b""


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
