"""NumPy's ``.npy`` header, read strictly and without numpy: is every element plain data, or may it be an object?

Source: numpy's format description (NEP 1, ``numpy/lib/_format_impl.py``) and the spellings that ``numpy.dtype`` takes.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

MAGIC = b"\x93NUMPY"
LONGEST = 64 << 10
_LONGEST_TYPE = 256  # numpy writes longer ones as a list of fields
_DEEPEST = 32

_PLAIN = re.compile(
    r"[<>|=!]?(\?|[bBhHiIlLqQnNefdgFDG]|[biufc]\d{1,2}|[SUVac]\d{0,9}|[mM]8?(\[\d{0,9}[A-Za-zμ]{1,4}(/\d+)?\])?)",
)
_NAMED = re.compile(
    r"(u?int(8|16|32|64|p|c)?|float(16|32|64|128)?|complex(64|128|256)?|bool_?|bytes_?|str_?|half|single|double|longdouble"
    r"|u?byte|u?short|u?intc|u?long|u?longlong|datetime64|timedelta64)(\[\w+\])?"
)
_REPEAT = re.compile(r"(\(\s*[\d,\s]*\)|\d+)\s*(?=[<>|=!?a-zA-Z])")


class BrokenHeader(Exception):
    """The header is none that numpy would write."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """dtype as written, shape, and where the data begin. ``odd`` names what may be an object; empty if nothing may."""

    descr: str
    shape: tuple[int, ...]
    start: int
    odd: str


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
    return ArrayHeader(repr(descr)[:200], shape, stop, odd_type(descr))


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
