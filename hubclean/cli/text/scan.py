"""Results as text for a terminal. Every string from a repo goes through ``escaping.printable``."""

from __future__ import annotations

import textwrap
from collections import Counter

from hubclean.cli.text.layout import paint, plural
from hubclean.cli.text.verdict import judged
from hubclean.escaping import printable
from hubclean.records import SEVERITIES, DetectionReport, Finding, ScanReport
from hubclean.scanning.document import ScanDocument, TargetScan, target_scan

_COLOURS = {"critical": "1;31", "high": "31", "medium": "33", "low": "36", "info": "2"}
_MOST_ALIKE = 5  # files listed one by one for the same reason

_EXITS = {
    0: "exit code 0: every file was checked and nothing was found at or above {gate}",
    1: "exit code 1: a finding at or above {gate}",
    2: "exit code 2: no verdict, because not everything could be checked",
}


def render_scan(report: ScanReport, colour: bool = False, width: int = 0, named: bool = False) -> str:
    """The scan as text: counts first, then findings by severity, files not checked, cost and exit code.

    Args:
        report: from ``engine.scan``, with detections if the deep stage ran.
        colour: whether to use ANSI colours.
        width: columns of the terminal, at which findings are wrapped; 0 keeps each on one line, for ``grep``.
        named: whether every finding names the repo too, for output of many.
    """
    lines = [paint(headline(report), "1", colour), f"  origin: {printable(str(report.origin), 300)}"]
    if report.findings:
        lines += ["", *_findings(report, colour, width, named)]
    if any(file.state == "unchecked" for file in report.files):
        lines += ["", *_unchecked(report)]
    if report.detections:
        lines += ["", *map(_detection, report.detections)]
    if report.judgement:
        lines += [*judged(report.judgement)]
    lines += [f"skipped {printable(row.step)}: {printable(row.reason, 400)}" for row in report.skipped]
    lines += ["", f"{plural(report.requests, 'request')}, {report.bytes_read:,} bytes, {report.seconds:.2f} s"]
    if not report.detections:
        lines.append("A static scan says nothing about backdoors in the weights: that is what --deep looks for.")
    lines.append(_exit(report))
    return "\n".join(lines)


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
    return text + (f"; {unchecked} not checked" if unchecked else "")


def _findings(report: ScanReport, colour: bool, width: int, named: bool) -> list[str]:
    """One line a finding: severity, rule, file and offset, what was seen, what to do.

    Those that only say "not checked" stand in their own list.
    """
    rows = [row for row in report.findings if row.severity != "info" or row.rule not in ("HC-INC-001", "HC-FMT-002")]
    lines = [f"{'SEVERITY':<8}  {'RULE':<10}  FILE: WHAT -> WHAT TO DO"] if rows else []
    origin = f"{printable(str(report.origin), 300)}/" if named else ""
    for row in rows:
        severity = paint(f"{row.severity:<8}", _COLOURS[row.severity], colour)
        text = f"{printable(row.rule):<10}  {origin}{_place(row)}: {printable(row.what, 300)}"
        text += f" -> {printable(row.advice, 300)}"
        wrapped = textwrap.wrap(text, max(width - 10, 30), break_on_hyphens=False) if width else [text]
        lines.append(f"{severity}  " + f"\n{'':<22}".join(wrapped))
    return lines


def _place(finding: Finding) -> str:
    return printable(finding.path) + (f" at byte {finding.offset}" if finding.offset is not None else "")


def _unchecked(report: ScanReport) -> list[str]:
    """Files not checked, grouped by reason; those the caller allows are marked."""
    counted = {file.path for file in report.unchecked}
    groups: dict[str, list[str]] = {}
    for file in report.files:
        if file.state == "unchecked":
            mark = "" if file.path in counted else " (allowed)"
            groups.setdefault(file.reason, []).append(f"{printable(file.path)} ({file.size:,} bytes){mark}")
    lines = ["NOT CHECKED"]
    for reason, files in groups.items():
        lines.append(f"  {printable(reason, 400)}")
        lines += [f"    {name}" for name in files[:_MOST_ALIKE]]
        if len(files) > _MOST_ALIKE:
            lines.append(f"    and {len(files) - _MOST_ALIKE} more")
    return lines


def render_table(document: ScanDocument) -> str:
    """Many targets in one table, and the one exit code; a target without a report shows its error."""
    lines = [f"{'EXIT':<4}  {'HIGHEST':<8}  {'FINDINGS':>8}  {'UNCHECKED':>9}  {'FILES':>6}  TARGET"]
    for scan in document.scans:
        seen = [row.severity for row in scan.findings if row.severity != "info"]
        highest = max(seen, key=SEVERITIES.index, default="-")
        counts = f"{len(seen):>8}  {scan.counts.unchecked:>9}  {scan.counts.files:>6}"
        name = printable(str(scan.origin) if scan.origin else scan.target, 300)
        lines.append(f"{scan.exit_code:<4}  {highest:<8}  {counts}  {name}")
        if scan.error:
            lines.append(f"{'':<6}{printable(scan.error, 1000)}")
    return "\n".join([*lines, "", f"exit code {document.exit_code} over {plural(len(document.scans), 'target')}"])


def _detection(report: DetectionReport) -> str:
    labels = {score.label: score.name for score in report.scores}
    targets = ", ".join(f"{target} {printable(labels.get(target, ''), 60)}".strip() for target in report.targets)
    leads = f" leading to label {targets}" if targets else ""
    return f"{printable(report.detector)}: backdoor {_said(report)}{leads} ({printable(report.reason, 300)})"


def _said(report: DetectionReport) -> str:
    return {"backdoored": "found", "not found": "not found", "undecided": "undecided"}[report.verdict]


def _exit(report: ScanReport) -> str:
    line = _EXITS[report.exit_code].format(gate=report.gate)
    if any(row.verdict == "backdoored" for row in report.detections):
        line += " or a detected backdoor" if report.exit_code == 1 else ""
    if report.allowed_names:
        line += f" (names allowed in pickles: {', '.join(map(printable, report.allowed_names))})"
    if report.allowed_unchecked:
        patterns = ", ".join(printable(pattern) for pattern in report.allowed_unchecked)
        line += f" (files that may stay not checked: {patterns})"
    return line
