"""Superblock and object headers: the messages of an object."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hubclean.scanning.budget import spend
from hubclean.scanning.formats.hdf5.pages import Cursor, Hdf5Broken, Pages
from hubclean.scanning.sources import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CONTINUATION = 0x10
_LARGEST_BLOCK = 256 << 10  # each further place costs a request
MOST_MESSAGES = 20_000  # of one object: PyTables and Keras write up to a few hundred attributes


@dataclass(frozen=True, slots=True)
class Superblock:
    """Where the root group's header lies, where the file ends by its own account, and what it has beside."""

    root: int
    end: int
    extension: int | None
    driver: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message of an object header: type, bytes, where they lie, and whether it only points to the real one."""

    kind: int
    body: bytes
    place: int
    shared: bool


@dataclass(slots=True)
class Header:
    """The messages of one object."""

    messages: list[Message] = field(default_factory=list)

    def of(self, kind: int) -> list[Message]:
        return [message for message in self.messages if message.kind == kind]


def user_block(source: Source) -> int:
    """How many bytes of somebody else's lie before the file's own: 0, 512, 1024 and on by doubling."""
    at = 0
    while at <= _LARGEST_BLOCK and at + len(SIGNATURE) <= source.size:
        if source.at(at, at + len(SIGNATURE)) == SIGNATURE:
            return at
        at = at * 2 or 512
    return 0


def read_superblock(pages: Pages, first: int = 0) -> Superblock:
    """Version 0 to 3; sets the sizes of addresses and lengths. ``first`` is the length of the user block.

    Raises:
        Hdf5Broken: another version, or broken.
    """
    cursor = Cursor(pages.at(0, min(pages.size, 128)), pages)
    if cursor.take(8) != SIGNATURE:
        raise Hdf5Broken("no HDF5 signature at its beginning")
    version = cursor.number(1)
    if version > 3:
        raise Hdf5Broken(f"a superblock of version {version}")
    if version < 2:
        cursor.skip(4)
    pages.address, pages.length = cursor.number(1), cursor.number(1)
    if pages.address not in (2, 4, 8) or pages.length not in (2, 4, 8):
        raise Hdf5Broken("addresses of an odd size")
    if version < 2:
        cursor.skip(9 + 4 * version)
        base, _, end, driver = (cursor.address() for _ in range(4))
        cursor.address()
        root, extension, driven = cursor.address(), None, driver != pages.nowhere
    else:
        cursor.skip(1)
        base, more, end, root = (cursor.address() for _ in range(4))
        extension, driven = (None if more == pages.nowhere else more), False
    if base != first:
        raise Hdf5Broken("its addresses do not count from its beginning")
    return Superblock(root, end - first, extension, driven)  # the end alone counts from the file's first byte


def read_header(pages: Pages, address: int) -> Header:
    """All messages of an object, those in continuation blocks included.

    Raises:
        Hdf5Broken: there is no object header, or it is broken.
    """
    start = pages.at(address, address + 6)
    return _new(pages, address) if start[:4] == b"OHDR" else _old(pages, address)


def _old(pages: Pages, address: int) -> Header:
    cursor = Cursor(pages.at(address, address + 16), pages)
    version, _, count = cursor.number(1), cursor.take(1), cursor.number(2)
    if version != 1:
        raise Hdf5Broken(f"no object header at byte {address}")
    cursor.skip(4)
    found, todo = Header(), deque([(address + 16, cursor.number(4))])
    seen: set[int] = set()
    while todo:
        place, size = todo.popleft()
        if place in seen or len(seen) > MOST_MESSAGES:
            raise Hdf5Broken("an object header goes on in itself")
        seen.add(place)
        cursor = Cursor(pages.at(place, place + size), pages)
        while cursor.place + 8 <= size and len(found.messages) < count:
            kind, length, flags, _ = cursor.number(2), cursor.number(2), cursor.number(1), cursor.take(3)
            inside = place + cursor.place
            _add(found, Message(kind, cursor.take(length), inside, bool(flags & 2)), pages, todo)
    if len(found.messages) < count:
        raise Hdf5Broken(f"the object header at byte {address} lacks messages")
    return found


def _new(pages: Pages, address: int) -> Header:
    cursor = Cursor(pages.at(address, min(pages.size, address + 64)), pages, 4)
    version, flags = cursor.number(1), cursor.number(1)
    if version != 2:
        raise Hdf5Broken(f"an object header of version {version}")
    cursor.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    size = cursor.number(1 << (flags & 3))
    found, todo = Header(), deque([(address + cursor.place, size)])
    seen: set[int] = set()
    while todo:
        place, size = todo.popleft()
        if place in seen or len(seen) > MOST_MESSAGES:
            raise Hdf5Broken("an object header goes on in itself")
        if seen:  # a continuation block has a signature and a checksum of its own
            if pages.at(place, place + 4) != b"OCHK" or size < 8:
                raise Hdf5Broken(f"no continuation of an object header at byte {place}")
            place, size = place + 4, size - 8
        seen.add(place - 4 if seen else place)
        cursor = Cursor(pages.at(place, place + size), pages)
        least = 6 if flags & 4 else 4
        while cursor.place + least <= size:
            kind, length, bits = cursor.number(1), cursor.number(2), cursor.number(1)
            cursor.skip(2 if flags & 4 else 0)
            inside = place + cursor.place
            _add(found, Message(kind, cursor.take(length), inside, bool(bits & 2)), pages, todo)
    return found


def _add(found: Header, message: Message, pages: Pages, todo: deque[tuple[int, int]]) -> None:
    if len(found.messages) >= MOST_MESSAGES:
        raise Hdf5Broken(f"an object of more than {MOST_MESSAGES:,} messages")
    found.messages.append(message)
    spend()
    if message.kind == CONTINUATION:
        cursor = Cursor(message.body, pages)
        todo.append((cursor.address(), cursor.length()))
