"""Whether bytes read as a pickle, signature or not."""

from __future__ import annotations

import re
from collections.abc import Callable

from hubclean.scanning.formats.names import HEAD
from hubclean.scanning.pickles.values import Items, Made, Pairs
from hubclean.scanning.pickles.walk import walk

_MEMOIZED = re.compile(rb"[(][dlt(]?p\d+\n|[(][IFSVL]")  # how protocol 0 begins a dict, list or tuple


def is_pickle(head: bytes, size: int, named: bool = False) -> bool:
    """Whether a file that begins with ``head`` reads as a pickle, signature or not, broken behind ``head`` or not.

    The opcodes must do more than push a constant, so that words are not taken for them: call a name, or end in a
    container; and they must do it before the first fault at which every reader stops. With ``named`` (the name of the
    file says pickle) it is enough to refer to a name.
    """
    return _reading(head, size, named) is True


def reads_as_pickle(
    head: bytes, size: int, named: bool, more: Callable[[int], bytes], most: int = 16 << 20
) -> bool | None:
    """``is_pickle``, for one that may begin with a long constant too: read on as long as nothing speaks against it.

    Args:
        more: gives that many first bytes of the file; no more than ``most`` are asked for.

    Returns:
        ``None`` if it cannot be told from the first ``most`` bytes.
    """
    found = _reading(head, size, named)
    for length in (16 * HEAD, 64 * HEAD, 256 * HEAD, 1024 * HEAD, 4096 * HEAD):
        if found is None and len(head) < min(size, length) and length <= most:
            head = more(min(size, length))
            found = _reading(head, size, named)
    return found


def _reading(head: bytes, size: int, named: bool) -> bool | None:
    """``None``: so far it holds constants only, and goes on."""
    found = walk(head, 0, size, partial=True, to_fault=True)
    if found.called or (named and found.imported):
        return True
    if found.complete:
        sound = not any(row.rule == "HC-PKL-005" for row in found.problems)
        whole = named or found.stop == size or found.imported
        return sound and whole and isinstance(found.root, (Items, Pairs, Made))
    if found.stopped:
        return False
    if found.opcodes > 2 and (found.imported or _MEMOIZED.match(head) is not None):
        return True
    return None if len(head) < size else False
