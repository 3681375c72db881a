"""Pickles in the constants of a pickle, as they are, compressed or in base64, and in base64 in JSON texts: loaders that
unpickle them exist (stable-baselines3 does).
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hubclean.errors import BudgetError
from hubclean.scanning.budget import grow
from hubclean.scanning.compression.unpacking import SIGNATURES, Bomb, BrokenPacking, packing, unpacked
from hubclean.scanning.pickles.opcodes import NeedMore
from hubclean.scanning.pickles.stack import BASE64, MOST_INSIDE
from hubclean.scanning.pickles.walk import MOST_OPCODES, Walk, Walker
from hubclean.scanning.rules import Problem

_DEEPEST = 8
_LONGEST, _SHORT = 4 << 20, 1000  # bytes that one constant unpacks to; opcodes that every constant may have
# A whole text of JSON that begins as a pickle of protocol 2 to 5 does in base64.
_ENCODED = re.compile(rb'"(gA[I-X][\w+/\\-]{20,}={0,2})"')
_MOST_ENCODED = 1000
_STREAMS = 5  # of torch's legacy format, of which the fourth holds the object


@dataclass(slots=True)
class _Room:
    """What the constants of a pickle may still unpack to, and how many opcodes they may have, all together; ``passed``
    says which bound was met."""

    size: int = 64 << 20
    opcodes: int = MOST_OPCODES
    passed: str = ""


def judged_inside(found: Walk) -> tuple[tuple[Problem, ...], str]:
    """What pickles would call that lie in the constants of a pickle, and why not all of them were looked at, if so.

    Bytes that nobody unpickles harm nobody: names that are merely unknown are not told of.
    """
    room = _Room()
    rows = tuple(_problems(found, 1, room))
    if min(room.size, room.opcodes) <= 0:
        room.passed = "pickles or streams in its constants are larger than all need"
    return rows, room.passed


def encoded_pickles(text: bytes) -> tuple[tuple[Problem, ...], str]:
    """The same of texts in JSON that are pickles in base64.

    Returns:
        Problems with their places in ``text``, and why not all were looked at, if so.
    """
    room, rows = _Room(), []
    for count, match in enumerate(_ENCODED.finditer(text)):
        if count == _MOST_ENCODED:
            room.passed = f"more than {_MOST_ENCODED:,} texts that may be pickles in base64"
            break
        for inner in _walks_of(_unwrapped(match.group(1).replace(b"\\/", b"/"), room), room):
            calls = [row for row in inner.name_problems() if row.rule == "HC-PKL-001"] if inner.called else []
            calls += _problems(inner, 1, room)
            if calls:
                what = f"a text in base64 is a pickle, which {calls[0].what}"
                rows.append(Problem("HC-PKL-001", what, match.start(1)))
                break
    if min(room.size, room.opcodes) <= 0:
        room.passed = "pickles in base64 are larger than all need"
    return tuple(rows[:20]), room.passed


def _problems(found: Walk, depth: int, room: _Room) -> Iterator[Problem]:
    if len(found.inside) > MOST_INSIDE:
        room.passed = f"more than {MOST_INSIDE:,} of its constants may be pickles"
    for offset, body in found.inside:
        if depth > _DEEPEST:
            room.passed = f"pickles in one another, deeper than {_DEEPEST} levels"
            return
        for inner in _walks_of(_unwrapped(body, room), room):
            calls = [row for row in inner.name_problems() if row.rule == "HC-PKL-001"] if inner.called else []
            calls += _problems(inner, depth + 1, room)
            if calls:
                yield Problem("HC-PKL-001", f"holds a pickle in its bytes, which {calls[0].what}", offset)
                break


def _unwrapped(body: bytes, room: _Room) -> bytes:
    """The bytes of a constant, taken out of base64 and of streams one in the other; others as they are."""
    for _ in range(_DEEPEST):
        try:
            if body.startswith(BASE64):
                body = base64.b64decode(body, validate=True)
                continue
            signed = next((kind for kind, begin in SIGNATURES.items() if body.startswith(begin)), "unknown")
            kind = packing(signed, body[:16], named=True)
            if kind is None or room.size <= 0:
                break
            body = unpacked(kind, body, _LONGEST)
        except BrokenPacking as error:  # loaders have unpickled that much by then
            if not error.body:
                break
            body = error.body
        except BudgetError:
            room.size -= _LONGEST
            break
        except (ValueError, Bomb):
            break
        room.size -= len(body)
        grow(len(body))
    return body


def _walks_of(body: bytes, room: _Room) -> Iterator[Walk]:
    """The pickles in a constant, as far as they are whole."""
    at = 0
    for _ in range(_STREAMS):
        walker = Walker(at, len(body), most=max(room.opcodes, _SHORT), to_fault=True)
        with contextlib.suppress(NeedMore, BudgetError):  # what was seen before counts
            walker.run(body)
        found = walker.walked()
        room.opcodes -= found.opcodes
        yield found
        at = found.stop
        if not found.complete or at >= len(body):
            return
