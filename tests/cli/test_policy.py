"""Settings of a team on the command line: which file holds where, what it changes; no target brings its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import hubclean
from hubclean.cli.main import main
from hubclean.errors import OptionError, UnsafeRepoError
from hubclean.records import from_json
from hubclean.scanning.document import ScanDocument
from support.hub_server import HubServer
from support.scanned_files import safetensors, written

CLEAN = {"config.json": b'{"architecture": "test_resnet"}', "model.safetensors": safetensors()}
BAD = CLEAN | {"config.json": b'{"auto_map": {"AutoModel": "m.N"}}'}
ODD = CLEAN | {"config.json": b"{"}
SOFT = b'fail-on = "critical"\n'


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="hubclean")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two models in it, where the team stands."""
    desk = tmp_path / "desk"
    written(desk / "models" / "bad", BAD)
    written(desk / "models" / "odd", ODD)
    (desk / ".git").mkdir()
    monkeypatch.chdir(desk)
    return desk


def scanned(*words: object) -> tuple[int, Any]:
    done = run("scan", *words, "--json")
    return done.exit_code, json.loads(done.stdout)["scans"][0]["policy"] if done.stdout else done.stderr


def test_a_file_softens_the_gate_flags_win_and_both_are_told(desk: Path) -> None:
    assert scanned("models/bad")[0] == 1
    (desk / "hubclean.toml").write_bytes(SOFT)
    code, policy = scanned("models/bad")
    assert (code, policy["gate"], policy["file"]) == (0, "critical", "hubclean.toml")
    assert policy["sources"] == {"fail-on": "hubclean.toml", "for": "default", "baseline": "default"}
    code, policy = scanned("models/bad", "--fail-on", "medium", "--for", "all")
    assert (code, policy["sources"]) == (1, {"fail-on": "--fail-on", "for": "--for", "baseline": "default"})
    assert scanned("models/bad", "--no-config")[0] == 1
    line = "  policy: fail-on critical (hubclean.toml); for all (--for)"
    assert line in run("scan", "models/bad", "--for", "all").stdout.splitlines()
    assert "policy:" not in run("scan", "models/bad", "--no-config").stdout


def test_an_expired_allowance_does_not_count_and_is_told(desk: Path) -> None:
    row = '[[allow-unchecked]]\npattern = "*.json"\nreason = "made by a tool"\nexpires = {}\n'
    (desk / "hubclean.toml").write_text(row.format("2999-12-31"))
    done = run("scan", "models/odd")
    assert done.exit_code == 0
    assert "allow-unchecked *.json (hubclean.toml, made by a tool, until 2999-12-31)" in done.stdout
    (desk / "hubclean.toml").write_text(row.format("2020-01-01"))
    for words in (["models/odd"], ["-q", "models/odd", "models/odd/model.safetensors"]):
        done = run("scan", *words)
        assert done.exit_code == 2
        assert "EXPIRED, does not count: allow-unchecked *.json" in done.stdout
    value = from_json(ScanDocument, json.loads(run("scan", "models/odd", "--json").stdout))
    assert value.allowed_unchecked == ()
    assert [one.expired for one in value.scans[0].policy.allowances] == [True]


def test_rules_for_some_repos_hold_for_no_folder_of_that_name(desk: Path, hub: HubServer) -> None:
    hub.create("ourorg/model", BAD)
    hub.create("other/model", BAD)
    written(desk / "ourorg" / "local", BAD)
    written(desk / "models--ourorg--model" / "snapshots" / ("a" * 40), BAD)
    (desk / "hubclean.toml").write_bytes(b'[[repos]]\nmatch = "ourorg/*"\n' + SOFT)
    targets = ["ourorg/model", "other/model", "ourorg/local", "models--ourorg--model"]
    done = run("scan", *targets, "--json")
    value = json.loads(done.stdout)
    assert [row["exit_code"] for row in value["scans"]] == [0, 1, 1, 1]
    assert [row["policy"]["gate"] for row in value["scans"]] == ["critical", "high", "high", "high"]
    assert value["gate"] == "high", "the lowest"


