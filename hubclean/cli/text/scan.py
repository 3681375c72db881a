"""Results as text for a terminal. Every string from a repo goes through ``escaping.printable``."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from hubclean.cli.text.layout import fitted, paint, plural
from hubclean.cli.text.policy import policy_lines
from hubclean.cli.text.verdict import judged
from hubclean.escaping import printable
from hubclean.records import SEVERITIES, DetectionReport, FileState, FileVerdict, Finding, ScanReport
from hubclean.scanning.configs.loader_fields import LIBRARIES
from hubclean.scanning.document import ScanDocument, TargetScan, target_scan
from hubclean.scanning.policy.effective import Policy
from hubclean.scanning.refusal import nothing_loadable

_COLOURS = {"critical": "1;31", "high": "31", "medium": "33", "low": "36", "info": "2"}
_MOST_ALIKE = 5  # files listed one by one for the same reason

_EXITS = {
    1: "exit code 1: a finding at or above {gate}",
    2: "exit code 2: no verdict, because not everything to be loaded could be checked",
}
_INDENT, _NARROW = 22, 90  # of what follows a finding's first line, unless the terminal has fewer columns
_SHOWN_FILES = 8  # of the load set, by name
_WORST = 3  # findings of one rule in one file, written out


def render_scan(
    report: ScanReport,
    colour: bool = False,
    width: int = 0,
    named: bool = False,
    verbose: bool = False,
    policy: Policy | None = None,
    kept: bool = False,
) -> str:
    """The scan as text: counts and what will be loaded first, then findings, files not checked, cost, exit code.

    Args:
        report: from ``engine.scan``, with detections if the deep stage ran.
        colour: whether to use ANSI colours.
        width: columns of the terminal, at which findings are wrapped; 0 keeps each on one line, for ``grep``.
        named: whether every finding names the repo too, for output of many.
        verbose: every finding and every file on a line of its own.
        policy: what it was judged by.
        kept: whether the verdict is an earlier scan's of the same commit, kept on this machine.
    """
    lines = [f"  origin: {printable(report.origin.said, 300)}"]
    lines.append(f"  {loaded_line(report)}")
    lines += [f"  {line}" for line in (policy_lines(policy) if policy else [])]
    lines += [f"  base model {printable(name, 200)} is loaded, too: --follow scans it" for name in report.load_set.base]
    found = ["", *_findings(report, colour, width, named, verbose)] if report.findings else []
    head = [paint(line, "1", colour) for line in fitted([headline(report)], width)] + fitted(lines, width) + found
    lines = []
    if report.stale:
        lines += ["", "STALE in the baseline, accepts nothing -> hubclean baseline drops it"]
        lines += [f"  {row.rule} {printable(row.path)}: {printable(row.why, 300)}" for row in report.stale]
    if any(file.state == "unchecked" for file in report.files):
        lines += ["", *_unchecked(report, verbose)]
    if report.detections:
        lines += [
            "",
            *([f"  images: {printable(report.images, 1000)}"] if report.images else []),
            *map(_detection, report.detections),
        ]
    if report.judgement:
        lines += [*judged(report.judgement)]
    lines += [f"skipped {printable(row.step)}: {printable(row.reason, 400)}" for row in report.skipped]
    cost = f"{plural(report.requests, 'request')}, {report.bytes_read:,} bytes, {report.seconds:.2f} s"
    lines += [
        "",
        f"the verdict that was kept of this commit, made with {cost}; --no-cache scans again" if kept else cost,
    ]
    if not report.detections:
        lines.append("A static scan says nothing about backdoors in the weights: that is what --deep looks for.")
    if not report.exit_code:
        lines.append(f"Checked for the loaders of {_libraries()}.")
    lines.append(_exit(report))
    return "\n".join([*head, *fitted(lines, width)])


def _libraries() -> str:
    """The libraries of which an ok speaks, with the versions whose sources were read."""
    return ", ".join(f"{library} {versions}" for library, versions in LIBRARIES.items())


def loaded_line(report: ScanReport) -> str:
    """Which files will be loaded and whether they are fine, and what is known of the others, in one line."""
    chosen, loaded = report.load_set, report.loaded
    if not chosen.loadable:
        return nothing_loadable(report)
    note = f" ({printable(chosen.note, 200)})" if chosen.note else ""
    if chosen.loader == "all":
        return f"every file counts{note}: {_states(report, loaded)}"
    names = [printable(file.path, 100) for file in loaded[:_SHOWN_FILES]]
    if len(loaded) > _SHOWN_FILES:
        names.append(f"and {len(loaded) - _SHOWN_FILES} more")
    line = f"{chosen.loader} loads {', '.join(names)}{note}: {_states(report, loaded)}"
    others = [file for file in report.files if not chosen.holds(file.path)]
    if others:
        line += f"; {plural(len(others), 'other file')}: {_other_states(others)}"
    return line


def _states(report: ScanReport, files: Sequence[FileVerdict]) -> str:
    """``3 of 3 ok``, or what the others are."""
    bad = {row.path for row in report.at_gate}
    taken = {row.finding.path for row in report.accepted} - bad
    unchecked = sum(file.state == "unchecked" and file.path not in bad for file in files)
    found = sum(file.path in bad for file in files)
    accepted = sum(file.path in taken and file.state != "unchecked" for file in files)
    text = f"{len(files) - found - unchecked - accepted} of {len(files)} ok"
    text += (f", {found} with findings" if found else "") + (f", {accepted} accepted" if accepted else "")
    return text + (f", {unchecked} not checked" if unchecked else "")


def _other_states(files: Sequence[FileVerdict]) -> str:
    states = Counter(file.state for file in files)
    said: dict[FileState, str] = {"ok": "ok", "finding": "with findings", "unchecked": "not looked into"}
    return ", ".join(f"{states[state]} {text}" for state, text in said.items() if states[state])


def headline(report: ScanReport) -> str:
    """The counts: static findings by severity, files ok, files not checked."""
    return counted(target_scan("", report))


def counted(scan: TargetScan) -> str:
    """The same for one target of a document."""
    total, unchecked = scan.counts.files, scan.counts.unchecked
    seen = [finding for finding in scan.findings if finding.severity != "info"]
    if seen:
        counts = Counter(finding.severity for finding in seen)
        listed = ", ".join(f"{counts[name]} {name}" for name in reversed(SEVERITIES) if counts[name])
        files = len({finding.path for finding in seen})
        text = f"{plural(len(seen), 'static finding')} ({listed}) in {files} of {plural(total, 'file')}"
        text += f"; {scan.counts.ok} ok"
    else:
        text = f"no static finding in {total - unchecked} of {plural(total, 'file')}"
    text += f"; {plural(len(scan.accepted), 'finding')} accepted" if scan.accepted else ""
    return text + (f"; {unchecked} not checked" if unchecked else "")


def _findings(report: ScanReport, colour: bool, width: int, named: bool, verbose: bool) -> list[str]:
    """One line a file and rule: severity, rule, file and offset, the worst that was seen, what to do.

    Those that only say "not checked" stand in their own list.
    """
    rows = [row for row in report.findings if row.severity != "info" or row.rule not in ("HC-INC-001", "HC-FMT-002")]
    lines = [f"{'SEVERITY':<8}  {'RULE':<10}  FILE: WHAT -> WHAT TO DO"] if rows else []
    origin = f"{printable(str(report.origin), 300)}/" if named else ""
    counting, accepted = set(report.at_gate), {row.finding: row.reason for row in report.accepted}
    groups: dict[object, list[Finding]] = {}
    for row in rows:  # the worst come first
        key = (row.path, row.rule, row.severity, row in counting, accepted.get(row))
        groups.setdefault(row if verbose else key, []).append(row)
    for group in groups.values():
        row = group[0]
        said = "accepted" if row in accepted else row.severity
        severity = paint(f"{said:<8}", _COLOURS["info" if row in accepted else row.severity], colour)
        aside = "" if row in counting or report.load_set.holds(row.path) or row.path == "." else " (not loaded)"
        text = f"{printable(row.rule):<10}  {origin}{_place(group)}{aside}: {_seen(group)}"
        todo = f"{row.severity}, accepted: {accepted[row]}" if row in accepted else row.advice
        text += f" -> {printable(todo, 300)}"
        indent = _INDENT if width >= _NARROW else 4
        whole = f"{said:<8}  {text}"
        wrapped = [whole]
        if width:
            further = " " * indent
            wrapped = textwrap.wrap(whole, max(width, 30), subsequent_indent=further, break_on_hyphens=False)
        lines.append("\n".join(wrapped).replace(f"{said:<8}", severity, 1))
    return lines


def _seen(group: list[Finding]) -> str:
    """What was seen, of many the count and the first three."""
    if len(group) == 1:
        return printable(group[0].what, 300)
    shown = "; ".join(printable(row.what, 120) for row in group[:_WORST])
    return f"{len(group)} times: {shown}" + (f"; and {len(group) - _WORST} more" if len(group) > _WORST else "")


def _place(group: list[Finding]) -> str:
    row = group[0]
    return printable(row.path) + (f" at byte {row.offset}" if len(group) == 1 and row.offset is not None else "")


def _unchecked(report: ScanReport, verbose: bool) -> list[str]:
    """Files not checked, grouped by reason: first those that count; those the caller allows are marked."""
    rows = [file for file in report.files if file.state == "unchecked"]
    loaded = [file for file in rows if file.pickled or report.load_set.holds(file.path)]
    lines = []
    if loaded:
        example = next((file for file in report.unchecked), loaded[0])
        todo = f"look at it first; --allow-unchecked '{printable(example.path, 100)}' lets it pass"
        lines += [f"NOT CHECKED -> {todo}", *_by_reason(report, loaded, verbose)]
    if others := [file for file in rows if file not in loaded]:
        head = f"NOT LOOKED INTO, and not loaded by {report.load_set.loader} -> --for all counts every file"
        lines += [head, *_by_reason(report, others, verbose)]
    return lines


def _by_reason(report: ScanReport, files: Sequence[FileVerdict], verbose: bool) -> list[str]:
    groups: dict[str, list[str]] = {}
    for file in files:
        mark = " (allowed)" if report.is_allowed(file.path) else ""
        groups.setdefault(file.reason, []).append(f"{printable(file.path)} ({file.size:,} bytes){mark}")
    lines = []
    for reason, names in groups.items():
        most = len(names) if verbose else _MOST_ALIKE
        lines.append(f"  {printable(reason, 400)}")
        lines += [f"    {name}" for name in names[:most]]
        if len(names) > most:
            lines.append(f"    and {len(names) - most} more")
    return lines


def render_table(document: ScanDocument, width: int = 0) -> str:
    """Many targets in one table, and the one exit code; a target without a report shows its error.

    On a terminal of fewer than ``_NARROW`` columns without the loader, and long names on a line of their own.
    """
    narrow = 0 < width < _NARROW
    loader = "" if narrow else f"{'LOADER':<12}  "
    lines = [f"{'EXIT':<4}  {'HIGHEST':<8}  {'FINDINGS':>8}  {'UNCHECKED':>9}  {'FILES':>6}  {loader}TARGET"]
    for scan in document.scans:
        seen = [row.severity for row in scan.findings if row.severity != "info"]
        highest = max(seen, key=SEVERITIES.index, default="-")
        counts = f"{len(seen):>8}  {scan.counts.unchecked:>9}  {scan.counts.files:>6}  "
        name = printable(str(scan.origin) if scan.origin else scan.target, 300)
        row = f"{scan.exit_code:<4}  {highest:<8}  {counts}"
        row += "" if narrow else f"{scan.load_set.loader:<12}  "
        lines += [row.rstrip(), f"      {name}"] if narrow and len(row + name) > width else [row + name]
        if scan.error:
            lines += fitted([f"{'':<6}{printable(scan.error, 1000)}"], width)
    expired = dict.fromkeys(line for scan in document.scans for line in policy_lines(scan.policy) if "EXPIRED" in line)
    lines += ["", *fitted(expired, width)] if expired else []
    return "\n".join([*lines, "", f"exit code {document.exit_code} over {plural(len(document.scans), 'target')}"])


def _detection(report: DetectionReport) -> str:
    labels = {score.label: score.name for score in report.scores}
    targets = ", ".join(f"{target} {printable(labels.get(target, ''), 60)}".strip() for target in report.targets)
    leads = f" leading to label {targets}" if targets else ""
    return f"{printable(report.detector)}: backdoor {_said(report)}{leads} ({printable(report.reason, 300)})"


def _said(report: DetectionReport) -> str:
    return {"backdoored": "found", "not found": "not found", "undecided": "undecided"}[report.verdict]


def _exit(report: ScanReport) -> str:
    line = _meaning(report)
    if any(row.verdict == "backdoored" for row in report.detections):
        line += " or a detected backdoor" if report.exit_code == 1 else ""
    elif report.exit_code == 1 and report.load_set.loader != "all":
        line += " in what will be loaded, or a hostile one in any file"
    if report.allowed_names:
        line += f" (names allowed in pickles: {', '.join(map(printable, report.allowed_names))})"
    if report.allowed_unchecked:
        patterns = ", ".join(printable(pattern) for pattern in report.allowed_unchecked)
        line += f" (files that may stay not checked: {patterns})"
    return line


def _meaning(report: ScanReport) -> str:
    if report.accepted and not report.exit_code:
        return (
            f"exit code 0: nothing that counts was found at or above {report.gate} but what the baseline accepts"
            f" ({plural(len(report.accepted), 'finding')})"
        )
    if report.exit_code == 2 and not report.load_set.loadable:
        return f"exit code 2: no verdict, because {nothing_loadable(report)}"
    if report.exit_code:
        return _EXITS[report.exit_code].format(gate=report.gate)
    if all(file.state != "unchecked" for file in report.files):
        if not report.severe:
            return f"exit code 0: every file was checked and nothing was found at or above {report.gate}"
        return f"exit code 0: every file was checked; nothing to be loaded has a finding at or above {report.gate}"
    loader = report.load_set.loader
    what = "every file but those allowed" if loader == "all" else f"what {loader} loads"
    return (
        f"exit code 0: {what} was checked, nothing was found in it at or above {report.gate}, and nothing hostile in"
        " any file that was"
    )
