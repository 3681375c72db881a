"""``push``: one commit of exactly the audited files. Real client, real HTTP."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hubclean.errors import TargetError
from hubclean.hub.hub_repo import HubRepo
from hubclean.hub.publish import push
from support.audited import CARD, OUTPUTS, WEIGHTS, content, writes
from support.hub_server import HubServer


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

    def test_of_a_new_repo(self, hub: HubServer, folder: Path) -> None:
        assert push(folder, "org/clean", dry_run=True, token=hub.write_token).created
        assert hub.storage.repos == {}
        assert writes(hub) == []


def test_the_report_is_plain_data(hub: HubServer, folder: Path) -> None:
    report = push(folder, "org/clean", token=hub.write_token)
    assert json.loads(json.dumps(dataclasses.asdict(report)))["repo_id"] == "org/clean"
