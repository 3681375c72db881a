"""Scans as SARIF 2.1.0 (OASIS), one run a target, for code-scanning dashboards."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from hubclean.escaping import printable
from hubclean.records import Accepted, FileVerdict, Finding, Severity
from hubclean.scanning.document import ScanDocument, TargetScan
from hubclean.scanning.rules import RULES

SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: dict[Severity, str] = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
    "info": "note",
}
# What GitHub sorts by; its bounds are 9, 7 and 4.
_SCORES: dict[Severity, str] = {"critical": "9.5", "high": "8.0", "medium": "5.0", "low": "2.0", "info": "0.0"}
_INDEX = {name: at for at, name in enumerate(RULES)}


def sarif(document: ScanDocument) -> dict[str, Any]:
    """The document as a SARIF log. Files not checked are notifications of the run, and so is a target's error."""
    runs = [_run(scan, document.hubclean) for scan in document.scans]
    return {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": runs}


def _run(scan: TargetScan, version: str) -> dict[str, Any]:
    notes = [_notification(scan, file) for file in scan.files if file.state == "unchecked"]
    if scan.error:
        notes.append({"level": "error", "message": {"text": printable(scan.error, 1000)}})
    findings = [row for row in scan.findings if row.rule != "HC-INC-001"]
    accepted = {row.finding: row for row in scan.accepted}
    return {
        "tool": {"driver": {"name": "hubclean", "version": version, "rules": [_rule(name) for name in RULES]}},
        "automationDetails": {"id": f"hubclean/{printable(scan.target, 300)}/"},
        "invocations": [
            {
                "executionSuccessful": scan.exit_code != 2,
                "exitCode": scan.exit_code,
                "toolExecutionNotifications": notes,
                "properties": {"loader": scan.load_set.loader, "loadable": scan.load_set.loadable},
            }
        ],
        "artifacts": [_artifact(scan, file) for file in scan.files],
        "results": [_result(scan, row, accepted.get(row)) for row in findings],
        "columnKind": "unicodeCodePoints",
    }


def _rule(name: str) -> dict[str, Any]:
    rule = RULES[name]
    return {
        "id": name,
        "shortDescription": {"text": rule.text},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"security-severity": _SCORES[rule.severity], "tags": ["security"]},
    }


def _result(scan: TargetScan, row: Finding, accepted: Accepted | None) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": uri(scan, row.path)}}
    if row.offset is not None:
        place["region"] = {"byteOffset": row.offset}
    # The commit is left out, so that a finding keeps its identity from one commit to the next.
    same = f"{row.rule}\n{scan.origin.repo_id if scan.origin else ''}\n{row.path}\n{row.what}"
    index: dict[str, Any] = {"ruleIndex": _INDEX[row.rule]} if row.rule in _INDEX else {}
    if accepted:
        why = printable(accepted.reason, 500)
        index["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return {
        "ruleId": row.rule,
        **index,
        "level": _LEVELS[row.severity],
        "message": {"text": f"{printable(row.what, 1000)} ({printable(row.advice, 500)})"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"hubclean/v1": hashlib.sha256(same.encode("utf-8", "replace")).hexdigest()},
        "properties": {
            "severity": row.severity,
            "security-severity": _SCORES[row.severity],
            "loaded": scan.load_set.holds(row.path),
            "hostile": row.hostile,
        },
    }


def _artifact(scan: TargetScan, file: FileVerdict) -> dict[str, Any]:
    hashes = {"hashes": {"sha-256": file.sha256}} if file.sha256 else {}
    facts = {"verdict": file.state, "reason": printable(file.reason, 500), "loaded": scan.load_set.holds(file.path)}
    return {"location": {"uri": uri(scan, file.path)}, "length": file.size, **hashes, "properties": facts}


def _notification(scan: TargetScan, file: FileVerdict) -> dict[str, Any]:
    return {
        "level": "warning",
        "descriptor": {"id": "HC-INC-001"},
        "message": {"text": f"not checked: {printable(file.reason, 1000)}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(scan, file.path)}}}],
    }


def uri(scan: TargetScan, path: str) -> str:
    """``org/model@commit/path``; a local file's path inside its folder (dashboards resolve it against the checkout)."""
    place = path if scan.origin is None or scan.origin.kind == "local" else f"{scan.origin}/{path}"
    return quote(place.encode("utf-8", "surrogatepass"), safe="/@-._~")
