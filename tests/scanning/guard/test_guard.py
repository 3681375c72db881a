"""``with hubclean.guard():`` the real client on a loopback Hub: scanned first, refused, pinned, compared, off again."""

from __future__ import annotations

import copy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, file_download, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

import hubclean
from hubclean.errors import (
    AccessError,
    HubcleanError,
    IntegrityError,
    OptionError,
    RefusedError,
    TransportError,
    UnsafeRepoError,
)
from hubclean.hub import transport
from hubclean.records import ScanReport
from hubclean.scanning import engine
from hubclean.scanning.guard import client_seam
from support import ROOT
from support.guarded_repos import CODE, SAFE, UNCHECKED, UNSAFE, WEIGHTS, begin
from support.hub_server import HubServer
from support.work import HANGS


def loaded(hub: HubServer) -> list[str]:
    """Files that were sent whole, not by range."""
    rows = hub.asked("GET", "/resolve/") + hub.asked("GET", where="cdn")
    return [row.path for row in rows if row.range is None and row.status == 200]


def test_a_safe_repo_is_scanned_once_and_comes_whole(hub: HubServer) -> None:
    sha = hub.create("org/model", SAFE)
    seen: list[ScanReport] = []
    with hubclean.guard(on_report=seen.append) as guard:
        place = Path(hf_hub_download("org/model", "model.safetensors"))
        assert place.read_bytes() == WEIGHTS
        assert Path(hf_hub_download("org/model", "labels.json", subfolder="sub")).read_bytes() == b"[1]"
        assert place.parent.name == sha
        assert try_to_load_from_cache("org/model", "model.safetensors") == str(place)
        assert Path(hf_hub_download("org/model", "config.json", revision=sha)).parent == place.parent
    assert [row.origin.revision for row in seen] == [sha]
    assert guard.reports == tuple(seen)
    assert len(hub.asked("GET", "/api/models/org/model")) == 1
    assert try_to_load_from_cache("org/model", "model.safetensors") == str(place)  # the branch is noted in the cache


@pytest.mark.parametrize(("files", "why"), [(UNSAFE, "HC-PKL-001 in pytorch_model.bin"), (UNCHECKED, "model.onnx")])
@pytest.mark.parametrize("whole", [True, False])
def test_an_unsafe_repo_is_refused_before_a_file_is_fetched(
    hub: HubServer, files: dict[str, bytes], why: str, whole: bool, fresh_cache: Path
) -> None:
    sha = hub.create("org/model", files)
    with hubclean.guard(), pytest.raises(UnsafeRepoError, match=why) as caught:
        snapshot_download("org/model") if whole else hf_hub_download("org/model", "config.json")
    assert caught.value.report.origin.revision == sha
    assert f"org/model@{sha}" in str(caught.value)
    assert copy.copy(caught.value).report == caught.value.report  # as between processes
    assert hub.asked("HEAD") == []
    assert not list(fresh_cache.rglob("*.json"))
    begin(hub)
    snapshot_download("org/model")  # the guard is off
    assert sorted(loaded(hub))


def test_options_are_those_of_a_scan(hub: HubServer) -> None:
    hub.create("org/onnx", UNCHECKED)
    hub.create("org/class", SAFE | {"pytorch_model.bin": b"\x80\x02ctimm.models.resnet\nResNet\n."})
    with hubclean.guard(allow_unchecked=("*.onnx",)):
        assert hf_hub_download("org/onnx", "config.json")
        with pytest.raises(UnsafeRepoError, match="HC-PKL-002"):
            hf_hub_download("org/class", "config.json")
    with hubclean.guard(allow=("timm.models.resnet.ResNet",)) as guard:
        with pytest.raises(UnsafeRepoError, match="onnx"):
            hf_hub_download("org/onnx", "config.json")
        hub.create("org/odd", SAFE | {"tool.py": b"import os"})
        assert hf_hub_download("org/odd", "config.json")  # a medium finding is below the gate
    assert guard.reports
    with hubclean.guard(gate="medium"), pytest.raises(UnsafeRepoError, match="HC-PY-001"):
        hf_hub_download("org/odd", "config.json")


