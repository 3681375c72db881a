"""The rows of one or more bench folders as one small file to commit.

    python -m benchmarks.condense OUT/results.jsonl --out benchmarks/results/bench.jsonl

Shares are rounded to four digits; what the defenses said in words and their unchanged options are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hubclean.json_records import to_json
from hubclean.lab.bench import rows


def condensed(held: Iterable[rows.Row]) -> list[str]:
    """One JSON line a row, in the order models, detections, verdicts, defenses, failures, then by title."""
    kinds = ("model", "detection", "verdict", "defense", "failure")
    ordered = sorted(held, key=lambda row: (kinds.index(row.kind), _title(row), row.id))
    return [json.dumps(_rounded(to_json(_short(row)))) for row in ordered]


def once(held: Iterable[rows.Row]) -> list[rows.Row]:
    """Rows of one id once, and so repairs that plans with other detectors made of the same model anew: the last."""
    kept: dict[object, rows.Row] = {}
    for row in held:
        same = (row.case, row.images, row.defense, row.options) if isinstance(row, rows.DefenseRow) else row.id
        kept[same] = row
    return list(kept.values())


def _title(row: rows.Row) -> str:
    return row.title if isinstance(row, rows.FailureRow) else row.case.title


def _short(row: rows.Row) -> rows.Row:
    return replace(row, notes=(), chosen={}) if isinstance(row, rows.DefenseRow) else row


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if abs(value) >= 1e-3 else float(f"{value:.2g}")
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {key: _rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    held = once(row for place in given.results for row in rows.read_rows(place))
    given.out.write_text("\n".join(condensed(held)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
