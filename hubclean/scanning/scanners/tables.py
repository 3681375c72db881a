"""Parquet and Arrow tables: both ends, and the one type of their schemas that is a pickle."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, head_of, judged, not_checked
from hubclean.scanning.sources import RepoSource

_PICKLED = b"arrow.py_extension_type"
_LONGEST = 8 << 20  # bytes of a schema
_STORED = re.compile(rb"ARROW:schema[^A-Za-z0-9+/]{1,16}([A-Za-z0-9+/=]++)")
_STREAM = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Tables:
    """Reads the schema at the end of a Parquet or Arrow file, or at the beginning of an Arrow stream, not the columns.

    HC-ARW-001: the schema names ``arrow.py_extension_type``, whose metadata pyarrow before 14.0.1 unpickles.
    """

    name: ClassVar[str] = "tables"
    paper: ClassVar[str] = "CVE-2023-47248; parquet.thrift; Arrow columnar format, IPC"
    handles: ClassVar[frozenset[str]] = frozenset({"parquet", "arrow", ".parquet", ".arrow", ".feather"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            content, ending = format_of(reader, entry), suffix(entry.path)
            stream = content == "unknown" and ending == ".arrow" and head_of(reader, entry)[:4] == _STREAM
            if content not in ("parquet", "arrow") and not stream:
                return
            schema = _schema(reader, entry, content)
            if isinstance(schema, str):
                yield from not_checked(entry, schema)
            elif any(_PICKLED in part for part in _parts(schema)):
                what = "the schema names arrow.py_extension_type, whose metadata is unpickled when it is read"
                yield from judged(entry, [Problem("HC-ARW-001", what)], [], "")
            else:
                kind = "Parquet" if content == "parquet" else "Arrow"
                yield from judged(entry, [], [], f"{kind} by both its ends; no type of its schema is a pickle")

        yield from each([entry for entry in files if entry.size], judge)


def _schema(reader: Reader, entry: RepoEntry, content: str) -> bytes | str:
    """The bytes that hold the schema, or why there are none."""
    source, size = RepoSource(reader, entry), entry.size
    if content == "unknown":
        length = int.from_bytes(head_of(reader, entry)[4:8], "little")
        if not 0 < length <= min(size - 8, _LONGEST):
            return "an Arrow stream whose schema is cut or too long"
        return source.at(8, 8 + length)
    magic = b"PAR1" if content == "parquet" else b"ARROW1"
    end = source.at(max(0, size - 10), size)
    length = int.from_bytes(end[: -len(magic)][-4:], "little")
    stop = size - len(magic) - 4
    if not end.endswith(magic) or not 0 < length <= stop:
        return f"a table that begins with {magic.decode()} and does not end with it, or is cut"
    if length > _LONGEST:
        return f"a schema of {length:,} bytes"
    return source.at(stop - length, stop)


def _parts(schema: bytes) -> Iterable[bytes]:
    """The schema, and Arrow's own that Parquet keeps inside as base64."""
    yield schema
    for match in _STORED.finditer(schema):
        try:
            yield base64.b64decode(match[1] + b"=" * (-len(match[1]) % 4))
        except binascii.Error:
            continue