@pytest.mark.parametrize("holder", ["hubclean.toml", "pyproject.toml"])
def test_a_target_does_not_bring_its_own_settings(
    desk: Path, holder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SOFT if holder == "hubclean.toml" else b"[tool.hubclean]\n" + SOFT
    evil = written(tmp_path / "evil", BAD | {holder: text, "inner/x.txt": b"x", f"inner/{holder}": text})
    (tmp_path / "link").symlink_to(evil)
    (evil / ".git").mkdir()
    calls = [(evil, "."), (evil, ""), (evil, evil), (evil / "inner", ".."), (evil / "inner", evil)]
    calls += [(evil, tmp_path / "link"), (tmp_path / "link", "."), (tmp_path / "link", evil), (evil, "config.json")]
    calls += [(evil / "inner", "../config.json"), (evil, evil / "config.json")]
    for here, target in calls:
        monkeypatch.chdir(here)
        done = run("scan", target or ".")
        assert done.exit_code == 1, (here, target)
        if Path(target or ".").is_dir():
            assert f"{holder} lies in the target itself and was not read; --config" in done.stdout, (here, target)
    monkeypatch.chdir(evil)
    assert run("download", ".", "--out", tmp_path / "out").exit_code == 1
    assert run("convert", ".", "--out", tmp_path / "out").exit_code == 2  # there is nothing to convert
    assert run("scan", ".", "--config", holder).exit_code == 0, "whose name the caller knows he may believe"


def test_a_target_cannot_break_the_search_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = written(tmp_path / "evil", BAD | {"pyproject.toml": b"= no toml", "hubclean.toml": b"= nor this"})
    monkeypatch.chdir(evil)
    assert run("scan", ".").exit_code == 1
    assert run("scan", tmp_path / "none").exit_code == 2
    (evil / "hubclean.toml").unlink()
    written(tmp_path / "mine", BAD)
    done = run("scan", tmp_path / "mine")
    assert (done.exit_code, "pyproject.toml is no TOML" in done.stderr) == (2, True)


def test_what_lies_above_the_target_still_holds(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "hubclean.toml").write_bytes(b'fail-on = "low"\n')
    (desk / "models" / "bad" / "hubclean.toml").write_bytes(SOFT)
    monkeypatch.chdir(desk / "models" / "bad")
    code, policy = scanned(".")
    assert (code, policy["gate"], policy["file"]) == (1, "low", "../../hubclean.toml")
    assert policy["not_read"] == "hubclean.toml"


def test_the_search_ends_at_the_root_of_the_repository(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.parent / "hubclean.toml").write_bytes(SOFT)
    assert scanned("models/bad")[1]["file"] == ""
    (desk / ".git").rmdir()
    monkeypatch.chdir(desk / "models")
    (desk / "hubclean.toml").write_bytes(SOFT)
    assert scanned("bad")[0] == 1, "outside of a repository only the working directory counts"
    assert scanned("bad", "--config", "../hubclean.toml")[0] == 0


@pytest.mark.parametrize("command", ["scan", "download", "convert", "clean"])
def test_settings_that_are_wrong_are_one_sentence_and_2(desk: Path, command: str) -> None:
    (desk / "hubclean.toml").write_text('"fail\\u001b[31mon" = "low"\n')
    words = ["--out", "out"] if command != "scan" else []
    done = run(command, "models/bad", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("hubclean: hubclean.toml: no setting is called 'fail\\\\x1b[31mon'")
    assert done.stderr.count("\n") == 1
    for flags in (["--config", "gone.toml"], ["--config", "hubclean.toml", "--no-config"]):
        assert run(command, "models/bad", *words, *flags).exit_code == 2
    (desk / "pyproject.toml").write_text("[tool.hubclean]\n")
    assert "both lie in" in run(command, "models/bad", *words).stderr


def test_other_commands_and_python_go_by_the_same_file(
    desk: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("ourorg/model", BAD)
    (desk / "hubclean.toml").write_bytes(b'[[repos]]\nmatch = "ourorg/*"\n' + SOFT)
    done = run("download", "ourorg/model", "--out", "out", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["policy"]["sources"]["fail-on"] == "hubclean.toml: repos 1"
    assert hubclean.scan("ourorg/model").exit_code == 1, "no file is read unasked"
    assert hubclean.scan("ourorg/model", config="hubclean.toml").exit_code == 0
    assert hubclean.scan("ourorg/model", config="hubclean.toml", gate="high").exit_code == 1
    assert hubclean.download("ourorg/model", "again", config=Path("hubclean.toml")).exit_code == 0
    with pytest.raises(OptionError, match="cannot be read"):
        hubclean.guard(config="gone.toml")


def test_a_guard_goes_by_a_file_online_and_offline(desk: Path, hub: HubServer) -> None:
    from huggingface_hub import hf_hub_download, snapshot_download

    (desk / "hubclean.toml").write_bytes(b'[[repos]]\nmatch = "ourorg/*"\n' + SOFT)
    for name in ("ourorg/model", "other/model"):
        hub.create(name, BAD)
    with hubclean.guard(config="hubclean.toml") as guard:
        hf_hub_download("ourorg/model", "config.json")
        with pytest.raises(UnsafeRepoError):
            hf_hub_download("other/model", "config.json")
    assert [report.gate for report in guard.reports] == ["critical", "high"]
    for name in ("ourorg/model", "other/model"):
        snapshot_download(name)
    with hubclean.guard(config="hubclean.toml"):
        hf_hub_download("ourorg/model", "config.json", local_files_only=True)
        with pytest.raises(UnsafeRepoError):
            hf_hub_download("other/model", "config.json", local_files_only=True)
    with hubclean.guard(config="hubclean.toml", gate="high"), pytest.raises(UnsafeRepoError):
        hf_hub_download("ourorg/model", "config.json")
