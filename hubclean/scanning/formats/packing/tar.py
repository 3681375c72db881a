"""Tar archives: headers by range, the members' bytes left where they are.

Sources: POSIX pax, the GNU tar manual (long names ``L`` and ``K``); CVE-2007-4559 (paths and links that leave).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.scanning.budget import spend
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import SMALL, Source

MOST_MEMBERS = 1000
BLOCK = 512
_LONGEST_NAME = 64 << 10
_LONGEST_COUNT = 8  # letters of a length in a pax header, and the blank behind
_MOST_PADDING = 1 << 20
_WINDOW = 16 << 10
_FILES, _FOLDER, _LINKS = (b"0", b"\0", b"7"), b"5", (b"1", b"2")
_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL = b"L", b"K", b"x", b"g"
_DEVICES = (b"3", b"4", b"6")


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in the archive and where its bytes lie."""

    name: str
    begin: int
    size: int


@dataclass(slots=True)
class TarFile:
    """Members that are files, rules broken, what could not be judged."""

    members: list[TarMember] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def read_tar(source: Source) -> TarFile:
    """Read all headers; what cannot be followed is noted.

    Raises:
        HubcleanError: nothing could be read.
    """
    file = TarFile()
    try:
        _walk(source, file)
    except BudgetError as error:
        file.unchecked.append(str(error))
    except (ValueError, ArithmeticError, UnicodeError) as error:
        file.unchecked.append(f"a tar that cannot be followed: {error}")
    seen: set[str] = set()
    for member in file.members:
        if member.name.casefold() in seen:
            file.problems.append(Problem("HC-ZIP-001", f"{member.name[:100]!r} is there twice", member.begin - BLOCK))
        seen.add(member.name.casefold())
    return file


def _walk(source: Source, file: TarFile) -> None:
    at, count, told = 0, 0, dict[str, str]()
    window, base = b"", 0
    while at + BLOCK <= source.size:
        if not base <= at or at + BLOCK > base + len(window):
            base = 0 if source.size <= SMALL else at
            window = source.at(base, source.size if source.size <= SMALL else min(source.size, at + _WINDOW))
        head = window[at - base : at - base + BLOCK]
        if not head.strip(b"\0"):
            _behind(source, file, at)
            return
        count += 1
        spend()
        if count > MOST_MEMBERS:
            raise BudgetError(f"more than {MOST_MEMBERS} members")
        kind, size, begin = _header(head, at)
        if begin + size > source.size:
            raise ValueError(f"a member goes on behind the file, at byte {at:,}")
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL):
            if size > _LONGEST_NAME:
                raise BudgetError(f"a name of {size:,} bytes")
            told |= _told(kind, source.at(begin, begin + size))
        else:
            size = int(told.get("size", size))
            if size < 0 or begin + size > source.size:
                raise ValueError(f"a member goes on behind the file, at byte {at:,}")
            _member(file, head, kind, told, TarMember(_named(head, told), begin, size))
            told = {}
        at = begin + -(-size // BLOCK) * BLOCK
    if at < source.size:
        file.unchecked.append(f"{source.size - at:,} bytes behind the last member")


def _behind(source: Source, file: TarFile, at: int) -> None:
    if source.size - at > _MOST_PADDING or source.at(at, source.size).strip(b"\0"):
        file.unchecked.append(f"{source.size - at:,} bytes behind the end of the tar, which some readers read on")


def _header(head: bytes, at: int) -> tuple[bytes, int, int]:
    """Kind, size and place of a member, its checksum compared."""
    total = sum(head[:148]) + 8 * 32 + sum(head[156:])
    if _number(head[148:156]) != total:
        raise ValueError(f"a header with a wrong checksum, at byte {at:,}")
    size = _number(head[124:136])
    if size < 0:
        raise ValueError(f"a negative size, at byte {at:,}")
    return head[156:157], size, at + BLOCK


def _number(text: bytes) -> int:
    if text[:1] == b"\x80":
        return int.from_bytes(text[1:], "big")
    return int(text.split(b"\0")[0].strip() or b"0", 8)


def _told(kind: bytes, body: bytes) -> dict[str, str]:
    """What a header before the member's own says of it."""
    if kind == _LONG_NAME:
        return {"path": body.rstrip(b"\0").decode("utf-8", "backslashreplace")}
    if kind == _LONG_LINK:
        return {"linkpath": body.rstrip(b"\0").decode("utf-8", "backslashreplace")}
    rows: dict[str, str] = {}
    at = 0
    while at < len(body):
        spend()
        length = body[at : at + _LONGEST_COUNT].partition(b" ")[0]
        count = int(length) if len(length) < _LONGEST_COUNT and length.isdigit() else 0
        key, sign, value = body[at + len(length) + 1 : at + count].partition(b"=")
        if not sign or count <= len(length) or not value.endswith(b"\n"):
            raise ValueError("a broken pax header")
        name = key.decode("utf-8", "backslashreplace")
        if name.startswith("GNU.sparse"):
            raise ValueError("a sparse member")
        if name in ("path", "linkpath", "size"):
            rows[name] = value[:-1].decode("utf-8", "backslashreplace")
        at += count
    return rows


def _named(head: bytes, told: dict[str, str]) -> str:
    name = head[:100].split(b"\0")[0]
    prefix = head[345:500].split(b"\0")[0] if head[257:263] == b"ustar\0" else b""
    plain = (prefix + b"/" + name if prefix else name).decode("utf-8", "backslashreplace")
    return told.get("path", plain)


def _member(file: TarFile, head: bytes, kind: bytes, told: dict[str, str], member: TarMember) -> None:
    shown, place = repr(member.name[:100]), member.begin - BLOCK
    if _leaves(member.name):
        file.problems.append(Problem("HC-ZIP-002", f"{shown} leaves the folder it is unpacked to", place))
    if kind in _LINKS:
        target = told.get("linkpath", head[157:257].split(b"\0")[0].decode("utf-8", "backslashreplace"))
        # Without a step up no chain of links leaves the folder: the newest checkpoint is often linked so.
        if _leaves(target):
            file.problems.append(Problem("HC-ZIP-002", f"{shown} is a link to {target[:100]!r}", place))
    elif kind in _DEVICES:
        file.problems.append(Problem("HC-ZIP-002", f"{shown} is a device or pipe", place))
    elif kind in _FILES:
        if not member.name.endswith("/"):
            file.members.append(member)
    elif kind != _FOLDER:
        raise ValueError(f"a member of the unknown kind {kind!r}")


def _leaves(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or not parts[0] or parts[0][1:2] == ":" or parts[0][:1] == "~"
