"""A published checkpoint, verified over real HTTP: by the listing and by range, without its weights being fetched."""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import hubclean
from hubclean.cleansing.verifying import files, tensors
from hubclean.cleansing.verifying.report import VerifyReport
from hubclean.records import RepoRef
from hubclean.scanning.formats.safetensors_header import read_header_file
from support.hub_server import HubServer
from support.stated import Cleansed, audit_of, edited, restated
from support.tiny_models import make_repo

WEIGHTS = "model.safetensors"


def contents(folder: Path) -> dict[str, Path]:
    return {place.relative_to(folder).as_posix(): place for place in folder.rglob("*") if place.is_file()}


@pytest.fixture
def published(cleansed: Cleansed, hub: HubServer) -> str:
    """The original as org/base, the cleansed one as me/cleansed with an audit that names the commit of org/base."""
    sha = hub.create("org/base", contents(cleansed.base))
    origin = RepoRef("org/base", sha, "hub")
    restated(cleansed.out, cleansed.base, lambda audit: edited(audit, "origin", origin))
    hub.create("me/cleansed", contents(cleansed.out))
    hub.log.clear()
    return sha


def states(report: VerifyReport) -> dict[str, str]:
    return {row.name: row.state for row in report.checks if row.state != "as stated"}


def test_it_is_read_by_range_and_compared_with_the_recorded_commit(
    published: str, hub: HubServer, cleansed: Cleansed, fresh_cache: Path
) -> None:
    hub.commit("org/base", {WEIGHTS: b"the branch moved on"})
    report = hubclean.verify("me/cleansed")
    assert (report.exit_code, states(report)) == (0, {}), report.checks
    assert report.base == RepoRef("org/base", published, "hub")
    assert "as its commit says, not fetched" in report.checks[0].said
    assert not list(fresh_cache.rglob("*.safetensors")), "no file was fetched whole"
    assert hubclean.verify("me/cleansed", base="org/base").exit_code == 0, "the audit's commit, not the newest"
    (place,) = hubclean.verify("me/cleansed", base="org/base@main").checks[2].places
    assert place.path == WEIGHTS


@pytest.mark.parametrize("named_only", [True, False])
def test_large_weights(
    published: str,
    hub: HubServer,
    cleansed: Cleansed,
    fresh_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    named_only: bool,
) -> None:
    """Little beside the named tensors is read by range; else the file is fetched into the cache and hashed."""
    size = (cleansed.out / WEIGHTS).stat().st_size
    named = audit_of(cleansed.out).cleansing.changed
    monkeypatch.setattr(tensors, "BY_RANGE", size - 20_000 if named_only else 1000)
    if named_only:  # every tensor may differ, so that none is looked at
        header = read_header_file(cleansed.out / WEIGHTS)
        named = tuple(sorted(row.name for row in header.tensors))
        restated(cleansed.out, cleansed.base, lambda audit: edited(audit, "cleansing.changed", named))
        hub.commit("me/cleansed", contents(cleansed.out))
    report = hubclean.verify("me/cleansed")
    assert (report.exit_code, states(report)) == (0, {}), report.checks
    fetched = [place.name for place in fresh_cache.rglob("*.safetensors")]
    assert fetched == ([] if named_only else [WEIGHTS, WEIGHTS])
    assert (f"that {len(named)} of them do differ was not read" in report.checks[2].said) == named_only


def test_what_was_added_or_exchanged_after_the_push(published: str, hub: HubServer, cleansed: Cleansed) -> None:
    hub.commit("me/cleansed", {"pytorch_model.bin": b"\x80\x04K\x01.", "config.json": b"{}", ".gitattributes": b""})
    report = hubclean.verify("me/cleansed")
    assert {row.path for row in report.checks[0].places} == {"pytorch_model.bin", "config.json"}
    body = bytearray((cleansed.out / WEIGHTS).read_bytes())
    body[-1] ^= 1
    hub.commit("me/cleansed", {WEIGHTS: bytes(body)})
    report = hubclean.verify("me/cleansed")
    assert WEIGHTS in {row.path for row in report.checks[0].places}
    assert (report.exit_code, hub.asked("GET", "nothing")) == (1, [])


