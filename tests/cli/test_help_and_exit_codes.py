"""The command line as users meet it: subprocesses, streams, exit codes, help texts, and what is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hubclean.cli.main import main as command
from hubclean.records import Audit, SiteReport, from_json
from hubclean.scanning.document import ScanDocument
from support import ROOT
from support.hub_server import HubServer
from support.image_sets import class_folders, image_set
from support.tiny_models import make_repo
from support.work import HANGS

COMMANDS = ("scan", "download", "convert", "hf-register", "site", "clean", "push", "verify", "methods", "demo")


def run(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**(env or os.environ), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "hubclean", *words]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=HANGS)


def inside(*words: str) -> subprocess.CompletedProcess[str]:
    """What ``run`` gives, in this process: for commands that have been a process once in the same test or file."""
    done = CliRunner().invoke(command, words)
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repo(tmp_path_factory.mktemp("models") / "tiny", "timm-resnet")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with the names of ``tiny_models``."""
    return class_folders(tmp_path_factory.mktemp("pictures"), image_set(80))


def test_scan_of_a_clean_folder(model: Path) -> None:
    done = run("scan", str(model))
    assert done.returncode == 0, done.stderr
    assert "no static finding in" in done.stdout
    assert done.stderr == ""
    as_json = run("scan", str(model), "--json")
    assert from_json(ScanDocument, json.loads(as_json.stdout)).exit_code == 0


