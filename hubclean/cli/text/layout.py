"""Columns, percents, plurals, colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubclean.records import Rate


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows of cells as left-aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def percent(rate: Rate) -> str:
    """``98.2% [97.5%, 98.7%] n=2000``; without trials there is nothing to show."""
    if rate.n == 0:
        return "not measured"
    return f"{rate.value:6.1%} [{rate.low:.1%}, {rate.high:.1%}] n={rate.n}"
