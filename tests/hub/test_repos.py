"""Targets as users write them, and repos on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import HubcleanError, IntegrityError, TargetError
from hubclean.hub.repos import LocalRepo
from hubclean.hub.targets import open_target, parse_target
from support import ROOT
from support.hub_server import HubServer

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("org/model", ("org/model", None)),
        ("timm/test_resnet.r160_in1k", ("timm/test_resnet.r160_in1k", None)),
        ("org/model@v1.0", ("org/model", "v1.0")),
        (f"org/model@{SHA}", ("org/model", SHA)),
        ("org/model@refs/pr/3", ("org/model", "refs/pr/3")),
        ("hf://org/model", ("org/model", None)),
        ("hf://org/model@dev", ("org/model", "dev")),
        ("hf://models/org/model", ("org/model", None)),
        ("https://huggingface.co/org/model", ("org/model", None)),
        ("https://huggingface.co/org/model/?library=timm#usage", ("org/model", None)),
        ("https://hf.co/org/model/tree/v1", ("org/model", "v1")),
        ("https://huggingface.co/org/model/tree/refs%2Fpr%2F1", ("org/model", "refs/pr/1")),
        ("https://huggingface.co/org/model/tree/refs/pr/1", ("org/model", "refs/pr/1")),
        (f"https://huggingface.co/org/model/commit/{SHA}", ("org/model", SHA)),
    ],
)
def test_targets_are_understood(target: str, expected: tuple[str, str | None]) -> None:
    assert parse_target(target) == expected


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("resnet50", "no repo id"),
        ("./missing", "no repo id"),
        ("/etc/none/at/all", "no repo id"),
        ("a/b/c", "no repo id"),
        ("", "no repo id"),
        ("org/../model", "no repo id"),
        ("org/..", "no repo id"),
        ("org/mo del", "no repo id"),
        ("org/mod\x1b[31mel", r"\\x1b"),
        ("org/model\n", "no repo id"),
        ("org/model.git", "no repo id"),
        ("org/" + "m" * 5000, "no repo id"),
        ("org/model@", "no branch"),
        ("org/model@-x", "no branch"),
        ("org/model@a..b", "no branch"),
        ("org/model@main?x=1", "no branch"),
        ("hf://datasets/org/images", "datasets"),
        ("hf://spaces/org/app", "spaces"),
        ("https://huggingface.co/datasets/org/images", "datasets"),
        ("https://huggingface.co/spaces/org/app", "spaces"),
        ("https://huggingface.co/org/model/blob/main/config.json", "whole model"),
        ("https://huggingface.co/org/model/tree/main/sub", "whole model"),
        ("https://huggingface.co/org/model/discussions", "whole model"),
        ("https://huggingface.co/org", "no repo id"),
        ("https://evil.example/org/model", "not an address"),
        ("http://huggingface.co/org/model", "not an address"),
        ("https://huggingface.co@evil.example/org/model", "not an address"),
        ("https://[::1/org/model", "not an address"),
    ],
)
def test_targets_that_are_none(target: str, says: str) -> None:
    with pytest.raises(TargetError, match=says) as failure:
        open_target(target)
    assert str(failure.value).isprintable()


@given(st.text(max_size=60))
def test_any_text_is_a_repo_id_or_a_clear_error(text: str) -> None:
    try:
        repo_id, revision = parse_target(text)
    except TargetError as refused:
        said, repo_id, revision = str(refused), "org/model", None
    else:
        said = ""
    assert said == "" or said.isprintable()
    assert repo_id.count("/") == 1
    assert repo_id.isascii()
    assert ".." not in repo_id + (revision or "")
    assert revision is None or revision.isascii()


def test_a_url_of_the_endpoint_in_use(hub: HubServer) -> None:
    sha = hub.create("org/model", {"config.json": b"{}"})
    assert open_target(f"{hub.url}/org/model/tree/main").ref.revision == sha


def test_two_revisions(hub: HubServer) -> None:
    sha = hub.create("org/model", {"config.json": b"{}"})
    with pytest.raises(TargetError, match="two revisions"):
        open_target("org/model@main", "v2")
    with pytest.raises(TargetError, match="no branch"):
        open_target("org/model", "a b")
    assert open_target("org/model@main", "main").ref.revision == sha


def test_a_path_wins_over_a_repo_id(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", {"config.json": b"{}"})
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert open_target("org/model").ref.kind == "local"
    assert hub.log == []
    with pytest.raises(TargetError, match="revision="):
        open_target("org/model", "main")


def test_folder_listing_reads_and_copies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.bin").write_bytes(b"0123456789")
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"x")
    repo = LocalRepo(tmp_path)
    assert [(row.path, row.size) for row in repo.files()] == [("a.json", 2), ("sub/b.bin", 10)]
    assert repo.read_range("sub/b.bin", 2, 5) == b"234"
    assert repo.read("a.json", 100) == b"{}"
    assert (repo.requests, repo.bytes_read) == (2, 5)
    with pytest.raises(IntegrityError, match="ends before"):
        repo.read_range("sub/b.bin", 8, 11)
    with pytest.raises(IntegrityError, match="more than"):
        repo.read("sub/b.bin", 9)
    copied = repo.fetch(["sub/b.bin"], tmp_path / "copy")
    assert (copied / "sub" / "b.bin").read_bytes() == b"0123456789"
    assert repo.fetch(["a.json"]) == tmp_path


def test_one_file_is_a_repo_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"secret")
    repo = open_target(str(tmp_path / "w.safetensors"))
    assert [row.path for row in repo.files()] == ["w.safetensors"]


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").symlink_to("../secret")
    repo = LocalRepo(model)
    for act in (repo.files, lambda: repo.read("config.json", 100), lambda: repo.fetch(["config.json"])):
        with pytest.raises(TargetError, match="leaves the folder"):
            act()


def test_a_hub_cache_snapshot_is_a_folder_whose_links_are_fine(hub: HubServer) -> None:
    hub.create("org/model", {"config.json": b"{}"})
    folder = open_target("org/model").fetch(["config.json"])
    assert LocalRepo(folder).read("config.json", 10) == b"{}"


def test_local_targets_and_errors_load_no_hub_client_and_no_torch() -> None:
    code = (
        "import sys; from hubclean.hub.targets import open_target; open_target('.').files();\n"
        "bad = [n for n in sys.modules if n.split('.')[0] in ('huggingface_hub', 'torch', 'numpy', 'timm')]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_hub_modules_load_no_torch_and_no_numpy() -> None:
    code = (
        "import sys, hubclean.hub.hub_repo, hubclean.hub.publish;\n"
        "bad = [n for n in sys.modules if n.split('.')[0] in ('torch', 'numpy', 'timm', 'transformers')]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_error_is_one_sentence() -> None:
    with pytest.raises(HubcleanError) as failure:
        open_target("no\nsuch")
    assert "\n" not in str(failure.value)


def test_linked_and_unreadable_folders_are_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "evil.py").write_text("import os")
    model = tmp_path / "model"
    (model / "sub" / ".cache").mkdir(parents=True)
    (model / "sub" / ".cache" / "late.py").write_text("import os")
    assert [row.path for row in LocalRepo(model).files()] == ["sub/.cache/late.py"]
    link = model / "linked"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetError, match=r"'linked' is a link that leaves"):
        LocalRepo(model).files()
    link.unlink()
    listed = os.scandir

    def denied(place: str) -> object:
        if str(place).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(TargetError, match="cannot be read: Permission denied"):
        LocalRepo(model).files()


def test_a_device_is_no_target() -> None:
    with pytest.raises(TargetError, match="neither a folder nor a plain file"):
        open_target(os.devnull)
