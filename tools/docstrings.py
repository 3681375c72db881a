"""Docstrings of this house for the API page: doctests become code, and a text for several arguments one for each.

A griffe extension that ``mkdocs.yml`` names; it needs nothing but griffe.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?=\1\S).*)*", re.MULTILINE)
_SEVERAL = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +\S.*)*)", re.MULTILINE)


def readable(text: str) -> str:
    """A docstring as Google's style and Markdown have it."""
    text = text.replace("``", "`")
    text = _DOCTEST.sub(lambda found: f"{found[1]}```python\n{found[0]}\n{found[1]}```", text)
    return _SEVERAL.sub(lambda m: "\n".join(f"{m[1]}{name}: {m[3]}" for name in m[2].split(", ")), text)


class HouseStyle(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = readable(obj.docstring.value)
