"""GGUF files (llama.cpp and its kin): keys and the table of tensors, bounded; the numbers are not read.

Source: ggml, the GGUF specification, and its src/gguf.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hubclean.errors import BudgetError, FormatError
from hubclean.scanning.budget import spend
from hubclean.scanning.sources import Source

MOST_VALUES = 3_000_000  # strings of keys, lists and tensors: a vocabulary of 256,000 has with its merges 800,000
LONGEST_KEPT = 1 << 20  # bytes of one string that is kept
_ABSURD = 1 << 48  # more bytes or values than any file has: chosen to make a product overflow
_MOST_DIMS = 4
_STEP = 1 << 20
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of the plain types of values
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_TOKENS = "tokenizer.ggml.tokens"
# Type of a tensor -> values in a block, bytes of a block (ggml.c, type_traits).
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip


class BrokenGguf(FormatError):
    """A file that cannot be followed; ``str`` says why."""


class AbsurdGguf(BrokenGguf):
    """A number that no file has and that has made loaders write out of bounds, at byte ``offset``."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


@dataclass(slots=True)
class GgufFile:
    """What a walk saw.

    Args:
        templates: name of the key and text of every chat template. unknown: types of tensors whose sizes are not known.
        twice: a key that is given more than once. counts: how many tokens there are, and values for each of them.
    """

    version: int = 0
    architecture: str = ""
    keys: set[str] = field(default_factory=set)
    templates: list[tuple[str, str]] = field(default_factory=list)
    tensors: int = 0
    alignment: int = 32
    unknown: set[int] = field(default_factory=set)
    twice: str = ""
    counts: dict[str, int] = field(default_factory=dict)


class _Bytes:
    """Reads on from the start in growing windows."""

    def __init__(self, source: Source) -> None:
        self.source, self.at = source, 4
        self._buffer, self._begin, self._step, self.strings = b"", 0, 64 << 10, 0
        self.order: Literal["little", "big"] = "little"

    def take(self, size: int) -> bytes:
        start, stop = self.at, self.at + size
        if stop > self.source.size:
            raise BrokenGguf(f"it ends before byte {stop:,}")
        if stop > self._begin + len(self._buffer):
            last = min(self.source.size, max(stop, start + self._step))
            self._buffer, self._begin = self.source.at(start, last), start
            self._step = min(2 * self._step, _STEP)
        self.at = stop
        return self._buffer[start - self._begin : stop - self._begin]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), self.order)

    def count(self, what: str) -> int:
        value = self.number(8)
        if value >= _ABSURD:
            raise AbsurdGguf(f"{what} of {value:,}", self.at - 8)
        return value

    def skip(self, size: int) -> None:
        if self.at + size > self.source.size:
            raise BrokenGguf(f"it ends before byte {self.at + size:,}")
        self.at += size

    def text(self, kept: bool = True) -> bytes:
        self.strings += 1
        spend()
        if self.strings > MOST_VALUES:
            raise BudgetError(f"more than {MOST_VALUES:,} strings")
        size = self.count("a string length")
        if not kept or size > LONGEST_KEPT:
            self.skip(size)
            return b""
        return self.take(size)


