"""MessagePack as Flax writes weights, walked by range: keys and array headers are read, the arrays' bytes are not.

Sources: the MessagePack specification; ``flax/serialization.py`` (extension types 1 ndarray, 2 complex, 3 scalar);
``msgpack_numpy.py``, which unpickles what lies under ``data`` where an array's kind is ``O``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.scanning.budget import spend
from hubclean.scanning.formats.pickle_sniff import is_pickle
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import SMALL, BytesSource, Source

MOST_READS = 512  # ranges asked for: a ViT-H has 200 arrays that are longer than one range
MOST_VALUES = 300_000
DEEPEST = 64
LONGEST_PICKLE = 1 << 20
_WINDOW = 16 << 10
_LONGEST_HEADER = 512  # bytes before an array's own: shape, name of the type
_PEEK = 4096
_TIMESTAMP = -1
_ARRAYS, _COMPLEX = (1, 3), 2
_BITS = {"bool": 8, "int4": 8, "uint4": 8, "int2": 8, "uint2": 8, "bfloat16": 16}
_BITS |= {f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_BITS |= {f"float{bits}": bits for bits in (16, 32, 64)} | {"complex64": 64, "complex128": 128}
# First byte -> kind, how its length is written. Fixed kinds are handled apart.
_FORMS: dict[int, tuple[str, str]] = {
    0xC4: ("blob", ">B"), 0xC5: ("blob", ">H"), 0xC6: ("blob", ">I"),
    0xD9: ("blob", ">B"), 0xDA: ("blob", ">H"), 0xDB: ("blob", ">I"),
    0xC7: ("ext", ">B"), 0xC8: ("ext", ">H"), 0xC9: ("ext", ">I"),
    0xDC: ("array", ">H"), 0xDD: ("array", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}  # fmt: skip
_PLAIN = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_PLAIN |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


class BrokenMsgpack(Exception):
    """No MessagePack that could be followed further; ``offset`` says where."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass(slots=True)
class MsgpackFile:
    """What was found: rules broken, what could not be judged, counts of arrays, plain values and pickles."""

    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    arrays: int = 0
    values: int = 0
    pickles: int = 0
    root: str = ""


