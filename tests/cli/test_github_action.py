"""``action.yml``: its shape, and its scripts run for real in bash against the loopback Hub, as a runner runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import ROOT
from support.hub_server import HubServer
from support.scanned_files import safetensors, written
from support.work import HANGS

CODE = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
SAFE = {"config.json": b"{}", "model.safetensors": safetensors()}
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="no bash")


class Runner:
    """A checkout, a temporary folder with what the install step leaves there, and GitHub's output file."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.workspace, self.temp, self.output = folder / "checkout", folder / "temp", folder / "output"
        self.workspace.mkdir()
        python = self.temp / "hubclean" / "bin" / "python"
        python.parent.mkdir(parents=True)
        # A venv's python that knows this hubclean; -P stands for -I, which would not let PYTHONPATH in.
        python.write_text(f'#!{BASH}\n[ "$1" = -I ] || exit 97\nshift\nexec {sys.executable} -P "$@"\n')
        python.chmod(0o755)
        self.env = hub.env(home=folder / "home") | {"PYTHONPATH": str(ROOT), "RUNNER_TEMP": str(self.temp)}
        self.env["GITHUB_OUTPUT"] = str(self.output)

    def step(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(BASH), "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.workspace, env=self.env | env, timeout=HANGS
        )

    def scan(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """The scan step with the inputs where ``env`` puts them; defaults as in the file."""
        defaults = {name: value.get("default", "") for name, value in ACTION["inputs"].items()}
        given = defaults | {name.replace("_", "-"): value for name, value in inputs.items()}
        names = {variable: re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", text) for variable, text in ENV.items()}
        return self.step("Scan", **{variable: given[match[1]] for variable, match in names.items() if match})

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


ENV: dict[str, str] = STEPS["Scan"]["env"]


@pytest.fixture
def runner(tmp_path: Path, hub: HubServer) -> Runner:
    return Runner(tmp_path, hub)


def test_no_input_is_ever_part_of_a_script() -> None:
    for step in STEPS.values():
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
    taken = {name for step in ACTION["runs"]["steps"] for name in re.findall(r"inputs\.([a-z-]+)", json.dumps(step))}
    assert taken == set(ACTION["inputs"])
    assert all("description" in value for value in (*ACTION["inputs"].values(), *ACTION["outputs"].values()))


def test_actions_used_are_pinned_by_commit() -> None:
    used = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used)


def test_clean_targets_give_0_and_a_log_of_sarif(runner: Runner, hub: HubServer) -> None:
    hub.create("org/model", SAFE)
    written(runner.workspace / "a folder", SAFE)
    done = runner.scan(targets="org/model\n\n  a folder  \n")
    assert done.returncode == 0, done.stderr
    assert runner.outputs == {"exit-code": "0", "sarif": "hubclean.sarif"}
    log = json.loads((runner.workspace / "hubclean.sarif").read_text())
    assert log["version"] == "2.1.0"
    assert [run["automationDetails"]["id"] for run in log["runs"]] == ["hubclean/org/model/", "hubclean/a folder/"]


def test_findings_are_shown_written_and_given_on(runner: Runner, hub: HubServer) -> None:
    hub.create("org/model", SAFE | {"pytorch_model.bin": CODE})
    written(runner.workspace, {"targets.txt": b"# ours\norg/model\n"})
    done = runner.scan(from_file="targets.txt", sarif="out.sarif")
    assert done.returncode == 0  # the last step fails, after outputs and SARIF are there
    assert runner.outputs == {"exit-code": "1", "sarif": "out.sarif"}
    assert "HC-PKL-001" in done.stdout
    (run,) = json.loads((runner.workspace / "out.sarif").read_text())["runs"]
    assert "HC-PKL-001" in {row["ruleId"] for row in run["results"]}


def test_inputs_that_let_more_pass(runner: Runner, hub: HubServer) -> None:
    hub.create(
        "org/model", SAFE | {"pytorch_model.bin": b"\x80\x02ctimm.models.resnet\nResNet\n.", "m.onnx": b"\x08\1"}
    )
    options = {"targets": "org/model", "fail_on": "critical", "allow_unchecked": "*.onnx\n*.bin"}
    for more, exit_code in (({}, "0"), ({"fail_on": "high"}, "1"), ({"allow_unchecked": "none*"}, "2")):
        runner.output.unlink(missing_ok=True)
        assert runner.scan(**options | more).returncode == 0
        assert runner.outputs["exit-code"] == exit_code
    runner.output.unlink()
    runner.scan(**options | {"fail_on": "high", "allow": "\ntimm.models.resnet.ResNet\n"})
    assert runner.outputs["exit-code"] == "0"


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"targets": "org/none"},
        {"targets": "a; touch owned"},
        {"targets": "$(touch owned)`touch owned`"},
        {"targets": "--allow-unchecked=*\n--help"},
        {"targets": "org/model", "fail_on": "none"},
        {"targets": "org/model", "allow": "os.system"},
        {"targets": "org/model", "from_file": "absent.txt"},
    ],
)
def test_what_cannot_be_scanned_is_2_and_nothing_is_run(runner: Runner, hub: HubServer, inputs: dict[str, str]) -> None:
    hub.create("org/model", SAFE | {"model.onnx": b"\x08\1"})
    done = runner.scan(**inputs)
    assert done.returncode == 0
    assert runner.outputs["exit-code"] == "2"
    written_sarif = runner.workspace / "hubclean.sarif"
    assert written_sarif.exists() == (runner.outputs["sarif"] != "")
    assert list(runner.workspace.iterdir()) in ([], [written_sarif])


