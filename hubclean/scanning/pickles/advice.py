"""What to do about the findings of one pickle: whether ``hubclean convert`` can take its tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hubclean.scanning.rules import Problem

_LEFT_BEHIND = frozenset({"HC-PKL-002", "HC-PKL-010"})
_UNKNOWN = "do not load it; `hubclean convert --allow-unknown` copies its tensors without importing a class"
_PLAIN = "nothing that inference needs; `hubclean convert` copies the tensors and leaves it behind"
_NO_TENSORS = "do not load it; `hubclean convert` finds no tensors in it"


def advised(problems: Iterable[Problem], torch: bool) -> list[Problem]:
    """The problems of a file, those on names with advice of their own; ``torch``: its tensors can be read by a walk."""
    rows = list(problems)
    rules = {row.rule for row in rows}
    refused = any(row.advice for row in rows)
    can = torch and not refused and rules <= _LEFT_BEHIND
    advice = {"HC-PKL-002": _UNKNOWN if can else "" if torch else _NO_TENSORS, "HC-PKL-010": _PLAIN if can else ""}
    return [replace(row, advice=row.advice or advice.get(row.rule, "")) for row in rows]
