"""``hf hubclean``: registered with the real ``hf`` command, same results, taken back, refused with a reason."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hubclean.cli import hf_extension
from hubclean.cli.hf_extension import OWNER
from hubclean.cli.main import main
from support import ROOT
from support.hub_server import HubServer
from support.scanned_files import safetensors, written
from support.work import HANGS

HF = Path(sys.executable).with_name("hf")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, and hubclean installed: a console script and the record that names it."""
    pytest.importorskip("huggingface_hub.cli.extensions", reason="this `hf` has no extensions")
    script = tmp_path / "bin" / "hf-hubclean"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from hubclean.cli.main import main\nmain()\n"
    )
    script.chmod(0o755)
    record = "../bin/hf-hubclean,,\nhubclean-0.dist-info/METADATA,,\n"
    written(
        tmp_path / "site",
        {
            "hubclean-0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: hubclean\nVersion: 0\n",
            "hubclean-0.dist-info/RECORD": record.encode(),
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def folder(home: Path) -> Path:
    return home / ".local" / "share" / "hf" / "extensions" / "hf-hubclean"


def command(*words: str) -> Result:
    return CliRunner().invoke(main, ["hf-register", *words])


def hf(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1"} | env
    return subprocess.run([str(HF), *words], capture_output=True, text=True, env=environment, timeout=HANGS)


@pytest.mark.skipif(not HF.exists(), reason="no hf command beside this Python")
def test_hf_hubclean_is_hubclean(home: Path, hub: HubServer, tmp_path: Path) -> None:
    assert hf("hubclean", "--version").returncode != 0  # not before
    assert command().exit_code == 0
    assert "hubclean, version" in hf("hubclean", "--version").stdout
    good = written(tmp_path / "good", {"config.json": b"{}", "model.safetensors": safetensors()})
    bad = written(tmp_path / "bad", {"config.json": b'{"auto_map": {"AutoModel": "m.N"}}'})
    hub.create("org/model", {"config.json": b"{}", "model.onnx": b"\x08\x01"})
    for target, exit_code in ((str(good), 0), (str(bad), 1), ("org/model", 2)):
        env = hub.env(home=tmp_path / "hf-home")
        words = ["scan", target, "--json"]
        there = hf("hubclean", *words, **env)
        here = subprocess.run(
            [sys.executable, "-m", "hubclean", *words], capture_output=True, text=True, timeout=HANGS, cwd=ROOT, env=env
        )
        assert there.returncode == here.returncode
        assert there.stdout.endswith(here.stdout)  # before it, old releases of hf tell of new ones
        assert there.returncode == exit_code, there.stderr
    assert "hubclean" in hf("--help").stdout
    assert command("--remove").exit_code == 0
    assert not folder(home).exists()
    assert hf("hubclean", "--version").returncode != 0


@pytest.mark.skipif(not HF.exists(), reason="no hf command beside this Python")
def test_hf_can_remove_it_and_the_script_stays(home: Path, tmp_path: Path) -> None:
    assert command().exit_code == 0
    assert hf("extensions", "remove", "hubclean").returncode == 0
    assert not folder(home).exists()
    assert (tmp_path / "bin" / "hf-hubclean").is_file()


def test_registering_again_follows_an_installation_that_moved(home: Path, tmp_path: Path) -> None:
    assert command().exit_code == 0
    moved = (tmp_path / "bin" / "hf-hubclean").rename(tmp_path / "bin" / "other")
    (tmp_path / "bin" / "hf-hubclean").write_bytes(moved.read_bytes())
    value = json.loads(command("--json").stdout)
    assert value["registered"] is True
    assert value["runs"] == str(tmp_path / "bin" / "hf-hubclean")
    assert (folder(home) / "hf-hubclean").resolve() == tmp_path / "bin" / "hf-hubclean"
    manifest = json.loads((folder(home) / "manifest.json").read_text())
    assert manifest["owner"] == OWNER
    assert "." in OWNER  # no account of GitHub can be called so


def test_an_extension_of_the_same_name_from_elsewhere_stays(home: Path) -> None:
    theirs = written(folder(home), {"manifest.json": b'{"owner": "someone"}', "hf-hubclean": b"theirs"})
    for words in ((), ("--remove",)):
        done = command(*words)
        assert done.exit_code == 2
        assert (theirs / "hf-hubclean").read_bytes() == b"theirs"
    written(folder(home), {"manifest.json": b"[]"})
    assert command().exit_code == 2


def test_removing_what_never_was_is_no_error(home: Path) -> None:
    assert command("--remove").exit_code == 0
    assert not home.exists()


def test_without_an_installation_there_is_nothing_to_register(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    done = command()
    assert done.exit_code == 2
    assert "pip install it first" in done.stderr
    assert not folder(home).exists()


def test_an_hf_whose_manifest_is_not_known_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.cli import extensions

    other = dataclasses.make_dataclass("ExtensionManifest", ["owner", "signature"])
    monkeypatch.setattr(extensions, "ExtensionManifest", other)
    done = command()
    assert done.exit_code == 2
    assert "'signature'" in done.stderr
    assert not folder(home).exists()


@pytest.mark.parametrize("words", [[], ["--remove"]])
def test_an_hf_without_extensions_is_named_with_its_version(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "huggingface_hub.cli.extensions", None)
    monkeypatch.delattr("huggingface_hub.cli.extensions", raising=False)
    monkeypatch.setattr(hf_extension, "console_script", lambda: tmp_path / "hf-hubclean")
    done = CliRunner().invoke(main, ["hf-register", *words])
    assert done.exit_code == 2
    assert "has no extensions, which came with 1.5" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()