class _Ranges:
    """Bytes at any place, read in few ranges."""

    def __init__(self, source: Source) -> None:
        self.size = source.size
        self._source, self._begin, self._body, self._reads = source, 0, b"", 0

    def at(self, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start`` on.

        Raises:
            BrokenMsgpack: they go on behind the file. BudgetError: too many ranges.
        """
        if start + length > self.size:
            raise BrokenMsgpack("a value goes on behind the file", start)
        if not self._begin <= start or start + length > self._begin + len(self._body):
            self._reads += 1
            if self._reads > MOST_READS:
                raise BudgetError(f"following it takes more than {MOST_READS} reads")
            window = self.size if self.size <= SMALL else max(length, _WINDOW)
            begin = 0 if self.size <= SMALL else start
            self._begin, self._body = begin, self._source.at(begin, min(self.size, begin + window))
        return self._body[start - self._begin : start - self._begin + length]


def read_msgpack(source: Source, allow: frozenset[str] = frozenset()) -> MsgpackFile:
    """Follow one value and all inside it; pickles inside by ``allow`` as ``read_pickles``. What stops it is noted.

    Raises:
        HubcleanError: nothing could be read.
    """
    file = MsgpackFile()
    walk = _Walk(_Ranges(source), file, allow)
    try:
        walk.run()
    except BrokenMsgpack as error:
        file.unchecked.append(f"no MessagePack that can be followed: {error}, at byte {error.offset:,}")
    except BudgetError as error:
        file.unchecked.append(str(error))
    return file


@dataclass(slots=True)
class _Walk:
    ranges: _Ranges
    file: MsgpackFile
    allow: frozenset[str]
    at: int = 0

    def run(self) -> None:
        open_ = [1]  # values still to come, of each container that is open
        while open_:
            if not open_[-1]:
                open_.pop()
                continue
            open_[-1] -= 1
            self.file.values += 1
            spend()
            if self.file.values > MOST_VALUES:
                raise BudgetError(f"more than {MOST_VALUES:,} values")
            inside = self._value()
            if inside:
                open_.append(inside)
                if len(open_) > DEEPEST:
                    raise BudgetError(f"nested deeper than {DEEPEST} levels")
        if self.at < self.ranges.size:
            self.file.unchecked.append(f"{self.ranges.size - self.at:,} bytes behind its value")

    def _value(self) -> int:
        """One value, without those inside it, of which the number is given back."""
        begin = self.at
        kind, length = self._head()
        if begin == 0:
            self.file.root = kind
        if kind == "map":
            length *= 2
        if kind in ("map", "array"):
            if length > self.ranges.size - self.at:
                raise BrokenMsgpack(f"a container of {length:,} values in fewer bytes", begin)
            return length
        if kind == "blob":
            self._blob(length)
        elif kind == "ext":
            code = int.from_bytes(self._take(1), "big", signed=True)
            self._extension(code, begin, self.at + length)
        if self.at + length > self.ranges.size:
            raise BrokenMsgpack("a value goes on behind the file", begin)
        self.at += length
        return 0

    def _take(self, length: int) -> bytes:
        body = self.ranges.at(self.at, length)
        self.at += length
        return body

    def _head(self) -> tuple[str, int]:
        """The kind of the next value and its length, in values or bytes."""
        at, first = self.at, self._take(1)[0]
        if first <= 0x7F or first >= 0xE0:
            return "plain", 0
        if first <= 0x8F:
            return "map", first & 15
        if first <= 0x9F:
            return "array", first & 15
        if first <= 0xBF:
            return "blob", first & 31
        if 0xD4 <= first <= 0xD8:
            return "ext", 1 << (first - 0xD4)
        if first in _PLAIN:
            return "plain", _PLAIN[first]
        if first not in _FORMS:
            raise BrokenMsgpack(f"byte 0x{first:02x} begins no value", at)
        kind, form = _FORMS[first]
        (length,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return kind, length

    def _blob(self, length: int) -> None:
        """Text or bytes that are no array: some readers unpickle them."""
        if length < 10:
            return
        head = self.ranges.at(self.at, min(length, _PEEK))
        text = head.isascii() and head.replace(b"\n", b"?").decode().isprintable()
        if (text and b"\n" not in head) or not is_pickle(head, length):
            return
        self.file.pickles += 1
        if length > LONGEST_PICKLE:
            self.file.unchecked.append(f"a pickle of {length:,} bytes at byte {self.at:,}")
            return
        found = read_pickles(BytesSource(self.ranges.at(self.at, length)), self.allow)
        for row in found.problems:
            what = f"a pickle inside, which msgpack-numpy would load: {row.what}"
            self.file.problems.append(Problem(row.rule, what, self.at + (row.offset or 0)))
        if found.unchecked:
            self.file.unchecked.append(f"a pickle inside: {found.unchecked}")

    def _extension(self, code: int, begin: int, stop: int) -> None:
        length = stop - self.at
        if code in _ARRAYS:
            self.file.arrays += 1
            self._array(begin, stop)
        elif (code, length) not in ((_COMPLEX, 19), (_TIMESTAMP, 4), (_TIMESTAMP, 8), (_TIMESTAMP, 12)):
            what = f"an extension type {code} of {length:,} bytes, which Flax does not know"
            self.file.problems.append(Problem("HC-MSG-001", what, begin))
            self.file.unchecked.append(f"what the extension type {code} holds")

    def _array(self, begin: int, stop: int) -> None:
        """An array's shape, type and number of bytes must fit each other; ``self.at`` stays where it is."""
        if stop > self.ranges.size:
            raise BrokenMsgpack("an array goes on behind the file", begin)
        head = self.ranges.at(self.at, min(stop - self.at, _LONGEST_HEADER))
        inner = _Walk(_Ranges(BytesSource(head)), self.file, self.allow)
        if inner._head() != ("array", 3) or (shape := inner._shape()) is None:
            raise BrokenMsgpack("an array without a shape", begin)
        kind, length = inner._head()
        name = inner._take(length).decode("ascii", "replace") if kind == "blob" and length <= 64 else ""
        kind, length = inner._head()
        bits = _BITS.get(name, 8 if name.startswith("float8_") else 0)
        if not bits:
            raise BrokenMsgpack(f"an array of the unknown type {name[:40]!r}", begin)
        if kind != "blob" or length != math.prod(shape) * bits // 8 or self.at + inner.at + length != stop:
            raise BrokenMsgpack("an array whose bytes are not those of its shape", begin)

    def _shape(self) -> list[int] | None:
        kind, rank = self._head()
        if kind != "array" or rank > 32:
            return None
        return [self._size() for _ in range(rank)]

    def _size(self) -> int:
        first = self._take(1)[0]
        if first <= 0x7F:
            return first
        if not 0xCC <= first <= 0xCF:
            raise BrokenMsgpack("a size that is no number", self.at)
        return int.from_bytes(self._take(_PLAIN[first]), "big")
