"""Bytes off a Hub: exactly those asked for, bounded, and trouble ridden out or put in one sentence."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import BudgetError, HubcleanError, IntegrityError, TransportError
from hubclean.hub import hub_repo as hub_module
from hubclean.hub import transport
from hubclean.hub.hub_repo import HubRepo
from support.hub_repo import CONFIG, FILES, WEIGHTS
from support.hub_server import HubServer
from support.work import HANGS


def blobs(cache: Path) -> list[Path]:
    """Every file with content in the cache."""
    return [place for place in cache.rglob("*") if place.is_file() and place.parent.name == "blobs"]


class TestRanges:
    def test_exactly_the_bytes_and_no_more(self, hub: HubServer, repo: HubRepo) -> None:
        assert repo.read_range("model.safetensors", 0, 8) == WEIGHTS[:8]
        assert repo.read_range("model.safetensors", 99_990, 100_000) == WEIGHTS[-10:]
        assert repo.read_range("model.safetensors", 5, 5) == b""
        assert [row.sent for row in hub.asked(where="cdn")] == [8, 10]
        assert (repo.requests, repo.bytes_read) == (2, 18)
        assert all(row.encoding == "identity" for row in hub.asked(contains="safetensors"))

    @pytest.mark.parametrize(("start", "stop"), [(0, 100_001), (-1, 4), (9, 8), (100_001, 100_002)])
    def test_outside_the_file(self, hub: HubServer, repo: HubRepo, start: int, stop: int) -> None:
        with pytest.raises(IntegrityError, match="ends before"):
            repo.read_range("model.safetensors", start, stop)
        assert hub.asked(contains="/resolve/") == []

    @pytest.mark.parametrize(
        ("kind", "says"),
        [
            ("ignore-range", "ignored the byte range"),
            ("wrong-range", "another byte range"),
            ("wrong-size", "another byte range"),
            ("short", "length"),
            ("gzip", "encoding"),
        ],
    )
    def test_servers_that_answer_something_else(self, hub: HubServer, repo: HubRepo, kind: Any, says: str) -> None:
        hub.fault(kind, where="cdn")
        with pytest.raises(IntegrityError, match=says):
            repo.read_range("model.safetensors", 100, 200)
        assert len(hub.asked(where="cdn")) == 1

    def test_an_ignored_range_is_refused_before_its_body(self, hub: HubServer) -> None:
        big = bytes(40_000_000)
        hub.create("org/big", {"model.safetensors": big})
        repo = HubRepo("org/big")
        hub.fault("ignore-range", where="cdn")
        with pytest.raises(IntegrityError):
            repo.read_range("model.safetensors", 0, 8)
        assert repo.bytes_read == 8

    def test_a_name_with_odd_characters(self, hub: HubServer) -> None:
        name = "ünï cödé #1?.json"
        hub.create("org/model", {name: CONFIG, "ö/x.safetensors": WEIGHTS})
        repo = HubRepo("org/model")
        assert repo.read(name, 1000) == CONFIG
        assert repo.read_range("ö/x.safetensors", 1, 3) == WEIGHTS[1:3]
        assert (repo.fetch([name, "ö/x.safetensors"]) / name).read_bytes() == CONFIG


class TestRead:
    def test_hash_is_checked(self, hub: HubServer, repo: HubRepo) -> None:
        assert repo.read("sub/empty.txt", 10) == b""
        hub.fault("flip")
        for path in ("config.json", "model.safetensors"):
            with pytest.raises(IntegrityError, match="hash"):
                repo.read(path, 1_000_000)

    def test_limit_and_unknown_paths_ask_nothing(self, hub: HubServer, repo: HubRepo) -> None:
        with pytest.raises(IntegrityError, match="more than the 10"):
            repo.read("config.json", 10)
        with pytest.raises(IntegrityError, match="not in"):
            repo.read("other", 10)
        assert hub.asked(contains="/resolve/") == []

    def test_budget_of_a_file_and_of_the_repo(
        self, hub: HubServer, repo: HubRepo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub_module, "FILE_BUDGET", 100)
        repo.read_range("model.safetensors", 0, 60)
        with pytest.raises(BudgetError, match="budget"):
            repo.read_range("model.safetensors", 0, 60)
        repo.read("config.json", 100)
        monkeypatch.setattr(hub_module, "REPO_BUDGET", 100)
        with pytest.raises(BudgetError):
            repo.read("config.json", 100)
        assert len(hub.asked(where="cdn")) == 1

    def test_from_several_threads(self, hub: HubServer, repo: HubRepo) -> None:
        got: dict[int, bytes] = {}

        def work(i: int) -> None:
            got[i] = repo.read_range("model.safetensors", i * 100, i * 100 + 100)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == {i: WEIGHTS[i * 100 : i * 100 + 100] for i in range(16)}
        assert (repo.requests, repo.bytes_read) == (16, 1600)


class TestTrouble:
    @pytest.mark.parametrize(
        "details",
        [
            {"kind": "status", "status": 503},
            {"kind": "status", "status": 429, "value": 0},
            {"kind": "reset"},
            {"kind": "truncate"},
        ],
    )
    def test_passing_trouble_is_ridden_out(self, hub: HubServer, repo: HubRepo, details: dict[str, Any]) -> None:
        hub.fault(**details, times=2, where="cdn")
        assert repo.read_range("model.safetensors", 0, 1000) == WEIGHTS[:1000]
        assert len(hub.asked(where="cdn")) == 3

    def test_listing_rides_it_out_too(self, hub: HubServer) -> None:
        hub.create("org/model", FILES)
        hub.fault("status", status=503, times=2, path="/api/models/*")
        assert HubRepo("org/model").files()

    def test_a_listing_refused_for_good_is_asked_once(self, hub: HubServer) -> None:
        hub.create("org/model", FILES)
        hub.fault("status", status=400, path="/api/models/*")
        with pytest.raises(TransportError, match="400"):
            HubRepo("org/model")
        assert len(hub.asked(contains="/api/models/")) == 1

    @pytest.mark.parametrize(
        ("details", "says"),
        [
            ({"kind": "status", "status": 503}, "503"),
            ({"kind": "status", "status": 429, "value": 0}, "fewer requests"),
            ({"kind": "reset"}, "connection"),
            ({"kind": "truncate"}, "connection"),
        ],
    )
    def test_lasting_trouble_ends(self, hub: HubServer, repo: HubRepo, details: dict[str, Any], says: str) -> None:
        hub.fault(**details, where="cdn")
        with pytest.raises(TransportError, match=says):
            repo.read_range("model.safetensors", 0, 1000)
        assert len(hub.asked(where="cdn")) == transport.ATTEMPTS

    def test_a_server_that_asks_for_an_hour_is_given_up(self, hub: HubServer, repo: HubRepo) -> None:
        hub.fault("status", status=429, value=3600, where="hub", path="*/resolve/*")
        with pytest.raises(TransportError, match="come back then"):
            repo.read_range("model.safetensors", 0, 8)
        assert len(hub.asked(contains="/resolve/")) == 1

    def test_a_silent_server_is_given_up(self, hub: HubServer, repo: HubRepo, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "TIMEOUT", 0.05)
        monkeypatch.setattr(transport, "ATTEMPTS", 2)
        hub.fault("slow", value=HANGS, where="cdn")
        with pytest.raises(TransportError):
            repo.read_range("model.safetensors", 0, 8)

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/y", "", "http://[bad/", "http://ho st\u00e9/"])
    def test_redirects_nobody_should_follow(self, hub: HubServer, repo: HubRepo, location: str) -> None:
        hub.fault("redirect", location=location, path="*/resolve/*")
        with pytest.raises(IntegrityError, match="redirect"):
            repo.read("config.json", 1000)

    def test_redirects_without_end(self, hub: HubServer, repo: HubRepo) -> None:
        hub.fault("redirect", location=f"{hub.url}/org/model/resolve/main/x", path="*/resolve/*")
        with pytest.raises(IntegrityError, match="without end"):
            repo.read("config.json", 1000)

    def test_nobody_there(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "ATTEMPTS", 2)
        with pytest.raises(TransportError, match="failed"):
            HubRepo("org/model", endpoint="http://127.0.0.1:9")

    def test_offline(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(TransportError, match="HF_HUB_OFFLINE"):
            HubRepo("org/model")
        assert hub.asked(contains="org/model") == []

    def test_an_answer_that_is_no_json(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "ATTEMPTS", 2)
        hub.create("org/model", FILES)
        hub.fault("status", status=200, path="/api/models/*")
        with pytest.raises(HubcleanError):
            HubRepo("org/model")
