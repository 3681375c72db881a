"""The ordinary repos: the page says what the committed results say, and the logs of real loaders fit the listings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import pages
from benchmarks.scan.ordinary import table
from support import ROOT

RESULTS = ROOT / "benchmarks" / "results"
LOGS = ROOT / "tests" / "scanning" / "fixtures" / "request_logs"
LIBRARIES = sorted(place.name for place in LOGS.glob("*.json") if place.name != "repos.json")


def read(place: Path) -> Any:
    return json.loads(place.read_text(encoding="utf-8"))


def test_the_page_and_the_totals_are_those_of_the_rows() -> None:
    found, before = read(RESULTS / "scan_ordinary.json"), read(RESULTS / "scan_ordinary_before.json")
    assert found["totals"] == table.totals(found["benign"], found["bad"])
    assert table.drawn(found, before) in (pages.DOCS / "scan.md").read_text(encoding="utf-8")


def test_a_wrong_exit_code_is_counted_and_shown() -> None:
    found = read(RESULTS / "scan_ordinary.json")
    row = next(row for row in found["benign"] if row["torch_loadable"])
    counted = [table.totals([row | {"exit": code}], [])["torch_loadable_false_alarms"] for code in (0, 1, 2)]
    assert counted == [0, 1, 0]
    assert "| **1** |" in table.drawn(found | {"benign": [row | {"exit": 1}], "bad": []}, None)


@pytest.mark.parametrize("name", LIBRARIES)
def test_real_loaders_found_only_files_of_the_listing(name: str) -> None:
    log, repos = read(LOGS / name), read(LOGS / "repos.json")
    assert name == f"{log['library']}-{log['version']}.json"
    for case in log["cases"].values():
        files = set(repos[case["kind"]]["files"])
        assert set(case["found"]) <= files
        assert not set(case["missing"]) & files
        assert case["found"] or case["error"]


def test_lowest_and_newest_versions_are_there() -> None:
    assert {name.partition("-")[0] for name in LIBRARIES} == {"transformers", "timm", "peft", "open_clip"}
    assert len([name for name in LIBRARIES if name.startswith(("transformers", "timm"))]) == 4
