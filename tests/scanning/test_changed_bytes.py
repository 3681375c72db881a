"""Bytes that come otherwise than the commit says: read again before anybody is accused of them. A Hub on loopback."""

from __future__ import annotations

import pytest

from hubclean.scanning import reader as reader_module
from hubclean.scanning.engine import scan
from support.fault_cases import HEADERS
from support.hub_server import HubServer
from support.scanned_files import safetensors

CODE = b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03."


def asked(hub: HubServer) -> list[str | None]:
    return [row.range for row in hub.asked("GET", where="cdn")]


def test_of_a_clean_file_nothing_is_read_twice(hub: HubServer) -> None:
    hub.create("org/model", HEADERS)
    assert scan("org/model").exit_code == 0
    assert len(asked(hub)) == len(set(asked(hub)))


def test_a_large_file_is_asked_for_with_other_ends(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {f"layer{n}.w": {"dtype": "F32", "shape": [8], "data_offsets": [32 * n, 32 * n + 32]} for n in range(4501)}
    long = safetensors(rows, bytes(32 * 4501))  # of which header and end are read, and not all
    monkeypatch.setattr(reader_module, "FILE_BUDGET", 2 * len(long))
    hub.create("org/model", HEADERS | {"model.safetensors": long})
    hub.fault("flip", path="/lfs/*")
    report = scan("org/model")
    assert report.exit_code == 2
    (row,) = [file for file in report.files if file.state == "unchecked"]
    assert "its bytes came otherwise each time" in row.reason
    assert not [finding for finding in report.findings if finding.severity in ("high", "critical")]


def test_what_is_hostile_stays_so(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", {"config.json": b"{}", "pytorch_model.bin": CODE})
    assert scan("org/model").exit_code == 1
    bad = safetensors({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(300_000))
    hub.create("org/bad", {"config.json": b"{}", "model.safetensors": bad})
    whole = scan("org/bad")
    monkeypatch.setattr(reader_module, "FILE_BUDGET", 2 * len(bad) - 1000)
    hub.log.clear()
    parts = scan("org/bad")
    assert (whole.exit_code, parts.exit_code) == (1, 1)
    assert whole.findings == parts.findings
    assert f"bytes=0-{len(bad) - 1}" not in asked(hub)


def test_a_hub_that_goes_away_meanwhile_takes_no_finding_back(hub: HubServer) -> None:
    bad = safetensors({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(300_000))
    hub.create("org/bad", {"config.json": b"{}", "model.safetensors": bad})
    before = scan("org/bad")
    hub.log.clear()
    reads = [0]

    def leave() -> None:
        reads[0] += 1
        if reads[0] == 2:  # the header, and the end where a zip might be
            hub.fault("status", status=503, path="/lfs/*")

    hub.fault("call", path="/lfs/*", action=leave)
    assert scan("org/bad").findings == before.findings
    assert reads[0] > 2
