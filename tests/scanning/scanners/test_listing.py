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


@pytest.mark.parametrize("other", ["a/config.json.", "a /config.json", "A./config.json"])
def test_listing_sees_names_that_windows_takes_for_one(tmp_path: Path, other: str) -> None:
    findings, _ = judge("listing", tmp_path, {"a/config.json": b"{}", other: b"{}"})
    assert [row.rule for row in findings if row.severity == "medium"] == ["HC-REP-004"] * 2
