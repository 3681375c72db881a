"""B-trees of the second kind: which objects of a fractal heap are links or attributes."""

from __future__ import annotations

from collections.abc import Iterator

from hubclean.scanning.budget import spend
from hubclean.scanning.formats.hdf5.pages import Hdf5Broken, Pages

MOST_RECORDS = 100_000
_OVERHEAD = 10  # signature, version, type, checksum


def records(pages: Pages, address: int, kind: int) -> Iterator[bytes]:
    """The records of a tree whose type is ``kind``.

    Raises:
        Hdf5Broken: another type, or broken.
    """
    cursor = pages.signed(address, address + 18 + pages.address + pages.length, b"BTHD")
    version, found, node, size, depth = (cursor.number(count) for count in (1, 1, 4, 2, 2))
    cursor.skip(2)
    root, count = cursor.address(), cursor.number(2)
    if version or found != kind or not size or node < _OVERHEAD + size or depth > 16:
        raise Hdf5Broken(f"a B-tree of another kind at byte {address}")
    widths = _widths(pages, node, size, depth)
    todo = [(root, count, depth)] if count else []
    seen: set[int] = set()
    given = 0
    while todo:
        place, count, level = todo.pop()
        given += count
        if place in seen or given > MOST_RECORDS:
            raise Hdf5Broken("a B-tree that does not end")
        seen.add(place)
        cursor = pages.signed(place, place + node, b"BTIN" if level else b"BTLF")
        cursor.skip(2)
        spend(count)
        for _ in range(count):
            yield cursor.take(size)
        if level:
            for _ in range(count + 1):
                child, inside = cursor.address(), cursor.number(widths[0])
                cursor.skip(widths[level - 1] if level > 1 else 0)
                todo.append((child, inside, level - 1))


def _widths(pages: Pages, node: int, size: int, depth: int) -> list[int]:
    """How many bytes the counts take: [records of a child, records below a child at level 1, 2, ...]."""
    most = (node - _OVERHEAD) // size
    widths, total = [_bytes(most)], most
    for level in range(1, depth):
        pointer = pages.address + widths[0] + (widths[level - 1] if level > 1 else 0)
        here = (node - _OVERHEAD - pointer) // (size + pointer)
        total = (here + 1) * total + here
        widths.append(_bytes(total))
    return widths


def _bytes(count: int) -> int:
    return (max(count, 1).bit_length() - 1) // 8 + 1
