"""The table of docs/results/labels.md from ``results/labels.json``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_LONGEST = 150


def section(place: Path) -> list[str]:
    """Every spelling with what was matched, or refused and why, and the true accuracy before and after."""
    if not place.exists():
        return []
    held = json.loads(place.read_text(encoding="utf-8"))
    lines = [
        "## Labels as people write them",
        "",
        f"`python -m benchmarks.labels`: a clean net with the labels `0` to `9`, {held['seconds']} s on one core. True",
        "accuracy is on all test pictures with their true labels, measured accuracy what `clean` says of what it got.",
        "",
        "| pictures | matched by | exit | measured before → after | true before → after | why |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['case']} | {row.get('matched_by', 'refused')} | {_code(row)} | {_pair(row, 'measured')} "
        f"| {_pair(row, 'true')} | {_why(row)} |"
        for row in held["rows"]
    ]
    return [*lines, ""]


def _code(row: dict[str, Any]) -> str:
    return "-" if row["exit"] is None else str(row["exit"])


def _pair(row: dict[str, Any], kind: str) -> str:
    before, after = row.get(f"{kind}_before"), row.get(f"{kind}_after")
    return "-" if before is None else f"{before:.1%} → {after:.1%}"


def _why(row: dict[str, Any]) -> str:
    text = str(row.get("refused") or row.get("why") or "-").replace("|", "/")
    text = re.sub(r"(?<!\w)'([^']*)'", r"`\1`", text)
    cut = text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " ..."
    cut += "`" * (cut.count("`") % 2)
    return cut + (" (a map is offered)" if row.get("offers") else "")
