"""The page on layouts of images is what the results say, and the results are of the layouts there are."""

from __future__ import annotations

import json

from benchmarks.images.hub import ASKED
from benchmarks.images.layouts import LAYOUTS
from benchmarks.images.run import PAGE, RESULTS, page


def test_the_page_is_made_of_the_results() -> None:
    rows = json.loads(RESULTS.read_text())
    asked = [f"{source}: {text}" for text, source, _ in ASKED]
    assert [row["layout"] for row in rows] == [layout.name for layout in LAYOUTS] + asked
    assert PAGE.read_text() == page(rows)
