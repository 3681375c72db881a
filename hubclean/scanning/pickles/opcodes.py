"""Pickle opcodes read from bytes, independently of ``pickletools``, strictly and without building anything.

Source: the opcode table of CPython's ``Lib/pickletools.py`` and ``Modules/_pickle.c``.
"""

from __future__ import annotations

import codecs
import io
import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LONGEST_LINE = 8 << 20
LONGEST_NAME = 4096

Op = tuple[int, str, object, int]
"""Where the opcode is, its name, its argument, where the next one is."""


class BrokenStream(Exception):
    """The bytes at ``offset`` are no opcode, or its argument is cut or not as it must be."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.offset = offset


class NeedMore(Exception):
    """The opcode goes on behind the bytes at hand, though not behind the file: read up to ``stop`` at least."""

    def __init__(self, stop: int) -> None:
        super().__init__(f"bytes up to {stop} are needed")
        self.stop = stop


@dataclass(frozen=True, slots=True)
class Loose:
    """An argument that some readers take and others refuse; ``why`` says what is odd about it."""

    value: object
    why: str


_FIXED = {"<B": 1, "<H": 2, "<i": 4, "<I": 4, ">d": 8, "<Q": 8}
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
# How each opcode's argument is written: a struct format, or prefix of a counted argument and what it holds.
_FORMS: dict[str, str] = {
    **dict.fromkeys(("PROTO", "BINGET", "BINPUT", "BININT1", "EXT1"), "<B"),
    **dict.fromkeys(("BININT2", "EXT2"), "<H"),
    **dict.fromkeys(("BININT", "EXT4"), "<i"),
    **dict.fromkeys(("LONG_BINGET", "LONG_BINPUT"), "<I"),
    "BINFLOAT": ">d",
    "FRAME": "<Q",
    "SHORT_BINUNICODE": "<B text",
    "BINUNICODE": "<I text",
    "BINUNICODE8": "<Q text",
    "SHORT_BINSTRING": "<B bytes",
    "BINSTRING": "<i bytes",
    "SHORT_BINBYTES": "<B bytes",
    "BINBYTES": "<I bytes",
    "BINBYTES8": "<Q bytes",
    "BYTEARRAY8": "<Q bytes",
    "LONG1": "<B long",
    "LONG4": "<i long",
    **dict.fromkeys(("INT", "LONG", "FLOAT", "STRING", "UNICODE", "GET", "PUT", "PERSID"), "line"),
    **dict.fromkeys(("GLOBAL", "INST"), "pair"),
}
_FLOAT = re.compile(r"[+-]?(\d++\.?+\d*+|\.\d++)([eE][+-]?\d++)?+|[+-]?(inf|nan)", re.ASCII)
_INT = re.compile(r"-?\d{1,4000}", re.ASCII)


def read_ops(data: bytes, start: int, size: int) -> Iterator[Op]:
    """The opcodes from ``start`` up to STOP.

    Args:
        data: the file from its first byte on, as far as it was read.
        size: bytes of the whole file.

    Raises:
        BrokenStream, NeedMore: see there.
    """
    position, stop = start, False
    while not stop:
        if position >= len(data):
            _short(position, position + 1, size)
        name = _NAMES.get(data[position])
        if name is None:
            raise BrokenStream(f"byte 0x{data[position]:02x} is no opcode", position)
        form = _FORMS.get(name)
        argument, after = _argument(data, position, size, name, form) if form else (None, position + 1)
        yield position, name, argument, after
        position, stop = after, name == "STOP"


def _short(position: int, stop: int, size: int) -> None:
    if stop > size:
        raise BrokenStream("the stream is cut: it ends without STOP or inside an opcode", position)
    raise NeedMore(stop)


def _argument(data: bytes, position: int, size: int, name: str, form: str) -> tuple[object, int]:
    if form == "pair":
        module, after = _line(data, position, position + 1, size, LONGEST_NAME)
        attribute, after = _last_line(data, position, after, size)
        return (_utf8(module, position), _utf8(attribute, position)), after
    if form == "line":
        line, after = _line(data, position, position + 1, size, LONGEST_LINE)
        return _LINES[name](line, position), after
    layout, _, holds = form.partition(" ")
    after = position + 1 + _FIXED[layout]
    if after > len(data):
        _short(position, after, size)
    (value,) = struct.unpack_from(layout, data, position + 1)
    if not holds:
        return value, after
    if value < 0:
        raise BrokenStream(f"{name} with a negative length", position)
    begin, after = after, after + value
    if after > len(data):
        _short(position, after, size)
    if holds == "long" and value > LONGEST_NAME:
        return Loose(0, f"a number of {value} bytes"), after
    body = data[begin:after]
    if holds == "text":
        return _utf8(body, position), after
    return (int.from_bytes(body, "little", signed=True) if holds == "long" else body), after


def _line(data: bytes, position: int, begin: int, size: int, longest: int) -> tuple[bytes, int]:
    end = data.find(b"\n", begin, begin + longest)
    if end >= 0:
        return data[begin:end], end + 1
    if len(data) >= begin + longest or len(data) >= size:
        raise BrokenStream("a line of text without an end", position)
    raise NeedMore(min(size, begin + longest))


def _last_line(data: bytes, position: int, begin: int, size: int) -> tuple[bytes, int]:
    """A line that the end of the file may cut: readers then drop its last byte as if it were the newline, and go on."""
    if len(data) >= size > begin and size - begin < LONGEST_NAME and data.find(b"\n", begin) < 0:
        return data[begin : size - 1], size
    return _line(data, position, begin, size, LONGEST_NAME)


def _utf8(body: bytes, position: int) -> str:
    try:
        return body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise BrokenStream("text that is not UTF-8", position) from error


def _integer(line: bytes, position: int) -> object:
    text = line.decode("latin-1")
    return int(text) if _INT.fullmatch(text) else _loosely(line, position, int)


def _loosely(line: bytes, position: int, kind: Callable[[str], object]) -> Loose:
    """A number as the most forgiving reader takes it: C's end at a zero byte and know hexadecimal and octal ones."""
    text = line.partition(b"\0")[0].decode("latin-1").strip()[:4000]
    for reads in (kind, lambda word: int(word, 0), lambda word: int(word, 8)):
        try:
            return Loose(reads(text), "a number that readers may read differently")
        except (ValueError, OverflowError):
            continue
    raise BrokenStream("a number that no reader takes", position)