@pytest.mark.parametrize(
    "options",
    [{"gate": "severe"}, {"allow": ("os.system",)}, {"unscanned": ("model",)}, {"allow_unchecked": "*"}],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        hubclean.guard(**options)


def test_names_taken_before_and_every_way_in_are_guarded(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", UNSAFE)
    begin(hub)
    ways: list[Any] = [
        lambda: hf_hub_download("org/model", "config.json", local_dir=tmp_path / "out"),
        lambda: huggingface_hub.hf_hub_download(repo_id="org/model", filename="config.json", token=False),
        lambda: file_download.hf_hub_download("org/model", "config.json", force_download=True),
        lambda: HfApi().hf_hub_download("org/model", "config.json"),
        lambda: HfApi(endpoint=hub.url).snapshot_download("org/model", allow_patterns=["*.json"]),
        lambda: snapshot_download("org/model", local_dir=tmp_path / "out"),
        lambda: hf_hub_download("org/model", "config.json", endpoint=hub.url + "/"),
    ]
    with hubclean.guard():
        for way in ways:
            with pytest.raises(UnsafeRepoError):
                way()
    assert hub.asked("HEAD") == []
    assert not (tmp_path / "out").exists()


def test_what_moves_between_scan_and_download_is_not_fetched(hub: HubServer) -> None:
    sha = hub.create("org/model", SAFE)
    with hubclean.guard(on_report=lambda _: hub.commit("org/model", UNSAFE)):
        assert Path(hf_hub_download("org/model", "config.json")).parent.name == sha
        assert Path(snapshot_download("org/model")).name == sha
        with pytest.raises(EntryNotFoundError):
            hf_hub_download("org/model", "pytorch_model.bin")
    with hubclean.guard(), pytest.raises(UnsafeRepoError):
        hf_hub_download("org/model", "config.json")


@pytest.mark.parametrize("local", [True, False])
def test_other_bytes_than_those_scanned_are_removed_again(
    hub: HubServer, local: bool, tmp_path: Path, fresh_cache: Path
) -> None:
    hub.create("org/model", SAFE)
    options: dict[str, Any] = {"local_dir": tmp_path / "out"} if local else {}
    with hubclean.guard(on_report=lambda _: hub.fault("flip", path="*")):
        with pytest.raises(IntegrityError, match="does not have the hash"):
            hf_hub_download("org/model", "model.safetensors", **options)
        with pytest.raises(IntegrityError, match="config"):
            snapshot_download("org/model", allow_patterns=["config.json"], **options)
    assert not list((tmp_path / "out").rglob("model.safetensors"))
    assert not [place for place in fresh_cache.rglob("*") if place.is_file() and place.stat().st_size == len(WEIGHTS)]
    hub.faults.clear()
    with hubclean.guard():
        assert Path(hf_hub_download("org/model", "model.safetensors", **options)).read_bytes() == WEIGHTS


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_of_the_user_that_differs_is_refused_and_stays(hub: HubServer, tmp_path: Path, whole: bool) -> None:
    hub.create("org/model", SAFE)
    snapshot_download("org/model", local_dir=tmp_path)
    (tmp_path / "config.json").write_text("edited")
    ask = snapshot_download if whole else partial(hf_hub_download, filename="config.json")
    with hubclean.guard(), pytest.raises(IntegrityError, match="do not load"):
        ask(repo_id="org/model", local_dir=tmp_path)
    assert (tmp_path / "config.json").read_text() == "edited"


def test_a_file_that_the_commit_does_not_list_is_not_handed_out(hub: HubServer) -> None:
    sha = hub.create("org/model", SAFE)
    place = Path(hf_hub_download("org/model", "config.json"))
    (place.parent / "tool.bin").write_bytes(CODE)  # as a lying Hub left it there before
    with hubclean.guard():
        hf_hub_download("org/model", "config.json")
        with pytest.raises(IntegrityError, match="is not in"):
            hf_hub_download("org/model", "tool.bin", revision=sha)
    assert not (place.parent / "tool.bin").exists()


def test_a_hub_that_cannot_be_asked_gives_no_file(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    hub.create("org/model", SAFE)
    snapshot_download("org/model")
    hub.fault("status", status=503, method="*")
    with hubclean.guard(), pytest.raises(TransportError):
        hf_hub_download("org/model", "config.json")


def test_missing_repos_and_files_fail_with_the_errors_that_callers_await(hub: HubServer) -> None:
    hub.create("org/gated", SAFE, gated=True)
    hub.create("org/model", SAFE)
    with hubclean.guard():
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("org/none", "config.json")
        with pytest.raises(AccessError, match="gated"):
            hf_hub_download("org/gated", "config.json")
        with pytest.raises(EntryNotFoundError):
            hf_hub_download("org/model", "none.json")
        assert hf_hub_download("org/gated", "config.json", token=hub.write_token)


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_other_repos_are_refused_unless_allowed(hub: HubServer, kind: str) -> None:
    hub.create("org/data", {"a.json": b"[]"}, repo_type=kind)
    begin(hub)
    with hubclean.guard(), pytest.raises(RefusedError, match=kind):
        hf_hub_download("org/data", "a.json", repo_type=kind)
    assert hub.log == []
    with hubclean.guard(unscanned=(kind,)):
        assert Path(hf_hub_download("org/data", "a.json", repo_type=kind)).read_bytes() == b"[]"
        assert isinstance(try_to_load_from_cache("org/data", "a.json", repo_type=kind), str)
        assert snapshot_download("org/data", repo_type=kind)


def test_what_is_told_of_a_scan_may_download_the_same_repo(hub: HubServer) -> None:
    hub.create("org/model", SAFE)
    places: list[str] = []
    with hubclean.guard(on_report=lambda _: places.append(hf_hub_download("org/model", "config.json"))):
        assert hf_hub_download("org/model", "config.json") == places[0]
    assert len(places) == 1


def test_a_scan_that_breaks_leaves_no_verdict(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", SAFE)

    def broken(*_: Any) -> Any:
        raise OSError("no disk")

    with hubclean.guard() as guard:
        with monkeypatch.context() as patch:
            patch.setattr(engine, "Reader", broken)
            with pytest.raises(OSError, match="no disk"):
                hf_hub_download("org/model", "config.json")
        assert guard.reports == ()
        assert hf_hub_download("org/model", "config.json")


def test_hubclean_s_own_download_goes_through_the_guard(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", UNCHECKED)
    with hubclean.guard(allow_unchecked=("*.onnx",)) as guard:
        assert hubclean.download("org/model", tmp_path / "out").exit_code == 0
    assert len(guard.reports) == 1


def test_a_client_built_in_another_way_is_refused() -> None:
    with pytest.raises(HubcleanError, match="cannot be guarded"):
        client_seam.Seam(lambda repo_id: repo_id)


def test_importing_hubclean_imports_no_client() -> None:
    code = "import sys, hubclean; hubclean.guard; sys.exit(any(m in sys.modules for m in ('huggingface_hub', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=HANGS).returncode == 0
