"""Puts what ``benchmarks.scan.adversarial`` measured into docs/results/scan.md, between marks of its own.

python -m benchmarks.scan.adversarial_table
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.pages import DOCS, RESULTS, between
from hubclean.lab.bench.tables import table

MARKS = ("<!-- sizes: made by `python -m benchmarks.scan.adversarial_table` -->\n", "<!-- end sizes -->")
PAGE = DOCS / "scan.md"
FILES, BYTES, EXIT, SMALL, LARGE, FEWER, MORE, ABOVE = range(8)
HEADS = ["kind", "shapes", "largest, bytes", "slowest", "s", "s/MB", "times, seconds", "times, operations"]
SMALLEST = 1 << 14  # bytes below which seconds for a megabyte say nothing


def section(found: dict[str, Any], before: dict[str, Any]) -> str:
    """The kinds with their slowest shapes, and every shape that was above the trend before."""
    shapes, old = found["shapes"], before["shapes"]
    above = [name for name, row in shapes.items() if row[ABOVE]]
    rows = [_kind(kind, names, shapes) for kind, names in _kinds(shapes).items()]
    mended = [
        [name, _grown(old[name]), _grown(row)]
        for name, row in shapes.items()
        if name in old and old[name][ABOVE] and not row[ABOVE]
    ]
    return "\n".join([
        "## Hostile sizes",
        "",
        f"`{found['command']}`: {len(shapes)} shapes (deep, wide, long, repeated, aliased, many files), each scanned "
        "on disk at a size and at four times it, in a process of its own. Operations are what the parsers count; they "
        f"do not depend on the machine. Above the linear trend (more than {found['trend']:g} times for four times the "
        f"bytes, or not done after 100 s): {', '.join(above) or 'none'}. Before that there was a budget of operations: "
        f"{sum(row[ABOVE] for row in old.values())} of {len(old)}.",
        "",
        table(HEADS, rows),
        "",
        "Seconds at both sizes of those that were above it:",
        "",
        table(["shape", "before", "now"], mended),
    ])  # fmt: skip


def _kinds(shapes: dict[str, Any]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name in shapes:
        kinds.setdefault(name.partition(",")[0], []).append(name)
    few = [kind for kind, names in kinds.items() if len(names) < 3]
    return {kind: names for kind, names in kinds.items() if kind not in few} | {
        "other": [name for kind in few for name in kinds[kind]]
    }


def _kind(kind: str, names: list[str], shapes: dict[str, Any]) -> list[str]:
    done = [name for name in names if shapes[name][LARGE] is not None]
    slowest = max(done, key=lambda name: shapes[name][LARGE])
    row = shapes[slowest]
    ratios = list(_ratios([shapes[name] for name in done], SMALL, 1.0))
    counted = list(_ratios([shapes[name] for name in done], FEWER, 10_000))
    each = f"{row[LARGE] / row[BYTES] * 1e6:.1f}" if row[BYTES] > SMALLEST else "-"
    return [
        kind,
        str(len(names)),
        f"{max(shapes[name][BYTES] for name in names):,}",
        slowest.partition(", ")[2] or slowest,
        f"{row[LARGE]:.2f}",
        each,
        f"{max(ratios):.1f}" if ratios else "-",
        f"{max(counted):.1f}" if counted else "-",
    ]


def _ratios(rows: list[Any], first: int, least: float) -> Iterator[float]:
    """How many times as much the larger size took, where it took ``least``."""
    for row in rows:
        if row[first] and row[first + 1] and row[first + 1] > least:
            yield row[first + 1] / row[first]


def _grown(row: list[Any]) -> str:
    return ", ".join("ended after 100" if value is None else f"{value:.2f}" for value in row[SMALL : LARGE + 1])


def read(name: str) -> dict[str, Any]:
    """A committed result."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the page."""
    made = section(read("scan_adversarial"), read("scan_adversarial_before"))
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), made, *MARKS), encoding="utf-8")


if __name__ == "__main__":
    main()
