"""What all static checks must be: documented, frozen, torch-free, never raising and never silent."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.hub.repos import LocalRepo
from hubclean.records import FileVerdict, Finding
from hubclean.registry import Doc, methods, options_of
from hubclean.scanning.engine import reader_of
from hubclean.scanning.scanners import MOST_PER_FILE
from support import ROOT
from support.scanned_files import POINTER, judge, safetensors

SCANNERS = sorted(methods("scanners"))


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scanner_is_a_documented_frozen_dataclass_with_its_source(name: str) -> None:
    scanner: Any = methods("scanners")[name]
    assert dataclasses.is_dataclass(scanner)
    assert scanner.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not scanner.__doc__.startswith(scanner.__name__ + "(")  # what dataclasses write when there is none
    assert len(scanner.paper) > 10
    for field in dataclasses.fields(scanner):
        hint = typing.get_type_hints(scanner, include_extras=True)[field.name]
        assert any(isinstance(extra, Doc) and extra.text for extra in typing.get_args(hint)[1:])
        assert field.default is not dataclasses.MISSING
    assert [row.default for row in options_of(scanner)] == [getattr(scanner(), row.name) for row in options_of(scanner)]


HOSTILE = [
    b"[" * 100_000,
    b'{"chat_template":' + b"{" * 5000,
    b'{"chat_template": "' + b"{{ (" * 3000 + b'"}',
    b'{"auto_map": ' + b"9" * 5000 + b"}",
    b"\x80\x04",
    b"\x93NUMPY\x01\x00\xff",
    b"PK\x03\x04",
    b"(" * 300,
    b"-" * 100_000 + b"1",
    POINTER,
]
NASTY = [
    "config.json",
    "a.safetensors",
    "m.safetensors.index.json",
    "x.py",
    "t.jinja",
    "m.bin",
    "a.npy",
    "b",
    "c.yaml",
    "r.md",
    "m.onnx",
    "m.mlmodel",
    "m.gguf",
    "m.xml",
    "f.msgpack",
    "s.model",
    "x.pyc",
    "package.json",
    ".lfsconfig",
    ".gitmodules",
    "Modelfile",
    "config.pbtxt",
    "a.gin",
]


@pytest.mark.parametrize("name", SCANNERS)
@settings(max_examples=40, deadline=None)
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode), st.sampled_from(HOSTILE)))
def test_a_scanner_never_raises(name: str, body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    findings, verdicts = judge(name, tmp_path_factory.mktemp("nasty"), dict.fromkeys(NASTY, body))
    assert {row.path for row in findings} | set(verdicts) <= set(NASTY)


@pytest.mark.parametrize("name", SCANNERS)
def test_a_file_that_cannot_be_read_is_not_checked_and_never_skipped(name: str, tmp_path: Path) -> None:
    class Broken(LocalRepo):
        def read_range(self, path: str, start: int, stop: int) -> bytes:
            raise RuntimeError("disk on fire")

    files = ["config.json", "a.safetensors", "x.py", "t.jinja", "m.bin", "m.safetensors.index.json", "m.xml"]
    files += ["f.msgpack", "s.model", "model.json", "c.yaml", "requirements.txt", "x.pyc", "package.json"]
    files += [".lfsconfig", "Modelfile", ".vscode/tasks.json"]
    (tmp_path / ".vscode").mkdir()
    for path in files:
        (tmp_path / path).write_bytes(b"{}")
    repo = Broken(tmp_path)
    rows = list(methods("scanners")[name]().scan(reader_of(repo, repo.files()), repo.files()))
    told = {row.path for row in rows if isinstance(row, Finding) and row.rule == "HC-INC-001"}
    assert told == {row.path for row in rows if isinstance(row, FileVerdict) and row.state == "unchecked"}
    assert bool(told) == (name != "hub-verdicts")  # which reads no file
    assert not any(isinstance(row, FileVerdict) and row.state == "ok" for row in rows)


def test_a_noisy_file_cannot_drown_the_report(tmp_path: Path) -> None:
    findings, verdicts = judge(
        "config-code", tmp_path, {"config.json": json.dumps([{"auto_map": "x.Y"}] * 5000).encode()}
    )
    assert len(findings) == MOST_PER_FILE + 1
    assert verdicts["config.json"].state == "unchecked"


def test_scanners_import_no_heavy_library(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    (tmp_path / "config.json").write_text('{"chat_template": "{{ a }}"}')
    code = (
        "import sys; from hubclean.scanning.engine import scan; from hubclean.cli.text.scan import render_scan;"
        "report = scan(sys.argv[1]); render_scan(report); assert report.exit_code == 0, report;"
        "print({'numpy', 'torch', 'timm', 'transformers'} & set(sys.modules))"
    )
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    assert subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], env=env, text=True).strip() == "set()"
