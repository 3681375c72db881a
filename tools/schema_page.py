"""docs/reference/schemas.md: the documents that other programs read."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from hubclean import measurements, model_records, records
from hubclean.cleansing.verifying import report
from hubclean.cleansing.verifying.report import VERIFY_SCHEMA, VerifyReport
from hubclean.records import Audit
from hubclean.scanning import document
from hubclean.scanning.document import SCAN_SCHEMA, ScanDocument
from hubclean.scanning.policy import effective as policy_records
from hubclean.schema import json_schema
from tools.markdown import cell, text_of


def schemas(made: str) -> str:
    """The documents that other programs read, record by record."""
    lines = [
        made,
        "# Schemas",
        "",
        "Three documents are made for other programs. Each has a JSON Schema (draft 2020-12) in the repository, and a "
        "field `schema` that names its version. "
        "`hubclean scan --json` prints `hubclean/scan/v1`: no time and no duration is in it, so that two scans of the "
        "same commit are equal byte by byte. `hubclean clean` writes `hubclean/audit/v1` as `hubclean/audit.json` into "
        "its output folder. `hubclean verify --json` prints `hubclean/verify/v1`. "
        "Rates are fractions with their number of trials and 95 % Wilson interval, sizes bytes, "
        "times seconds.",
        "",
        "`scan --format sarif` is SARIF 2.1.0 and `--format cyclonedx` CycloneDX 1.6; their schemas are published by "
        "OASIS and OWASP.",
    ]
    for title, schema in (
        ("scan.json", json_schema(ScanDocument, SCAN_SCHEMA)),
        ("audit.json", json_schema(Audit)),
        ("verify.json", json_schema(VerifyReport, VERIFY_SCHEMA)),
    ):
        top = schema["$ref"].rpartition("/")[2]
        lines += ["", f"## {title}", ""]
        rest = [name for name in schema["$defs"] if name != top]
        for name in (top, *rest):
            heading = f"{title}: {name}"
            lines += [f"### {heading}", "", schema["$defs"][name]["description"], ""]
            lines += [*_fields(name, schema["$defs"][name], title), ""]
    return text_of(lines)


def _fields(name: str, record: dict[str, Any], title: str) -> Iterator[str]:
    said = _said(name)
    yield "| field | type | |"
    yield "|---|---|---|"
    for field, kind in record["properties"].items():
        optional = "" if field in record["required"] else "Optional. "
        yield f"| `{field}` | {_kind(kind, title)} | {cell(optional + said.get(field, ''))} |"


def _kind(kind: dict[str, Any], title: str) -> str:
    """A type of JSON Schema in words."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}](#{title.replace('.', '')}-{name.lower()})"
    if "const" in kind:
        return f"`{json.dumps(kind['const'])}`"
    if "enum" in kind:
        return ", ".join(f"`{json.dumps(value)}`" for value in kind["enum"])
    if "anyOf" in kind:
        return " or ".join(_kind(arm, title) for arm in kind["anyOf"])
    if "prefixItems" in kind:
        return f"array of {', '.join(_kind(arm, title) for arm in kind['prefixItems'])}"
    if kind.get("type") == "array":
        return f"array of {_kind(kind['items'], title)}"
    if kind.get("type") == "object":
        return f"object of {_kind(kind['additionalProperties'], title)}"
    return " or ".join([kind["type"]] if isinstance(kind["type"], str) else kind["type"])


def _said(name: str) -> dict[str, str]:
    """What the docstring of a record says of its fields, under ``Args:``."""
    places = (records, measurements, model_records, document, policy_records, report)
    found = next(getattr(place, name) for place in places if hasattr(place, name))
    _, _, args = inspect.cleandoc(found.__doc__ or "").partition("Args:\n")
    rows: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", args, re.MULTILINE):
        rows |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return rows