def _int(line: bytes, position: int) -> object:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else _integer(line, position)


def _long(line: bytes, position: int) -> object:
    return _integer(line.removesuffix(b"L"), position)


def _float(line: bytes, position: int) -> object:
    text = line.decode("latin-1")
    return float(text) if _FLOAT.fullmatch(text) else _loosely(line, position, float)


def _string(line: bytes, position: int) -> object:
    trimmed = line.rstrip()  # as Python 2 does
    if len(trimmed) < 2 or trimmed[:1] not in (b"'", b'"') or trimmed[-1:] != trimmed[:1]:
        raise BrokenStream("a text without its quotes", position)
    try:
        value = codecs.escape_decode(trimmed[1:-1])[0]
    except ValueError as error:
        raise BrokenStream("a text with a broken escape", position) from error
    return value if trimmed == line else Loose(value, "a text with blanks behind its quotes")


def _unicode(line: bytes, position: int) -> object:
    try:
        return line.decode("raw-unicode-escape")
    except ValueError as error:
        raise BrokenStream("a text with a broken escape", position) from error


def _raw(line: bytes, position: int) -> object:
    return line


_LINES: dict[str, Callable[[bytes, int], object]] = {
    "INT": _int,
    "LONG": _long,
    "FLOAT": _float,
    "STRING": _string,
    "UNICODE": _unicode,
    "GET": _integer,
    "PUT": _integer,
    "PERSID": _raw,
}


class SecondReader:
    """Python's own ``pickletools.genops`` read along: ``agrees`` is asked of every opcode in turn."""

    def __init__(self, data: bytes, start: int) -> None:
        self._stream = io.BytesIO(data)
        self._stream.seek(start)
        self._ops = pickletools.genops(self._stream)

    def agrees(self, op: Op) -> str | None:
        """``None``, or how the two readings differ."""
        position, name, argument, after = op
        try:
            opcode, other, at = next(self._ops)
        except UnicodeDecodeError as error:
            if name != "STRING":
                return f"pickletools does not read {name}: {error}"
            self._stream.seek(after)  # it takes Python 2's bytes for ASCII; it goes on behind them
            self._ops = pickletools.genops(self._stream)
            return None
        except StopIteration:
            return f"pickletools ends before {name}"
        except Exception as error:
            return f"pickletools does not read {name}: {error}"
        if at != position or opcode.name != name:
            return f"pickletools reads {opcode.name} at byte {at}, others {name} at byte {position}"
        if argument is None:
            return None
        if isinstance(argument, tuple):
            argument = " ".join(argument)
        if isinstance(argument, (str, int)) and argument != other:
            return f"pickletools reads another argument of {name}: {str(other)[:80]!r} for {str(argument)[:80]!r}"
        return None
