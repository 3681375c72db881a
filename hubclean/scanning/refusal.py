"""Whether what was scanned may be loaded, and why not: what ``download``, ``convert``, ``clean`` and ``guard`` ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubclean.escaping import printable
from hubclean.records import Finding, ScanReport
from hubclean.wording import option


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was loaded; ``finding`` is whether for a finding that counts (else nobody could check)."""

    why: str
    finding: bool


def refusal(report: ScanReport) -> Refusal | None:
    """Why what the load set holds is not to be loaded; ``None`` exactly where the exit code is 0.

    A finding is a better reason than a check that was not made: it is what the exit code speaks of.
    """
    if found := report.at_gate:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return Refusal(f"{_found(found[0])}{more}", True)
    if not report.load_set.loadable:
        return Refusal(nothing_loadable(report), False)
    if rows := report.unchecked:
        path, reason = printable(rows[0].path), printable(rows[0].reason, 300)
        more = f"; {len(rows) - 1} more files are not checked" if len(rows) > 1 else ""
        return Refusal(f"{path} is to be loaded, but not checked: {reason}{more}", False)
    if report.exit_code:
        return Refusal("the deep stage gave no verdict, or found a backdoor", report.exit_code == 1)
    return None


def unfit(report: ScanReport, paths: Iterable[str]) -> dict[str, Refusal]:
    """Those of ``paths`` that nobody is to load, whoever asks: not checked, or a finding at the gate in them."""
    why = {
        file.path: Refusal(f"not checked: {printable(file.reason, 300)}", False)
        for file in report.files
        if file.state == "unchecked" and not report.is_allowed(file.path)
    }
    for row in reversed(report.severe):
        why[row.path] = Refusal(f"has a finding at the gate: {row.rule}, {printable(row.what, 200)}", True)
    return {path: why[path] for path in paths if path in why}


def refusal_of_files(report: ScanReport, paths: Iterable[str]) -> Refusal | None:
    """Why files that somebody asks for are not to be loaded: what counts wherever it is, or what is wrong with them."""
    if hostile := [row for row in report.at_gate if row.hostile]:
        return Refusal(_found(hostile[0]), True)
    known = {file.path for file in report.files}
    if of_all := [row for row in report.at_gate if row.path not in known]:
        return Refusal(_found(of_all[0]), True)
    if why := unfit(report, paths):
        path = min(why, key=lambda path: not why[path].finding)
        return Refusal(f"{printable(path)} is needed, but {why[path].why}", why[path].finding)
    return None


def nothing_loadable(report: ScanReport) -> str:
    """That there is nothing to load, and what there is."""
    chosen = report.load_set
    all_files = option("loader", "all")
    return f"{chosen.loader} finds nothing to load here ({printable(chosen.note, 300)}); {all_files} judges every file"


def _found(row: Finding) -> str:
    return f"{row.rule} in {printable(row.path)}: {printable(row.what, 200)}"
