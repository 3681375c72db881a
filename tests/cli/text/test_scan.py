"""The scan as text: counts first, nothing of a repo raw, nothing called safe."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from hubclean.cli.text.scan import render_scan
from hubclean.hub.repos import LocalRepo
from hubclean.records import DetectionReport, FileVerdict, Finding, ScanReport, Severity
from hubclean.scanning.engine import scan
from support.scanned_files import written


def finding(severity: Severity, path: str = "config.json", what: str = "odd") -> Finding:
    return Finding("HC-CFG-001", severity, path, what, "do this")


def reported(findings: tuple[Finding, ...] = (), unchecked: int = 0, **fields: Any) -> ScanReport:
    files = [FileVerdict(f"f{i}", 10, "unchecked", "why\nnot") for i in range(unchecked)]
    ref = LocalRepo(Path(__file__)).ref
    return ScanReport(
        ref, "high", (*files, FileVerdict("config.json", 2, "ok", "")), findings, (), 3, 12_345, 0.5, **fields
    )


def test_the_first_line_counts() -> None:
    assert render_scan(reported()).startswith("no static finding in 1 of 1 file\n")
    assert render_scan(reported(unchecked=2)).startswith("no static finding in 1 of 3 files; 2 not checked\n")
    text = render_scan(reported((finding("critical"), finding("high"), finding("high", "b"))))
    assert text.startswith("3 static findings (1 critical, 2 high) in 2 of 1 file; 1 ok\n")


def test_the_text_says_what_to_do_what_it_cost_and_what_the_exit_code_means() -> None:
    text = render_scan(reported((finding("high"),), unchecked=7))
    assert "high" in text
    assert "HC-CFG-001  config.json: odd" in text
    assert "-> do this" in text
    assert "why\\nnot" in text
    assert "f4" in text
    assert "f5" not in text
    assert "and 2 more" in text
    assert "3 requests, 12,345 bytes, 0.50 s" in text
    assert "exit code 1: a finding at or above high" in text
    assert "exit code 2" in render_scan(reported(unchecked=1))
    assert "backdoors in the weights" in text


def test_the_text_never_calls_anything_safe(tmp_path: Path) -> None:
    assert "safe" not in render_scan(scan(written(tmp_path, {"config.json": b"{}"}))).lower()


def test_strings_of_a_repo_cannot_reach_the_terminal_raw(tmp_path: Path) -> None:
    name = "\x1b[2Jevil\u202e.bin"
    report = scan(
        written(tmp_path / "repo", {name: pickle.dumps({}), "config.json": b'{"auto_map": "\\u001b[31m\\u202e"}'})
    )
    text = render_scan(report)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2Jevil\\u202e.bin" in text
    assert "\x1b[31m" in render_scan(report, colour=True)


def test_detections_are_told_in_a_line_each() -> None:
    found = DetectionReport(
        "neural-cleanse", "", {}, "", 2.0, (), (), (3,), "backdoored", "index 4.1 above 2", (0,), 0, 1.0
    )
    text = render_scan(reported(detections=(found,)))
    assert "neural-cleanse: backdoor found leading to label 3 (index 4.1 above 2)" in text
    assert "exit code 1: a finding at or above high or a detected backdoor" in text
