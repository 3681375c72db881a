"""Formats by content, and the checks on names, pickles and Python files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from hubclean.hub.repos import LocalRepo, RepoEntry
from hubclean.records import Finding
from hubclean.registry import methods
from hubclean.scanning.engine import reader_of
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.load_sets.look_alikes import name_of_a_loader
from support.scanned_files import POINTER, judge, safetensors, tarred, zipped


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (POINTER, "lfs-pointer"),
        (safetensors(), "safetensors"),
        (pickle.dumps({"a": [1]}, 0), "pickle"),
        (pickle.dumps({"a": [1]}, 1), "pickle"),
        (pickle.dumps({"a": [1]}, 2), "pickle"),
        (pickle.dumps({"a": [1]}, 5), "pickle"),
        (b"cos\nsystem\n(S'echo'\ntR.", "pickle"),
        (zipped(a=b"b"), "zip"),
        (tarred(), "tar"),
        (b'{"a": 1}', "json"),
        (b"# A model\n\nIt is (very) good.\n", "text"),
        (b"do. not load this\n", "text"),
        ("é" * 3000, "text"),
        (b"\x7fELF\x02", "executable"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\x00\x01\x02", "unknown"),
    ],
)
def test_content_tells_the_format(body: bytes | str, said: str) -> None:
    data = body.encode() if isinstance(body, str) else body
    assert sniff(data[:4095], len(data)) == said


@pytest.mark.parametrize(
    ("path", "body", "rule"),
    [
        ("model.safetensors", POINTER, "HC-REP-001"),
        ("pytorch_model.bin", POINTER, "HC-REP-001"),
        ("model.safetensors", pickle.dumps({}), "HC-FMT-001"),
        ("model.pt", b"7z\xbc\xaf\x27\x1c" + bytes(30), "HC-FMT-001"),
        ("README.md", pickle.dumps({}), "HC-FMT-001"),
        ("cat.png", zipped(a=b"b"), "HC-FMT-001"),
        ("model.bin", safetensors(), "HC-FMT-001"),
        ("config.json", b"\x7fELF" + bytes(30), "HC-FMT-001"),
        ("model.engine", b"\x08\x01\x00", "HC-FMT-002"),
        ("tool", b"\x7fELF" + bytes(30), "HC-INC-001"),
        (".GIT /hooks/post-checkout", b"#!/bin/sh", "HC-REP-004"),
        ("GIT~1/config", b"[core]", "HC-REP-004"),
        ("a\nb.txt", b"text", "HC-REP-004"),
        ("exe\u202etxt.md", b"text", "HC-REP-004"),
    ],
)
def test_listing_sees(tmp_path: Path, path: str, body: bytes, rule: str) -> None:
    findings, verdicts = judge("listing", tmp_path, {path: body})
    assert rule in [finding.rule for finding in findings]
    if rule in ("HC-FMT-002", "HC-INC-001"):
        assert verdicts[path].state == "unchecked"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "C:\\x", "\\\\host\\x", "~/x"])
def test_listing_sees_names_that_leave_the_folder(path: str) -> None:
    class Listed(LocalRepo):
        def read_range(self, path: str, start: int, stop: int) -> bytes:
            return b"text"[start:stop]

        def read(self, path: str, limit: int) -> bytes:
            return b"text"

    files = (RepoEntry(path, 4),)
    rows = list(methods("scanners")["listing"]().scan(reader_of(Listed(Path(__file__)), files), files))
    assert [row.severity for row in rows if isinstance(row, Finding) and row.rule == "HC-REP-004"] == ["high"]


def test_listing_sees_names_that_differ_in_case_only(tmp_path: Path) -> None:
    findings, _ = judge("listing", tmp_path, {"a.txt": b"x", "A.txt": b"y", "b.txt": b"z"})
    if not (tmp_path / "a.txt").samefile(tmp_path / "A.txt"):
        assert sorted(finding.path for finding in findings if finding.rule == "HC-REP-004") == ["A.txt", "a.txt"]


def test_listing_leaves_honest_files_alone(tmp_path: Path) -> None:
    files = {
        "README.md": b"# do. (a) model",
        "LICENSE": b"Apache",
        ".gitattributes": b"*.bin filter=lfs",
        "cat.png": b"\x89PNG\r\n\x1a\n",
        "model.safetensors": safetensors(),
        "config.json": b"{}",
        "pytorch_model.bin": zipped(archive__data=b"x"),
        "old.pt": tarred(),
        "x.pkl": b"\x1f\x8b\x08",
        "deep/er/a.txt": b"",
        "m.py": b"import os\n",
    }
    findings, verdicts = judge("listing", tmp_path, files)
    assert findings == []
    states = {path: verdict.state for path, verdict in verdicts.items()}
    assert states == dict.fromkeys(["README.md", "LICENSE", ".gitattributes", "cat.png", "deep/er/a.txt"], "ok")


def test_python_files_are_listed_with_their_imports(tmp_path: Path) -> None:
    source = b"import os, sys\nfrom urllib.request import urlopen\nfrom . import x\n"
    (finding,), verdicts = judge("python-files", tmp_path, {"tool.py": source, "config.json": b'{"a": "tool box"}'})
    assert (finding.rule, finding.severity, finding.path) == ("HC-PY-001", "medium", "tool.py")
    assert "imports: ., os, sys, urllib.request" in finding.what
    assert verdicts == {}


@pytest.mark.parametrize("reference", ["modeling.Net", "org/repo--modeling.Net"])
def test_python_files_that_a_config_names_weigh_more(tmp_path: Path, reference: str) -> None:
    files = {"modeling.py": b"x = 1", "config.json": json.dumps({"auto_map": {"AutoModel": reference}}).encode()}
    (finding,), _ = judge("python-files", tmp_path, files)
    assert (finding.rule, finding.severity) == ("HC-PY-001", "high")


def test_python_that_does_not_parse_is_still_listed(tmp_path: Path) -> None:
    findings, verdicts = judge(
        "python-files", tmp_path, {"a.py": b"def", "b.py": b"-" * 90_000 + b"1", "c.py": bytes(2 << 20)}
    )
    assert [finding.rule for finding in findings] == ["HC-PY-001", "HC-PY-001", "HC-PY-001", "HC-INC-001"]
    assert "does not parse" in findings[0].what
    assert verdicts["c.py"].state == "unchecked"


def test_no_python_no_finding(tmp_path: Path) -> None:
    assert judge("python-files", tmp_path, {"py.txt": b"import os", "config.json": b"{}"}) == ([], {})


@pytest.mark.parametrize(
    ("other", "found"),
    [("a/CONFIG~1.JSO", 1), ("a/config~2.jso", 1), ("CONFIG~1.JSO", 0), ("a/CONFIG~1.TXT", 0), ("a/run~1.jso", 0)],
)
def test_listing_sees_the_short_name_of_a_file_that_is_there(tmp_path: Path, other: str, found: int) -> None:
    findings, _ = judge("listing", tmp_path, {"a/config.json": b"{}", other: b"{}"})
    assert [row.path for row in findings if row.rule == "HC-REP-004"] == [other] * found


@pytest.mark.parametrize(("path", "severity"), [("json.py", "high"), ("a/json.py", "medium"), ("utils.py", "medium")])
def test_python_files_in_place_of_a_library_weigh_more(tmp_path: Path, path: str, severity: str) -> None:
    (finding,), _ = judge("python-files", tmp_path, {path: b"x = 1\n"})
    assert finding.severity == severity


@pytest.mark.parametrize("other", ["a/config.json.", "a /config.json", "A./config.json"])
def test_listing_sees_names_that_windows_takes_for_one(tmp_path: Path, other: str) -> None:
    findings, _ = judge("listing", tmp_path, {"a/config.json": b"{}", other: b"{}"})
    assert [row.rule for row in findings if row.severity == "high"] == ["HC-REP-004"] * 2


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("\u0441\u043enfig.json", "config.json"),
        ("con\ufb01g.json", "config.json"),  # a ligature
        ("conf\u0131g.json", "config.json"),
        ("c\u200donfig.json", "config.json"),
        ("config.json\u3000", "config.json"),
        ("config\uff0ejson", "config.json"),
        ("confIg.json", "config.json"),
        ("mode1.safetensors", "model.safetensors"),
        ("rnodel.safetensors", "model.safetensors"),
        ("adapter\u2010config.json", "adapter_config.json"),
        ("model-OOOO1-of-00002.safetensors", "model-00001-of-00002.safetensors"),
        ("pytorch_model.b\u0456n", "pytorch_model.bin"),
        ("TOKENIZER.JSON", "tokenizer.json"),
    ],
)
def test_a_name_that_only_looks_like_a_loaders(name: str, real: str) -> None:
    if real != "adapter_config.json":  # a dash is no underscore
        assert name_of_a_loader(f"sub/{name}") == real
    assert name_of_a_loader(f"sub/{real}") == ""


@pytest.mark.parametrize(
    "name",
    ["README.md", "config.yaml", "my_config.json", "model.onnx", "model_1.safetensors", "\u043c\u043e\u0434.bin"],
)
def test_other_names_look_like_no_loaders(name: str) -> None:
    assert name_of_a_loader(name) == ""


def test_a_look_alike_alone_is_low_and_beside_the_true_one_counts(tmp_path: Path) -> None:
    files = {"a/c\u043enfig.json": b"{}", "b/config.json": b"{}", "b/c\u043enfig.json": b"{}"}
    findings, _ = judge("listing", tmp_path, files)
    assert [(row.path[0], row.severity, row.hostile) for row in findings] == [("a", "low", False), ("b", "high", True)]