def test_a_pull_request_of_anybody_is_no_original(published: str, hub: HubServer, cleansed: Cleansed) -> None:
    """Its commit is one of org/base, and an audit may name it: its owner never saw it."""
    from huggingface_hub import CommitOperationAdd, HfApi

    body = bytearray((cleansed.base / WEIGHTS).read_bytes())
    body[-1] ^= 1
    addition = CommitOperationAdd(WEIGHTS, io.BytesIO(body))
    made = HfApi(token=hub.write_token).create_commit("org/base", [addition], commit_message="x", create_pr=True)
    inputs = tuple(
        replace(row, sha256=hashlib.sha256(body).hexdigest()) if row.path == WEIGHTS else row
        for row in audit_of(cleansed.out).inputs
    )
    weights = bytearray((cleansed.out / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (cleansed.out / WEIGHTS).write_bytes(weights)
    origin = RepoRef("org/base", made.oid, "hub")
    restated(cleansed.out, cleansed.base, lambda audit: replace(audit, inputs=inputs, origin=origin))
    hub.commit("me/cleansed", contents(cleansed.out))
    for base in (None, "org/base"):
        report = hubclean.verify("me/cleansed", base=base)
        assert (report.exit_code, states(report)) == (2, {"original": "undecided"}), report.checks
        assert "may be anybody's pull request" in report.checks[2].said
    assert hubclean.verify("me/cleansed", base=f"org/base@{made.oid}").exit_code == 0, "the user accepts it"


def test_the_card_names_its_own_repo_or_none(published: str, hub: HubServer, cleansed: Cleansed) -> None:
    text = (cleansed.out / "README.md").read_text(encoding="utf-8")
    for name, code in (("me/cleansed", 0), ("evil/other", 1)):
        hub.commit("me/cleansed", {"README.md": text.replace("THIS/REPO", name).encode()})
        assert hubclean.verify("me/cleansed").exit_code == code


def test_a_server_that_flips_a_bit(published: str, hub: HubServer) -> None:
    hub.fault("flip", path="*me/cleansed/resolve/*config.json")
    report = hubclean.verify("me/cleansed")
    assert report.exit_code == 1
    assert {row.path for row in report.checks[0].places} >= {"config.json"}


def test_an_original_that_is_gone(published: str, hub: HubServer) -> None:
    hub.fault("status", path="/api/models/org/base/*", status=404)
    report = hubclean.verify("me/cleansed")
    assert (report.exit_code, states(report)) == (2, {"original": "undecided"}), report.checks
    assert "org/base" in report.checks[2].said


def test_another_original_than_the_user_names(published: str, hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/other", contents(make_repo(tmp_path / "other", "timm-resnet", seed=3)))
    report = hubclean.verify("me/cleansed", base="org/other")
    assert (report.exit_code, states(report)) == (1, {"original": "not as stated"})


def test_the_original_of_a_stranger_is_never_a_path(
    cleansed: Cleansed, monkeypatch: pytest.MonkeyPatch, hub: HubServer
) -> None:
    """An audit that names ``base`` as a repo of a Hub must not make us read the folder of that name, or any other."""
    monkeypatch.chdir(cleansed.base.parent)
    (cleansed.base.parent / "org").mkdir()
    shutil.copytree(cleansed.base, cleansed.base.parent / "org" / "base")
    for name in ("org/base", "../base", "/etc/passwd", "http://127.0.0.1/x", "hf://base"):
        origin = RepoRef(name, "a" * 40, "hub")
        restated(cleansed.out, cleansed.base, lambda audit, origin=origin: edited(audit, "origin", origin))
        report = hubclean.verify("out")
        assert report.base is None
        assert report.checks[2].state == "undecided"
    assert {row.path for row in hub.log} <= {f"/api/models/org/base/revision/{'a' * 40}"}


def test_a_file_that_is_fetched_is_hashed(published: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "READ", 10)
    hub.fault("rotten", path="*org/base/resolve/*LICENSE", value=3)
    report = hubclean.verify("me/cleansed")
    assert (report.exit_code, states(report)) == (1, {"original": "not as stated"})
    (place,) = report.checks[2].places
    assert place.path == "LICENSE"
    hub.faults.clear()
    assert hubclean.verify("me/cleansed").exit_code == 0
