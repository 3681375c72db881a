"""A lenient reader of zip directories over a source, for archives that were made to be read in two ways.

It follows PyTorch's view (miniz): the last end record, offsets as written, the central directory's names and sizes. All
that another reader may see differently comes back as a problem, and the member is read all the same.
Source: APPNOTE.TXT 6.3.10 sections 4.3 and 4.5, miniz ``mz_zip_reader_read_central_dir``, CVE-2025-1944, -1945, -10156.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from hubclean.errors import BudgetError
from hubclean.scanning.budget import spend
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import SMALL, TAIL, Source, tail

MOST_MEMBERS = 50_000
LARGEST_DIRECTORY = 8 << 20
LARGEST_MEMBER = 16 << 20

_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8
_UNICODE_NAME = 0x7075  # Info-ZIP's, read by Python 3.12 and later and by unpackers, not by PyTorch
ENCRYPTED = 0x1 | 0x20 | 0x40 | 0x2000  # encrypted, patched, strongly encrypted, masked headers
_DESCRIPTOR = 0x8


class BrokenZip(Exception):
    """The directory or a member cannot be read at all; ``offset`` says where."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One entry of the central directory. ``header`` is the offset of its local header in the file."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    mode: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/") and not self.size


@dataclass(frozen=True, slots=True)
class Directory:
    """The members in the directory's order, where it begins, and what was odd about the archive as a whole."""

    members: tuple[ZipMember, ...]
    begin: int
    problems: tuple[Problem, ...]


def has_end_record(tail: bytes) -> bool:
    """Whether a file that ends in ``tail`` may be taken for a zip by readers that look at the end."""
    return _last_end(tail[-(1 << 16) - 22 :]) >= 0


def _last_end(window: bytes) -> int:
    """Where the last end record begins that has room for its 22 bytes: miniz passes over what is nearer to the end."""
    return window.rfind(_END, 0, max(0, len(window) - 18))


def read_directory(source: Source) -> Directory:
    """Read the end record and the central directory: from the last bytes where they fit, else by one more read.

    Raises:
        BrokenZip: no end record, or the directory is cut.
        BudgetError: more members or bytes of directory than are looked at.
    """
    window = tail(source)
    if _last_end(window) < 0 and len(window) < min(source.size, TAIL):  # a long comment
        window = source.at(max(0, source.size - TAIL), source.size)
    base = source.size - len(window)
    at = _last_end(window)
    if at < 0:
        raise BrokenZip("a zip without its end record: cut, or made so that readers disagree", source.size)
    problems: list[Problem] = []
    _, disk, first_disk, here, count, size, offset, comment = struct.unpack_from("<4s4H2LH", window, at)
    if base + at + 22 + comment != source.size:
        what = "bytes behind the end of the zip, or a comment of another length than it says"
        problems.append(Problem("HC-ZIP-004", what, base + at))
    elif comment and b"PK" in window[at + 22 :]:
        problems.append(Problem("HC-ZIP-004", "zip records inside the zip's comment", base + at + 22))
    end = base + at
    if window[max(0, at - 20) : at][:4] == _LOCATOR:
        end, count, size, offset = _zip64(source, window, base, at, (count, size, offset), problems)
    elif disk or first_disk or here != count:
        problems.append(Problem("HC-ZIP-001", "the zip says that it goes on in another file", end))
    if size > end or 46 * count > end:
        raise BrokenZip("the end record tells of a directory larger than the file", end)
    if count > MOST_MEMBERS or size > LARGEST_DIRECTORY:
        raise BudgetError(f"a zip of {count} members with a directory of {size} bytes is more than is looked at")
    begin = _begin(source, offset, size, end, problems)
    text = window[begin - base : end - base] if begin >= base else source.at(begin, end)
    members = _members(text, begin, count, begin - offset, problems)
    return Directory(members, begin, tuple(problems))


