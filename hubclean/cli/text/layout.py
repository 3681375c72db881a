"""Columns, percents, plurals, colours, the width of a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubclean.records import Rate


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def coloured() -> bool:
    """Whether stdout gets colours: never with ``NO_COLOR``, always with ``FORCE_COLOR``, else on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if (forced := os.environ.get("FORCE_COLOR", "")) and forced != "0":
        return True
    return _on_terminal() and os.environ.get("TERM") != "dumb"


def terminal_width() -> int:
    """Columns of the terminal that stdout is; 0 where it is none, so that each line stays one for ``grep``."""
    return shutil.get_terminal_size().columns if _on_terminal() else 0


def _on_terminal() -> bool:
    return bool(sys.stdout and sys.stdout.isatty())


def fitted(lines: Iterable[str], width: int) -> list[str]:
    """Lines wrapped at ``width`` columns (0: as they are), what follows two columns further in than its beginning."""
    if not width:
        return list(lines)
    found: list[str] = []
    for line in lines:
        before = line[: len(line) - len(line.lstrip(" "))]
        wrapper = textwrap.TextWrapper(max(width, 30), before, before + "  ", break_on_hyphens=False)
        found += wrapper.wrap(line.strip()) or [""]
    return found


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows of cells as left-aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def percent(rate: Rate) -> str:
    """``98.2% [97.5%, 98.7%] n=2000``; without trials there is nothing to show."""
    if rate.n == 0:
        return "not measured"
    return f"{rate.value:6.1%} [{rate.low:.1%}, {rate.high:.1%}] n={rate.n}"
