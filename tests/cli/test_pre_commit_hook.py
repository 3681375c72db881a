"""``.pre-commit-hooks.yaml``: which files it takes, and its entry run on them as pre-commit runs it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hubclean.scanning.formats.names import PICKLE_NAMES, UNCHECKED_NAMES
from support import ROOT
from support.scanned_files import safetensors, written
from support.work import HANGS

CODE = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
#: Containers of anything, Apple's folder, tables and papers: no model files by their name.
NO_MODELS = {".mlpackage", ".7z", ".rar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".lz4", ".parquet", ".arrow", ".pdf"}


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    (only,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert only["id"] == "hubclean"
    assert only["language"] == "python"
    assert only["types"] == ["file"]
    return dict(only)


def run(hook: dict[str, Any], folder: Path, args: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """The entry with its arguments and the names of the matching files, in the root of the repo."""
    paths = sorted(place.relative_to(folder).as_posix() for place in folder.rglob("*") if place.is_file())
    taken = [path for path in paths if re.search(hook["files"], path)]
    program, *words = shlex.split(hook["entry"])
    assert program == "hubclean"
    command = [sys.executable, "-m", "hubclean", *words, *(hook["args"] if args is None else args), *taken]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=HANGS)


def test_every_model_file_is_taken_and_no_other(hook: dict[str, Any]) -> None:
    suffixes = [".safetensors", ".npy", ".npz", ".zip", *PICKLE_NAMES, *(set(UNCHECKED_NAMES) - NO_MODELS)]
    taken = [f"a/Model{suffix}" for suffix in suffixes] + ["MODEL.PT", "x.pth.tar", "config.json", "a/config.json"]
    taken += ["preprocessor_config.json", "adapter_config.json", "model_index.json", "model.safetensors.index.json"]
    for path in taken:
        assert re.search(hook["files"], path), path
    for path in ("a.py", "README.md", "package.json", "binary", "a.bin.txt", "notes/bin", "myconfig.json", "a.png"):
        assert not re.search(hook["files"], path), path


def test_clean_files_pass_many_at_once(hook: dict[str, Any], tmp_path: Path) -> None:
    files = {f"{name}/model.safetensors": safetensors() for name in "abc"} | {"a/config.json": b"{}", "x.py": b"1"}
    done = run(hook, written(tmp_path, files))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "x.py" not in done.stdout


@pytest.mark.parametrize(
    ("path", "body", "exit_code", "says"),
    [
        ("a/pytorch_model.bin", CODE, 1, "HC-PKL-001"),
        ("a/model.safetensors", CODE, 1, "HC-FMT-001"),
        ("a/config.json", b'{"auto_map": {"AutoModel": "m.N"}}', 1, "HC-CFG-001"),
        ("a/model.onnx", b"\x08\x01", 2, "ONNX"),
        ("--help.pt", CODE, 1, "HC-PKL-001"),
        ("--allow-unchecked=*.pt", CODE, 1, "HC-PKL-001"),
    ],
)
def test_one_bad_file_among_good_ones_fails(
    hook: dict[str, Any], tmp_path: Path, path: str, body: bytes, exit_code: int, says: str
) -> None:
    done = run(hook, written(tmp_path, {"b/model.safetensors": safetensors(), path: body}))
    assert done.returncode == exit_code, done.stderr
    assert says in done.stdout


def test_own_arguments_of_a_user(hook: dict[str, Any], tmp_path: Path) -> None:
    folder = written(tmp_path, {"b/model.safetensors": safetensors(), "a/model.onnx": b"\x08\x01"})
    assert run(hook, folder, ["--allow-unchecked=*.onnx", "--"]).returncode == 0


def test_a_pointer_where_weights_should_be_fails(hook: dict[str, Any], tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    done = run(hook, written(tmp_path, {"model.safetensors": pointer}))
    assert done.returncode == 1
    assert "HC-REP-001" in done.stdout