def _zip64(
    source: Source, window: bytes, base: int, at: int, short: tuple[int, int, int], problems: list[Problem]
) -> tuple[int, int, int, int]:
    (place,) = struct.unpack_from("<Q", window, at - 12)
    expected = base + at - 20 - 56
    if place != expected:
        problems.append(Problem("HC-ZIP-001", "the 64-bit end record does not lie before its locator", base + at - 20))
    if not 0 <= place <= source.size - 56:
        raise BrokenZip("the 64-bit end record lies outside the file", base + at - 20)
    record = window[place - base : place - base + 56] if place >= base else source.at(place, place + 56)
    if record[:4] != _END64 or len(record) < 56:
        raise BrokenZip("the 64-bit end record is not where it should be", place)
    long: tuple[int, int, int] = struct.unpack_from("<3Q", record, 32)
    limits = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    if any(one not in (two, limit) for one, two, limit in zip(short, long, limits, strict=True)):
        problems.append(Problem("HC-ZIP-001", "the 32-bit and the 64-bit end record disagree", place))
    return place, *long


def _begin(source: Source, offset: int, size: int, end: int, problems: list[Problem]) -> int:
    """Where the directory begins: as written (PyTorch) if there is one, else just before its end record (Python)."""
    before = end - size
    if before == offset:
        return offset
    written = 0 <= offset <= end - 4 and source.at(offset, offset + 4) == CENTRAL
    lying = before >= 0 and size >= 4 and source.at(before, before + 4) == CENTRAL
    if written and lying:
        problems.append(Problem("HC-ZIP-001", "two directories: readers see different members", offset))
    elif not written and not lying:
        raise BrokenZip("the directory is not where the end record says", end)
    what = "bytes before the zip or between its parts: its offsets do not fit"
    problems.append(Problem("HC-ZIP-004", what, 0 if not written else offset))
    return offset if written else before


def _members(text: bytes, begin: int, count: int, shift: int, problems: list[Problem]) -> tuple[ZipMember, ...]:
    rows: list[ZipMember] = []
    at = 0
    while at < len(text):
        if text[at : at + 4] != CENTRAL or at + 46 > len(text):
            if not rows and count:
                raise BrokenZip("the directory is broken", begin + at)
            problems.append(Problem("HC-ZIP-001", "other bytes inside the directory", begin + at))
            break
        if len(rows) > MOST_MEMBERS:
            raise BudgetError(f"more than {MOST_MEMBERS} members are not looked at")
        spend()
        fields = struct.unpack_from("<4s6H3L5H2L", text, at)
        flags, method, crc, packed, full = fields[3], fields[4], *fields[7:10]
        lengths, mode, header = fields[10:13], fields[15] >> 16, fields[16]
        stop = at + 46 + sum(lengths)
        name = text[at + 46 : at + 46 + lengths[0]]
        extra = text[at + 46 + lengths[0] : at + 46 + lengths[0] + lengths[1]]
        if odd := _odd_extra(extra):
            problems.append(Problem("HC-ZIP-001", f"{name[:100].decode('cp437')!r} {odd}", begin + at))
        full, packed, header = _widened(extra, (full, packed, header))
        shown = name.decode("utf-8" if flags & 0x800 else "cp437", "backslashreplace")
        rows.append(ZipMember(shown, name, flags, method, crc, packed, full, header + shift, mode))
        if stop > len(text) or lengths[0] != len(name):
            problems.append(Problem("HC-ZIP-001", "the directory is cut inside an entry", begin + at))
            break
        at = stop
    if len(rows) != count:
        what = f"the end record counts {count} members, the directory has {len(rows)}"
        problems.append(Problem("HC-ZIP-001", what, begin))
    return tuple(rows)


def _odd_extra(extra: bytes) -> str:
    """What some readers take from the extra fields and others do not: a second name, sizes told twice."""
    at, kinds = 0, []
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        kinds.append(kind)
        at += 4 + length
    if _UNICODE_NAME in kinds:
        return "has another name in its extra field, which only some readers take"
    return "has its 64-bit sizes twice" if kinds.count(1) > 1 else ""