def read_gguf(source: Source) -> GgufFile:
    """Walk the keys and the table of tensors.

    Raises:
        AbsurdGguf: numbers that have made loaders write out of bounds.
        BrokenGguf: cut, of another version, or not to be followed.
        BudgetError: too many strings or bytes.
    """
    rows, found = _Bytes(source), GgufFile()
    found.version = rows.number(4)
    if found.version and not found.version & 0xFFFF:  # as the gguf package tells them
        rows.order, found.version = "big", int.from_bytes(found.version.to_bytes(4, "little"), "big")
    if found.version not in (2, 3):
        raise BrokenGguf(f"GGUF of version {found.version}, where 2 and 3 are known here")
    tensors, keys = rows.count("a number of tensors"), rows.count("a number of keys")
    for _ in range(keys):
        _key(rows, found)
    if found.alignment < 8 or found.alignment & (found.alignment - 1):
        raise AbsurdGguf(f"data aligned by {found.alignment}", rows.at)
    for key, count in found.counts.items():
        if key != _TOKENS and count < found.counts.get(_TOKENS, 0):
            what = f"{key} has {count:,} values for {found.counts[_TOKENS]:,} tokens: loaders read behind it"
            raise AbsurdGguf(what, rows.at)
    ends: list[tuple[int, int]] = []
    total = 0
    for _ in range(tensors):
        offset, size = _tensor(rows, found)
        total += size
        if total >= 1 << 62:
            raise AbsurdGguf("sizes of tensors that overflow", rows.at)
        ends.append((offset, size))
    start = -(-rows.at // found.alignment) * found.alignment
    for offset, size in ends:
        if offset + size > source.size - start:
            what = f"a tensor of {size:,} bytes at {offset:,} ends behind the file"
            if _has_gaps(ends, found):  # a file that was cut is whole in its table
                raise AbsurdGguf(f"{what}, and others do not end where it begins", rows.at)
            raise BrokenGguf(what)
    found.tensors = tensors
    return found


def _has_gaps(ends: list[tuple[int, int]], found: GgufFile) -> bool:
    """Whether tensors do not lie one behind the other, each where the one before ends, as every writer puts them."""
    if found.unknown:
        return False
    at = 0
    for offset, size in sorted(ends):
        if offset != at:
            return True
        at = -(-(offset + size) // found.alignment) * found.alignment
    return False


def _key(rows: _Bytes, found: GgufFile) -> None:
    at = rows.at
    key = rows.text().decode("utf-8", "replace")
    if key in found.keys:
        found.twice = found.twice or key
    found.keys.add(key)
    kind, template = rows.number(4), "chat_template" in key
    if kind == _STRING:
        kept = template or key == "general.architecture"
        size, value = rows.at, rows.text(kept)
        if template and not value and rows.at - size > 8:
            raise BudgetError(f"a template of more than {LONGEST_KEPT:,} bytes")
        _string(found, key, value)
    elif kind == _ARRAY:
        _array(rows, found, key, template)
    elif kind in _SIZES:
        value = rows.take(_SIZES[kind])
        if key == "general.alignment" and kind == _UINT32:
            found.alignment = int.from_bytes(value, rows.order)
    elif kind > 255:
        raise AbsurdGguf(f"a value of type {kind}", at)
    else:
        raise BrokenGguf(f"a value of type {kind}, which is not known here")


def _string(found: GgufFile, key: str, value: bytes) -> None:
    if key == "general.architecture":
        found.architecture = value.decode("utf-8", "replace")
    elif "chat_template" in key:
        found.templates.append((key, value.decode("utf-8", "replace")))


def _array(rows: _Bytes, found: GgufFile, key: str, template: bool) -> None:
    kind, count = rows.number(4), rows.count("a list length")
    if key in (_TOKENS, "tokenizer.ggml.token_type", "tokenizer.ggml.scores"):
        found.counts[key] = count
    if kind == _STRING:
        for _ in range(count):
            value = rows.text(template)
            if template:
                _string(found, key, value)
    elif kind in _SIZES:
        rows.skip(count * _SIZES[kind])
    elif kind > 255:
        raise AbsurdGguf(f"a list of type {kind}", rows.at - 12)
    else:
        raise BrokenGguf(f"a list of values of type {kind}, which is not known here")


def _tensor(rows: _Bytes, found: GgufFile) -> tuple[int, int]:
    """Where a tensor begins, behind the table, and how long it is; 0 if its type is not known here."""
    at = rows.at
    rows.text(kept=False)
    dims = rows.number(4)
    if dims > _MOST_DIMS:
        raise AbsurdGguf(f"a tensor of {dims:,} dimensions, where loaders have room for {_MOST_DIMS}", at)
    values = 1
    for _ in range(dims):
        values *= rows.number(8)
    if values >= 1 << 60:
        raise AbsurdGguf("a tensor whose number of values overflows", at)
    kind, offset = rows.number(4), rows.count("a tensor's offset")
    if kind > 255:
        raise AbsurdGguf(f"a tensor of type {kind}", at)
    if kind not in BLOCKS:
        found.unknown.add(kind)
        return offset, 0
    block, size = BLOCKS[kind]
    return offset, -(-values // block) * size
