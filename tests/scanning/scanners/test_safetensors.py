"""The check on safetensors headers and shard indexes."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from hubclean.hub.repos import LocalRepo
from hubclean.records import FileVerdict, Finding
from hubclean.registry import methods
from hubclean.scanning.engine import reader_of
from support.scanned_files import TENSOR, judge, safetensors


def test_safetensors_header_sees_what_the_parser_rejects_and_quotes_it(tmp_path: Path) -> None:
    broken = safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})
    findings, verdicts = judge("safetensors-header", tmp_path, {"model.safetensors": broken, "disguised.bin": broken})
    assert [(finding.rule, finding.severity, finding.path) for finding in findings] == [
        ("HC-ST-001", "high", "disguised.bin"),
        ("HC-ST-001", "high", "model.safetensors"),
    ]
    assert "invalid shape" in findings[0].what
    assert verdicts == {}


def test_safetensors_header_sees_ambiguous_and_outsized_headers(tmp_path: Path) -> None:
    odd = {"a": TENSOR["a"] | {"more": 1}}
    many = {f"{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(60)}
    scanner = dataclasses.replace(methods("scanners")["safetensors-header"](), most_tensors=50)
    (tmp_path / "odd.safetensors").write_bytes(safetensors(odd))
    (tmp_path / "many.safetensors").write_bytes(safetensors(many, bytes(60)))
    (tmp_path / "long.safetensors").write_bytes((9 << 20).to_bytes(8, "little") + b"{")
    os.truncate(tmp_path / "long.safetensors", 20 << 20)
    repo = LocalRepo(tmp_path)
    rows = list(scanner.scan(reader_of(repo, repo.files()), repo.files()))
    found = {row.path: row.rule for row in rows if isinstance(row, Finding) and row.rule != "HC-INC-001"}
    assert found == {
        "odd.safetensors": "HC-ST-002",
        "many.safetensors": "HC-ST-003",
        "long.safetensors": "HC-ST-003",
    }
    assert {row.path: row.state for row in rows if isinstance(row, FileVerdict)}["long.safetensors"] == "unchecked"


def shards(**weight_map: str) -> dict[str, bytes]:
    return {
        "model-1.safetensors": safetensors(),
        "model-2.safetensors": safetensors({"b": TENSOR["a"]}),
        "model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode(),
    }


def test_an_index_that_agrees_with_its_shards_is_ok(tmp_path: Path) -> None:
    files = {f"unet/{path}": body for path, body in shards(a="model-1.safetensors", b="model-2.safetensors").items()}
    findings, verdicts = judge("safetensors-header", tmp_path, files)
    assert findings == []
    assert {path: verdict.state for path, verdict in verdicts.items()} == dict.fromkeys(files, "ok")


@pytest.mark.parametrize("shard", ["../x.bin", "gone.bin"])
def test_an_index_of_pickled_shards_is_held_to_the_same(tmp_path: Path, shard: str) -> None:
    files = {"pytorch_model-1.bin": b"\x80\x02}."}
    for name, rules in (("pytorch_model-1.bin", []), (shard, ["HC-ST-004"])):
        index = {"pytorch_model.bin.index.json": json.dumps({"weight_map": {"a": name}}).encode()}
        findings, _ = judge("safetensors-header", tmp_path, files | index)
        assert [finding.rule for finding in findings] == rules


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "model-1.safetensors", "b": "model-3.safetensors"},
        {"a": "model-1.safetensors", "b": "../model-2.safetensors"},
        {"a": "model-2.safetensors", "b": "model-1.safetensors"},
        {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"},
    ],
)
def test_an_index_that_disagrees_is_a_finding(tmp_path: Path, weight_map: dict[str, str]) -> None:
    findings, _ = judge("safetensors-header", tmp_path, shards(**weight_map))
    assert {(finding.rule, finding.path) for finding in findings} == {("HC-ST-004", "model.safetensors.index.json")}


@pytest.mark.parametrize("path", ["model.safetensors.index.fp16.json", "flax_model.msgpack.index.json"])
def test_an_index_of_any_variant_is_judged(tmp_path: Path, path: str) -> None:
    body = json.dumps({"weight_map": {"a": "../../evil.bin"}}).encode()
    findings, _ = judge("safetensors-header", tmp_path, {path: body})
    assert [(row.rule, row.hostile) for row in findings] == [("HC-ST-004", True)]


def test_an_index_that_names_a_subfolder_is_told_and_not_hostile(tmp_path: Path) -> None:
    findings, _ = judge("safetensors-header", tmp_path, shards(a="parts/model-1.safetensors"))
    assert [(row.rule, row.hostile) for row in findings] == [("HC-ST-004", False)]
