"""Scans as CycloneDX 1.6 ML-BOM: models, their files with hashes, and findings as vulnerabilities."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from hubclean.escaping import printable
from hubclean.json_records import to_json
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.document import ScanDocument, TargetScan
from hubclean.scanning.rules import RULES

_SPACE = uuid.UUID("6f0a4f0e-6d6c-5f5d-9c4e-68756263616e")


def cyclonedx(document: ScanDocument) -> dict[str, Any]:
    """The document as a bill of materials. The serial number derives from the content: same scan, same document."""
    text = json.dumps(to_json(document), sort_keys=True)
    models = [_model(at, scan) for at, scan in enumerate(document.scans)]
    rows = [_vulnerability(at, scan, row) for at, scan in enumerate(document.scans) for row in _findings(scan)]
    top = {"component": models[0]} if len(models) == 1 else {}
    bom: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, text)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "hubclean", "version": document.hubclean}]},
            **top,
            "properties": [{"name": "hubclean:gate", "value": document.gate}, *_allowed(document)],
        },
        "components": [] if top else models,
        "vulnerabilities": list({row["bom-ref"]: row for row in rows}.values()),
    }
    if top:
        bom["components"] = models[0].pop("components")
    return bom


def _allowed(document: ScanDocument) -> list[dict[str, str]]:
    rows = [("hubclean:allowed-unchecked", text) for text in document.allowed_unchecked]
    rows += [("hubclean:allowed-name", text) for text in document.allowed_names]
    return [{"name": name, "value": printable(text, 500)} for name, text in rows]


def _model(at: int, scan: TargetScan) -> dict[str, Any]:
    name = scan.origin.repo_id if scan.origin else scan.target
    row: dict[str, Any] = {"type": "machine-learning-model", "bom-ref": f"model-{at}", "name": printable(name, 300)}
    if scan.origin and scan.origin.revision:
        row |= {"version": scan.origin.revision}
        row |= {"purl": f"pkg:huggingface/{quote(name, safe='/')}@{scan.origin.revision}"}
    row["modelCard"] = {}
    row["properties"] = [{"name": "hubclean:exit-code", "value": str(scan.exit_code)}]
    row["properties"].append({"name": "hubclean:loader", "value": scan.load_set.loader})
    if scan.error:
        row["properties"].append({"name": "hubclean:error", "value": printable(scan.error, 1000)})
    row["components"] = [
        _file(at, number, file, scan.load_set.holds(file.path)) for number, file in enumerate(scan.files)
    ]
    return row


def _file(at: int, number: int, file: FileVerdict, loaded: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "bom-ref": f"file-{at}-{number}", "name": printable(file.path, 1000)}
    if file.sha256:
        row["hashes"] = [{"alg": "SHA-256", "content": file.sha256}]
    facts = {"size": str(file.size), "verdict": file.state, "reason": printable(file.reason, 500)}
    facts["loaded"] = "yes" if loaded else "no"
    row["properties"] = [{"name": f"hubclean:{name}", "value": text} for name, text in facts.items()]
    return row


def _findings(scan: TargetScan) -> list[Finding]:
    return [row for row in scan.findings if row.rule != "HC-INC-001"]


def _vulnerability(at: int, scan: TargetScan, row: Finding) -> dict[str, Any]:
    number = next((number for number, file in enumerate(scan.files) if file.path == row.path), None)
    shown = f"{printable(row.path, 300)}" + ("" if row.offset is None else f" at byte {row.offset}")
    same = uuid.uuid5(_SPACE, json.dumps([at, to_json(row)]))
    why = next((one.reason for one in scan.accepted if one.finding == row), None)
    accepted = {"response": ["will_not_fix"], "detail": f"accepted: {printable(why or '', 500)}"}
    return {
        "bom-ref": f"finding-{same}",
        "id": row.rule,
        "source": {"name": "hubclean"},
        "ratings": [{"source": {"name": "hubclean"}, "severity": row.severity, "method": "other"}],
        "description": RULES[row.rule].text if row.rule in RULES else row.rule,
        "detail": f"{shown}: {printable(row.what, 1000)}",
        "recommendation": printable(row.advice, 500),
        **({} if why is None else {"analysis": accepted}),
        "affects": [{"ref": f"model-{at}" if number is None else f"file-{at}-{number}"}],
    }
