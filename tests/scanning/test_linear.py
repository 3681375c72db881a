"""What a scan costs grows with the bytes and no faster: operations and calls, counted at a size and at four times it.

The shapes are those of ``benchmarks.scan.adversarial``, which measures seconds too, at larger sizes.
"""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scan.adversarial import SHAPES
from hubclean.errors import BudgetError
from hubclean.hub.repos import LocalRepo, RepoEntry
from hubclean.scanning import budget
from hubclean.scanning.compression import unpacking
from hubclean.scanning.engine import reader_of, scan
from hubclean.scanning.formats import safetensors_header
from hubclean.scanning.formats.tensorflow.text_graphs import read_text_graph
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import each, python_files, weights_agree
from hubclean.scanning.scanners.python_files import PythonFiles
from support.pickled import torch_zip
from support.scanned_files import judge, safetensors, written

SIZE = 4000
WHOLE = ("torch zip, tensors", "repo, checkpoints", "repo, shards twice", "bomb, xz", "bomb, gz", "bomb, bz2")
# What takes a large value again and again is not done faster: its operations end it, and the file is not checked.
_LARGE = ("large tuple, called", "large tuple, listed", "large text, named")
ENDED = (*(f"pickle, {name}" for name in _LARGE), "hdf5, shared block")
COUNTED = [name for name in SHAPES if name not in WHOLE]


def operations(files: dict[str, bytes], folder: Path) -> int:
    with budget.counted() as meter:
        scan(LocalRepo(written(folder, files)))
    return meter.used


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.filterwarnings("ignore")
def test_operations_grow_with_the_bytes(name: str, tmp_path: Path) -> None:
    small, large = SHAPES[name](SIZE), SHAPES[name](4 * SIZE)
    once, more = operations(small, tmp_path / "a"), operations(large, tmp_path / "b")
    growth = max(4.0, sum(map(len, large.values())) / sum(map(len, small.values())))
    assert more <= 1.2 * growth * once + 4096 or name in ENDED
    most = sum(budget.allowed(len(body)) for body in large.values())
    assert more <= most * (1.1 if name in ENDED else 1)


def test_one_file_has_one_budget_for_all_scanners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FLOOR", 100)
    files = {"config.json": b'{"chat_template": "", "a": [' + b"1," * 4000 + b"1]}", "b.json": b"{}"}
    assert "unchecked" not in {row.state for row in scan(LocalRepo(written(tmp_path, files))).files}
    monkeypatch.setattr(budget, "RATE", 0.6)  # enough for one scanner, not for two
    assert "HC-INC-001" not in {row.rule for row in judge("config-code", tmp_path, files)[0]}
    report = scan(LocalRepo(tmp_path))
    states = {row.path: row for row in report.files}
    assert (states["config.json"].state, states["b.json"].state, report.exit_code) == ("unchecked", "ok", 2)
    assert "operations, which no file of its 8,031 bytes needs; ask the author" in states["config.json"].reason


def test_what_is_unpacked_may_be_judged_too_and_counts_for_the_file_around_it() -> None:
    with budget.of_scan() as whole, budget.of_file("a.gz", 10) as outer:
        with budget.of_file("inside", 10**6) as inner:
            assert inner is outer
        before = outer.limit
        budget.grow(1000)
        assert outer.limit == before + 1000 * budget.RATE
        budget.spend(7)
        with pytest.raises(BudgetError):
            budget.spend(int(outer.limit))
    assert whole.operations > 7
    budget.spend(10**9)  # outside a scan nothing is counted


def test_a_file_over_its_budget_leaves_the_others(tmp_path: Path) -> None:
    def hungry(entry: RepoEntry) -> Any:
        budget.spend(10**9 if entry.path == "a" else 1)
        yield from ()

    rows = list(each([RepoEntry("a", 1), RepoEntry("b", 1)], hungry))
    assert {row.path for row in rows} == {"a"}


def test_every_table_of_tensors_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counting(module: Any, name: str) -> None:
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: (calls.update([name]), plain(*given))[1])

    counting(safetensors_header, "parse_header")
    counting(weights_agree, "differences")
    files = {f"model-{at}-of-9.safetensors": safetensors() for at in range(9)}
    files |= {f"t{at}.txt": b"text" for at in range(20)} | {"pytorch_model.bin": torch_zip()}
    scan(LocalRepo(written(tmp_path, files)))
    assert calls == {"parse_header": 9, "differences": 1}


