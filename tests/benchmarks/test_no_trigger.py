"""What docs/methods/tuning.md says of the defenses that need no trigger is what was measured."""

from __future__ import annotations

import json

from benchmarks.no_trigger import CHOSEN_ON, table
from support import ROOT

ROWS = json.loads((ROOT / "benchmarks/results/no_trigger.json").read_text())


def test_the_page_shows_every_row() -> None:
    assert table(ROWS) in (ROOT / "docs/methods/tuning.md").read_text()
    assert {row["part"] for row in ROWS if row["net"] in CHOSEN_ON} == {"chosen on"}
    assert {row["net"] for row in ROWS if row["part"] == "judged once"} >= {"ibau_cifar10_trojan_wm"}


def test_every_row_is_of_a_defense_as_shipped() -> None:
    assert all(row["options"] == {} and row["seed"] == 0 for row in ROWS)
    assert all(row["before"].keys() == row["after"].keys() for row in ROWS)
