"""Heaps: names in local ones, long values in global ones, many links or attributes in fractal ones."""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.scanning.formats.hdf5.btree import records
from hubclean.scanning.formats.hdf5.pages import Cursor, Hdf5Broken, Pages

_HUGE_BY_TREE = 1  # type of the records of huge objects without filters


def local_text(pages: Pages, heap: int, offset: int) -> bytes:
    """A name out of a local heap.

    Raises:
        Hdf5Broken: no heap, or no such name.
    """
    cursor = pages.signed(heap, heap + 8 + 2 * pages.length + pages.address, b"HEAP")
    cursor.skip(4)
    size, _, data = cursor.length(), cursor.length(), cursor.address()
    if offset >= size:
        raise Hdf5Broken("a name outside its heap")
    return Cursor(pages.at(data + offset, min(pages.size, data + size, data + offset + 4096)), pages).text()


def global_object(pages: Pages, collection: int, index: int) -> bytes:
    """An object out of a global heap.

    Raises:
        Hdf5Broken: no heap, or no such object.
    """
    if collection not in pages.heaps:
        pages.heaps[collection] = _collection(pages, collection)
    if index not in pages.heaps[collection]:
        raise Hdf5Broken(f"no object {index} in the heap at byte {collection}")
    return pages.at(*pages.heaps[collection][index])


def _collection(pages: Pages, collection: int) -> dict[int, tuple[int, int]]:
    """Where the objects of a global heap begin and end, by their numbers; of two with one number the first."""
    cursor = pages.signed(collection, collection + 8 + pages.length, b"GCOL")
    cursor.skip(4)
    size = cursor.length()
    head = 8 + pages.length
    at, stop = collection + head + (-head) % 8, collection + size
    found: dict[int, tuple[int, int]] = {}
    while at + 8 + pages.length <= min(stop, pages.size):
        cursor = Cursor(pages.at(at, at + 8 + pages.length), pages)
        number, _, length = cursor.number(2), cursor.take(6), cursor.length()
        if not number:
            break
        found.setdefault(number, (at + cursor.place, at + cursor.place + length))
        at += cursor.place + length + (-length) % 8
    return found


@dataclass(frozen=True, slots=True)
class FractalHeap:
    """A fractal heap's header: what is needed to find an object by its id."""

    pages: Pages
    address: int
    filtered: bool
    huge: int
    largest: int
    width: int
    start: int
    most_direct: int
    bits: int
    root: int
    rows: int

    @staticmethod
    def read(pages: Pages, address: int) -> FractalHeap:
        cursor = pages.signed(address, address + 22 + 12 * pages.length + 3 * pages.address, b"FRHP")
        cursor.skip(3)
        filters, _, largest = cursor.number(2), cursor.take(1), cursor.number(4)
        _, huge = cursor.length(), cursor.address()
        cursor.skip(pages.length + pages.address + 8 * pages.length)
        width, start, most = cursor.number(2), cursor.length(), cursor.length()
        bits, _, root, rows = cursor.number(2), cursor.take(2), cursor.address(), cursor.number(2)
        powers = all(one > 0 and one & (one - 1) == 0 for one in (width, start, most))
        if not powers or not 0 < bits <= 64 or start > most:
            raise Hdf5Broken(f"a fractal heap of odd measures at byte {address}")
        return FractalHeap(pages, address, bool(filters), huge, largest, width, start, most, bits, root, rows)

    def object(self, name: bytes) -> tuple[bytes, int]:
        """The object with this id, and where it lies.

        Raises:
            Hdf5Broken: it cannot be found.
        """
        kind = name[0] >> 4 & 3
        if name[0] >> 6 or kind == 3:
            raise Hdf5Broken("an id of a heap in another version")
        if kind == 2:
            return name[1 : 2 + (name[0] & 15)], self.address
        if self.filtered:
            raise Hdf5Broken("a heap that is compressed")
        cursor = Cursor(name, self.pages, 1)
        if kind == 1:
            return self._huge(cursor.number(min(8, len(name) - 1)))
        offset = cursor.number((self.bits + 7) // 8)
        width = min((self.most_direct.bit_length() + 6) // 8, (max(1, self.largest).bit_length() - 1) // 8 + 1)
        length = cursor.number(width)
        block, base, size = self._block(offset)
        if offset + length > base + size:
            raise Hdf5Broken("an object that leaves its block")
        return self.pages.at(block + offset - base, block + offset - base + length), block + offset - base

    def _huge(self, wanted: int) -> tuple[bytes, int]:
        if self.huge not in self.pages.huge:
            found = self.pages.huge[self.huge] = {}
            for record in records(self.pages, self.huge, _HUGE_BY_TREE):
                cursor = Cursor(record, self.pages)
                at, size, number = cursor.address(), cursor.length(), cursor.length()
                found.setdefault(number, (at, at + size))
        if wanted not in self.pages.huge[self.huge]:
            raise Hdf5Broken("an object that its heap does not have")
        place = self.pages.huge[self.huge][wanted]
        return self.pages.at(*place), place[0]

    def _block(self, offset: int) -> tuple[int, int, int]:
        """The direct block that holds this offset: where it lies, its own offset, its size."""
        if not self.rows:
            return self.root, 0, self.start
        address, base, rows = self.root, 0, self.rows
        direct = (self.most_direct // self.start).bit_length() + 1
        for _ in range(64):
            row, start, size = self._row(offset - base)
            if row >= rows:
                break
            column = (offset - base - start) // size
            place = self._child(address, row, column, direct)
            base += start + column * size
            if row < direct:
                return place, base, size
            address, rows = place, (size // (self.width * self.start)).bit_length()
        raise Hdf5Broken("an offset outside its heap")

    def _row(self, offset: int) -> tuple[int, int, int]:
        """The row of a block's table that holds an offset: its number, where it begins, the size of its blocks."""
        first = self.width * self.start
        row = (offset // first).bit_length()
        size = self.start << max(0, row - 1)
        return row, (first << (row - 1) if row else 0), size

    def _child(self, block: int, row: int, column: int, direct: int) -> int:
        head = 5 + self.pages.address + (self.bits + 7) // 8
        at = head + self.pages.address * (row * self.width + column)
        self.pages.signed(block, block + 4, b"FHIB")
        place = int.from_bytes(self.pages.at(block + at, block + at + self.pages.address), "little")
        if row < direct:
            self.pages.signed(place, place + 4, b"FHDB")
        return place