def test_configs_are_read_once_for_all_python_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = Reader.read
    monkeypatch.setattr(Reader, "read", lambda reader, path, limit: (read.append(path), plain(reader, path, limit))[1])
    files = {f"m{at}.py": b"import os" for at in range(5)} | {"config.json": b'{"a": "m1.Net"}'}
    assert len(judge("python-files", tmp_path, files)[0]) == 5
    assert Counter(read) == dict.fromkeys(files, 1)


def test_the_format_of_a_file_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubclean.scanning import scanners

    told: list[int] = []
    plain = scanners.sniff
    monkeypatch.setattr(scanners, "sniff", lambda head, size: (told.append(size), plain(head, size))[1])
    scan(LocalRepo(written(tmp_path, {"a.txt": b"a", "b.bin": b"bb", "c": b"ccc"})))
    assert sorted(told) == [1, 2, 3]


@pytest.mark.parametrize(
    ("config", "module", "severity"),
    [
        ({"auto_map": {"AutoModel": "modeling_x.Net"}}, "modeling_x", "high"),
        ({"auto_map": {"AutoModel": "org/model--modeling_x.Net"}}, "modeling_x", "high"),
        ({"a": "src/modeling_x.py"}, "modeling_x", "high"),
        ({"a": "package.modeling_x.Net"}, "modeling_x", "high"),
        ({"a": "my.odd.Net"}, "my.odd", "high"),
        ({"a": "modeling_xy.Net", "b": "modeling_x"}, "modeling_x", "medium"),
        ({"a": "text about modeling_x.Net"}, "modeling_x", "medium"),
    ],
)
def test_modules_named_by_configs_are_found_in_one_table(
    tmp_path: Path, config: Any, module: str, severity: str
) -> None:
    files = {"config.json": json.dumps(config).encode(), f"{module}.py": b"import os"}
    (row,) = [row for row in judge("python-files", tmp_path, files)[0] if row.rule == "HC-PY-001"]
    assert row.severity == severity


@pytest.mark.parametrize(
    "source",
    [
        b"import " + b"a." * 200 + b"b",
        b"import " + b"a. \\\n" * 200 + b"b",
        "import {}b".format("ä." * 200).encode(),
        b"a = f'" + b"{a}" * 9000 + b"'",
    ],
)
def test_what_python_s_parser_is_slow_on_is_not_given_to_it(
    tmp_path: Path, source: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_files.ast, "parse", None)
    (row,) = judge("python-files", tmp_path, {"a.py": source})[0]
    assert "too long to parse" in row.what


def test_names_of_a_hundred_parts_and_blanks_do_not_matter(tmp_path: Path) -> None:
    source = b"import os.path  \n" + b" " * 5000 + b"\n#" + b"." * 5000 + b"\na = 'b' . c\nimport sys"
    (row,) = judge("python-files", tmp_path, {"a.py": source})[0]
    assert row.what.endswith("imports: os.path, sys")
    assert PythonFiles().max_bytes == 1 << 20


def test_streams_behind_each_other_are_fed_little(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    one, fed = gzip.compress(b"x" * 40, mtime=0), list[int]()
    plain = zlib.decompressobj

    class Counting:
        def __init__(self, stream: Any) -> None:
            self.inner = stream

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            fed.append(len(data))
            return bytes(self.inner.decompress(data, most))

    monkeypatch.setattr(zlib, "decompressobj", lambda bits: Counting(plain(bits)))
    body = one * 2000 + bytes(100)
    assert unpacking.unpacked("gzip", body, 1 << 20) == b"x" * 80_000
    assert sum(fed) < 20 * len(body)
    assert unpacking.unpacked("gzip", gzip.compress(bytes(3 << 20)), 4 << 20) == bytes(3 << 20)


def test_places_in_text_graphs_are_bytes_and_counted_once() -> None:
    text = 'node { name: "é" op: "WriteFile" } # "\n' + 'node { op: "PyFunc" name: "open\n op: "ReadFile" }'
    found = {row.what: row.offset for row in read_text_graph(text).problems}
    whole = text.encode()
    assert found == {
        f"the operator {name}": whole.index(f'"{name}"'.encode()) for name in ("WriteFile", "PyFunc", "ReadFile")
    }


def test_nothing_here_looks_at_a_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slow machine gets the same verdict: with the clock standing still, all is judged."""
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    folder = written(tmp_path, {"a.pkl": b"\x80\x04(" + b"N" * 5000 + b"t."})
    assert [row.rule for row in scan(LocalRepo(folder)).findings] == ["HC-PKL-009"]
    assert reader_of(LocalRepo(folder), LocalRepo(folder).files()).bytes_read == 0
