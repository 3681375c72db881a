"""The Hub the other tests run against, driven by the real client: what it must do as the real one does."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from support.hub_server import HubServer, handler

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.write_token)


def test_listing_has_git_and_lfs_hashes(hub: HubServer, api: HfApi) -> None:
    sha = hub.create("org/model", {"config.json": b"{}", "model.safetensors": WEIGHTS})
    info = api.model_info("org/model", files_metadata=True, securityStatus=True)
    rows = {row.rfilename: row for row in info.siblings or ()}
    assert info.sha == sha
    assert rows["config.json"].blob_id == hashlib.sha1(b"blob 2\0{}").hexdigest()
    assert rows["config.json"].lfs is None
    assert rows["model.safetensors"].lfs is not None
    assert rows["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert rows["model.safetensors"].size == len(WEIGHTS)
    assert [row.path for row in api.list_repo_tree("org/model", recursive=True)] == ["config.json", "model.safetensors"]
    assert api.get_paths_info("org/model", ["model.safetensors", "none"])[0].size == len(WEIGHTS)


def test_download_goes_through_the_cdn_without_the_token(hub: HubServer, api: HfApi) -> None:
    hub.create("org/model", {"model.safetensors": WEIGHTS}, private=True)
    place = hf_hub_download("org/model", "model.safetensors", token=hub.write_token)
    assert Path(place).read_bytes() == WEIGHTS
    cdn = hub.asked("GET", where="cdn")
    assert len(cdn) == 1
    assert cdn[0].host.startswith("127.0.0.2:")
    assert not cdn[0].authorized
    assert cdn[0].sent == len(WEIGHTS)


def test_an_old_commit_keeps_resolving(hub: HubServer) -> None:
    old = hub.create("org/model", {"config.json": b"old"})
    new = hub.commit("org/model", {"config.json": b"new"}).sha
    for revision, content in ((old, b"old"), (new, b"new"), ("main", b"new")):
        assert Path(hf_hub_download("org/model", "config.json", revision=revision)).read_bytes() == content


def test_commit_upload_delete_and_history(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    assert api.create_repo("org/new", private=True).repo_id == "org/new"
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(WEIGHTS)
    parent = api.model_info("org/new").sha
    with weights.open("rb") as file:
        add = [CommitOperationAdd("w.safetensors", file), CommitOperationAdd("a/config.json", b"{}")]
        done = api.create_commit("org/new", add, commit_message="both", parent_commit=parent)
    assert hub.files("org/new")["w.safetensors"] == WEIGHTS
    assert hub.repo("org/new").resolve(done.oid).parents == (parent,)
    assert len(hub.asked("PUT", "lfs-upload")) == 1
    drop = [CommitOperationDelete("a/config.json")]
    api.create_commit("org/new", drop, commit_message="less")
    assert "a/config.json" not in hub.files("org/new")
    assert [row.title for row in api.list_repo_commits("org/new")] == ["less", "both", "initial commit"]


def test_a_moved_branch_is_refused_with_412(hub: HubServer, api: HfApi) -> None:
    old = hub.create("org/model", {"config.json": b"1"})
    hub.commit("org/model", {"config.json": b"2"})
    add = [CommitOperationAdd("config.json", b"3")]
    with pytest.raises(HfHubHTTPError) as failure:
        api.create_commit("org/model", add, commit_message="late", parent_commit=old)
    assert failure.value.response.status_code == 412
    assert hub.files("org/model")["config.json"] == b"2"


def test_pull_request_of_a_stranger(hub: HubServer) -> None:
    head = hub.create("org/model", {"config.json": b"1"})
    api = HfApi(endpoint=hub.url, token=hub.stranger_token)
    add = [CommitOperationAdd("config.json", b"2")]
    done = api.create_commit("org/model", add, commit_message="mine", create_pr=True, parent_commit=head)
    assert done.pr_revision == "refs/pr/1"
    assert hub.files("org/model")["config.json"] == b"1"
    assert hub.files("org/model", "refs/pr/1")["config.json"] == b"2"
    assert [pull.title for pull in api.get_repo_discussions("org/model")] == ["mine"]
    assert [row.ref for row in api.list_repo_refs("org/model", include_pull_requests=True).pull_requests or ()] == [
        "refs/pr/1"
    ]
    with pytest.raises(HfHubHTTPError):
        api.create_commit("org/model", [CommitOperationAdd("config.json", b"3")], commit_message="no")


def test_branches_and_tags(hub: HubServer, api: HfApi) -> None:
    head = hub.create("org/model", {"config.json": b"1"})
    api.create_branch("org/model", branch="dev")
    api.create_tag("org/model", tag="v1")
    hub.commit("org/model", {"config.json": b"2"})
    assert api.model_info("org/model", revision="dev").sha == head
    assert api.model_info("org/model", revision="v1").sha == head


def test_who_may_see_what(hub: HubServer) -> None:
    hub.create("org/private", {"config.json": b"1"}, private=True)
    hub.create("org/gated", {"config.json": b"1"}, gated=True)
    hub.create("org/disabled", {"config.json": b"1"}, disabled=True)
    anyone, stranger = HfApi(endpoint=hub.url, token=False), HfApi(endpoint=hub.url, token=hub.stranger_token)
    for api in (anyone, stranger):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("org/private")
        with pytest.raises(GatedRepoError):
            api.hf_hub_download("org/gated", "config.json")
        assert api.model_info("org/gated").gated == "manual"
        with pytest.raises(HfHubHTTPError) as failure:
            api.model_info("org/disabled")
        assert failure.value.response.status_code == 403
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("org/gated", "none", token=hub.read_token)
    with pytest.raises(RevisionNotFoundError):
        anyone.model_info("org/gated", revision="nope")
    with pytest.raises(HfHubHTTPError):
        HfApi(endpoint=hub.url, token=hub.read_token).create_repo("org/x")


def _get(hub: HubServer, path: str, asked: str) -> tuple[int, str | None, bytes]:
    url = hf_hub_url("org/model", path, endpoint=hub.url)
    response = get_session().get(url, headers={"Range": asked})
    return response.status_code, response.headers.get("Content-Range"), response.content


def test_ranges(hub: HubServer) -> None:
    hub.create("org/model", {"model.safetensors": WEIGHTS, "config.json": b"0123456789"})
    assert _get(hub, "config.json", "bytes=2-4") == (206, "bytes 2-4/10", b"234")
    assert _get(hub, "config.json", "bytes=8-99") == (206, "bytes 8-9/10", b"89")
    assert _get(hub, "config.json", "bytes=-3") == (206, "bytes 7-9/10", b"789")
    assert _get(hub, "config.json", "bytes=10-")[:2] == (416, "bytes */10")
    assert _get(hub, "model.safetensors", "bytes=5-9")[2] == WEIGHTS[5:10]


def test_the_real_client_takes_a_flipped_bit_for_good(hub: HubServer) -> None:
    """Why hubclean hashes everything itself: hf_hub_download compares the length only."""
    hub.create("org/model", {"model.safetensors": WEIGHTS})
    hub.fault("flip", where="cdn")
    assert Path(hf_hub_download("org/model", "model.safetensors")).read_bytes() != WEIGHTS


def test_faults_end_after_their_times(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(handler, "pause", lambda connection, seconds: waited.append(seconds))
    hub.create("org/model", {"config.json": b"0123456789"})
    hub.fault("slow", value=3600.0, times=1, path="*config.json")
    hub.fault("status", status=503, times=1, path="*config.json")
    assert _get(hub, "config.json", "bytes=0-1")[0] == 503
    assert _get(hub, "config.json", "bytes=0-1")[0] == 206
    assert waited == [3600.0]


def test_datasets_are_repos_too(hub: HubServer) -> None:
    hub.create("org/images", {"data/train.csv": b"a,b"}, repo_type="dataset")
    assert Path(hf_hub_download("org/images", "data/train.csv", repo_type="dataset")).read_bytes() == b"a,b"


def test_bad_card_metadata_is_refused(hub: HubServer, api: HfApi) -> None:
    hub.create("org/model", {"config.json": b"1"})
    add = [CommitOperationAdd("README.md", b"---\nlicense: [1\n---\n")]
    with pytest.raises(ValueError, match="Invalid metadata"):
        api.create_commit("org/model", add, commit_message="card")


def test_xet_download_does_not_touch_the_cdn(xet: HubServer) -> None:
    xet.create("org/model", {"model.safetensors": WEIGHTS})
    assert Path(hf_hub_download("org/model", "model.safetensors")).read_bytes() == WEIGHTS
    assert xet.asked(where="cdn") == []
    assert xet.asked("GET", "xet-read-token")


def test_a_subprocess_reaches_the_same_hub(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/private", {"config.json": b"{}"}, private=True)
    code = "from huggingface_hub import model_info; print(model_info('org/private').sha)"
    env = hub.env(tmp_path / "home", hub.read_token)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hub.repo("org/private").refs["main"]


def test_the_outside_is_closed() -> None:
    with pytest.warns(UserWarning, match="socket"), pytest.raises(RuntimeError, match="connect"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
