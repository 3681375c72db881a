"""Reading a Hub repo: pinned, exact, bounded, and honest about what went wrong. Real client, real HTTP."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import AccessError, IntegrityError, TargetError
from hubclean.hub import hub_repo as hub_module
from hubclean.hub.hub_repo import HubRepo, listing
from hubclean.hub.targets import open_target
from support.hub_repo import CONFIG, FILES, WEIGHTS
from support.hub_server import HubServer


class TestListing:
    def test_one_request_tells_all(self, hub: HubServer) -> None:
        sha = hub.create("org/model", FILES)
        repo = open_target("org/model")
        rows = {row.path: row for row in repo.files()}
        assert repo.ref.revision == sha
        assert [row.path for row in repo.files()] == sorted(FILES)
        assert rows["model.safetensors"].sha256 == hashlib.sha256(WEIGHTS).hexdigest()
        assert rows["config.json"].blob_id == hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
        assert rows["config.json"].sha256 is None
        assert [row.path for row in hub.asked() if "harness" not in row.path] == ["/api/models/org/model"]
        assert (repo.requests, repo.bytes_read) == (0, 0)

    def test_hub_security_is_passed_on(self, hub: HubServer) -> None:
        status = {"scansDone": True, "filesWithIssues": [{"path": "a.bin", "level": "unsafe"}]}
        hub.create("org/model", FILES, security=status)
        assert HubRepo("org/model").hub_security == status

    @pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a//b", "C:x", "a\\b", "a\0b", "", "./a"])
    def test_paths_that_leave_the_repo(self, hub: HubServer, path: str) -> None:
        hub.create("org/model", {"a.json": b"{}"})

        def lie(info: dict[str, Any]) -> dict[str, Any]:
            info["siblings"][0]["rfilename"] = path
            return info

        hub.repo("org/model").tamper = lie
        with pytest.raises(IntegrityError, match="leaves the repo"):
            HubRepo("org/model")

    @pytest.mark.parametrize(
        "change",
        [{"size": -1}, {"size": None}, {"blobId": "xyz"}, {"blobId": None}, {"lfs": {"sha256": "0", "size": 2}}],
    )
    def test_rows_without_size_or_hash(self, hub: HubServer, change: dict[str, Any]) -> None:
        hub.create("org/model", {"a.json": b"{}"})

        def lie(info: dict[str, Any]) -> dict[str, Any]:
            row = info["siblings"][0]
            row.update(change)
            if row.get("lfs"):
                row["lfs"]["pointerSize"] = 1
            return info

        hub.repo("org/model").tamper = lie
        with pytest.raises(IntegrityError, match="no size or hash"):
            HubRepo("org/model")

    def test_a_path_twice(self, hub: HubServer) -> None:
        hub.create("org/model", {"a.json": b"{}"})
        hub.repo("org/model").tamper = lambda info: {**info, "siblings": info["siblings"] * 2}
        with pytest.raises(IntegrityError, match="twice"):
            HubRepo("org/model")

    def test_a_file_below_a_file(self, hub: HubServer) -> None:
        hub.create("org/model", {"a/b.json": b"{}", "a": b"{}"})
        with pytest.raises(IntegrityError, match="below another file"):
            HubRepo("org/model")

    @pytest.mark.parametrize("sha", [None, "main", "0" * 39])
    def test_no_commit(self, hub: HubServer, sha: str | None) -> None:
        hub.create("org/model", FILES)
        hub.repo("org/model").tamper = lambda info: {**info, "sha": sha}
        with pytest.raises(IntegrityError, match="no commit"):
            HubRepo("org/model")

    def test_another_commit_than_asked(self, hub: HubServer) -> None:
        sha = hub.create("org/model", FILES)
        hub.repo("org/model").tamper = lambda info: {**info, "sha": "1" * 40}
        with pytest.raises(IntegrityError, match="another commit"):
            HubRepo("org/model", sha)

    def test_too_many_files(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub_module, "MOST_FILES", 2)
        hub.create("org/model", FILES)
        with pytest.raises(TargetError, match="3 files"):
            HubRepo("org/model")


@given(st.text(max_size=20))
def test_a_listed_path_is_refused_or_stays_inside(path: str) -> None:
    class Row:
        rfilename, size, blob_id, lfs = path, 1, "0" * 40, None

    class Info:
        siblings = (Row,)

    try:
        entry = listing(Info)[0]
    except IntegrityError:
        return
    root = Path("/elsewhere/inside")
    assert (root / entry.path).is_relative_to(root)
    assert ".." not in Path(entry.path).parts


class TestPinned:
    def test_everything_is_read_from_the_first_commit(self, hub: HubServer, repo: HubRepo) -> None:
        hub.commit("org/model", {"config.json": b"{}", "model.safetensors": b"new"})
        assert repo.read("config.json", 1000) == CONFIG
        assert repo.read_range("model.safetensors", 10, 20) == WEIGHTS[10:20]
        folder = repo.fetch(["config.json", "model.safetensors"])
        assert (folder / "model.safetensors").read_bytes() == WEIGHTS
        assert folder.name == repo.commit
        resolved = hub.asked(contains="/resolve/")
        assert resolved
        assert all(f"/resolve/{repo.commit}/" in row.path for row in resolved)

    def test_branches_tags_and_pull_requests(self, hub: HubServer) -> None:
        old = hub.create("org/model", {"config.json": b"old"})
        pull = hub.commit("org/model", {"config.json": b"pull"}, branch="refs/pr/1").sha
        hub.commit("org/model", {"config.json": b"new"})
        assert HubRepo("org/model", old).read("config.json", 10) == b"old"
        assert open_target("org/model@refs/pr/1").ref.revision == pull
        assert open_target("org/model@refs/pr/1").read("config.json", 10) == b"pull"

    @pytest.mark.parametrize("kind", ["wrong-commit", "no-commit"])
    @pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
    def test_answers_from_elsewhere(self, hub: HubServer, repo: HubRepo, kind: Any, path: str) -> None:
        hub.fault(kind, where="hub", path="*/resolve/*")
        with pytest.raises(IntegrityError, match="commit"):
            repo.read_range(path, 0, 4)
        assert hub.asked(where="cdn") == [] or kind == "no-commit"

    def test_a_detour_on_the_hub_itself(self, hub: HubServer, repo: HubRepo) -> None:
        hub.detour = True
        assert repo.read("config.json", 1000) == CONFIG
        assert hub.asked(contains="resolve-cache")[0].status == 200

    def test_a_renamed_repo_is_found_where_the_hub_says(self, hub: HubServer) -> None:
        sha = hub.create("org/new", FILES)
        for location in ("/api/models/org/new", f"{hub.url}/api/models/org/new?blobs=true"):
            hub.fault("redirect", path="/api/models/org/old", location=location, times=1)
            repo = HubRepo("org/old")
            assert repo.ref.revision == sha
            assert len(repo.files()) == len(FILES)


class TestAccess:
    def test_private(self, hub: HubServer) -> None:
        hub.create("org/private", FILES, private=True)
        for token in (False, hub.stranger_token):
            with pytest.raises(TargetError, match="private"):
                HubRepo("org/private", token=token)
        repo = HubRepo("org/private", token=hub.read_token)
        assert repo.read("config.json", 100) == CONFIG
        assert repo.read_range("model.safetensors", 0, 9) == WEIGHTS[:9]
        repo.fetch(["model.safetensors"])
        cdn = hub.asked(where="cdn")
        assert len(cdn) == 2
        assert not any(row.authorized for row in cdn)
        assert all(row.authorized for row in hub.asked(contains="/resolve/", where="hub"))

    def test_a_redirect_to_another_port_of_the_same_host_gets_no_token(self, hub: HubServer) -> None:
        sha = hub.create("org/private", FILES, private=True)
        repo = HubRepo("org/private", token=hub.read_token)
        with HubServer() as other:
            other.create("org/private", FILES)
            other.repo("org/private").commits[sha] = other.repo("org/private").resolve("main")
            hub.fault("redirect", location=f"{other.url}/org/private/resolve/{sha}/config.json", path="*/resolve/*")
            assert repo.read("config.json", 100) == CONFIG
            assert [row.authorized for row in other.asked(contains="/resolve/")] == [False]

    def test_gated_shows_its_listing_and_no_bytes(self, hub: HubServer) -> None:
        hub.create("org/gated", FILES, gated=True)
        repo = HubRepo("org/gated", token=hub.stranger_token)
        assert len(repo.files()) == 3
        for act in (
            lambda: repo.read("config.json", 100),
            lambda: repo.read_range("model.safetensors", 0, 1),
            lambda: repo.fetch(["config.json"]),
        ):
            with pytest.raises(AccessError, match="gated"):
                act()

    def test_disabled_missing_and_bad_token(self, hub: HubServer) -> None:
        hub.create("org/disabled", FILES, disabled=True)
        hub.create("org/model", FILES)
        with pytest.raises(AccessError, match="disabled"):
            HubRepo("org/disabled")
        with pytest.raises(TargetError, match="no model org/none"):
            HubRepo("org/none")
        with pytest.raises(TargetError, match="no branch, tag or commit 'v9'"):
            HubRepo("org/model", "v9")
        with pytest.raises(AccessError, match="token"):
            HubRepo("org/model", token="hf_" + "x" * 34)
        for row in hub.log:
            assert row.status != 200 or "harness" in row.path
