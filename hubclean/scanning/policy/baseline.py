"""Findings that a team has looked at and accepted, by rule, repo, path and content: a changed file voids its entries.

A finding in the baseline stays in the report, as accepted, and does not fail the gate. It must still be as grave as it
was: what a file may do can change with the files beside it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean.errors import HubcleanError, OptionError
from hubclean.escaping import printable
from hubclean.records import Accepted, ScanReport, Severity, Stale, from_json, to_json
from hubclean.scanning.policy.contents import Contents
from hubclean.version import __version__
from hubclean.whole_folder import write_whole

BASELINE_SCHEMA = "hubclean/baseline/v1"
LONGEST = 16 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted finding.

    Args:
        rule, path, severity, hostile, what: of the finding.
        repo: ``org/model``, or the bare name of a local folder or file.
        sha256: of the file's bytes when it was accepted; for what is said of a whole repo, of all of its files; for a
            hostile finding, of the repo's Python files besides.
        reason: why it was accepted.
        expires: the last day (UTC) on which it counts, as ``2027-03-01``; empty for no end.
    """

    rule: str
    repo: str
    path: str
    sha256: str
    severity: Severity
    hostile: bool
    reason: str
    expires: str = ""
    what: str = ""

    def is_of(self, report: ScanReport) -> bool:
        """Whether it was accepted for this repo; upper and lower case are alike, as on the Hub."""
        return self.repo.lower() == report.origin.repo_id.lower()


@dataclass(frozen=True, slots=True)
class Baseline:
    """All accepted findings of a team, sorted."""

    accepted: tuple[Entry, ...] = ()
    hubclean: str = __version__
    schema: str = BASELINE_SCHEMA


def read_baseline(place: Path) -> Baseline:
    """The baseline of a file.

    Raises:
        OptionError: it cannot be read, or is none.
    """
    shown = printable(str(place), 300)
    try:
        with place.open("rb") as file:
            body = file.read(LONGEST + 1)
    except OSError as error:
        raise OptionError(f"the baseline {shown} cannot be read: {error.strerror}") from error
    if len(body) > LONGEST:
        raise OptionError(f"{shown} has more than {LONGEST:,} bytes, which no baseline has")
    try:
        found = from_json(Baseline, json.loads(body))
        for entry in found.accepted:
            if entry.expires:
                datetime.date.fromisoformat(entry.expires)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{shown} is no baseline: {printable(str(error), 200)}") from error
    if found.schema != BASELINE_SCHEMA:
        raise OptionError(f"{shown} is {printable(found.schema, 60)}, and this hubclean reads {BASELINE_SCHEMA}")
    return found


def write_baseline(place: Path, baseline: Baseline) -> None:
    """Write a baseline, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(place, json.dumps(to_json(baseline), indent=1, ensure_ascii=True) + "\n")


def entries_of(report: ScanReport, contents: Contents, reason: str, expires: str = "") -> tuple[Entry, ...]:
    """The findings of a report that count, as entries of a baseline.

    Raises:
        HubcleanError: a file cannot be read whole, so that nobody could tell when it changes.
    """
    rows: dict[tuple[Any, ...], Entry] = {}
    for row in report.at_gate:
        sha256 = contents.sha256(row.path, with_code=row.hostile)
        facts = (row.rule, report.origin.repo_id, row.path, sha256, row.severity, row.hostile)
        rows.setdefault(facts, Entry(*facts, reason, expires, row.what))
    return tuple(rows.values())


def merged(
    before: Baseline, scanned: Iterable[ScanReport], found: Iterable[Entry], today: datetime.date | None = None
) -> Baseline:
    """A baseline brought up to date: of the repos scanned what was found, of the others what it held.

    What was accepted before keeps its reason and its day, unless that has passed.
    """
    day, reports = _day(today), tuple(scanned)
    known = {_same(entry): entry for entry in before.accepted if not entry.expires or entry.expires >= day}
    kept = [entry for entry in before.accepted if not any(entry.is_of(report) for report in reports)]
    rows = {_same(entry): known.get(_same(entry), entry) for entry in (*kept, *found)}
    return Baseline(tuple(sorted(rows.values(), key=lambda row: (row.repo.lower(), row.path, row.rule, row.sha256))))


def _same(entry: Entry) -> tuple[Any, ...]:
    return entry.rule, entry.repo.lower(), entry.path, entry.sha256, entry.severity, entry.hostile


def accept(
    report: ScanReport, baseline: Baseline, contents: Contents, today: datetime.date | None = None
) -> ScanReport:
    """The report with what the baseline accepts, and with those of the repo's entries that no longer fit."""
    day = _day(today)
    mine = [entry for entry in baseline.accepted if entry.is_of(report)]
    of_file: dict[tuple[str, str], list[Entry]] = {}
    for entry in mine:
        of_file.setdefault((entry.rule, entry.path), []).append(entry)
    accepted: list[Accepted] = []
    used: set[Entry] = set()
    why = dict.fromkeys(mine, "the finding is gone")
    for row in report.findings:
        for entry in of_file.get((row.rule, row.path), ()):
            why[entry] = _void(entry, row.severity, row.hostile, contents, day)
            if not why[entry]:
                accepted.append(Accepted(row, entry.reason, entry.expires))
                used.add(entry)
                break
    stale = tuple(Stale(entry.rule, entry.path, why[entry]) for entry in mine if entry not in used)
    return replace(report, accepted=tuple(accepted), stale=stale)


def _day(today: datetime.date | None) -> str:
    return (today or datetime.datetime.now(datetime.UTC).date()).isoformat()


def _void(entry: Entry, severity: Severity, hostile: bool, contents: Contents, day: str) -> str:
    """Why an entry does not accept a finding of its rule in its file; empty if it does."""
    if entry.expires and entry.expires < day:
        return f"it expired after {entry.expires}"
    if (entry.severity, entry.hostile) != (severity, hostile):
        return f"it was accepted as {_grave(entry.severity, entry.hostile)} and is {_grave(severity, hostile)} now"
    try:
        same = contents.sha256(entry.path, with_code=hostile) == entry.sha256
    except (HubcleanError, OSError) as error:
        return f"its file could not be compared: {printable(str(error), 200)}"
    if same:
        return ""
    return "its file, or a Python file of the repo, changed" if hostile else "its file changed"


def _grave(severity: Severity, hostile: bool) -> str:
    return f"{severity} and hostile" if hostile else severity


def fingerprint(baseline: Baseline) -> str:
    """The same for baselines that accept the same."""
    text = json.dumps(to_json(baseline.accepted), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
