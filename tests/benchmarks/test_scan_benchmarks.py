"""The benchmarks of the scan: what is committed keeps the floors, and memory is the command's own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scan import adversarial, adversarial_table, cost, peers, second_scan, tables
from support import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def held(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def test_weights_cost_two_requests_and_less_than_100_kb_a_file() -> None:
    found = held("scan")["hubclean"]
    for name in ("torch", "safetensors"):
        assert found[name]["hub"]["requests"] <= 2
        assert found[name]["hub"]["bytes"] < 100_000
        assert found[name]["hub"]["exit"] == found[name]["folder"]["exit"] == 0
    assert found["both"]["hub"]["requests"] <= 5


def test_the_second_scan_of_an_unchanged_repo_is_one_request() -> None:
    found = held("scan_second")
    for name, row in found["commands"].items():
        assert row["second"]["requests"] == 1 < row["first"]["requests"] == row["no_cache"]["requests"]
        call = found["calls"][name]
        assert 5 * call["second"]["processor_milliseconds"] < call["first"]["processor_milliseconds"]
    assert second_scan.section(found) in second_scan.PAGE.read_text(encoding="utf-8")


def test_no_malicious_file_of_the_corpus_is_clean_and_every_one_is_counted() -> None:
    found = held("scan_corpus")
    for tool in found["tools"].values():
        counts = [count for labels in tool["families"].values() for row in labels.values() for count in row.values()]
        assert sum(counts) == found["files"]
    assert found["named"]["malicious, clean"] == []
    drawn = "\n".join(tables.scan(RESULTS))
    for rows in found["named"].values():
        assert all(f"`{row['path']}`" in drawn for row in rows)


def test_no_target_of_the_fuzzer_crashed() -> None:
    found = held("fuzz")
    assert not any(row["crashed"] for row in found["targets"].values())
    assert found["executions"] == sum(row["executions"] for row in found["targets"].values())
    assert all(row["peak_mb"] < 300 for row in found["targets"].values())


def test_memory_and_exit_code_are_the_command_s_own() -> None:
    ballast = bytearray(200 << 20)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])
    small = cost.measured([sys.executable, "-S", "-c", "raise SystemExit(3)"], dict(os.environ))
    assert (small["exit"], small["peak_mb"] < 100) == (3, True)
    large = cost.measured([sys.executable, "-S", "-c", "x = b'1' * (150 << 20)"], dict(os.environ))
    assert large["peak_mb"] > 150
    assert len(ballast)


def test_a_command_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "LIMIT", 0.3)
    row = cost.measured([sys.executable, "-S", "-c", "import time; time.sleep(10**6)"], dict(os.environ))
    assert row["exit"] is None
    assert row["seconds"] < 10**6


def test_a_peer_nobody_knows_is_refused() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    peers.added(parser)
    assert parser.parse_args(["--peer", "picklescan=/x"]).peer[0].command(Path("a"))[1:] == ["-p", "a"]
    with pytest.raises(argparse.ArgumentError, match="no peer named"):
        parser.parse_args(["--peer", "other=/x"])


def test_no_shape_is_above_the_linear_trend_and_the_page_says_what_was_measured() -> None:
    found, before = adversarial_table.read("scan_adversarial"), adversarial_table.read("scan_adversarial_before")
    assert found["shapes"].keys() == adversarial.SHAPES.keys()
    assert [name for name, row in found["shapes"].items() if row[adversarial_table.ABOVE]] == []
    assert adversarial_table.section(found, before) in adversarial_table.PAGE.read_text(encoding="utf-8")
