"""The static scan of the checkpoint itself, as recorded for its original or better."""

from __future__ import annotations

from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.hub.repos import Repo
from hubclean.records import Finding, ScanReport
from hubclean.scanning import engine


def check_scan(repo: Repo, recorded: ScanReport | None, deadline: float) -> Check:
    """Scan at the gate of every scan, whatever gate the audit names.

    A finding that the audit records for the same file of the original is as stated, unless it is hostile or critical:
    what runs code is refused whoever announced it.
    """
    report = engine.scan(repo, deadline=deadline)
    known = {(row.rule, row.path) for row in recorded.findings} if recorded else set()
    counted = report.at_gate
    new = [row for row in counted if row.hostile or row.severity == "critical" or (row.rule, row.path) not in known]
    places = [Place(row.path, f"{row.rule} ({row.severity}): {row.what}") for row in new]
    points = [f"{row.path!r} was not checked: {row.reason}" for row in report.unchecked[:5]]
    if not report.load_set.loadable:
        points.append(f"nothing that {report.load_set.loader} could load")
    return concluded("scan", _said(report, counted), places, points)


def _said(report: ScanReport, counted: tuple[Finding, ...]) -> str:
    ok = sum(row.state == "ok" for row in report.files)
    said = f"no static finding at or above {report.gate} in what will be loaded; {ok} of {len(report.files)} files ok"
    if counted:
        rules = ", ".join(sorted({row.rule for row in counted}))
        said = f"{len(counted)} static findings, each recorded in the audit for the same file: {rules}"
    return said
