"""Pickles in the constants of a pickle, as they are, compressed or in base64: loaders that unpickle them exist."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

from hubclean.errors import BudgetError
from hubclean.scanning.compression.unpacking import SIGNATURES, Bomb, BrokenPacking, packing, unpacked
from hubclean.scanning.pickles.opcodes import NeedMore
from hubclean.scanning.pickles.stack import BASE64, LONGEST_INSIDE
from hubclean.scanning.pickles.walk import Walk, Walker
from hubclean.scanning.rules import Problem

_MOST, _DEEPEST = 50_000, 4
_STREAMS = 5  # of torch's legacy format, of which the fourth holds the object


def problems_inside(found: Walk, depth: int = 1) -> Iterator[Problem]:
    """What pickles would call that lie in the constants of a pickle. Bytes that nobody unpickles harm nobody: names
    that are merely unknown are not told of."""
    for offset, body in found.inside:
        for inner in _walks_of(_unwrapped(body)):
            rows = [row for row in inner.name_problems() if row.rule == "HC-PKL-001"] if inner.called else []
            rows += problems_inside(inner, depth + 1) if depth < _DEEPEST else ()
            if rows:
                yield Problem("HC-PKL-001", f"holds a pickle in its bytes, which {rows[0].what}", offset)
                break


def _unwrapped(body: bytes) -> bytes:
    """The bytes of a constant, taken out of base64 and of streams one in the other; others as they are."""
    for _ in range(_DEEPEST):
        try:
            if body.startswith(BASE64):
                body = base64.b64decode(body, validate=True)
                continue
            signed = next((kind for kind, begin in SIGNATURES.items() if body.startswith(begin)), "unknown")
            kind = packing(signed, body[:16], named=True)
            if kind is None:
                break
            body = unpacked(kind, body, LONGEST_INSIDE)
        except BrokenPacking as error:  # loaders have unpickled that much by then
            if not error.body:
                break
            body = error.body
        except (ValueError, Bomb, BudgetError):
            break
    return body


def _walks_of(body: bytes) -> Iterator[Walk]:
    """The pickles in a constant, as far as they are whole."""
    at = 0
    for _ in range(_STREAMS):
        walker = Walker(at, len(body), most=_MOST, to_fault=True)
        with contextlib.suppress(NeedMore, BudgetError):  # what was seen before counts
            walker.run(body)
        found = walker.walked()
        yield found
        at = found.stop
        if not found.complete or at >= len(body):
            return
