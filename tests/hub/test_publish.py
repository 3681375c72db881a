"""``push``: one commit of exactly the audited files. Real client, real HTTP."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from hubclean.cli.push import render_push
from hubclean.errors import TargetError, TransportError
from hubclean.hub.hub_repo import HubRepo
from hubclean.hub.publish import push
from support.audited import CARD, OUTPUTS, WEIGHTS, content, writes
from support.hub_server import HubServer
from support.hub_server.storage import GITATTRIBUTES


class TestPublished:
    def test_a_new_repo_bit_for_bit_in_one_commit(self, hub: HubServer, folder: Path, tmp_path: Path) -> None:
        report = push(folder, "org/clean", token=hub.write_token, private=True)
        assert report.created
        assert report.commit == hub.repo("org/clean").refs["main"]
        assert hub.repo("org/clean").private
        assert [row.title for row in hub.repo("org/clean").commits.values()][1:] == [
            hub.repo("org/clean").resolve("main").title
        ]
        assert len(hub.asked("POST", "/commit/")) == 1
        assert {file.path: (file.size, file.how) for file in report.files} == {
            "README.md": (len(CARD), "regular"),
            "config.json": (31, "regular"),
            "hubclean/audit.json": ((folder / "hubclean/audit.json").stat().st_size, "regular"),
            "hubclean/norms.png": (8, "regular"),
            "model.safetensors": (len(WEIGHTS), "lfs"),
        }
        assert report.card == CARD
        back = HubRepo("org/clean", report.commit, token=hub.read_token).fetch(content(folder), tmp_path / "back")
        assert content(back) == content(folder)

    def test_onto_a_repo_with_other_files(self, hub: HubServer, folder: Path) -> None:
        old = hub.create("org/clean", {"pytorch_model.bin": b"\x80\x02", "config.json": OUTPUTS["config.json"]})
        report = push(folder, "org/clean", token=hub.write_token)
        assert not report.created
        assert report.left_behind == ("pytorch_model.bin",)
        assert {file.path for file in report.files if file.how == "unchanged"} == {"config.json"}
        assert hub.repo("org/clean").resolve("main").parents == (old,)
        assert hub.files("org/clean")["pytorch_model.bin"] == b"\x80\x02"

    def test_pickles_go_in_the_same_commit_when_asked(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/clean", {"pytorch_model.bin": b"\x80\x02", "notes.txt": b"x"})
        report = push(folder, "org/clean", token=hub.write_token, delete_pickles=True)
        assert (report.deleted, report.left_behind) == (("pytorch_model.bin",), ("notes.txt",))
        assert set(hub.files("org/clean")) == {*content(folder), "notes.txt"}
        assert len(hub.repo("org/clean").commits) == 2

    def test_again_without_a_change_makes_no_commit(self, hub: HubServer, folder: Path) -> None:
        first = push(folder, "org/clean", token=hub.write_token)
        again = push(folder, "org/clean", token=hub.write_token)
        assert again.commit == first.commit
        assert {file.how for file in again.files} == {"unchanged"}
        assert len(hub.asked("POST", "/commit/")) == 1
        assert (first.unchanged, again.unchanged) == (False, True)
        assert render_push(again).startswith(f"nothing to publish: org/clean@{first.commit} holds just these 5 files")
        dry = push(folder, "org/clean", dry_run=True)
        assert render_push(dry).startswith("dry run: no commit would be made")

    @pytest.mark.parametrize("raw", [b"", b'{"name": "x"}', b"[]"])
    def test_a_repo_whose_making_was_answered_badly_is_filled(self, hub: HubServer, folder: Path, raw: bytes) -> None:
        def make() -> None:
            hub.create("org/clean", {".gitattributes": GITATTRIBUTES})

        length = f"HTTP/1.1 200 OK\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
        hub.fault("call", path="/api/repos/create", method="POST", action=make)
        hub.fault("raw", path="/api/repos/create", method="POST", raw=length + raw if raw else b"")
        report = push(folder, "org/clean", token=hub.write_token)
        assert report.created
        assert {**content(folder), ".gitattributes": GITATTRIBUTES} == hub.files("org/clean")

    def test_the_empty_repo_of_a_killed_push_is_filled(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/clean", {".gitattributes": GITATTRIBUTES}, private=True)
        report = push(folder, "org/clean", token=hub.write_token, private=True)
        assert (report.created, report.left_behind) == (False, ())
        assert hub.files("org/clean")["model.safetensors"] == WEIGHTS

    def test_a_commit_answered_badly_counts_if_it_is_there(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/clean", {".gitattributes": GITATTRIBUTES})
        hub.fault("call", path="*/commit/*", method="POST", action=lambda: hub.commit("org/clean", content(folder)))
        hub.fault("raw", path="*/commit/*", method="POST", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert push(folder, "org/clean", token=hub.write_token).commit == hub.repo("org/clean").refs["main"]

    def test_to_a_branch(self, hub: HubServer, folder: Path) -> None:
        main = hub.create("org/clean", {"config.json": b"{}"})
        hub.commit("org/clean", {}, branch="dev")
        report = push(folder, "org/clean", token=hub.write_token, revision="dev")
        assert hub.repo("org/clean").refs == {"main": main, "dev": report.commit}
        with pytest.raises(TargetError, match="'other'"):
            push(folder, "org/clean", token=hub.write_token, revision="other")

    def test_as_a_strangers_pull_request(self, hub: HubServer, folder: Path) -> None:
        head = hub.create("org/model", {"model.safetensors": b"old", "config.json": OUTPUTS["config.json"]})
        report = push(folder, "org/model", create_pr=True, token=hub.stranger_token)
        assert report.pr_url == f"{hub.url}/org/model/discussions/1"
        assert hub.repo("org/model").refs["main"] == head
        assert hub.files("org/model", "refs/pr/1") == content(folder)
        assert hub.repo("org/model").resolve("refs/pr/1").parents == (head,)
        assert report.commit == hub.repo("org/model").refs["refs/pr/1"]

    def test_a_gitignore_drops_nothing(self, hub: HubServer, folder: Path) -> None:
        hub.create("org/clean", {".gitignore": b"*.safetensors\n*.png\n"})
        push(folder, "org/clean", token=hub.write_token)
        assert hub.files("org/clean")["model.safetensors"] == WEIGHTS

    def test_to_a_hub_with_xet(self, xet: HubServer, folder: Path, tmp_path: Path) -> None:
        report = push(folder, "org/clean", token=xet.write_token)
        back = HubRepo("org/clean", report.commit).fetch(content(folder), tmp_path / "back")
        assert content(back) == content(folder)

    def test_to_a_hub_without_xet_by_a_client_with_xet(
        self, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        push(folder, "org/clean", token=hub.write_token)
        assert hub.files("org/clean")["model.safetensors"] == WEIGHTS

    def test_with_the_token_of_the_machine(self, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", hub.write_token)
        assert push(folder, "org/clean").commit


class TestDryRun:
    def test_shows_all_and_writes_nothing(self, hub: HubServer, folder: Path) -> None:
        head = hub.create("org/clean", {"pytorch_model.bin": b"x", "config.json": OUTPUTS["config.json"]})
        report = push(folder, "org/clean", dry_run=True)
        assert (report.dry_run, report.commit, report.card) == (True, None, CARD)
        assert [(file.path, file.how) for file in report.files] == [
            ("README.md", "regular"),
            ("config.json", "unchanged"),
            ("hubclean/audit.json", "regular"),
            ("hubclean/norms.png", "regular"),
            ("model.safetensors", "lfs"),
        ]
        assert report.left_behind == ("pytorch_model.bin",)
        assert hub.repo("org/clean").refs["main"] == head
        assert writes(hub) == []

    def test_without_a_hub(self, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        report = push(folder, "org/clean", dry_run=True)
        assert len(report.files) == 5
        assert "HF_HUB_OFFLINE is set" in report.unasked
        assert "the Hub was not asked what org/clean holds: HF_HUB_OFFLINE" in render_push(report)
        assert hub.log == []
        with pytest.raises(TransportError, match="HF_HUB_OFFLINE"):
            push(folder, "org/clean", token=hub.write_token)

    def test_of_a_new_repo(self, hub: HubServer, folder: Path) -> None:
        assert push(folder, "org/clean", dry_run=True, token=hub.write_token).created
        assert hub.storage.repos == {}
        assert writes(hub) == []


def test_the_report_is_plain_data(hub: HubServer, folder: Path) -> None:
    report = push(folder, "org/clean", token=hub.write_token)
    assert json.loads(json.dumps(dataclasses.asdict(report)))["repo_id"] == "org/clean"
