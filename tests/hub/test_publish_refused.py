"""What the Hub refuses and what breaks half-way: one clear sentence, and nothing half-published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import AccessError, PublishError, TargetError, TransportError
from hubclean.hub.publish import push
from support.audited import CARD, content, writes
from support.hub_server import Fault, HubServer


class TestRefused:
    """Whatever the Hub refuses: one clear sentence, and the Hub holds what it held before."""

    @pytest.mark.parametrize(
        ("token", "says"), [("read_token", "write role"), ("stranger_token", "write role|--create-pr")]
    )
    def test_tokens_that_may_not_write(self, hub: HubServer, folder: Path, token: str, says: str) -> None:
        head = hub.create("org/model", {"config.json": b"1"})
        with pytest.raises(AccessError, match=says):
            push(folder, "org/model", token=getattr(hub, token))
        assert list(hub.repo("org/model").commits) == [head]
        with pytest.raises(AccessError, match="may not create org/new"):
            push(folder, "org/new", token=getattr(hub, token))
        assert len(hub.storage.repos) == 1
        assert hub.storage.lfs == {}

    def test_a_read_token_opens_no_pull_request(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/model", {"config.json": b"1"})
        with pytest.raises(AccessError, match="open a pull request"):
            push(folder, "org/model", create_pr=True, token=hub.read_token)
        assert hub.repo("org/model").pulls == []

    def test_no_token_and_a_wrong_one(self, hub: HubServer, folder: Path) -> None:
        with pytest.raises(AccessError, match="hf auth login"):
            push(folder, "org/new")
        assert hub.log == []
        with pytest.raises(AccessError, match="token"):
            push(folder, "org/new", token="hf_" + "x" * 34)
        assert writes(hub) == []

    def test_gated_private_disabled_missing(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/gated", {"config.json": b"1"}, gated=True)
        hub.create("org/private", {"config.json": b"1"}, private=True)
        hub.create("org/disabled", {"config.json": b"1"}, disabled=True)
        stranger = hub.stranger_token
        with pytest.raises(AccessError, match="gated"):
            push(folder, "org/gated", create_pr=True, token=stranger)
        with pytest.raises(PublishError, match="no org/private"):
            push(folder, "org/private", create_pr=True, token=stranger)
        with pytest.raises(AccessError, match="may not create org/private"):
            push(folder, "org/private", token=stranger)
        with pytest.raises(AccessError, match="disabled"):
            push(folder, "org/disabled", token=hub.write_token)
        with pytest.raises(PublishError, match="no org/none"):
            push(folder, "org/none", create_pr=True, token=stranger)
        assert all(len(repo.commits) == 1 and not repo.pulls for repo in hub.storage.repos.values())
        assert hub.storage.lfs == {}

    def test_private_is_not_promised_for_a_public_repo(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/model", {"config.json": b"1"})
        with pytest.raises(PublishError, match="public"):
            push(folder, "org/model", private=True, token=hub.write_token)
        assert writes(hub) == []

    def test_a_branch_that_moves_meanwhile(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/model", {"config.json": b"1"})

        def move() -> None:
            hub.commit("org/model", {"config.json": b"2"})

        hub.faults.add(Fault("call", "*/preupload/*", "POST", times=1, action=move))
        with pytest.raises(PublishError, match="moved"):
            push(folder, "org/model", token=hub.write_token)
        assert hub.files("org/model") == {"config.json": b"2"}

    def test_bad_card_metadata(self, hub: HubServer, folder: Path) -> None:
        (folder / "README.md").write_text("---\nlicense: [1\n---\n" + CARD.rpartition("---\n")[2])
        with pytest.raises(PublishError, match=r"metadata of README\.md"):
            push(folder, "org/new", token=hub.write_token)
        assert hub.storage.repos == {}

    def test_nothing_to_propose(self, hub: HubServer, folder: Path) -> None:
        push(folder, "org/clean", token=hub.write_token)
        with pytest.raises(PublishError, match="nothing to propose"):
            push(folder, "org/clean", token=hub.stranger_token, create_pr=True)
        with pytest.raises(PublishError, match="against main"):
            push(folder, "org/clean", token=hub.write_token, create_pr=True, revision="dev")

    @pytest.mark.parametrize("repo_id", ["model", "org/model@v1", "https://huggingface.co/org/model", "a/b/c", ""])
    def test_names_that_are_no_repo_id(self, hub: HubServer, folder: Path, repo_id: str) -> None:
        with pytest.raises(TargetError):
            push(folder, repo_id, token=hub.write_token)


class TestBroken:
    """The network fails half-way."""

    @pytest.fixture(autouse=True)
    def hurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: None)

    @pytest.mark.parametrize("path", ["*/preupload/*", "/lfs-upload/*", "*/objects/batch", "/lfs-verify", "*/commit/*"])
    @pytest.mark.parametrize("kind", ["reset", "status"])
    def test_a_new_repo_is_taken_back(self, hub: HubServer, folder: Path, path: str, kind: Any) -> None:
        hub.fault(kind, path=path, method="*")
        with pytest.raises(TransportError, match="nothing was published"):
            push(folder, "org/new", token=hub.write_token)
        assert hub.storage.repos == {}

    def test_an_old_repo_stays_as_it_was(self, hub: HubServer, folder: Path) -> None:
        head = hub.create("org/model", {"config.json": b"1"})
        hub.fault("reset", path="/lfs-upload/*", method="PUT")
        with pytest.raises(TransportError, match="nothing was published"):
            push(folder, "org/model", token=hub.write_token)
        assert list(hub.repo("org/model").commits) == [head]

    def test_a_new_repo_that_cannot_be_taken_back_is_named(self, hub: HubServer, folder: Path) -> None:
        hub.fault("reset", path="*/commit/*", method="POST")
        hub.fault("status", status=403, path="/api/repos/delete", method="DELETE")
        with pytest.raises(TransportError, match="empty repo org/new"):
            push(folder, "org/new", token=hub.write_token)

    def test_a_commit_whose_answer_is_lost_counts(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/model", {"config.json": b"1"})

        def land() -> None:
            hub.commit("org/model", content(folder))

        hub.faults.add(Fault("call", "*/commit/*", "POST", action=land))
        hub.fault("reset", path="*/commit/*", method="POST")
        report = push(folder, "org/model", token=hub.write_token)
        assert report.commit == hub.repo("org/model").refs["main"]

    def test_bytes_that_arrive_changed_are_noticed(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/model", {"config.json": b"1"})

        def swap(info: dict[str, Any]) -> dict[str, Any]:
            for row in info["siblings"]:
                if row["rfilename"] == "config.json":
                    row["blobId"] = "0" * 40
            return info

        hub.repo("org/model").tamper = swap
        with pytest.raises(PublishError, match=r"config\.json"):
            push(folder, "org/model", token=hub.write_token)

    def test_no_hub_at_all(self, hub: HubServer, folder: Path) -> None:
        hub.fault("reset", method="*")
        with pytest.raises(TransportError):
            push(folder, "org/model", token=hub.write_token)

    def test_offline(self, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(TransportError, match="HF_HUB_OFFLINE"):
            push(folder, "org/model", token=hub.write_token)