@pytest.mark.parametrize("sarif", ["", "a\nexit-code=0", "a\rb"])
def test_a_path_that_would_write_other_outputs_is_refused(runner: Runner, sarif: str) -> None:
    assert runner.scan(targets="org/model", sarif=sarif).returncode == 2
    assert not runner.output.exists()


def test_strings_of_a_repo_give_the_runner_no_command(runner: Runner) -> None:
    bad = "::set-output name=exit-code::0"
    written(runner.workspace, {f"##[add-path]x/{bad}.bin": CODE})
    done = runner.scan(targets=".")
    first, *middle, last = done.stdout.splitlines()
    token = first.removeprefix("::stop-commands::")
    assert last == f"::{token}::"
    assert len(token) == 32
    assert not any(line.startswith("::") or token in line for line in middle)
    assert runner.outputs["exit-code"] == "1"


def test_links_and_modules_of_the_checkout_are_not_followed(runner: Runner, tmp_path: Path) -> None:
    for name in ("hubclean", "json", "secrets", "click"):
        written(runner.workspace, {f"{name}.py": b"open('owned', 'w')"})
    written(runner.workspace / "model", SAFE)
    (tmp_path / "other").write_text("mine")
    (runner.workspace / "hubclean.sarif").symlink_to(tmp_path / "other")
    assert runner.scan(targets="model").returncode == 0
    assert runner.outputs["exit-code"] == "0"
    assert (tmp_path / "other").read_text() == "mine"
    assert not (runner.workspace / "owned").exists()


@pytest.mark.parametrize(("code", "fails_with"), [("0", 0), ("1", 1), ("2", 2), ("", 2)])
def test_the_last_step_fails_with_the_exit_code(runner: Runner, code: str, fails_with: int) -> None:
    assert runner.step("Verdict", CODE=code).returncode == fails_with
    assert STEPS["Verdict"]["if"] == "inputs.fail != 'false'"


@pytest.mark.parametrize(
    ("version", "installed"), [("", "/the/action"), ("--index-url=http://x", None), ("a b", "a b")]
)
def test_the_install_step_installs_the_action_itself_or_what_is_asked_for(
    runner: Runner, version: str, installed: str | None
) -> None:
    record = runner.temp / "words"
    for place in (runner.temp / "python", runner.temp / "hubclean" / "bin" / "python"):
        place.write_text(f'#!{BASH}\nprintf "%s\\n" "$@" >> {record}\n')
        place.chmod(0o755)
    done = runner.step("Install hubclean", PYTHON=str(runner.temp / "python"), ACTION="/the/action", VERSION=version)
    assert done.returncode == 0, done.stderr
    words = record.read_text().splitlines()
    assert words[:4] == ["-I", "-m", "venv", str(runner.temp / "hubclean")]
    assert words[4:7] == ["-I", "-m", "pip"]
    assert words[-2:] == ["--", installed or version]  # behind -- pip takes nothing for an option
    assert os.listdir(runner.workspace) == []
