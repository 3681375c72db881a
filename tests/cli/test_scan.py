"""The commands ``scan`` and ``download`` as users and CI meet them: formats, many targets, exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hubclean.cli.main import main
from hubclean.errors import OptionError
from hubclean.records import from_json
from hubclean.scanning.document import ScanDocument, TargetScan, document_of, target_scan
from hubclean.scanning.engine import scan
from hubclean.scanning.pickles.allowed_names import check_names
from hubclean.scanning.policy.effective import Policy
from support.hub_server import HubServer
from support.scanned_files import safetensors, written

CLEAN = {"config.json": b'{"architecture": "test_resnet"}', "model.safetensors": safetensors(), "README.md": b"# hi"}
BAD = CLEAN | {"config.json": b'{"auto_map": {"AutoModel": "m.N"}}'}
ODD = CLEAN | {"config.json": b"{"}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="hubclean")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    kinds = {"clean": CLEAN, "fine": CLEAN, "bad": BAD, "odd": ODD}
    return {name: written(tmp_path / name, files) for name, files in kinds.items()}


def test_every_finding_is_one_line_that_names_all(folders: dict[str, Path]) -> None:
    done = run("scan", folders["bad"])
    assert done.exit_code == 1
    assert done.output.splitlines()[0] == "1 static finding (1 high) in 1 of 3 files; 2 ok"
    (line,) = [line for line in done.output.splitlines() if "HC-CFG-001" in line]
    for word in ("high", "config.json", "auto_map", "trust_remote_code"):
        assert word in line


@pytest.mark.parametrize(
    ("names", "exit_code"),
    [(["clean", "fine"], 0), (["clean", "odd"], 2), (["odd", "bad", "clean"], 1), (["clean", "gone"], 2)],
)
def test_many_targets_one_table_one_exit_code(folders: dict[str, Path], names: list[str], exit_code: int) -> None:
    targets = [folders.get(name, Path("/no/where")) for name in names]
    done = run("scan", *targets)
    assert done.exit_code == exit_code
    table = done.output[done.output.index("EXIT") :]
    assert [line.split()[-1] for line in table.splitlines()[1:] if line[:1].isdigit()] == [
        "/no/where" if name == "gone" else name for name in names
    ]
    assert f"exit code {exit_code} over {len(names)} targets" in table
    if "bad" in names:
        assert "HC-CFG-001  bad/config.json" in done.output
    quiet = run("scan", "-q", *targets)
    assert quiet.output == table
    assert quiet.exit_code == exit_code


def test_quiet_is_one_line_of_counts(folders: dict[str, Path]) -> None:
    assert run("scan", "-q", folders["odd"]).output == (
        "1 static finding (1 medium) in 1 of 3 files; 2 ok; 1 not checked\n"
    )


def test_targets_from_a_file(folders: dict[str, Path], tmp_path: Path) -> None:
    listed = tmp_path / "models.txt"
    listed.write_text(f"\ufeff# ours\n\n{folders['clean']}\n  {folders['bad']} # why\n")
    done = run("scan", folders["odd"], "--from", listed, "--json")
    value = from_json(ScanDocument, json.loads(done.output))
    assert [row.exit_code for row in value.scans] == [2, 0, 1]
    assert done.exit_code == value.exit_code == 1
    listed.write_text("# nothing\n")
    assert run("scan", "--from", listed).exit_code == 2
    listed.write_bytes(b"\xff\xfe")
    done = run("scan", "--from", listed)
    assert (done.exit_code, "UTF-8" in done.output) == (2, True)


@pytest.mark.parametrize("words", [[], ["a/b", "c/d", "--deep"], ["a/b", "c/d", "--revision", "main"]])
def test_calls_that_make_no_sense_are_refused(words: list[str]) -> None:
    done = run("scan", *words)
    assert done.exit_code == 2
    assert "Error:" in done.output


@pytest.mark.parametrize(("form", "key"), [("json", "scans"), ("sarif", "runs"), ("cyclonedx", "bomFormat")])
def test_a_format_is_one_document_also_when_a_target_fails(folders: dict[str, Path], form: str, key: str) -> None:
    done = run("scan", folders["bad"], "/no/where", "--format", form)
    assert key in json.loads(done.output)
    assert done.exit_code == 1


def test_what_is_allowed_stands_in_the_report(folders: dict[str, Path]) -> None:
    name = "timm.models.resnet.ResNet"
    words = ["scan", folders["odd"], "--allow-unchecked", "*.json", "--allow", name]
    done = run(*words)
    assert done.exit_code == 0
    assert name in done.output
    assert "*.json" in done.output
    value = json.loads(run(*words, "--json").output)
    assert (value["allowed_names"], value["allowed_unchecked"]) == ([name], ["*.json"])
    assert scan(folders["odd"], allow=(name,)).allowed_names == (name,)


@pytest.mark.parametrize(
    "name",
    ["os.system", "posix.system", "subprocess.Popen", "builtins.eval", "sys.exit", "a.os.system", "timm", "timm.*", "",
     "a..b", "a.b c", "torch.nn.Module.__class__", "operator.attrgetter", "\x1b.x"],
)  # fmt: skip
def test_names_that_can_never_be_allowed(name: str, folders: dict[str, Path]) -> None:
    with pytest.raises(OptionError):
        check_names([name])
    done = run("scan", folders["clean"], "--allow", name)
    assert done.exit_code == 2
    assert "\x1b" not in done.output


def test_scanners_are_told_which_names_are_allowed(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from hubclean.scanning import engine

    told: list[Any] = []

    class Plugin:
        def scan(self, repo: Any, files: Any) -> Any:
            told.append(repo.allowed_names)
            return ()

    monkeypatch.setattr(engine, "methods", lambda kind: {"plugin": Plugin})
    scan(folders["clean"], allow=("timm.a.B",))
    assert told == [frozenset({"timm.a.B"})]


def test_single_file_folder_and_hub_agree(hub: HubServer, tmp_path: Path) -> None:
    files = CLEAN | {"bad.safetensors": safetensors(data=b""), "odd.onnx": b"\x08", "p.json": b"{", "e.txt": b""}
    hub.create("org/model", files)
    folder = written(tmp_path / "repo", files)
    at_hub = {row.path: (row.state, row.reason) for row in scan("org/model").files}
    assert at_hub == {row.path: (row.state, row.reason) for row in scan(folder).files}
    for path, verdict in at_hub.items():
        (alone,) = scan(folder / path).files
        assert (alone.state, alone.reason) == verdict


def test_an_index_alone_is_not_checked(tmp_path: Path) -> None:
    text = b'{"weight_map": {"a": "model-1.safetensors"}}'
    report = scan(written(tmp_path, {"model.safetensors.index.json": text}) / "model.safetensors.index.json")
    assert (report.exit_code, report.files[0].state) == (2, "unchecked")
    assert scan(tmp_path).exit_code == 1


def test_the_clients_own_files_are_passed_over_and_no_others(tmp_path: Path) -> None:
    cache = {".cache/huggingface/download/config.json.metadata": b"x", ".cache/huggingface/CACHEDIR.TAG": b"x"}
    report = scan(written(tmp_path, CLEAN | cache | {".cache/huggingface/x.pkl": b"\x80\x02}.", ".cache/y.py": b"1"}))
    extra = {file.path for file in report.files} - CLEAN.keys()
    assert extra == {".cache/huggingface/x.pkl", ".cache/y.py"}


@pytest.mark.parametrize("width", [50, 60, 89, 90, 120])
def test_a_terminal_gets_lines_that_fit(folders: dict[str, Path], width: int) -> None:
    from hubclean.cli.text.scan import render_scan

    for name in ("bad", "odd", "clean"):
        text = render_scan(scan(folders[name]), width=width, policy=Policy(not_read="hubclean.toml"))
        assert [line for line in text.splitlines() if len(line) > width] == []
        whole = render_scan(scan(folders[name]), policy=Policy(not_read="hubclean.toml"))
        assert len(text.splitlines()) > len(whole.splitlines()) or width > 60
        parts = text.split("requests,")[0].split(), whole.split("requests,")[0].split()
        assert parts[0] == parts[1], "not a word more or less"


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_table_names_every_target_whole(folders: dict[str, Path], width: int) -> None:
    from hubclean.cli.text.scan import render_table

    rows = [TargetScan(f"org/{'long-' * 12}{number}", 2, "there is nothing " * 9) for number in range(2)]
    rows.append(target_scan("short", scan(folders["bad"])))
    lines = render_table(document_of(rows), width).splitlines()
    for row in rows[:2]:
        assert any(row.target in line for line in lines)
    assert all(len(line) <= width for line in lines if "long-" not in line)
    assert lines[-1] == "exit code 1 over 3 targets"


@pytest.mark.parametrize(
    ("env", "terminal", "colours"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_go_by_the_terminal_and_by_what_is_asked_for(
    env: dict[str, str], terminal: bool, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubclean.cli.text.layout import coloured

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", out)
    assert coloured() == colours


def test_forced_colours_reach_a_pipe(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for value, colours in (("", False), ("1", True)):
        monkeypatch.setenv("FORCE_COLOR", value)
        assert ("\x1b[31mhigh" in run("scan", folders["bad"]).stdout) == colours
    assert "\x1b" not in run("scan", folders["bad"], "--json").stdout


def test_a_target_is_scanned_once_however_it_is_named(folders: dict[str, Path], hub: HubServer) -> None:
    sha = hub.create("org/model", CLEAN)
    folder = folders["clean"]
    names = ["org/model", "hf://org/model", "Org/Model", f"{hub.url}/org/model/tree/main", f"org/model@{sha}"]
    names += [folder, f"{folder}/", folder / ".." / "clean", folder / "config.json", "no target", "no target"]
    done = run("scan", *names, "--json")
    assert [row["target"] for row in json.loads(done.stdout)["scans"]] == [
        "org/model", f"org/model@{sha}", str(folder), str(folder / "config.json"), "no target",
    ]  # fmt: skip
    assert done.stderr == "hubclean: 6 of 11 targets were named before; each is scanned once\n"
    assert "origin:" in run("scan", folder, folder).stdout.splitlines()[1], "as one target alone"


def test_targets_from_standard_input(folders: dict[str, Path]) -> None:
    def piped(text: bytes) -> Result:
        return CliRunner().invoke(main, ["scan", "--from", "-", "--json"], input=text)

    done = piped(f"{folders['clean']}\n# no\n{folders['bad']}\n".encode())
    assert (done.exit_code, len(json.loads(done.stdout)["scans"])) == (1, 2)
    for text in (b"", b"\xff", b"a/b\n" * 10_001):
        done = piped(text)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "standard input" in done.stderr


def test_several_formats_in_one_run(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.sarif").write_text("older")
    names = ["a.sarif", "b.cdx.json", "c.json", "sarif=d.txt", "json=e=f"]
    words = [word for name in names for word in ("--output", name.replace("=", f"={out}/", 1) if "=" in name
             else out / name)]  # fmt: skip
    done = run("scan", folders["bad"], *words)
    assert done.exit_code == 1
    assert done.stdout.startswith("1 static finding"), "and the text for who reads it"
    found = {place.name: json.loads(place.read_text()) for place in out.iterdir()}
    assert sorted(found) == ["a.sarif", "b.cdx.json", "c.json", "d.txt", "e=f"]
    assert found["a.sarif"] == found["d.txt"]
    assert found["c.json"] == found["e=f"] == json.loads(run("scan", folders["bad"], "--json").stdout)
    assert found["b.cdx.json"]["bomFormat"] == "CycloneDX"
    for word in ("x.txt", "xml=x", "=x", "json=", ""):
        done = run("scan", folders["clean"], "--output", word)
        assert (done.exit_code, done.stdout) == (2, "")
    done = run("scan", folders["clean"], "--output", out / "none" / "x.json")
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["scam", "x"], "'scan'"), (["methds"], "'methods'"), (["scan", "x", "--fail-onn", "low"], "'--fail-on'")],
)
def test_who_mistypes_is_told_what_there_is(words: list[str], meant: str) -> None:
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"Did you mean {meant}?" in done.stderr
