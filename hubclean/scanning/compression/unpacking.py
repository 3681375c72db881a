"""Compressed streams, unpacked within a budget: gzip, zlib, bzip2, xz, lzma, lz4, and zstd where Python has it.

Sources: RFC 1950, RFC 1952, the formats of bzip2, xz and zstd; ``joblib/compressor.py`` for how pickles are compressed.
"""

from __future__ import annotations

import bz2
import contextlib
import importlib
import importlib.util
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from hubclean.errors import BudgetError, FormatError
from hubclean.scanning.budget import spend
from hubclean.scanning.compression import lz4_frames

STREAMS = ("gzip", "bzip2", "xz", "zstd", "lz4", "zlib", "lzma")
BOMB = 500  # a stream that grows by more than this, beyond all that is unpacked, is made to fill memories
BOMB_SIZE = 10 << 20  # less harms nobody
_STEP, _PAGE = 1 << 20, 4096
_NO_ZERO = re.compile(rb"[^\0]")
_FAULTS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError)
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
    """The stream cannot be unpacked, or something lies behind it.

    ``body`` is what it holds up to there: loaders have read, and unpickled, that much before they notice.
    """

    def __init__(self, what: str, body: bytes = b"") -> None:
        super().__init__(what)
        self.body = body


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
    """All that a stream holds, of all its members one behind the other, with zeros between them or not.

    Raises:
        BrokenPacking, Bomb: see there. BudgetError: it holds more than ``most`` bytes, or Python has no zstd.
    """
    rows: list[bytes] = []
    size = at = 0
    while at < len(data):
        begin, whole = at, len(rows)
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
        except (*_FAULTS, FormatError) as error:
            held = rows if kind == "lz4" else [*rows[:whole], _before_fault(kind, data, begin, most)]
            raise BrokenPacking(f"the stream is broken: {error}", b"".join(held)) from error
        except BrokenPacking as error:
            raise BrokenPacking(str(error), b"".join(rows)) from error
        behind = _NO_ZERO.search(data, at)
        if behind is None:
            break  # padding, or the end
        if not _begins(kind, data, behind.start()):
            raise BrokenPacking(f"{len(data) - at:,} bytes behind the stream", b"".join(rows))
        at = behind.start()
    return b"".join(rows)


def _begins(kind: str, data: bytes, at: int) -> bool:
    """Whether one more stream of the kind begins there."""
    if kind in SIGNATURES:
        return data.startswith(SIGNATURES[kind], at) or (kind == "lz4" and lz4_frames.skippable(data, at))
    return packing("unknown", data[at : at + 16], named=True) == kind


def _before_fault(kind: str, data: bytes, at: int, most: int) -> bytes:
    """What a stream gives before it breaks: Python's decompressors keep back all of the step that ends in the fault.

    It is read once more by pages, and a third time with the page of the fault byte by byte.
    """
    pages = sum(map(len, _until_fault(kind, data, at, most, most)))
    return b"".join(_until_fault(kind, data, at, most, pages))


def _until_fault(kind: str, data: bytes, at: int, most: int, pages: int) -> list[bytes]:
    rows: list[bytes] = []
    size = 0
    with contextlib.suppress(*_FAULTS, BrokenPacking):
        for part, _ in _parts(kind, _opened(kind), data, at, _PAGE, pages):
            rows.append(part)
            size += len(part)
            if size > most:
                break
    return rows


def _parts(
    kind: str, stream: Any, data: bytes, at: int, page: int = _STEP, pages: int = sys.maxsize
) -> Iterator[tuple[bytes, int]]:
    """What one stream from ``at`` on unpacks to, ``page`` bytes at most at once, and how far its packed bytes go.

    It is fed little first and then more, so that what lies behind a short stream is not copied for each of many.
    Behind ``pages`` bytes it gives one at a time.
    """
    given, step, size = b"", _FIRST, 0
    while not stream.eof:
        spend()
        fresh = data[at : at + step] if not given and getattr(stream, "needs_input", True) else b""
        at, step = at + len(fresh), min(2 * step, 16 * page, _STEP)
        part = stream.decompress(given or fresh, page if size < pages else 1)
        given = stream.unconsumed_tail if kind in ("gzip", "zlib") else b""
        if not part and not given and not fresh and not stream.eof:
            raise BrokenPacking("the stream is cut")
        size += len(part)
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
