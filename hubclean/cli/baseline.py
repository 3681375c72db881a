"""``hubclean baseline``: writes down the findings that a team has looked at and accepts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubclean.cli.options import json_option, place_options, print_result
from hubclean.cli.policy import judged_by, policy_options, taken
from hubclean.cli.targets import distinct, from_option, listed_in
from hubclean.cli.text.layout import plural
from hubclean.escaping import printable

if TYPE_CHECKING:
    from hubclean.scanning.policy.baseline import Baseline, Entry

DEFAULT_FILE = "hubclean-baseline.json"


@dataclass(frozen=True, slots=True)
class Written:
    """What a baseline holds now, and what changed.

    Args:
        file: where it lies.
        added, dropped: entries that are new in it, and that are in it no more.
    """

    file: str
    baseline: Baseline
    added: tuple[Entry, ...]
    dropped: tuple[Entry, ...]


def render_baseline(done: Written) -> str:
    """What was accepted and what was dropped, a line an entry."""
    lines = [f"{head} {_entry(row)}" for head, rows in (("+", done.added), ("-", done.dropped)) for row in rows]
    kept = len(done.baseline.accepted) - len(done.added)
    counts = f"{len(done.added)} added, {len(done.dropped)} dropped, {kept} kept"
    held = plural(len(done.baseline.accepted), "accepted finding")
    return "\n".join([*lines, f"{printable(done.file, 300)} holds {held}: {counts}"])


def _entry(row: Entry) -> str:
    grave = f"{row.severity}, hostile" if row.hostile else row.severity
    until = f", until {row.expires}" if row.expires else ""
    return f"{row.rule} ({grave}) {printable(row.repo)}/{printable(row.path)}: {printable(row.reason, 200)}{until}"


@click.command()
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("--revision", help="Branch, tag or commit; only with one target.")
@from_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File to write, or to bring up to date  [default: that of the settings, or {DEFAULT_FILE}]",
)
@click.option("--reason", required=True, help="Why these findings are accepted; stands in every report.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Last day (UTC) on which they are accepted  [default: no end]",
)
@policy_options
@place_options
@json_option
def baseline(
    targets: tuple[str, ...],
    revision: str | None,
    listed: Path | None,
    out: Path | None,
    reason: str,
    expires: datetime.datetime | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Accept the findings of TARGET that fail the gate today, until their files change.

    Scans, and writes each finding that counts with its rule, repo, path and the hash of its file. With --baseline FILE,
    or baseline = "FILE" in hubclean.toml, they stand in reports as accepted and no longer give exit code 1. Entries of
    the scanned repos that fit nothing any more are dropped; those of other repos stay. Exit code 0: written. 2: not.
    """
    from hubclean.scanning.policy.baseline import Baseline, merged, read_baseline, write_baseline

    names = distinct((*targets, *(listed_in(listed) if listed else ())))
    if not names or not reason.strip():
        raise click.UsageError("Name a TARGET, or --from FILE, and a --reason.")
    if revision and len(names) > 1:
        raise click.UsageError("--revision goes with one target.")
    search, wishes = taken(rest)
    policies = [search.policy(name, wishes) for name in names]
    place = out or Path(policies[0].baseline or DEFAULT_FILE)
    before = read_baseline(place) if place.exists() else Baseline()
    until = f"{expires:%Y-%m-%d}" if expires else ""
    pairs = [
        _scanned(name, revision, {**rest, **judged_by(policy)}, reason, until)
        for name, policy in zip(names, policies, strict=True)
    ]
    after = merged(before, [report for report, _ in pairs], [entry for _, entries in pairs for entry in entries])
    write_baseline(place, after)
    old, new = set(before.accepted), set(after.accepted)
    added = tuple(entry for entry in after.accepted if entry not in old)
    dropped = tuple(entry for entry in before.accepted if entry not in new)
    done = Written(str(place), after, added, dropped)
    print_result(done, as_json, lambda: render_baseline(done))


def _scanned(name: str, revision: str | None, options: dict[str, Any], reason: str, until: str) -> Any:
    """The report on a target, and its findings that count as entries."""
    from hubclean.hub.targets import open_target
    from hubclean.scanning.engine import scan
    from hubclean.scanning.policy.baseline import entries_of
    from hubclean.scanning.policy.contents import Contents

    repo = open_target(name, revision)
    report = scan(repo, **options)
    return report, entries_of(replace(report, accepted=()), Contents(repo), reason, until)
