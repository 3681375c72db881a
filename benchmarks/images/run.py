"""What is taken of every layout and what is left: ``python -m benchmarks.images.run`` (seconds, no model).

Needs ``PYTHONPATH=.:tests`` for the Hub of the tests. Writes ``benchmarks/results/image_layouts.json`` and
``docs/results/images.md``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.images.layouts import ARCHIVES, FOLDERS, LAYOUTS, TABLES, Layout
from hubclean.errors import HubcleanError
from hubclean.nets.sources.decode import decoded
from hubclean.nets.sources.drawing import line
from hubclean.nets.sources.opening import open_pictures
from hubclean.nets.sources.pictures import Request, Unreadable

RESULTS = Path(__file__).parents[1] / "results" / "image_layouts.json"
PAGE = Path(__file__).parents[2] / "docs" / "results" / "images.md"
HEAD = """# Layouts of images

Every layout was written by the library that people use (datasets, pandas, polars, webdataset, zipfile) and opened for a
model with the labels cat, dog and ship, or with those of the row. What decides is in
[your images](../guides/images.md). Made by `PYTHONPATH=.:tests python -m benchmarks.images.run`; the same layouts
are tests.

"""


def outcome(layout: Layout, place: Path) -> dict[str, Any]:
    """The layout written into ``place`` and opened: the line and what each class has, or why it is refused."""
    source = layout.make(place)
    try:
        pictures = open_pictures(source, Request(labels=layout.labels, **dict(layout.options)))
    except HubcleanError as error:
        return {"layout": layout.name, "refused": str(error)}
    bad = 0
    classes: Counter[str] = Counter()
    for row, value in pictures.read(range(len(pictures))):
        try:
            decoded(value)
        except Unreadable:
            bad += 1
            continue
        number = pictures.classes.numbers[row]
        classes[pictures.classes.names[number] if number >= 0 else ""] += 1
    text, left = line(pictures, len(pictures) - bad, bad)
    return {"layout": layout.name, "taken": text, "split": pictures.split, "classes": dict(classes), "left": left}


def run() -> list[dict[str, Any]]:
    rows = []
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory(prefix="layout-") as place:
            (inner := Path(place) / "data").mkdir()
            rows.append(outcome(layout, inner))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The table of the page."""
    lines = []
    found = {row["layout"]: row for row in rows}
    for title, group in (("Folders", FOLDERS), ("Tables", TABLES), ("Archives", ARCHIVES)):
        lines += ["", f"| {title} | taken and left |", "|---|---|"]
        for layout in group:
            row = found[layout.name]
            said = row["taken"] if "taken" in row else f"refused: {row['refused']}"
            lines.append(f"| {_cell(layout.name)} | {_cell(said)} |")
    lines += ["", "| On a Hub | taken and left | fetched |", "|---|---|---|"]
    names = {layout.name for layout in LAYOUTS}
    for row in rows:
        if row["layout"] not in names:
            said = row["taken"] if "taken" in row else f"refused: {row['refused']}"
            lines.append(f"| {_cell(row['layout'])} | {_cell(said)} | {_cell(', '.join(row.get('fetched', ())))} |")
    return "\n".join(lines[1:])


def _cell(text: str) -> str:
    return re.sub(r"([|<>*_\[\]`~])", r"\\\1", text)


def page(rows: list[dict[str, Any]]) -> str:
    """The page of the results."""
    return HEAD + table(rows) + "\n"


if __name__ == "__main__":
    hub = subprocess.run([sys.executable, "-m", "benchmarks.images.hub"], check=True, stdout=subprocess.PIPE)
    found = run() + json.loads(hub.stdout)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(page(found))