def test_scan_of_a_hub_repo_by_every_name(model: Path, hub: HubServer, tmp_path: Path) -> None:
    sha = hub.create("org/model", {file.name: file for file in model.iterdir()})
    hub.commit("org/model", {"later.py": b"import os"})
    env = hub.env(home=tmp_path)
    for words in (
        ["org/model", "--revision", sha],
        [f"org/model@{sha}"],
        [f"hf://org/model@{sha}"],
        [f"{hub.url}/org/model/tree/{sha}"],
    ):
        done = run("scan", *words, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sha in done.stdout
    assert run("scan", "org/model", "--fail-on", "medium", env=env).returncode == 0, "timm does not load it"
    done = run("scan", "org/model", "--fail-on", "medium", "--for", "all", env=env)
    assert done.returncode == 1
    assert "HC-PY-001" in done.stdout


def test_findings_are_1_and_no_verdict_is_2(model: Path, tmp_path: Path) -> None:
    bad = make_repo(tmp_path / "bad", "hf-resnet")
    config = json.loads((bad / "config.json").read_text())
    (bad / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    assert run("scan", str(bad)).returncode == 1
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "model.joblib").write_bytes(b"\x1f\x8b\x08")  # packed: nobody can look inside
    assert run("scan", str(tmp_path / "pickled")).returncode == 2
    for words in (
        ["scan", "org/nothing-here"],
        ["scan", "not a target"],
        ["scan", str(model), "--fail-on", "never"],
        ["nonsense"],
    ):
        done = run(*words)
        assert done.returncode == 2, words
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert done.stderr


@pytest.mark.parametrize("words", [["--help"], ["scan", "--help"], ["push", "--help"], ["scan", "MODEL"]])
def test_help_and_scan_load_nothing_heavy(words: list[str], model: Path) -> None:
    script = (
        "import sys\nfrom hubclean.cli.main import main\n"
        f"try:\n    main({[str(model) if word == 'MODEL' else word for word in words]!r})\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'timm', 'transformers', 'numpy', 'datasets', 'accelerate', 'matplotlib', 'PIL'}\n"
        "heavy |= {'huggingface_hub', 'httpx', 'hubclean.records'} if '--help' in sys.orig_argv else set()\n"
        "print('HEAVY', sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=HANGS,
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stdout + done.stderr


def test_help_loads_neither_the_hubs_client_nor_a_scanner() -> None:
    script = (
        "import sys\nfrom hubclean.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'huggingface_hub', 'hubclean.scanning.engine', 'hubclean.records'} & sys.modules.keys())"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=HANGS)
    assert done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr


def test_site_prints_what_was_located(model: Path) -> None:
    done = run("site", str(model))
    assert done.returncode == 0, done.stderr
    for word in ("feature layer", "NCHW", "channels", "head", "32 x 32", "0.485"):
        assert word in done.stdout
    report = from_json(SiteReport, json.loads(inside("site", str(model), "--json").stdout))
    assert report.site.channels == report.site.heads[0].in_features
    empty = inside("site", str(model / "config.json"))
    assert empty.returncode in (0, 2)


def test_site_fetches_no_weights(model: Path, hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", {file.name: file for file in model.iterdir()})
    done = run("site", "org/model", env=hub.env(home=tmp_path))
    assert done.returncode == 0, done.stderr
    assert not hub.asked("GET", "model.safetensors")
    assert hub.asked("GET", "config.json")


def test_clean_writes_and_says_what_it_measured(model: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["clean", str(model), "--data", str(pictures), "--fit", "30", "--val", "20", "--test", "30"]
    words += ["--accept-accuracy"]
    options = ("steps=2", "batches=1", "neural-cleanse.batch_size=4", "epochs=1", "step=0.25")
    brief = ["--defense", "fine-pruning", *(word for option in options for word in ("-o", option))]
    done = run(*words, *brief, "--out", str(tmp_path / "out"), "--json")
    assert done.returncode in (0, 1, 2), done.stderr
    audit = from_json(Audit, json.loads(done.stdout))
    assert done.returncode == audit.exit_code
    assert json.loads((tmp_path / "out/hubclean/audit.json").read_text()) == json.loads(done.stdout)
    again = inside(*words, *brief, "--out", str(tmp_path / "out"))
    assert again.returncode == 2
    assert "exists already" in again.stderr
    text = inside(*words, "--detector", "skip", "--defense", "none", "--out", str(tmp_path / "plain"))
    assert text.returncode == 2
    assert "clean accuracy" in text.stdout
    assert "detection gave no verdict" in text.stdout


def test_deep_scan_without_images_is_no_verdict_and_says_so(model: Path, pictures: Path) -> None:
    done = inside("scan", str(model), "--deep", "--detector", "neural-cleanse")
    assert done.returncode == 2
    assert "--data" in done.stdout + done.stderr
    options = ("neural-cleanse.steps=1", "batches=1", "batch_size=2", "seeds=1", "mm-bd.steps=1")
    words = ["--accept-accuracy", "--fit", "30", "--val", "20", "--test", "30"]
    words += [word for option in options for word in ("-o", option)]
    done = run("scan", str(model), "--deep", "--data", str(pictures), *words, "--json")
    report = from_json(ScanDocument, json.loads(done.stdout)).scans[0]
    assert [detection.detector for detection in report.detections] == ["neural-cleanse", "mm-bd"]
    assert done.returncode == report.exit_code


def test_deep_fetches_no_weight_after_a_finding(hub: HubServer, pictures: Path, tmp_path: Path) -> None:
    bad = make_repo(tmp_path / "bad", "hf-resnet")
    config = json.loads((bad / "config.json").read_text())
    (bad / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    hub.create("org/bad", {file.name: file for file in bad.iterdir()})
    done = run("scan", "org/bad", "--deep", "--data", str(pictures), env=hub.env(home=tmp_path / "home"))
    assert done.returncode == 1
    size = (bad / "model.safetensors").stat().st_size
    assert sum(row.sent for row in hub.asked("GET", "model.safetensors")) < size or size < 65536


def test_methods_lists_all_and_shows_one() -> None:
    done = run("methods")
    assert done.returncode == 0
    for name in ("neural-cleanse", "fine-pruning", "badnets", "blended", "safetensors-header", "none"):
        assert name in done.stdout
    one = inside("methods", "neural-cleanse")
    assert "S&P 2019" in one.stdout
    assert "held_out_asr" in one.stdout
    assert inside("methods", "no-such").returncode == 2


def test_push_dry_run_shows_files_and_card_and_sends_nothing(
    hub: HubServer, model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = [
        "--data",
        str(pictures),
        "--fit",
        "30",
        "--val",
        "20",
        "--test",
        "30",
        "--detector",
        "skip",
        "--defense",
        "none",
        "--accept-accuracy",
    ]
    inside("clean", str(model), *words, "--out", str(tmp_path / "out"))
    done = run("push", str(tmp_path / "out"), "alice/model", "--dry-run", env=hub.env(home=tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in done.stdout
    assert "pipeline_tag: image-classification" in done.stdout
    assert not [row for row in hub.log if row.method in ("POST", "PUT", "DELETE")]
    no_token = run("push", str(tmp_path / "out"), "alice/model", env=hub.env(home=tmp_path / "home"))
    assert no_token.returncode == 2
    assert "write token" in no_token.stderr
    done = run("push", str(tmp_path / "out"), "alice/model", "--json", env=hub.env(tmp_path / "home", hub.write_token))
    assert done.returncode == 0, done.stderr
    assert {"path", "size", "how"} == json.loads(done.stdout)["files"][0].keys()
    pushed = hub.repo("alice/model").resolve("main").sha
    hub.commit("alice/model", {"pytorch_model.bin": b"\x80\x02}q\x00."})
    dry = run(
        "push", str(tmp_path / "out"), "alice/model", "--dry-run", env=hub.env(tmp_path / "home", hub.write_token)
    )
    assert "still in the repo" in dry.stdout
    assert "pytorch_model.bin" in dry.stdout
    words = ["--delete-pickles", "--dry-run"]
    dry = run("push", str(tmp_path / "out"), "alice/model", *words, env=hub.env(tmp_path / "home", hub.write_token))
    assert "removed in the same commit: pytorch_model.bin" in dry.stdout
    assert json.loads(done.stdout)["commit"] == pushed


def test_a_missing_extra_is_named(model: Path, pictures: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nclass Gone:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
        "sys.meta_path.insert(0, Gone())\nfrom hubclean.cli.main import main\n"
        f"main(['clean', {str(model)!r}, '--data', {str(pictures)!r}, '--out', {str(tmp_path / 'out')!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=HANGS,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "hubclean: hubclean clean needs torch: pip install 'hubclean[models]'"


def test_hostile_names_reach_no_terminal(model: Path, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    config = json.loads((repo / "config.json").read_text())
    config["label_names"][0] = "\x1b]0;owned\x07\x1b[2J\u202ereversed"
    (repo / "config.json").write_text(json.dumps(config))
    (repo / "\x1b[31mred.md").write_text("x")
    for words in (["site", str(repo)], ["scan", str(repo)]):
        done = inside(*words)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\u202e" not in done.stdout + done.stderr
