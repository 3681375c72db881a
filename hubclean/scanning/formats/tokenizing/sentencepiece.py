"""SentencePiece models: protobuf, every piece looked at, the compiled rules of normalisation by their header.

Source: ``sentencepiece_model.proto`` (google/sentencepiece), ``normalizer.cc`` (``DecodePrecompiledCharsMap``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hubclean.scanning.budget import spend

MOST_PIECES = 1_000_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PIECES, _TRAINER, _NORMALIZER, _SELF_TEST, _DENORMALIZER = 1, 2, 3, 4, 5
_CHARSMAP = 2
_EXTENSIONS = 200  # fields from here on are anybody's


class BrokenModel(Exception):
    """No SentencePiece model that could be followed; ``offset`` says where."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """Counts of pieces, and the numbers of fields that are no part of the format."""

    pieces: int
    foreign: tuple[int, ...]


def read_sentencepiece(data: bytes) -> SentencePieceModel:
    """Follow a whole model.

    Raises:
        BrokenModel: see there.
    """
    pieces = normalizers = 0
    foreign: list[int] = []
    for number, kind, begin, stop in _fields(data, 0, len(data)):
        if number == _PIECES and kind == _BYTES:
            pieces += 1
            _piece(data, begin, stop)
        elif number in (_NORMALIZER, _DENORMALIZER) and kind == _BYTES:
            normalizers += 1
            _normalizer(data, begin, stop)
        elif number in (_TRAINER, _SELF_TEST) and kind == _BYTES:
            for _ in _fields(data, begin, stop):
                pass
        elif len(foreign) < 10:
            foreign.append(number)
        if pieces > MOST_PIECES:
            raise BrokenModel(f"more than {MOST_PIECES:,} pieces", begin)
    if not pieces or not normalizers:
        raise BrokenModel("no pieces, or no rules of normalisation", 0)
    return SentencePieceModel(pieces, tuple(foreign))


def _fields(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, begin and end of every field of a message."""
    while at < stop:
        begin = at
        spend()
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at, stop)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            if at < stop and data[at] < 0x80:
                length, at = data[at], at + 1
            else:
                length, at = _varint(data, at, stop)
            end = at + length
        elif kind == _VARINT:
            _, end = _varint(data, at, stop)
        elif kind in (_FIXED64, _FIXED32):
            end = at + (8 if kind == _FIXED64 else 4)
        else:
            raise BrokenModel(f"a field of kind {kind}", begin)
        if end > stop or not number:
            raise BrokenModel("a field goes on behind its message", begin)
        yield number, kind, at, end
        at = end


def _varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for count in range(10):
        if at + count >= stop:
            break
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, at + count + 1
    raise BrokenModel("a number without an end", at)


def _piece(data: bytes, begin: int, stop: int) -> None:
    """Text, score, type: ``0A n text 15 score [18 type]`` as every writer writes it, else field by field."""
    if stop - begin > 6 and data[begin] == 0x0A:
        rest = begin + 2 + data[begin + 1]
        if (rest + 5 == stop and data[rest] == 0x15) or (rest + 7 == stop and data[rest + 5] == 0x18):
            return
    for number, kind, at, _ in _fields(data, begin, stop):
        if (number, kind) not in ((1, _BYTES), (2, _FIXED32), (3, _VARINT)) and number < _EXTENSIONS:
            raise BrokenModel(f"a piece with the field {number}", at)


def _normalizer(data: bytes, begin: int, stop: int) -> None:
    """The compiled map begins with the length of its trie, which must lie inside it."""
    for number, kind, at, end in _fields(data, begin, stop):
        if number == _CHARSMAP and kind == _BYTES and end > at:
            trie = int.from_bytes(data[at : at + 4], "little")
            if end - at <= 4 or trie >= end - at or trie % 4:
                raise BrokenModel("rules of normalisation whose trie is longer than they are", at)