def _widened(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Sizes and offset that are too long for 32 bits stand in the extra field 1, in this order."""
    at, rows = 0, list(values)
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            body, used = extra[at + 4 : at + 4 + length], 0
            for place, value in enumerate(rows):
                if value == 0xFFFFFFFF and used + 8 <= len(body):
                    (rows[place],) = struct.unpack_from("<Q", body, used)
                    used += 8
            break
        at += 4 + length
    return rows[0], rows[1], rows[2]


def planned_head(tail: bytes, size: int) -> int:
    """How many first bytes of a file to read at once, when its last ones are known: for a zip that torch wrote, up to
    the header of its first storage, so that ``data.pkl`` and all small records come with one request."""
    try:
        members = read_directory(_Ending(tail, size)).members
    except (BrokenZip, BudgetError, LookupError):
        return min(size, SMALL)
    named = [member for member in members if member.name.endswith("/data.pkl") and 0 <= member.header < SMALL]
    if not named:
        return min(size, TAIL)
    behind = named[0].header + 30 + len(named[0].raw_name) + named[0].packed
    storages = [member.header for member in members if "/data/" in member.name and member.header >= behind]
    return min(size, behind + TAIL, min(storages, default=behind) + 256)


@dataclass(frozen=True)
class _Ending:
    """A file of which only the last bytes are at hand; the others are not there."""

    tail: bytes
    size: int

    def at(self, start: int, stop: int) -> bytes:
        base = self.size - len(self.tail)
        if start < base:
            raise LookupError
        return self.tail[start - base : stop - base]


def local_header(source: Source, member: ZipMember, limit: int) -> tuple[tuple[Problem, ...], int]:
    """Compare a member's local header with its central entry.

    Returns:
        Where they disagree, and where the member's bytes begin.

    Raises:
        BrokenZip: there is no local header.
    """
    at = member.header
    head = source.at(at, min(limit, at + 30 + len(member.raw_name) + 64)) if 0 <= at < limit else b""
    if head[:4] != _LOCAL or len(head) < 30:
        raise BrokenZip(f"{member.name[:100]!r} has no local header where the directory says", at)
    _, _, flags, method, _, _, crc, packed, full, named, extra = struct.unpack_from("<4s5H3L2H", head)
    odd = []
    if head[30 : 30 + named] != member.raw_name:
        odd.append("name")
    if flags != member.flags:
        odd.append("flags")
    if method != member.method:
        odd.append("method")
    later = bool(flags & _DESCRIPTOR)  # sizes and CRC may follow the data instead
    if crc != member.crc and not (later and crc == 0):
        odd.append("CRC")
    for mine, theirs in ((packed, member.packed), (full, member.size)):
        if mine not in (theirs, 0xFFFFFFFF) and not (later and mine == 0):
            odd.append("sizes")
            break
    problems = (
        (Problem("HC-ZIP-001", f"{member.name[:100]!r}: local and central record disagree on {', '.join(odd)}", at),)
        if odd
        else ()
    )
    return problems, at + 30 + named + extra


def member_content(source: Source, member: ZipMember, begin: int, limit: int, most: int = LARGEST_MEMBER) -> bytes:
    """A member's bytes, as far as ``most``, whatever its flags say.

    Raises:
        BrokenZip: method not known, or data that cannot be unpacked.
    """
    if member.method not in (_STORED, _DEFLATED):
        raise BrokenZip(f"{member.name[:100]!r} is packed by method {member.method}, which is not known", member.header)
    stop = begin + member.packed
    if stop > limit:
        raise BrokenZip(f"{member.name[:100]!r} goes on behind the members' part of the zip", member.header)
    if member.method == _STORED:
        return source.at(begin, min(stop, begin + most))
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        enough = most + (most >> 8) + 1024  # data that do not shrink grow by a few bytes
        return unpacker.decompress(source.at(begin, min(stop, begin + enough)), most)
    except zlib.error as error:
        raise BrokenZip(f"{member.name[:100]!r} cannot be unpacked: {error}", member.header) from error
