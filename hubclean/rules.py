"""Rules on pickles, zips and arrays: severity and advice of each, and one thing seen that breaks one."""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.escaping import printable
from hubclean.records import Finding, Severity

_CONVERT = "do not load it; use safetensors, or convert it on an isolated machine"
_REFUSE = "do not load or unpack it; ask the author for a clean export"
_RULES: dict[str, tuple[Severity, str]] = {
    "HC-PKL-001": ("critical", "do not load it: loading runs this; report it to the Hub"),
    "HC-PKL-002": ("high", _CONVERT),
    "HC-PKL-003": ("critical", "do not load it: what is called is hidden from readers"),
    "HC-PKL-004": ("high", _CONVERT),
    "HC-PKL-005": ("high", _REFUSE),
    "HC-PKL-006": ("high", _REFUSE),
    "HC-PKL-007": ("high", _REFUSE),
    "HC-PKL-008": ("high", _REFUSE),
    "HC-PKL-009": ("medium", "ask the author for safetensors, or run `hubclean convert`"),
    "HC-ZIP-001": ("high", _REFUSE),
    "HC-ZIP-002": ("high", _REFUSE),
    "HC-ZIP-003": ("high", _REFUSE),
    "HC-ZIP-004": ("medium", _REFUSE),
    "HC-ZIP-005": ("high", "do not run it; weights need no code inside them"),
    "HC-NPY-001": ("high", "do not load it with allow_pickle=True"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule broken at a byte offset of the file (``None``: nowhere in particular); ``what`` says what was seen."""

    rule: str
    what: str
    offset: int | None = None


def finding(problem: Problem, path: str) -> Finding:
    """The problem as a line of the report; its strings come from the file, so they are made printable."""
    severity, advice = _RULES[problem.rule]
    return Finding(problem.rule, severity, path, printable(problem.what, 300), advice, problem.offset)
