"""Compressed files and tar archives: unpacked in memory or read by range, every member judged by all scanners."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning import scanners
from hubclean.scanning.budget import grow
from hubclean.scanning.compression.unpacking import Bomb, BrokenPacking, packing, unpacked
from hubclean.scanning.formats import names
from hubclean.scanning.formats.packing.tar import read_tar
from hubclean.scanning.reader import Inside, Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import (
    DEEPEST,
    Judgement,
    Members,
    each,
    format_of,
    head_of,
    judge_members,
    not_checked,
)
from hubclean.scanning.sources import BytesSource, RepoSource

MOST_MEMBERS = 400
_LARGEST_GUESS = 4 << 20  # bytes of a file that is opened on the weak sign of its first bytes
_TARS = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"}
_STREAMS = ("gzip", "bzip2", "xz", "zstd", "lz4")
_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".z")


@dataclass(frozen=True)
class Packed:
    """Opens gzip, bzip2, xz, lzma, lz4, zlib (joblib's) and tar, and has every member judged as if it lay in the repo.

    Streams must be small enough to be read whole; tar headers are read by range. HC-ZIP-002 a path or link that
    leaves, HC-ZIP-003 a bomb, and what the other scanners find inside. 7z and rar are not opened.
    """

    name: ClassVar[str] = "packed"
    paper: ClassVar[str] = "CVE-2007-4559 (tar), CVE-2025-10155; joblib/compressor.py; RFC 1952"
    handles: ClassVar[frozenset[str]] = frozenset(
        {
            "gzip",
            "bzip2",
            "xz",
            "zstd",
            "lz4",
            "tar",
            ".nemo",
            ".lzma",
            *_TARS,
            *(end for end in _ENDINGS if end != ".z"),
        }
    )

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            content = format_of(reader, entry)
            named = names.suffix(entry.path) in names.PICKLE_NAMES
            kind = packing(content, head_of(reader, entry), named or names.suffix(entry.path) in (".lzma", ".z"))
            if not kind and (guess := packing(content, head_of(reader, entry), True)) and entry.size <= _LARGEST_GUESS:
                yield from _hostile_in(reader, entry, guess)
            if not kind and content != "tar":
                return
            inside = reader.inside.deeper() if reader.inside else Inside()
            if inside.depth > DEEPEST:
                yield from not_checked(entry, f"packed {inside.depth} times over")
            elif kind:
                yield from _stream(reader, entry, kind, inside)
            else:
                yield from _tar(reader, entry, inside)

        yield from each(files, judge)


def _hostile_in(reader: Reader, entry: RepoEntry, kind: str) -> Judgement:
    """What is hostile in a file that no name calls a pickle and that begins as joblib's streams do: joblib goes by that
    beginning. It may as well be none; then nobody speaks of it here."""
    inside = reader.inside.deeper() if reader.inside else Inside()
    if inside.depth <= DEEPEST:
        yield from (row for row in _stream(reader, entry, kind, inside) if isinstance(row, Finding) and row.hostile)


def _stream(reader: Reader, entry: RepoEntry, kind: str, inside: Inside) -> Judgement:
    broken: list[str] = []
    try:
        body = unpacked(kind, reader.read_range(entry.path, 0, entry.size), scanners.MOST_UNPACKED - inside.spent.size)
    except Bomb:
        what = f"a {kind} stream of {entry.size:,} bytes that unpacks to more than {scanners.MOST_UNPACKED:,}"
        yield finding(Problem("HC-ZIP-003", what), entry.path)
        yield from not_checked(entry, "it was not unpacked")
        return
    except BrokenPacking as error:
        body, broken = error.body, [f"a {kind} stream: {error}"]
        if not body:
            unopened = kind == "zstd" and names.suffix(_inner(entry.path)) in names.PICKLE_NAMES
            yield from not_checked(entry, broken[0], unopened)
            return
    inside.spent.size += len(body)
    grow(len(body))
    members = Members(reader, inside, [(_inner(entry.path), BytesSource(body), 0, len(body))])
    for row in judge_members(reader, entry, members, [], list(broken), kind):
        if not broken or isinstance(row, FileVerdict) or row.hostile:  # that it is cut is no malice by itself
            yield row


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
    yield from judge_members(reader, entry, members, found.problems, found.unchecked, "tar")
