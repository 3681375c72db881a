"""NumPy's ``.npy`` header, read strictly and without numpy: is every element plain data, or may it be an object?

Source: numpy's format description (NEP 1, ``numpy/lib/_format_impl.py``) and the spellings that ``numpy.dtype`` takes.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from hubclean.scanning.pickles.streams import PickleFile
from hubclean.scanning.rules import Problem

MAGIC = b"\x93NUMPY"
LONGEST = 64 << 10
_SHORTEST = len("{'descr':'f','fortran_order':False,'shape':()}") - 2
_LONGEST_TYPE = 256  # numpy writes longer ones as a list of fields
_DEEPEST = 32

_PLAIN = re.compile(
    r"[<>|=!]?(\?|[bBhHiIlLqQnNefdgFDG]|[biufc]\d{1,2}|[SUVac]\d{0,9}|[mM]8?(\[\d{0,9}[A-Za-zμ]{1,4}(/\d+)?\])?)",
)
_SIZED = re.compile(r"[<>|=]?([biufcSUVmM])(\d{1,9})(?:\[\w{1,20}(?:/\d+)?\])?", re.ASCII)
_NAMED = re.compile(
    r"(u?int(8|16|32|64|p|c)?|float(16|32|64|128)?|complex(64|128|256)?|bool_?|bytes_?|str_?|half|single|double|longdouble"
    r"|u?byte|u?short|u?intc|u?long|u?longlong|datetime64|timedelta64)(\[\w+\])?"
)
_REPEAT = re.compile(r"(\([\d,\s]*+\)|(?<!\d)\d++)\s*+(?=[<>|=!?a-zA-Z])")


class BrokenHeader(Exception):
    """The header is none that numpy would write."""


class ShortHeader(BrokenHeader):
    """It is shorter than its three fields, which readers in C++ take for granted (MLX, CVE-2025-62608)."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """dtype as written, shape, where the data begin. ``odd`` names what may be an object; empty if nothing may.

    ``itemsize``: bytes of an element, ``None`` where the spelling does not tell.
    """

    descr: str
    shape: tuple[int, ...]
    start: int
    odd: str
    itemsize: int | None = None

    @property
    def stop(self) -> int | None:
        """Where the array ends, counted from its beginning; ``None`` where the spelling does not tell."""
        return None if self.itemsize is None else self.start + prod(self.shape) * self.itemsize

    def differs(self, size: int) -> str:
        """How a file of ``size`` bytes is not as long as its array: other bytes behind it, or some missing."""
        length = self.stop
        if length is None:
            return "an array of a type whose size is not told here, so that what lies behind it was not looked at"
        if size > length:
            return f"{size - length:,} bytes behind the array were not looked at"
        return f"the array needs {length:,} bytes, there are {size:,}" if size < length else ""


def header_length(head: bytes) -> int:
    """Bytes up to the data, from the first twelve.

    Raises:
        BrokenHeader: no such file, or a header longer than ``LONGEST``.
    """
    if head[:6] != MAGIC or len(head) < 12 or head[6] not in (1, 2, 3) or head[7] != 0:
        raise BrokenHeader("not the start of a NumPy array of version 1, 2 or 3")
    start = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:start], "little")
    if length > LONGEST:
        raise BrokenHeader(f"a header of {length:,} bytes")
    if length < _SHORTEST:
        raise ShortHeader(f"a header of {length} bytes, in which its three fields have no room")
    return start + length


def read_array_header(head: bytes) -> ArrayHeader:
    """Read the header that ``head`` begins with.

    Raises:
        BrokenHeader: it is cut, or not the three fields that numpy writes.
    """
    stop = header_length(head)
    if len(head) < stop:
        raise BrokenHeader("the header is cut")
    try:
        text = head[10 if head[6] == 1 else 12 : stop].decode("utf-8" if head[6] == 3 else "latin-1")
        fields = _literal(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise BrokenHeader("the header is not a plain description") from error
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise BrokenHeader("the header has other fields than descr, fortran_order and shape")
    shape = fields["shape"]
    if not isinstance(shape, tuple) or not all(type(count) is int and count >= 0 for count in shape):
        raise BrokenHeader("the shape is not a row of numbers")
    descr = fields["descr"]
    return ArrayHeader(repr(descr)[:200], shape, stop, odd_type(descr), item_size(descr))


def _literal(text: str) -> object:
    depth = deepest = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise ValueError("nested too deep")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.literal_eval(text.strip())
        except SyntaxError:
            return ast.literal_eval(re.sub(r"(?<=\d)L(?=\s*[,)])", "", text.strip()))  # written by Python 2


def odd_type(descr: object, depth: int = 0) -> str:
    """The part of a dtype's description that is, or may be, an object; empty if all of it is plainly data."""
    if depth > _DEEPEST:
        return "a type nested too deep"
    if isinstance(descr, str):
        return _odd_text(descr)
    if isinstance(descr, list):
        return next((odd for field in descr if (odd := _odd_field(field, depth))), "")
    if isinstance(descr, dict):
        formats = descr.get("formats")
        if not isinstance(formats, (list, tuple)):
            return repr(descr)[:80]
        return next((odd for part in formats if (odd := odd_type(part, depth + 1))), "")
    if isinstance(descr, tuple) and len(descr) == 2:  # (type, shape)
        return odd_type(descr[0], depth + 1)
    return repr(descr)[:80]


def item_size(descr: object, depth: int = 0) -> int | None:
    """Bytes of an element of a type as ``numpy.save`` writes it; ``None`` for other spellings."""
    if depth > _DEEPEST:
        return None
    if isinstance(descr, str):
        match = _SIZED.fullmatch(descr)
        return int(match[2]) * (4 if match[1] == "U" else 1) if match else None
    if isinstance(descr, list):
        sizes = [_field_size(field, depth) for field in descr]
        return None if None in sizes else sum(size for size in sizes if size is not None)
    return None


def _field_size(field: object, depth: int) -> int | None:
    if not isinstance(field, tuple) or len(field) not in (2, 3):
        return None
    size, shape = item_size(field[1], depth + 1), field[2] if len(field) == 3 else ()
    counts = shape if isinstance(shape, tuple) else (shape,)
    return size * prod(counts) if size is not None and all(type(count) is int for count in counts) else None


def _odd_field(field: object, depth: int) -> str:
    if isinstance(field, tuple) and len(field) in (2, 3):
        return odd_type(field[1], depth + 1)
    return repr(field)[:80]


def _odd_text(descr: str) -> str:
    """``i4``, ``<f4``, ``float32``, or several behind commas, each with a repeat or shape before it."""
    if len(descr) > _LONGEST_TYPE:
        return f"a type of {len(descr)} letters"
    stripped = _REPEAT.sub("", descr.strip())
    for part in stripped.split(",") if stripped else [""]:
        if not _PLAIN.fullmatch(part.strip()) and not _NAMED.fullmatch(part.strip()):
            return descr[:80] or "an empty type"
    return ""


def object_problems(body: bytes, walked: Callable[[bytes], PickleFile]) -> tuple[list[Problem], bool]:
    """What the pickle behind the header of an array of objects refers to, as ``walked`` finds it, and whether it is
    whole and makes plain values alone: names of labels, say."""
    try:
        start = read_array_header(body).start
    except BrokenHeader:
        return [], False
    found = walked(body[start:])
    plain = not found.problems and not found.unchecked and found.walks[-1].complete
    return [replace(row, offset=start + (row.offset or 0)) for row in found.problems], plain
