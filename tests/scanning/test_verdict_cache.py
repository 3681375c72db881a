"""Verdicts that are kept: one request the second time, and nothing believed that does not fit."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import hubclean
from hubclean.cli.main import main
from hubclean.hub.hub_repo import HubRepo
from hubclean.hub.repos import LocalRepo
from hubclean.scanning import verdict_cache, verdict_key
from hubclean.scanning.policy.baseline import Baseline, Entry
from hubclean.scanning.verdict_cache import VerdictCache, default_folder, scan_once
from hubclean.scanning.verdict_key import key_of
from support.hub_server import HubServer
from support.scanned_files import safetensors, written

CLEAN = {"config.json": b'{"architecture": "test_resnet"}', "model.safetensors": safetensors()}
BAD = CLEAN | {"config.json": b'{"architecture": "test_resnet", "auto_map": {"AutoModel": "m.N"}}'}
NOTHING = {"loader": "timm", "files": [], "loadable": False, "note": "", "base": []}
OPTIONS: dict[str, Any] = {"gate": "high"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUBCLEAN_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept" / "verdicts"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="hubclean")


def requests(hub: HubServer, call: Callable[[], Any]) -> list[str]:
    hub.log.clear()
    call()
    return [row.path.partition("?")[0] for row in hub.log]


def test_the_second_scan_is_one_request_and_says_the_same(hub: HubServer, cache: Path) -> None:
    for name, files, code in (("org/clean", CLEAN, 0), ("org/bad", BAD, 1)):
        hub.create(name, files)
        first = run("scan", name, "--json")
        asked = requests(hub, lambda name=name: run("scan", name))
        assert asked == [f"/api/models/{name}"]
        again = run("scan", name, "--json")
        assert (first.exit_code, again.exit_code) == (code, code)
        assert again.stdout == first.stdout, "byte by byte"
        assert "the verdict that was kept of this commit, made with" in run("scan", name).stdout
        assert len(requests(hub, lambda name=name: run("scan", name, "--no-cache"))) > 2
    assert len(list(cache.iterdir())) == 2
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {place.stat().st_mode & 0o777 for place in cache.iterdir()} == {0o600}


def test_whatever_a_verdict_depends_on_makes_another(hub: HubServer, cache: Path) -> None:
    hub.create("org/model", CLEAN)
    repo = HubRepo("org/model")
    known = {key_of(repo, OPTIONS)}
    entry = Entry("HC-CFG-001", "org/model", "config.json", "0" * 64, "high", True, "ours")
    for more in (
        {"gate": "low"}, {"loader": "all"}, {"allow": ("a.B",)}, {"allow_unchecked": ("*",)}, {"variant": "fp16"},
        {"subfolder": "a"}, {"baseline": Baseline((entry,))},
    ):  # fmt: skip
        known.add(key_of(repo, OPTIONS | more))
    hub.repo("org/model").security = {"scansDone": True, "filesWithIssues": []}
    known.add(key_of(HubRepo("org/model"), OPTIONS))
    hub.commit("org/model", {"README.md": b"new"})
    known.add(key_of(HubRepo("org/model"), OPTIONS))
    hub.create("org/other", CLEAN)
    known.add(key_of(HubRepo("org/other"), OPTIONS))
    assert len(known) == 11
    assert None not in known


def test_code_and_version_are_part_of_the_key(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", CLEAN)
    repo = HubRepo("org/model")
    before = key_of(repo, OPTIONS)
    assert before is not None
    monkeypatch.setattr(verdict_key, "__version__", "9.9.9")
    after = key_of(repo, OPTIONS)
    assert after is not None
    assert (after.hubclean, after.code) == ("9.9.9", before.code)


def test_code_is_known_by_its_bytes(tmp_path: Path) -> None:
    package = tmp_path / "hubclean"
    written(package, {"a.py": b"1", "scanning/b.py": b"2", "scanning/c.json": b"3", "nets/d.py": b"4"})
    before = verdict_key.code_of(package)
    (package / "nets" / "d.py").write_bytes(b"not part of a scan")
    assert verdict_key.code_of(package) == before
    for path in ("a.py", "scanning/b.py", "scanning/c.json"):
        (package / path).write_bytes(b"changed")
        assert verdict_key.code_of(package) != before
        before = verdict_key.code_of(package)


def test_local_files_and_scanners_of_others_are_never_kept(
    hub: HubServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "model", CLEAN)
    assert run("scan", folder).exit_code == 0
    assert key_of(LocalRepo(folder), OPTIONS) is None
    assert not cache.exists()
    hub.create("org/model", CLEAN)
    repo = HubRepo("org/model")
    assert key_of(repo, OPTIONS) is not None
    monkeypatch.setattr(verdict_key.importlib.metadata, "entry_points", lambda group: [EntryPoint("x", "y:Z", group)])
    verdict_key.scanners_of_others.cache_clear()
    try:
        assert key_of(repo, OPTIONS) is None
    finally:
        verdict_key.scanners_of_others.cache_clear()


def test_what_is_undecided_or_may_pass_is_not_kept(hub: HubServer, cache: Path) -> None:
    hub.create("org/odd", CLEAN | {"config.json": b"{"})
    assert run("scan", "org/odd").exit_code == 2
    hub.create("org/bad", BAD | {"other.onnx": b"\x08\x01"})
    hub.fault("status", path="*/other.onnx", status=500)
    assert run("scan", "org/bad").exit_code == 1, "for what was found; of the other file nobody knows"
    assert not cache.exists()
    hub.faults.clear()
    assert run("scan", "org/bad").exit_code == 1
    assert len(list(cache.iterdir())) == 1


def _rewritten(place: Path, change: Callable[[dict[str, Any], dict[str, Any]], None], sealed: bool = True) -> None:
    head, report = (json.loads(line) for line in place.read_text().splitlines())
    change(head, report)
    body = json.dumps(report)
    if sealed:
        head["sha256"] = hashlib.sha256(body.encode()).hexdigest()
    place.write_text(f"{json.dumps(head)}\n{body}\n")


@pytest.mark.parametrize(
    ("change", "sealed", "says"),
    [
        (lambda head, report: report.update(findings=[]), False, "its bytes changed"),
        (lambda head, report: head.update(schema="x"), True, "it is of another scan"),
        (lambda head, report: head["key"].update(policy="0" * 64), True, "it is of another scan"),
        (lambda head, report: head["key"].update(more=1), True, "unknown fields"),
        (lambda head, report: report.update(more=1), True, "unknown fields"),
        (lambda head, report: report["files"].pop(), True, "other files than the repo has"),
        (lambda head, report: report["files"].append(report["files"][0]), True, "other files"),
        (lambda head, report: report["origin"].update(revision="0" * 40), True, "another commit"),
        (lambda head, report: report.update(load_set={"loader": "x"}), True, "load_set.loader is 'x'"),
        (lambda head, report: report.update(findings=[], load_set=NOTHING), True, "no verdict"),
        (lambda head, report: report.update(skipped=[{"step": "a", "reason": "b"}]), True, "no verdict"),
    ],
)  # fmt: skip
def test_an_entry_that_does_not_fit_is_ignored_and_that_is_said(
    change: Any, sealed: bool, says: str, hub: HubServer, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.create("org/bad", BAD)
    run("scan", "org/bad")
    (place,) = cache.iterdir()
    _rewritten(place, lambda head, report: None)
    assert requests(hub, lambda: run("scan", "org/bad")) == ["/api/models/org/bad"], "as it was, it is believed"
    assert not caplog.records
    _rewritten(place, change, sealed)
    assert run("scan", "org/bad").exit_code == 1
    (record,) = caplog.records
    assert says in record.getMessage()
    assert requests(hub, lambda: run("scan", "org/bad")) == ["/api/models/org/bad"], "it was written anew"


def test_bytes_that_are_no_entry_are_ignored(
    hub: HubServer, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("org/bad", BAD)
    run("scan", "org/bad")
    (place,) = cache.iterdir()
    whole = place.read_bytes()
    for body in (b"", b"\n", b"{}", b"\xff\n\xff", whole[:-100], b"[" * 100_000):
        place.write_bytes(body)
        assert run("scan", "org/bad").exit_code == 1
    assert len(caplog.records) == 6
    (tmp_path / "elsewhere").write_bytes(whole)
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere")
    assert run("scan", "org/bad").exit_code == 1
    assert len(caplog.records) == 7
    assert not place.is_symlink()
    monkeypatch.setattr(verdict_cache, "LONGEST", len(whole) // 2)
    assert run("scan", "org/bad").exit_code == 1
    assert "more than" in caplog.records[-1].getMessage()


def test_a_folder_that_others_may_enter_is_not_used(
    hub: HubServer, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.create("org/model", CLEAN)
    run("scan", "org/model")
    (place,) = cache.iterdir()
    for mode in (0o755, 0o777, 0o750):
        cache.chmod(mode)
        assert len(requests(hub, lambda: run("scan", "org/model"))) > 1
        assert "mode 700" in caplog.records[-1].getMessage()
    cache.chmod(0o700)
    os.rename(cache, cache.with_name("real"))
    cache.symlink_to(cache.with_name("real"))
    assert len(requests(hub, lambda: run("scan", "org/model"))) > 1
    assert place.name in os.listdir(cache)


def test_the_oldest_go(hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_cache, "MOST", 3)
    for number in range(5):
        hub.create(f"org/m{number}", CLEAN)
        run("scan", f"org/m{number}")
        assert len(list(cache.iterdir())) <= 3
    assert requests(hub, lambda: run("scan", "org/m4")) == ["/api/models/org/m4"]


def test_python_keeps_nothing_unasked(hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", CLEAN)
    hubclean.scan("org/model")
    assert not cache.exists()
    first = hubclean.scan("org/model", cache=True)
    assert requests(hub, lambda: hubclean.scan("org/model", cache=True)) == ["/api/models/org/model"]
    assert hubclean.scan("org/model", cache=True) == first
    monkeypatch.setenv("HUBCLEAN_CACHE", "")
    assert default_folder() is None
    monkeypatch.delenv("HUBCLEAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/hubclean/verdicts")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path("/home/me/.cache/hubclean/verdicts")


def test_a_disk_that_cannot_be_written_keeps_no_scan_from_its_verdict(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", CLEAN)
    (tmp_path / "file").write_bytes(b"")
    report, kept = scan_once(HubRepo("org/model"), VerdictCache(tmp_path / "file" / "verdicts"), **OPTIONS)
    assert (report.exit_code, kept) == (0, False)
