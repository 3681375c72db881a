"""Files that the real libraries wrote (``benchmarks/scan/generate``): good ones pass, each bad twin is a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubclean.records import SEVERITIES
from hubclean.scanning.engine import scan
from support import ROOT

FIXTURES = ROOT / "tests/scanning/fixtures"
FOLDERS = ("msgpack", "joblib", "skops", "arrow", "sentencepiece", "torchscript")
FILES = sorted(path.relative_to(FIXTURES) for name in FOLDERS for path in (FIXTURES / name).rglob("*.*"))
BAD = [path for path in FILES if path.parts[1] == "bad" and path.parts[2:]]
GOOD = [path for path in FILES if path.parts[1] != "bad"]


@pytest.mark.parametrize("path", GOOD, ids=str)
def test_what_the_libraries_write_is_ok(path: Path) -> None:
    report = scan(FIXTURES / path)
    assert report.exit_code == 0, report
    assert not [row for row in report.findings if SEVERITIES.index(row.severity) > SEVERITIES.index("medium")]


@pytest.mark.parametrize("path", BAD, ids=str)
def test_a_bad_twin_is_a_finding(path: Path) -> None:
    report = scan(FIXTURES / path)
    assert report.exit_code == 1, report
    wanted = {"arrow": "HC-ARW-001", "skops": "HC-SKO-001", "torchscript": "HC-TS-001"}
    assert wanted.get(path.parts[0], "HC-PKL-001") in {row.rule for row in report.findings}


def test_there_are_files_of_each_kind() -> None:
    assert len(GOOD) >= 20
    assert len(BAD) >= 15
    assert {path.parts[0] for path in BAD} == {"msgpack", "joblib", "skops", "arrow", "torchscript"}
