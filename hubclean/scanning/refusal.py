"""Which files of a scanned repo may be loaded, and why the others may not: what ``download`` and ``convert`` ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubclean.escaping import printable
from hubclean.records import ScanReport


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was downloaded; ``finding`` is whether for a finding at the gate (else nobody could check)."""

    why: str
    finding: bool


def refusal(report: ScanReport, needed: Iterable[str]) -> Refusal | None:
    """Why a repo is refused of which the files ``needed`` are not all fit; ``None`` if they are.

    A finding is a better reason than a check that was not made: it is what the exit code speaks of.
    """
    why = unfit(report)
    bad = [path for path in needed if path in why]
    if not bad:
        return None
    path = min(bad, key=lambda path: not why[path].finding)
    return Refusal(f"{printable(path)} is needed, but {why[path].why}", why[path].finding)


def unfit(report: ScanReport) -> dict[str, Refusal]:
    """The files that are not to be loaded, each with why: not checked, or a finding at the gate."""
    why = {
        file.path: Refusal(f"not checked: {printable(file.reason, 300)}", False)
        for file in report.files
        if file.state == "unchecked"
    }
    for row in reversed(report.at_gate):
        why[row.path] = Refusal(f"has a finding at the gate: {row.rule}, {printable(row.what, 200)}", True)
    return why
