"""Groups of the old kind: a B-tree whose leaves list objects by their addresses."""

from __future__ import annotations

from hubclean.scanning.formats.hdf5.pages import Hdf5Broken, Pages

_SOFT = 2


def tree_children(pages: Pages, address: int) -> tuple[list[int], bool]:
    """The children of a node, and whether they are tables of symbols.

    Raises:
        Hdf5Broken: no node of a group's tree.
    """
    cursor = pages.signed(address, address + 24, b"TREE")
    kind, level, used = cursor.number(1), cursor.number(1), cursor.number(2)
    if kind:
        raise Hdf5Broken(f"no node of a group at byte {address}")
    begin, step = address + 8 + 2 * pages.address, pages.length + pages.address
    rows = pages.at(begin, begin + used * step)
    places = range(pages.length, len(rows), step)
    return [int.from_bytes(rows[at : at + pages.address], "little") for at in places], level == 0


def symbols(pages: Pages, address: int) -> tuple[list[int], int]:
    """The objects that a table of symbols lists, and how many soft links are among the rest.

    Raises:
        Hdf5Broken: no table of symbols.
    """
    cursor = pages.signed(address, address + 8, b"SNOD")
    cursor.skip(2)
    count = cursor.number(2)
    size = pages.length + pages.address + 24
    rows = pages.at(address + 8, address + 8 + count * size)
    found, soft = [], 0
    for at in range(0, len(rows), size):
        behind = at + pages.length + pages.address
        if int.from_bytes(rows[behind : behind + 4], "little") == _SOFT:
            soft += 1
        else:
            found.append(int.from_bytes(rows[at + pages.length : behind], "little"))
    return found, soft
