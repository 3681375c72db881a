"""All objects of an HDF5 file, breadth first, so that what lies together is read together."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.scanning.budget import spend
from hubclean.scanning.formats.hdf5.btree import records
from hubclean.scanning.formats.hdf5.groups import symbols, tree_children
from hubclean.scanning.formats.hdf5.heaps import FractalHeap
from hubclean.scanning.formats.hdf5.messages import (
    EXTERNAL,
    HARD,
    SOFT,
    Attribute,
    outside_files,
    read_attribute,
    read_link,
    virtual_files,
)
from hubclean.scanning.formats.hdf5.objects import Header, Message, read_header, read_superblock, user_block
from hubclean.scanning.formats.hdf5.pages import Cursor, Hdf5Broken, Pages
from hubclean.scanning.sources import Part, Source

MOST_OBJECTS = 100_000
MOST_TEXT = 8 << 20  # bytes of all attributes
_LINK_INFO, _LINK, _OUTSIDE, _LAYOUT, _ATTRIBUTE, _TABLE, _ATTRIBUTE_INFO = 2, 6, 7, 8, 0xC, 0x11, 0x15
_LINK_RECORDS, _ATTRIBUTE_RECORDS = 5, 8
_FIRST = 544  # bytes that most headers and nodes take


@dataclass(slots=True)
class Hdf5File:
    """What a file holds.

    Args:
        objects, datasets, soft: how many objects, how many of them datasets, how many soft links.
        attributes: those with texts and the place of each; ``numbers`` counts the others.
        outside: what reaches into other files: the words for it, the file, the place.
        unchecked: what could not be followed.
    """

    objects: int = 0
    datasets: int = 0
    soft: int = 0
    numbers: int = 0
    attributes: list[tuple[Attribute, int]] = field(default_factory=list)
    outside: list[tuple[str, str, int]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def read_hdf5(source: Source) -> Hdf5File:
    """Follow every link of a file from its root.

    Raises:
        HubcleanError: nothing could be read.
    """
    found = Hdf5File()
    first = user_block(source)
    pages = Pages(Part(source, first, source.size) if first else source)
    pages.want([(0, min(pages.size, 4096))])
    try:
        block = read_superblock(pages, first)
        if block.driver:
            found.unchecked.append("it is one part of a file in several parts")
        if block.end > pages.size:
            found.unchecked.append(f"it should have {block.end:,} bytes, and has {pages.size:,}")
        elif block.end < pages.size:
            found.unchecked.append(f"{pages.size - block.end:,} bytes lie behind its end")
        walk = _Walk(pages, found)
        if block.extension is not None:
            walk.todo.append(("object", block.extension))
        walk.todo.append(("object", block.root))
        walk.run()
    except (Hdf5Broken, BudgetError) as error:
        found.unchecked.append(str(error))
    if first:
        found.attributes = [(row, place + first) for row, place in found.attributes]
        found.outside = [(what, name, place + first) for what, name, place in found.outside]
    return found


class _Walk:
    """The objects that are still to be looked at, by what lies at an address."""

    def __init__(self, pages: Pages, found: Hdf5File) -> None:
        self.pages, self.found = pages, found
        self.todo: list[tuple[str, int]] = []
        self._seen: set[int] = set()
        self._trees: set[tuple[int, int, int]] = set()  # whose links or attributes were looked at
        self._text = 0

    def run(self) -> None:
        steps = {"object": self._object, "tree": self._tree, "symbols": self._symbols}
        while self.todo:
            now = [row for row in dict.fromkeys(self.todo) if row[1] not in self._seen]
            self.todo = []
            self._seen.update(address for _, address in now)
            if len(self._seen) > MOST_OBJECTS:
                raise BudgetError(f"more than {MOST_OBJECTS:,} objects are not looked at")
            size = self.pages.size
            self.pages.want((address, min(size, address + _FIRST)) for _, address in now if address < size)
            for kind, address in now:
                steps[kind](address)

    def _tree(self, address: int) -> None:
        children, leaves = tree_children(self.pages, address)
        self.todo += [("symbols" if leaves else "tree", child) for child in children]

    def _symbols(self, address: int) -> None:
        objects, soft = symbols(self.pages, address)
        self.found.soft += soft
        self.todo += [("object", child) for child in objects]

    def _object(self, address: int) -> None:
        header = read_header(self.pages, address)
        spend(len(header.messages))
        self.found.objects += 1
        if header.of(_LAYOUT):
            self.found.datasets += 1
        for message in header.messages:
            if message.shared and message.kind in (_LINK, _OUTSIDE, _LAYOUT, _TABLE, _LINK_INFO, _ATTRIBUTE):
                self.found.unchecked.append(f"a message kept elsewhere, in the object at byte {address}")
            else:
                self._message(message, header)

    def _message(self, message: Message, header: Header) -> None:
        if message.kind == _ATTRIBUTE:
            self._attribute(message.body, message.place)
        elif message.kind == _TABLE:
            self.todo.append(("tree", Cursor(message.body, self.pages).address()))
        elif message.kind == _LINK:
            self._link(message.body, message.place)
        elif message.kind == _LINK_INFO:
            for body, place in self._dense(message, 8, _LINK_RECORDS):
                self._link(body, place)
        elif message.kind == _ATTRIBUTE_INFO:
            for body, place in self._dense(message, 2, _ATTRIBUTE_RECORDS):
                self._attribute(body, place)
        elif message.kind == _OUTSIDE:
            names = outside_files(message, self.pages)
            self.found.outside += [("the numbers of a dataset lie in", name, message.place) for name in names or ["?"]]
        elif message.kind == _LAYOUT:
            names = virtual_files(message, self.pages)
            self.found.outside += [("a virtual dataset is made of", name, message.place) for name in names]

    def _dense(self, message: Message, order: int, kind: int) -> list[tuple[bytes, int]]:
        """Links or attributes in a fractal heap, by the message that names it; ``order`` bytes count them."""
        cursor = Cursor(message.body, self.pages)
        cursor.skip(1)
        flags = cursor.number(1)
        cursor.skip(order if flags & 1 else 0)
        heap, tree = cursor.address(), cursor.address()
        if heap == self.pages.nowhere or (heap, tree, kind) in self._trees:
            return []
        self._trees.add((heap, tree, kind))
        where = FractalHeap.read(self.pages, heap)
        rows = []
        for record in records(self.pages, tree, kind):
            if kind == _ATTRIBUTE_RECORDS and len(record) > 8 and record[8] & 2:
                raise Hdf5Broken("an attribute kept elsewhere")
            rows.append(where.object(record[4:] if kind == _LINK_RECORDS else record[:8]))
        return rows

    def _link(self, body: bytes, place: int) -> None:
        link = read_link(body, self.pages)
        if link.kind == HARD:
            self.todo.append(("object", link.address))
        elif link.kind == SOFT:
            self.found.soft += 1
        elif link.kind == EXTERNAL:
            self.found.outside.append((f"the link {link.name[:60]!r} leads into", link.file, place))

    def _attribute(self, body: bytes, place: int) -> None:
        try:
            attribute = read_attribute(body, self.pages)
        except (Hdf5Broken, BudgetError) as error:
            self.found.unchecked.append(f"an attribute at byte {place}: {error}")
            return
        self._text += sum(map(len, attribute.texts))
        if self._text > MOST_TEXT:
            raise BudgetError(f"attributes of more than {MOST_TEXT:,} bytes")
        if attribute.texts:
            self.found.attributes.append((attribute, place))
        else:
            self.found.numbers += 1
