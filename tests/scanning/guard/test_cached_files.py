"""The guard and what lies in the cache already: changed, of other repos, offline, in the shared Xet store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

import hubclean
from hubclean.errors import (
    IntegrityError,
    UnsafeRepoError,
)
from hubclean.hub.hub_repo import intact
from hubclean.hub.repos import RepoEntry
from hubclean.records import ScanReport
from hubclean.scanning.guard import verdicts
from support.guarded_repos import CODE, SAFE, UNSAFE, WEIGHTS, begin
from support.hub_server import HubServer


def test_what_was_cached_before_is_judged_too(hub: HubServer) -> None:
    sha = hub.create("org/model", UNSAFE)
    snapshot_download("org/model")
    with hubclean.guard():
        assert try_to_load_from_cache("org/model", "pytorch_model.bin") is None  # nobody has scanned it yet
        for revision in (None, sha):
            with pytest.raises(UnsafeRepoError):
                hf_hub_download("org/model", "pytorch_model.bin", revision=revision)
            with pytest.raises(UnsafeRepoError):
                try_to_load_from_cache("org/model", "pytorch_model.bin", revision=revision)
            with pytest.raises(UnsafeRepoError):
                snapshot_download("org/model", revision=revision)
    assert isinstance(try_to_load_from_cache("org/model", "pytorch_model.bin"), str)


def test_a_cached_file_that_was_changed_is_found(hub: HubServer) -> None:
    sha = hub.create("org/model", SAFE)
    place = Path(hf_hub_download("org/model", "model.safetensors"))
    with hubclean.guard():
        assert hf_hub_download("org/model", "model.safetensors", revision=sha) == str(place)
        place.resolve().write_bytes(WEIGHTS[:-1] + b"\1")
        with pytest.raises(IntegrityError, match="hash"):
            try_to_load_from_cache("org/model", "model.safetensors", revision=sha)
        assert not place.exists()


def test_a_snapshot_that_the_client_takes_from_the_cache_in_need_is_compared(
    hub: HubServer, fresh_cache: Path, tmp_path: Path
) -> None:
    hub.create("org/model", SAFE)
    snapshot_download("org/model")
    other = shutil.copytree(fresh_cache, tmp_path / "copy", symlinks=True)  # the client remembers listings by the path
    shutil.rmtree(other / "models--org--model" / "trees", ignore_errors=True)
    (place,) = other.rglob("snapshots/*/model.safetensors")
    place.resolve().write_bytes(WEIGHTS[:-1] + b"\1")

    def refuse(_: ScanReport) -> None:
        hub.fault("status", status=403, path="/api/*")

    with hubclean.guard(on_report=refuse), pytest.raises((IntegrityError, HfHubHTTPError)) as caught:
        snapshot_download("org/model", cache_dir=other)
    if isinstance(caught.value, HfHubHTTPError):
        pytest.skip("this release of the client does not take what is cached when it is refused a listing")
    assert not place.exists()


def test_a_file_is_hashed_once_while_it_stays_as_it_is(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", SAFE)
    hashed: list[Path] = []

    def counted(place: Path, entry: RepoEntry) -> bool:
        hashed.append(place)
        return intact(place, entry)

    monkeypatch.setattr(verdicts, "intact", counted)
    with hubclean.guard():
        for _ in range(3):
            hf_hub_download("org/model", "model.safetensors")
        snapshot_download("org/model")
    assert sorted(place.name for place in hashed) == ["config.json", "labels.json", "model.safetensors"]


@pytest.mark.parametrize("by", ["argument", "switch"])
@pytest.mark.parametrize("kept", ["cache", "local_dir"])
def test_offline_the_files_that_lie_there_are_scanned(
    hub: HubServer, by: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("org/safe", SAFE)
    hub.create("org/model", UNSAFE)
    options: dict[str, Any] = {}
    for name in ("safe", "model"):
        snapshot_download(f"org/{name}", **({"local_dir": tmp_path / name} if kept == "local_dir" else {}))
    if by == "switch":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        options["local_files_only"] = True
    begin(hub)

    def ask(name: str, path: str | None) -> Any:
        where = {"local_dir": tmp_path / name} if kept == "local_dir" else {}
        if path is None:
            return snapshot_download(f"org/{name}", **where, **options)
        return hf_hub_download(f"org/{name}", path, **where, **options)

    with hubclean.guard() as guard:
        assert ask("safe", "sub/labels.json")
        assert ask("safe", None)
        if kept == "cache":
            assert isinstance(try_to_load_from_cache("org/safe", "config.json"), str)
        assert len(guard.reports) == 1
        for path in ("config.json", None):
            with pytest.raises(UnsafeRepoError, match="HC-PKL-001"):
                ask("model", path)
        with pytest.raises(LocalEntryNotFoundError):
            hf_hub_download("org/never", "config.json", **options)
    assert hub.log == []


def test_offline_a_folder_that_changes_is_scanned_again(hub: HubServer) -> None:
    hub.create("org/model", SAFE)
    place = Path(snapshot_download("org/model"))
    with hubclean.guard():
        hf_hub_download("org/model", "config.json", local_files_only=True)
        (place / "pytorch_model.bin").write_bytes(CODE)
        with pytest.raises(UnsafeRepoError):
            hf_hub_download("org/model", "config.json", local_files_only=True)
        with pytest.raises(UnsafeRepoError):
            try_to_load_from_cache("org/model", "pytorch_model.bin")


def test_offline_files_of_the_shared_xet_store_are_scanned(xet: HubServer) -> None:
    xet.create("org/model", SAFE)
    xet.create("org/bad", UNSAFE)
    with hubclean.guard():
        assert Path(hf_hub_download("org/model", "model.safetensors")).read_bytes() == WEIGHTS
        assert hf_hub_download("org/model", "model.safetensors", local_files_only=True)
    snapshot_download("org/bad")
    with hubclean.guard(), pytest.raises(UnsafeRepoError, match="HC-PKL-001"):
        hf_hub_download("org/bad", "config.json", local_files_only=True)
