"""Servers that change, lie, drip or stall: never a wrong byte, never a wrong verdict, and the token stays at home."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hubclean.errors import AccessError, HubcleanError, IntegrityError, TransportError
from hubclean.hub import transport
from hubclean.hub.hub_repo import HubRepo
from hubclean.scanning.engine import scan
from support.hub_repo import FILES, WEIGHTS
from support.hub_server import HubServer
from support.scanned_files import safetensors
from support.work import HANGS

BIG = safetensors({"a": {"dtype": "F32", "shape": [1 << 16], "data_offsets": [0, 1 << 18]}}, bytes(1 << 18))
REPO = {"config.json": b"{}", "model.safetensors": BIG, "README.md": b"# hi"}


def test_parts_of_two_versions_are_never_put_together(hub: HubServer, repo: HubRepo) -> None:
    assert repo.read_range("model.safetensors", 0, 8) == WEIGHTS[:8]
    hub.fault("new-etag", where="cdn")
    with pytest.raises(IntegrityError, match="changed on the server between two reads"):
        repo.read_range("model.safetensors", 8, 16)


def test_an_etag_is_required_of_a_part(hub: HubServer, repo: HubRepo) -> None:
    hub.fault("no-etag", where="cdn")
    with pytest.raises(IntegrityError, match="no ETag"):
        repo.read_range("model.safetensors", 0, 8)


def test_a_hub_that_names_another_hash_than_its_listing(hub: HubServer, repo: HubRepo) -> None:
    hub.fault("linked-etag", where="hub", path="*/resolve/*")
    with pytest.raises(IntegrityError, match="another hash"):
        repo.read_range("model.safetensors", 0, 8)
    assert hub.asked(where="cdn") == []


def test_a_body_in_drops_is_given_up(hub: HubServer, repo: HubRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "GRACE", 0.1)
    hub.fault("drip", value=0.02, where="cdn")
    with pytest.raises(TransportError, match="too slowly"):
        repo.read_range("model.safetensors", 0, 1000)


def test_a_body_that_stalls_is_given_up(hub: HubServer, repo: HubRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.1)
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    hub.fault("stall", value=HANGS, where="cdn")
    with pytest.raises(TransportError):
        repo.read_range("model.safetensors", 0, 1000)


def test_a_silent_server_is_asked_twice(hub: HubServer, repo: HubRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.1)
    hub.fault("stall", value=HANGS, where="cdn")
    before = repo.requests
    with pytest.raises(TransportError):
        repo.read_range("model.safetensors", 0, 1000)
    assert repo.requests - before == 2


def test_a_hub_that_broke_off_often_is_not_asked_for_the_rest(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    hub.create("org/model", {f"z{i}.txt": b"text" for i in range(40)} | REPO)
    hub.fault("reset", path="*.txt")
    report = scan("org/model", loader="all")
    assert report.exit_code == 2
    assert len(hub.asked(contains=".txt")) <= 2 * (transport.MOST_BROKEN + 8)
    assert any("not asked for" in file.reason for file in report.files)
    assert len(report.files) == 43


def test_two_sizes_in_a_listing_are_refused(hub: HubServer) -> None:
    hub.create("org/model", FILES)

    def tamper(info: dict[str, Any]) -> dict[str, Any]:
        for row in info["siblings"]:
            if "lfs" in row:
                row["lfs"]["size"] += 1
        return info

    hub.repo("org/model").tamper = tamper
    with pytest.raises(IntegrityError, match="two sizes"):
        HubRepo("org/model")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "ignore-range", "where": "cdn"},
        {"kind": "wrong-range", "where": "cdn"},
        {"kind": "wrong-size", "where": "cdn"},
        {"kind": "short", "where": "cdn"},
        {"kind": "gzip", "where": "cdn"},
        {"kind": "no-etag", "where": "cdn"},
        {"kind": "linked-etag", "path": "*/resolve/*"},
        {"kind": "wrong-commit", "path": "*/resolve/*"},
        {"kind": "no-commit", "path": "*/resolve/*"},
        {"kind": "truncate", "where": "cdn"},
        {"kind": "reset", "where": "cdn"},
        {"kind": "status", "status": 429, "value": 0.0, "where": "cdn"},
        {"kind": "status", "status": 500, "where": "cdn"},
        {"kind": "status", "status": 403, "where": "cdn"},
        {"kind": "status", "status": 416, "where": "cdn"},
        {"kind": "redirect", "location": "http://127.0.0.1:9/x", "path": "*/resolve/*"},
        {"kind": "flip", "path": "*config.json"},
    ],
)
def test_no_failing_server_gets_a_clean_verdict(
    hub: HubServer, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    hub.create("org/model", REPO)
    hub.fault(**fault)
    says = None
    try:
        report = scan("org/model")
    except HubcleanError as error:
        says = str(error)
    if says is not None:
        assert "\n" not in says
        return
    assert report.exit_code == 2
    bad = [file for file in report.files if file.state == "unchecked"]
    assert bad
    assert all("\n" not in file.reason and len(file.reason) > 20 for file in bad)


def test_the_same_repo_without_a_fault_is_clean_and_cheap(hub: HubServer) -> None:
    hub.create("org/model", REPO)
    assert scan("org/model").exit_code == 0
    assert len(hub.asked(where="cdn")) <= 2
    assert sum(row.sent for row in hub.asked("GET", where="cdn")) < 140_000


def test_eight_files_are_in_flight_and_no_more(hub: HubServer) -> None:
    hub.create("org/model", {f"{i}.txt": b"text" for i in range(40)})
    now, most, lock, eight = [0], [0], threading.Lock(), threading.Barrier(8)

    def held() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        eight.wait(HANGS)  # nobody is answered before there are eight
        with lock:
            now[0] -= 1

    hub.fault("call", path="*.txt", action=held)
    assert scan("org/model").exit_code == 0
    assert most[0] == 8


def test_a_gated_repo_is_one_sentence(hub: HubServer) -> None:
    hub.create("org/model", REPO, gated=True)
    with pytest.raises(AccessError, match="gated"):
        scan("org/model")


def test_the_token_goes_to_the_hub_alone_and_is_never_shown(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.read_token)
    hub.create("org/model", REPO, private=True)
    assert scan("org/model").exit_code == 0
    assert not any(row.authorized for row in hub.asked(where="cdn"))
    assert all(row.authorized for row in hub.asked(where="hub", contains="org/model"))
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    hub.fault("redirect", location=f"{hub.cdn_url}/x", path="*/resolve/*")
    with pytest.raises(HubcleanError) as caught:
        scan("org/model")
    assert hub.read_token not in str(caught.value)
    assert hub.asked(where="cdn", contains="/x")
    assert not any(row.authorized for row in hub.asked(where="cdn"))


def test_a_token_that_fits_in_no_header_is_not_quoted(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    hub.create("org/model", REPO)
    with pytest.raises(HubcleanError) as caught:
        HubRepo("org/model", token="hf_secret\x01word")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "status", ["x", [], {"filesWithIssues": 7}, {"filesWithIssues": [7, None, {"path": [], "level": "unsafe"}]}]
)
def test_a_security_status_that_makes_no_sense_says_nothing(hub: HubServer, status: Any) -> None:
    hub.create("org/model", REPO, security=status)
    assert scan("org/model").exit_code == 0
