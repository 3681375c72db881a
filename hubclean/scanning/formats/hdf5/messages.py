"""What the messages of an object header say: links, attributes, layouts, files outside."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from hubclean.errors import BudgetError
from hubclean.scanning.formats.hdf5.heaps import global_object, local_text
from hubclean.scanning.formats.hdf5.objects import Message, read_header
from hubclean.scanning.formats.hdf5.pages import Cursor, Hdf5Broken, Pages

MOST_ITEMS = 20_000  # of an attribute that is a row of texts
HARD, SOFT, EXTERNAL = 0, 1, 64
_FIXED_TEXT, _VARIABLE = 3, 9
_TYPE = 3  # the message that is a type


@dataclass(frozen=True, slots=True)
class Link:
    """A link: its kind, its name, the object's address (hard) or the file it leads to (external)."""

    kind: int
    name: str
    address: int
    file: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute: its name, its texts (none if it holds numbers)."""

    name: str
    texts: tuple[bytes, ...]


def read_link(body: bytes, pages: Pages) -> Link:
    """A link message.

    Raises:
        Hdf5Broken: broken, or of a version or kind that is not known.
    """
    cursor = Cursor(body, pages)
    version, flags = cursor.number(1), cursor.number(1)
    if version != 1:
        raise Hdf5Broken(f"a link of version {version}")
    kind = cursor.number(1) if flags & 8 else HARD
    cursor.skip((8 if flags & 4 else 0) + (1 if flags & 0x10 else 0))
    name = cursor.take(cursor.number(1 << (flags & 3))).decode("utf-8", "backslashreplace")
    if kind == HARD:
        return Link(kind, name, cursor.address(), "")
    value = Cursor(cursor.take(cursor.number(2)), pages)
    if kind == SOFT:
        return Link(kind, name, 0, "")
    if kind != EXTERNAL:
        raise Hdf5Broken(f"a link of a kind that a program defines ({kind})")
    value.skip(1)
    return Link(kind, name, 0, value.text().decode("utf-8", "backslashreplace"))


def read_attribute(body: bytes, pages: Pages) -> Attribute:
    """An attribute message; texts are fetched from their heap.

    Raises:
        Hdf5Broken: broken, or of a version that is not known.
        BudgetError: more texts than are looked at.
    """
    cursor = Cursor(body, pages)
    version, flags = cursor.number(1), cursor.number(1)
    if not 1 <= version <= 3:
        raise Hdf5Broken(f"an attribute of version {version}")
    sizes = [cursor.number(2) for _ in range(3)]
    cursor.skip(1 if version == 3 else 0)
    padded = [size + (-size % 8 if version == 1 else 0) for size in sizes]
    name, kind, space = (cursor.take(size) for size in padded)
    shown = name.split(b"\0")[0].decode("utf-8", "backslashreplace")
    if version > 1 and flags & 2:
        raise Hdf5Broken(f"the attribute {shown[:80]!r} has a shape that lies elsewhere")
    if version > 1 and flags & 1:
        kind = _committed(Cursor(kind, pages), pages)
    count = _count(Cursor(space, pages))
    return Attribute(shown, _texts(Cursor(kind, pages), count, cursor, pages))


def _committed(cursor: Cursor, pages: Pages) -> bytes:
    """A type that is an object of its own."""
    version, where = cursor.number(1), cursor.number(1)
    if version > 3 or (version == 3 and where != 2):
        raise Hdf5Broken("a type that lies in a heap")
    cursor.skip(6 if version == 1 else 0)
    found = read_header(pages, cursor.address()).of(_TYPE)
    if not found or found[0].shared:
        raise Hdf5Broken("a type that is not where it should be")
    return found[0].body


def _count(cursor: Cursor) -> int:
    """How many elements a dataspace has."""
    version, dims, _ = (cursor.number(1) for _ in range(3))
    if version == 1:
        cursor.skip(5)
    elif version != 2:
        raise Hdf5Broken(f"a dataspace of version {version}")
    elif cursor.number(1) == 2:
        return 0
    return prod(cursor.length() for _ in range(dims))


def _texts(kind: Cursor, count: int, data: Cursor, pages: Pages) -> tuple[bytes, ...]:
    which, bits, _, size = kind.number(1) & 15, kind.number(1), kind.take(2), kind.number(4)
    text = which == _FIXED_TEXT or (which == _VARIABLE and bits & 15 == 1)
    if not text:
        return ()
    if count > MOST_ITEMS:
        raise BudgetError(f"an attribute of more than {MOST_ITEMS:,} texts")
    if which == _FIXED_TEXT:
        return tuple(data.take(size) for _ in range(count))
    rows = []
    for _ in range(count):
        length, heap, index = data.number(4), data.address(), data.number(4)
        rows.append(global_object(pages, heap, index)[:length] if length else b"")
    return tuple(rows)


def outside_files(message: Message, pages: Pages) -> list[str]:
    """The files that hold a dataset's numbers, by the message that says so.

    Raises:
        Hdf5Broken: broken.
    """
    cursor = Cursor(message.body, pages)
    cursor.skip(4)
    _, used, heap = cursor.number(2), cursor.number(2), cursor.address()
    names = []
    for _ in range(min(used, 20)):
        offset = cursor.length()
        cursor.skip(2 * pages.length)
        names.append(local_text(pages, heap, offset).decode("utf-8", "backslashreplace"))
    return names


def virtual_files(message: Message, pages: Pages) -> list[str]:
    """The files that a virtual dataset is made of, without the file itself; empty for any other layout.

    Raises:
        Hdf5Broken: broken, or a version that is not known.
    """
    cursor = Cursor(message.body, pages)
    version = cursor.number(1)
    if version < 3:
        return []
    if cursor.number(1) != 3:
        return []
    heap, index = cursor.address(), cursor.number(4)
    if heap == pages.nowhere:
        return []
    block = Cursor(global_object(pages, heap, index), pages)
    version, count = block.number(1), block.length()
    names = []
    for _ in range(min(count, 1000)):
        flags = block.number(1) if version else 0
        if version > 1 or flags & ~7:
            raise Hdf5Broken(f"a virtual dataset of version {version}")
        if flags & 4:  # the file itself
            name = b"."
        elif flags & 1:  # a name given before
            block.length()
            name = b"."
        else:
            name = block.text()
        _ = block.length() if flags & 2 else block.text()
        for _ in range(2):
            _selection(block)
        if name != b".":
            names.append(name.decode("utf-8", "backslashreplace"))
    return names


def _selection(cursor: Cursor) -> None:
    """Pass over a serialized selection of a virtual mapping."""
    kind, version = cursor.number(4), cursor.number(4)
    if kind in (0, 3):  # none, all
        cursor.skip(8)
    elif kind == 2 and version == 1:
        cursor.skip(4)
        cursor.skip(cursor.number(4))
    elif kind == 2 and version in (2, 3):
        _regular(cursor, version)
    else:
        raise Hdf5Broken("a selection of another kind")


def _regular(cursor: Cursor, version: int) -> None:
    """A hyperslab as start, stride, count and block, or as a list of blocks."""
    flags = cursor.number(1)
    if version == 2:
        cursor.skip(4)
        cursor.skip(32 * cursor.number(4))
        return
    width, rank = cursor.number(1), cursor.number(4)
    if flags & 1:
        cursor.skip(4 * width * rank)
    else:
        cursor.skip(2 * width * rank * cursor.number(width))
