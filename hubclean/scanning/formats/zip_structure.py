"""What is wrong with an archive's members as a whole: colliding names, paths that leave, bombs, overlaps, gaps."""

from __future__ import annotations

import stat
import unicodedata
from collections.abc import Iterator

from hubclean.scanning.formats.content import PROGRAMS
from hubclean.scanning.formats.zip_directory import ENCRYPTED, Directory, ZipMember
from hubclean.scanning.rules import Problem

BOMB_RATIO = 100
BOMB_SIZE = 10 << 20  # a smaller member harms nobody, whatever its ratio
LARGEST_GAP = 4096  # torch pads local headers so that data begin at multiples of 64 bytes (or a page)
CODE_TEXT = """
.py .pyc .pyd .pyw .so .dll .dylib .exe .com .bat .cmd .ps1 .sh .bash .scr .msi .jar .class .vbs .js .hta .lnk
"""
CODE = tuple(CODE_TEXT.split())
_MAGIC = (*PROGRAMS.items(), (b"#!", "script"), (b"\xde\xc0\x17\x0b", "bitcode"))


def structure(directory: Directory) -> Iterator[Problem]:
    """What the central directory alone shows, in all rules HC-ZIP-001 to HC-ZIP-004."""
    yield from directory.problems
    yield from _names(directory.members)
    for member in directory.members:
        yield from _one(member)
    yield from _layout(directory)


def _names(members: tuple[ZipMember, ...]) -> Iterator[Problem]:
    exact: set[bytes] = set()
    folded: dict[str, str] = {}
    for member in members:
        key = unicodedata.normalize("NFC", member.name.replace("\\", "/").partition("\0")[0]).casefold()
        if member.raw_name in exact:
            what = f"{member.name[:100]!r} is there twice: readers take one or the other"
            yield Problem("HC-ZIP-001", what, member.header)
        elif key in folded:
            what = f"{member.name[:100]!r} and {folded[key][:100]!r} are one name to some readers"
            yield Problem("HC-ZIP-001", what, member.header)
        exact.add(member.raw_name)
        folded.setdefault(key, member.name)


def _one(member: ZipMember) -> Iterator[Problem]:
    shown, parts = repr(member.name[:100]), member.name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or parts[0][1:2] == ":" or parts[0][:1] == "~":
        yield Problem("HC-ZIP-002", f"{shown} leaves the folder it is unpacked to", member.header)
    elif "\\" in member.name or "\0" in member.name:
        yield Problem("HC-ZIP-002", f"{shown}: a name that readers cut or divide differently", member.header)
    if stat.S_ISLNK(member.mode):
        yield Problem("HC-ZIP-002", f"{shown} is a link", member.header)
    if member.flags & ENCRYPTED:
        yield Problem("HC-ZIP-003", f"{shown} is marked as encrypted (flags 0x{member.flags:x})", member.header)
    if member.method not in (0, 8):
        yield Problem("HC-ZIP-003", f"{shown} is packed by the unknown method {member.method}", member.header)
    elif member.method == 0 and member.packed != member.size and not member.flags & ENCRYPTED:
        yield Problem("HC-ZIP-001", f"{shown} is not packed, yet has two sizes", member.header)
    elif member.size > BOMB_SIZE and member.size > BOMB_RATIO * max(member.packed, 1):
        what = f"{shown} unpacks from {member.packed:,} to {member.size:,} bytes"
        yield Problem("HC-ZIP-003", what, member.header)


def _layout(directory: Directory) -> Iterator[Problem]:
    """Members must follow each other: an overlap is a bomb or a second reading, a gap may hide a container."""
    at = 0
    for member in sorted(directory.members, key=lambda row: row.header):
        least = member.header + 30 + len(member.raw_name) + member.packed
        if member.header < at:
            yield Problem("HC-ZIP-003", f"{member.name[:100]!r} overlaps the member before it", member.header)
            return
        if at and member.header - at > LARGEST_GAP:
            what = f"{member.header - at:,} bytes before {member.name[:100]!r} belong to no member"
            yield Problem("HC-ZIP-004", what, at)
        if not at and member.header:
            yield Problem("HC-ZIP-004", f"{member.header:,} bytes before the first member", 0)
        at = least
    if at > directory.begin:
        yield Problem("HC-ZIP-003", "the last member overlaps the directory", at)
    elif directory.begin - at > LARGEST_GAP:
        yield Problem("HC-ZIP-004", f"{directory.begin - at:,} bytes before the directory belong to no member", at)


def holes(directory: Directory, ends: dict[int, int]) -> Iterator[Problem]:
    """Bytes between members that no record accounts for, where local headers were read (``ends``: header to end).

    After a member there may be its data descriptor, of 12 to 24 bytes.
    """
    members = sorted(directory.members, key=lambda row: row.header)
    starts = [*(member.header for member in members[1:]), directory.begin]
    for member, start in zip(members, starts, strict=False):
        gap = start - ends.get(member.header, start)
        allowed = (0, 12, 16, 20, 24) if member.flags & 0x8 else (0,)
        if gap not in allowed and 0 < gap <= LARGEST_GAP:
            what = f"{gap:,} bytes behind {member.name[:100]!r} belong to no member"
            yield Problem("HC-ZIP-004", what, start - gap)


def executable(member: ZipMember, head: bytes | None) -> Problem | None:
    """Code by its first bytes (``head``; ``None`` where they were not read) or by its name."""
    for signature, kind in _MAGIC:
        if head and head.startswith(signature):
            return Problem(
                "HC-ZIP-005", f"{member.name[:100]!r} is a program by its first bytes ({kind})", member.header
            )
    if head and head[:2] == b"MZ" and len(head) >= 64 and any(byte < 9 for byte in head[:64]):
        return Problem("HC-ZIP-005", f"{member.name[:100]!r} is a program by its first bytes (PE)", member.header)
    if member.name.lower().endswith(CODE):
        return Problem("HC-ZIP-005", f"{member.name[:100]!r} is code by its name", member.header)
    return None
