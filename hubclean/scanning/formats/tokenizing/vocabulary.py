"""Long vocabularies in JSON, condensed: entries that can only be data are dropped, all else is left to be parsed.

A tokenizer of 34 MB holds 260,000 pieces and 580,000 pairs; as Python values they would take a gigabyte. What is
dropped are, behind a comma, texts without a slash or a colon: with a number each (``"piece": 5``), in lists of texts,
of pairs of texts, or of texts with a score. What stays is JSON as before, one entry of each run included.
"""

from __future__ import annotations

import re

from hubclean.scanning.budget import spend

_SPACE = r"[ \t\r\n]*+"
_TEXT = r'"(?:[^"\\/:\x00-\x1f]|\\["\\bfnrt]|\\u[0-9a-fA-F]{4})*+"'
_NUMBER = r"-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_COMMA = rf"{_SPACE},{_SPACE}"
_RUNS = (
    rf"(?:{_COMMA}{_TEXT}{_SPACE}:{_SPACE}{_NUMBER}(?={_SPACE}[,}}]))++",
    rf"(?:{_COMMA}\[{_SPACE}{_TEXT}{_COMMA}(?:{_TEXT}|{_NUMBER}){_SPACE}\])++",
    rf"(?:{_COMMA}{_TEXT}(?={_SPACE}[,\]]))++",
)
# Texts are matched whole, so that nothing begins inside one. Possessive throughout: no step is taken back.
_PARTS = re.compile(("(?P<run>" + "|".join(_RUNS) + r')|"(?:[^"\\]|\\[\x00-\xff])*+"|[^",]++|,').encode())


class BrokenText(ValueError):
    """A text in quotes that does not end, at ``str``."""


def condensed(text: bytes, most: int) -> bytes:
    """JSON without the bulk of its vocabulary.

    Args:
        most: bytes of what is left that are enough to give up.

    Raises:
        BrokenText: see there, or more is left than ``most`` bytes.
    """
    kept: list[bytes] = []
    at = size = 0
    for match in _PARTS.finditer(text):
        if match.start() != at:
            break
        at = match.end()
        spend()
        if match.lastgroup is None:
            size += at - match.start()
            kept.append(match.group())
            if size > most:
                raise BrokenText(f"more than {most:,} bytes besides the vocabulary")
    if at != len(text):
        raise BrokenText(f"a text without an end at byte {at:,}")
    return b"".join(kept)
