"""``hubclean baseline`` writes what is accepted; every command that goes by it says so, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft4Validator

import hubclean
from hubclean.cli.main import main
from hubclean.errors import FormatError, UnsafeRepoError
from hubclean.records import from_json
from hubclean.scanning.converting import convert
from hubclean.scanning.document import ScanDocument
from hubclean.scanning.policy.baseline import read_baseline
from support import ROOT
from support.hub_server import HubServer
from support.pickled import name, stream
from support.scanned_files import safetensors, written

FILE = "hubclean-baseline.json"
BAD = {
    "config.json": b'{"architecture": "test_resnet", "auto_map": {"AutoModel": "m.N"}}',
    "model.safetensors": safetensors(),
}
SARIF = Draft4Validator(json.loads((ROOT / "tests" / "support" / "schemas" / "sarif-2.1.0-rtm.5.json").read_text()))


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="hubclean")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    written(tmp_path / "desk" / "model", BAD)
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


def test_written_used_stale_and_brought_up_to_date(desk: Path) -> None:
    assert run("scan", "model").exit_code == 1
    done = run("baseline", "model", "--reason", "our \x1b[31mown", "--expires", "2999-01-31")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"{FILE} holds 1 accepted finding: 1 added, 0 dropped, 0 kept"
    assert "\x1b" not in done.stdout
    done = run("scan", "model", "--baseline", FILE)
    assert done.exit_code == 0
    assert "accepted  HC-CFG-001  config.json" in done.stdout
    assert "-> high, accepted: our \\x1b[31mown" in done.stdout
    assert "timm loads config.json, model.safetensors: 1 of 2 ok, 1 accepted" in done.stdout
    assert "but what the baseline accepts (1 finding)" in done.stdout
    (desk / "model" / "config.json").write_bytes(BAD["config.json"] + b"\n")
    done = run("scan", "model", "--baseline", FILE)
    assert done.exit_code == 1
    assert "  HC-CFG-001 config.json: its file, or a Python file of the repo, changed" in done.stdout.splitlines()
    done = run("baseline", "model", "--reason", "looked at again", "--json")
    value = json.loads(done.stdout)
    assert [row["reason"] for row in value["added"]] == ["looked at again"]
    assert len(value["dropped"]) == len(value["baseline"]["accepted"]) == 1
    (desk / "model" / "config.json").write_bytes(b'{"architecture": "test_resnet"}')
    assert "0 added, 1 dropped, 0 kept" in run("baseline", "model", "--reason", "x").stdout


def test_settings_name_a_baseline_beside_them(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / ".git").mkdir()
    (desk / "hubclean.toml").write_text('baseline = "team/known.json"\n')
    (desk / "team").mkdir()
    assert "cannot be read" in run("scan", "model").stderr
    assert run("baseline", "model", "--reason", "ours").exit_code == 0
    assert (desk / "team" / "known.json").is_file()
    monkeypatch.chdir(desk / "team")
    done = run("scan", "../model", "--json")
    policy = json.loads(done.stdout)["scans"][0]["policy"]
    assert (done.exit_code, policy["baseline"]) == (0, "known.json")
    assert policy["sources"]["baseline"] == "../hubclean.toml"
    assert run("scan", "../model", "--no-config").exit_code == 1


def test_every_format_holds_the_finding_and_that_it_is_accepted(desk: Path) -> None:
    run("baseline", "model", "--reason", "ours")
    words = ["scan", "model", "--baseline", FILE, "--format"]
    value = from_json(ScanDocument, json.loads(run(*words, "json").stdout))
    assert [row.finding.rule for row in value.scans[0].accepted] == ["HC-CFG-001"]
    log = json.loads(run(*words, "sarif").stdout)
    SARIF.validate(log)
    (result,) = log["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "ours"}]
    bom = run(*words, "cyclonedx").stdout
    assert json.loads(bom)["vulnerabilities"][0]["analysis"]["detail"] == "accepted: ours"
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None


def test_download_convert_guard_and_python_go_by_it(desk: Path, hub: HubServer) -> None:
    from huggingface_hub import hf_hub_download

    pickled = {"pytorch_model.bin": stream(name("timm.models.resnet", "ResNet")), "config.json": b"{}"}
    hub.create("org/model", BAD)
    hub.create("org/pickled", pickled)
    assert run("baseline", "org/model", "org/pickled", "--reason", "ours", "--out", "b.json").exit_code == 0
    for code, words in ((1, []), (0, ["--baseline", "b.json"])):
        assert run("download", "org/model", "--out", "copy", *words).exit_code == code
        assert run("download", "org/pickled", "--out", "pickled", *words).exit_code == code
    assert (desk / "pickled" / "pytorch_model.bin").read_bytes() == pickled["pytorch_model.bin"]
    assert hubclean.scan("org/model", baseline="b.json").exit_code == 0
    assert hubclean.download("org/model", "again", baseline=Path("b.json")).exit_code == 0
    assert "HC-PKL-002" in str(convert("org/pickled", Path("c")).refused)
    with pytest.raises(FormatError):  # it is accepted, and holds no tensors all the same
        convert("org/pickled", Path("c"), baseline=read_baseline(Path("b.json")))
    with hubclean.guard(baseline="b.json"):
        hf_hub_download("org/model", "config.json")
        hub.commit("org/model", {"config.json": BAD["config.json"] + b" "})
    with hubclean.guard(baseline="b.json"), pytest.raises(UnsafeRepoError):
        hf_hub_download("org/model", "config.json")


@pytest.mark.parametrize(
    "words",
    [
        ["--reason", "x"],
        ["model"],
        ["model", "--reason", " "],
        ["model", "gone", "--reason", "x"],
        ["model", "--reason", "x", "--out", "model/config.json"],
        ["model", "--reason", "x", "--expires", "soon"],
        ["model", "--reason", "x", "--out", "none/b.json"],
    ],
)
def test_calls_that_make_no_sense_write_nothing(words: list[str], desk: Path) -> None:
    done = run("baseline", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert not (desk / FILE).exists()
    assert (desk / "model" / "config.json").read_bytes() == BAD["config.json"]
