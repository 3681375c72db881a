"""Downloads from a Hub: every byte checked against the listing, nothing bad kept. Real client, real HTTP."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from hubclean.errors import HubcleanError, IntegrityError, OutputError, TransportError
from hubclean.hub import transport
from hubclean.hub.hub_repo import HubRepo
from support.hub_repo import FILES, WEIGHTS
from support.hub_server import HubServer


def blobs(cache: Path) -> list[Path]:
    """Every file with content in the cache."""
    return [place for place in cache.rglob("*") if place.is_file() and place.parent.name == "blobs"]


class TestFetch:
    def test_only_what_was_asked_for(self, hub: HubServer, repo: HubRepo) -> None:
        folder = repo.fetch(["config.json"])
        assert sorted(place.name for place in folder.rglob("*") if place.is_file()) == ["config.json"]
        assert hub.asked(where="cdn") == []
        assert repo.fetch([]) == folder

    def test_into_a_folder(self, hub: HubServer, repo: HubRepo, tmp_path: Path) -> None:
        assert repo.fetch(FILES, tmp_path / "out") == tmp_path / "out"
        got = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*") if p.is_file()}
        assert {path: place.read_bytes() for path, place in got.items()} == FILES
        assert not any(place.is_symlink() for place in got.values())

    @pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
    def test_a_corrupted_download_is_refused_and_not_kept(
        self, hub: HubServer, repo: HubRepo, fresh_cache: Path, path: str, tmp_path: Path
    ) -> None:
        hub.fault("flip")
        with pytest.raises(IntegrityError, match="not kept"):
            repo.fetch([path], tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert blobs(fresh_cache) == []
        assert list(fresh_cache.rglob(path)) == []
        hub.faults.clear()
        assert (repo.fetch([path]) / path).read_bytes() == FILES[path]

    def test_a_cached_file_gone_bad_is_fetched_again(self, hub: HubServer, repo: HubRepo, fresh_cache: Path) -> None:
        place = repo.fetch(["model.safetensors"]) / "model.safetensors"
        place.resolve().write_bytes(bytes(len(WEIGHTS)))
        assert (repo.fetch(["model.safetensors"]) / "model.safetensors").read_bytes() == WEIGHTS
        assert len(hub.asked(where="cdn")) == 2

    def test_a_good_cached_file_is_not_fetched_again(self, hub: HubServer, repo: HubRepo) -> None:
        repo.fetch(["model.safetensors"])
        repo.fetch(["model.safetensors"])
        assert len(hub.asked(where="cdn")) == 1

    def test_a_body_from_another_commit_is_not_kept(self, hub: HubServer, repo: HubRepo, fresh_cache: Path) -> None:
        hub.fault("wrong-commit", method="*", path="*/resolve/*")
        with pytest.raises(IntegrityError):
            repo.fetch(["config.json"])
        assert blobs(fresh_cache) == []

    def test_one_bad_file_of_many_fails_the_whole(self, hub: HubServer, repo: HubRepo, tmp_path: Path) -> None:
        hub.fault("flip", where="cdn")
        with pytest.raises(IntegrityError, match="safetensors"):
            repo.fetch(FILES, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_lasting_trouble(self, hub: HubServer, repo: HubRepo, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        hub.fault("status", status=503, method="HEAD", path="*/resolve/*")
        with pytest.raises(TransportError, match="503"):
            repo.fetch(["config.json"])

    def test_a_download_in_drops_is_given_up(
        self, hub: HubServer, repo: HubRepo, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport, "GRACE", 0.1)
        hub.fault("drip", value=0.02, where="cdn")
        with pytest.raises(TransportError, match="too slowly"):
            repo.fetch(["model.safetensors"])
        assert [place for place in blobs(fresh_cache) if place.suffix != ".incomplete"] == []
        hub.faults.clear()
        assert (repo.fetch(["model.safetensors"]) / "model.safetensors").read_bytes() == WEIGHTS

    def test_a_cdn_that_asks_for_an_hour_is_given_up(self, hub: HubServer, repo: HubRepo) -> None:
        hub.fault("status", status=503, value=3600, where="cdn")
        with pytest.raises(TransportError, match="come back then"):
            repo.fetch(["model.safetensors"])
        assert len(hub.asked(where="cdn")) == 1

    def test_a_disk_that_cannot_be_written(self, repo: HubRepo, fresh_cache: Path) -> None:
        fresh_cache.write_bytes(b"a file where the cache folder should be")
        with pytest.raises(HubcleanError, match="cannot be read or written"):
            repo.fetch(["config.json"])

    def test_a_folder_that_cannot_be_written(self, hub: HubServer, repo: HubRepo, tmp_path: Path) -> None:
        (tmp_path / "out").write_bytes(b"a file where the folder should be")
        with pytest.raises(OutputError, match="cannot be written"):
            repo.fetch(["config.json"], tmp_path / "out")

    def test_with_xet(self, xet: HubServer) -> None:
        xet.create("org/model", FILES)
        repo = HubRepo("org/model")
        assert repo.read_range("model.safetensors", 0, 100) == WEIGHTS[:100]
        assert (repo.fetch(["model.safetensors"]) / "model.safetensors").read_bytes() == WEIGHTS
        assert len(xet.asked(where="cdn")) == 1

    def test_with_a_xet_store_that_lies(self, xet: HubServer, fresh_cache: Path) -> None:
        xet.create("org/model", FILES)
        assert xet.xet is not None
        xet.xet.lie(hashlib.sha256(WEIGHTS).hexdigest(), WEIGHTS[::-1])
        with pytest.raises(IntegrityError, match="not kept"):
            HubRepo("org/model").fetch(["model.safetensors"])
        assert not any(place.is_file() and place.read_bytes() == WEIGHTS[::-1] for place in fresh_cache.rglob("*"))


def test_a_name_that_would_turn_the_terminal_is_not_downloaded(hub: HubServer) -> None:
    hub.create("org/odd", {"x\x1b[31m.json": b"{}"})
    with pytest.raises(IntegrityError, match="no plain name"):
        HubRepo("org/odd").fetch(["x\x1b[31m.json"])
    assert hub.asked("GET", "x\x1b[31m.json") == []
