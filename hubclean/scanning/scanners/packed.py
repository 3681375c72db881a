"""Compressed files and tar archives: unpacked in memory or read by range, every member judged by all scanners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hubclean.errors import BudgetError
from hubclean.escaping import printable
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.registry import methods
from hubclean.scanning.formats import names
from hubclean.scanning.formats.packing.tar import read_tar
from hubclean.scanning.formats.packing.unpacking import Bomb, BrokenPacking, packing, unpacked
from hubclean.scanning.reader import Inside, Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, format_of, head_of, judged, not_checked
from hubclean.scanning.sources import BytesSource, RepoSource, Source

MOST_UNPACKED = 64 << 20  # bytes of all streams of one file, those inside included
MOST_MEMBERS = 400
_DEEPEST = 3  # a .tgz is two
_TARS = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"}
_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".lzma", ".z")


class Members:
    """What lies in an archive, as a repo of its own: each file a name, a source, where it begins, its size."""

    def __init__(self, reader: Reader, inside: Inside, rows: Iterable[tuple[str, Source, int, int]]) -> None:
        self.ref = reader.ref
        self.hub_security: dict[str, Any] | None = None
        self.requests = self.bytes_read = 0
        self.alone, self.inside = True, inside
        self._rows = {name: (source, begin, size) for name, source, begin, size in rows}

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(RepoEntry(name, size) for name, (_, _, size) in sorted(self._rows.items()))

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        source, begin, _ = self._rows[path]
        return source.at(begin + start, begin + stop)

    def read(self, path: str, limit: int) -> bytes:
        return self.read_range(path, 0, self._rows[path][2])

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        raise BudgetError("nothing is unpacked to disk")


@dataclass(frozen=True)
class Packed:
    """Opens gzip, bzip2, xz, lzma, zlib (joblib's) and tar, and has every member judged as if it lay in the repo.

    Streams must be small enough to be read whole; tar headers are read by range. HC-ZIP-002 a path or link that
    leaves, HC-ZIP-003 a bomb, and what the other scanners find inside. 7z, rar and lz4 are not opened.
    """

    name: ClassVar[str] = "packed"
    paper: ClassVar[str] = "CVE-2007-4559 (tar), CVE-2025-10155; joblib/compressor.py; RFC 1952"
    handles: ClassVar[frozenset[str]] = frozenset(
        {"gzip", "bzip2", "xz", "zstd", "tar", ".nemo", ".lzma", *_TARS, *(end for end in _ENDINGS if end != ".z")}
    )

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            content = format_of(reader, entry)
            named = names.suffix(entry.path) in names.PICKLE_NAMES
            kind = packing(content, head_of(reader, entry), named or names.suffix(entry.path) in (".lzma", ".z"))
            if not kind and content != "tar":
                return
            inside = reader.inside.deeper() if reader.inside else Inside()
            if inside.depth > _DEEPEST:
                yield from not_checked(entry, f"packed {inside.depth} times over")
            elif kind:
                yield from _stream(reader, entry, kind, inside)
            else:
                yield from _tar(reader, entry, inside)

        yield from each(files, judge)


def judged_inside(reader: Reader, entry: RepoEntry, name: str, body: bytes) -> Judgement:
    """The verdict on a compressed or tarred member of another archive, every file in it judged by all scanners."""
    inside = reader.inside.deeper() if reader.inside else Inside()
    inside.spent.size += len(body)
    if inside.depth > _DEEPEST or inside.spent.size > MOST_UNPACKED:
        yield from not_checked(entry, f"{name[:100]}: packed too often, or too large")
        return
    yield from _judged(reader, entry, Members(reader, inside, [(name, BytesSource(body), 0, len(body))]), [], [], "zip")


def _stream(reader: Reader, entry: RepoEntry, kind: str, inside: Inside) -> Judgement:
    try:
        body = unpacked(kind, reader.read_range(entry.path, 0, entry.size), MOST_UNPACKED - inside.spent.size)
    except Bomb:
        what = f"a {kind} stream of {entry.size:,} bytes that unpacks to more than {MOST_UNPACKED:,}"
        yield finding(Problem("HC-ZIP-003", what), entry.path)
        yield from not_checked(entry, "it was not unpacked")
        return
    except BrokenPacking as error:
        yield from not_checked(entry, f"a {kind} stream: {error}")
        return
    inside.spent.size += len(body)
    name = _inner(entry.path)
    yield from _judged(reader, entry, Members(reader, inside, [(name, BytesSource(body), 0, len(body))]), [], [], kind)


def _inner(path: str) -> str:
    """What ``gunzip`` and its like would call the file."""
    name, ending = path.rsplit("/", 1)[-1], names.suffix(path)
    if ending in _TARS:
        return name[: -len(ending)] + _TARS[ending]
    return (name[: -len(ending)] if ending in _ENDINGS else name) or "packed"


def _tar(reader: Reader, entry: RepoEntry, inside: Inside) -> Judgement:
    source = RepoSource(reader, entry)
    found = read_tar(source)
    rows = [(row.name, source, row.begin, row.size) for row in found.members]
    room = MOST_MEMBERS - inside.spent.members
    inside.spent.members += len(rows)
    if len(rows) > room:
        found.unchecked.append(f"more than {MOST_MEMBERS} members; the others were not read")
    members = Members(reader, inside, rows[: max(room, 0)])
    yield from _judged(reader, entry, members, found.problems, found.unchecked, "tar")


def _judged(
    reader: Reader, entry: RepoEntry, members: Members, problems: list[Problem], unchecked: list[str], kind: str
) -> Judgement:
    files = members.files()
    inner = Reader(members, files, reader.allowed_names, reader.handled)
    spoken: set[str] = set()
    for row in _rows(inner, files):
        spoken.add(row.path)
        if isinstance(row, FileVerdict):
            if row.state == "unchecked":
                unchecked.append(f"{row.path[:100]}: {row.reason}")
        elif row.rule != "HC-INC-001":
            what = printable(f"{row.path[:100]}: {row.what}", 300)
            yield Finding(row.rule, row.severity, entry.path, what, row.advice, None, row.hostile)
    unchecked += [f"{row.path[:100]}: no scanner knows this kind of file" for row in files if row.path not in spoken]
    yield from judged(entry, problems, unchecked, f"{kind}: {len(files)} files inside, every one judged")


def _rows(inner: Reader, files: tuple[RepoEntry, ...]) -> Iterator[Any]:
    for name, scanner in sorted(methods("scanners").items()):
        try:
            yield from scanner().scan(inner, files)
        except Exception as error:  # a plugin's; ours never raise
            for entry in files:
                yield from not_checked(entry, f"the scanner {name} broke off: {type(error).__name__}: {error}")
