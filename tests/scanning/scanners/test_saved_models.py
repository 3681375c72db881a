"""TensorFlow's graphs, checkpoints, logs and TensorFlow.js: what the libraries write passes; bad twins do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.tensorflow.tfrecord import masked_crc
from support import ROOT
from support.pickled import EVIL
from support.scanned_files import judge, written

FIXTURES = ROOT / "tests" / "scanning" / "fixtures" / "tensorflow"
BAD = sorted((FIXTURES / "bad").iterdir())


def test_what_the_libraries_write_is_ok() -> None:
    report = scan(FIXTURES / "good")
    assert report.exit_code == 0
    assert report.findings == ()
    said = {row.path.rsplit("/", 1)[-1]: row.reason for row in report.files}
    assert said["train.tfrecord"].startswith("TFRecord: 3 examples")
    assert said["events.out.tfevents.1700000000.host.1.0.v2"].startswith("TFRecord: 8 events")


@pytest.mark.parametrize("place", BAD, ids=lambda place: place.name)
def test_a_bad_twin_is_a_finding(place: Path) -> None:
    report = scan(place)
    assert report.exit_code == 1
    assert {row.rule for row in report.findings} == {"HC-TF-001"}
    assert scan(place / "saved_model.pb").exit_code == 1


def node(operator: str, more: bytes = b"") -> bytes:
    body = b"\x0a\x01w\x12" + bytes([len(operator)]) + operator.encode() + more
    return b"\x0a" + bytes([len(body)]) + body


@pytest.mark.parametrize(
    ("operator", "severity"),
    [
        ("WriteFile", "critical"), ("PyFunc", "critical"), ("EagerPyFunc", "critical"), ("PyFuncStateless", "critical"),
        ("ReadFile", "high"), ("MatchingFiles", "high"), ("TFRecordDataset", "high"), ("ImmutableConst", "high"),
        ("WriteScalarSummary", "critical"), ("DataServiceDatasetV4", "critical"), ("RpcCall", "critical"),
        ("MatMul", None), ("SaveV2", None), ("RestoreV2", None), ("InitializeTableFromTextFileV2", None),
    ],
)  # fmt: skip
def test_operators(tmp_path: Path, operator: str, severity: str | None) -> None:
    graph = node("Placeholder") + node(operator)
    inside = node(operator)[2:]
    function = b"\x0a\x03\x0a\x01f\x1a" + bytes([len(inside)]) + inside
    library = b"\x0a" + bytes([len(function)]) + function
    text = f'node {{ name: "a" # op: "b"\n op: "{operator[:3]}" \'{operator[3:]}\' }}'.encode()
    files = {
        "frozen.pb": graph,
        "library.pb": node("Placeholder") + b"\x12" + bytes([len(library)]) + library,
        "graph.pbtxt": text,
    }
    for path, body in files.items():
        findings, verdicts = judge("saved-models", tmp_path, {path: body})
        assert {row.severity for row in findings} == ({severity} if severity else set()), path
        assert bool(severity) or verdicts[path].state == "ok"


def test_a_label_map_is_text_without_a_graph(tmp_path: Path) -> None:
    _, verdicts = judge("saved-models", tmp_path, {"label_map.pbtxt": b"item {\n  id: 1\n  name: 'ReadFile'\n}\n"})
    assert verdicts["label_map.pbtxt"].reason == "protobuf text without a graph"


def test_a_shard_of_another_length_is_not_checked(tmp_path: Path) -> None:
    place = FIXTURES / "good" / "checkpoint"
    files = {row.name: row.read_bytes() for row in place.iterdir()}
    files["model.ckpt.data-00000-of-00001"] += b"more"
    assert scan(written(tmp_path, files)).exit_code == 2


def test_half_a_model_of_keras_is_not_checked() -> None:
    assert scan(FIXTURES / "good" / "keras2_saved" / "saved_model.pb").exit_code == 2
    assert scan(FIXTURES / "good" / "keras2_saved" / "keras_metadata.pb").exit_code == 2


def test_an_asset_that_leaves_the_folder(tmp_path: Path) -> None:
    asset = b"\x12\x0b../../a.txt"
    graph = b"\x32" + bytes([len(asset)]) + asset
    findings, _ = judge("saved-models", tmp_path, {"saved_model.pb": b"\x08\x01\x12" + bytes([len(graph)]) + graph})
    assert [row.rule for row in findings] == ["HC-TF-002"]


# Logs.


def record(data: bytes) -> bytes:
    length = len(data).to_bytes(8, "little")
    return length + masked_crc(length).to_bytes(4, "little") + data + masked_crc(data).to_bytes(4, "little")


EVENT = b"\x09" + bytes(8) + b"\x1a\x0dbrain.Event:2"


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (record(EVENT) * 3, "ok"),
        ((record(EVENT) * 3)[:-5], "ok"),  # the writer was killed
        (record(EVENT) + record(b"\x09" + bytes(8) + b"\x2a\xd0\x86\x03" + bytes(50_000)) * 80, "ok"),
        (record(EVENT) + bytes(40), "unchecked"),
        (record(EVENT) + record(b"cos\nsystem\n."), "unchecked"),
        (record(EVENT)[:-1] + b"\0", "unchecked"),
        (
            record(EVENT) + record(b"\x09" + bytes(8) + b"\x2a\xd0\x86\x03" + bytes(50_000)) * 80 + bytes(99),
            "unchecked",
        ),
        (record(EVENT)[:20], "unchecked"),
    ],
)
def test_logs(tmp_path: Path, body: bytes, state: str) -> None:
    _, verdicts = judge("tfevents", tmp_path, {"runs/events.out.tfevents.1.a.2.0": body})
    assert verdicts["runs/events.out.tfevents.1.a.2.0"].state == state


def test_a_large_log_is_read_at_its_ends_and_says_so(tmp_path: Path) -> None:
    body = record(EVENT) + record(b"\x09" + bytes(8) + b"\x2a\xd0\x86\x03" + bytes(50_000)) * 80
    (tmp_path / "events.out.tfevents.1.a.2.0").write_bytes(body)
    report = scan(tmp_path)
    assert report.exit_code == 0
    assert report.bytes_read < len(body) // 4
    assert "was not read" in report.files[0].reason


def test_the_checksum_is_tensorflows() -> None:
    assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


# TensorFlow.js.


def tfjs(paths: list[str], shape: list[int], dtype: str = "float32", **more: Any) -> bytes:
    manifest = [{"paths": paths, "weights": [{"name": "a", "shape": shape, "dtype": dtype, **more}]}]
    return json.dumps(
        {"format": "graph-model", "modelTopology": {"node": [{"op": "MatMul"}]}, "weightsManifest": manifest}
    ).encode()


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (tfjs(["group1-shard1of2.bin", "group1-shard2of2.bin"], [3]), 0),
        (tfjs(["group1-shard1of2.bin", "group1-shard2of2.bin"], [12], quantization={"dtype": "uint8"}), 0),
        (tfjs(["group1-shard1of2.bin", "group1-shard2of2.bin"], [4]), 2),
        (tfjs(["group1-shard1of2.bin"], [2]), 2),
        (tfjs(["group1-shard1of2.bin", "group1-shard2of2.bin", "gone.bin"], [3]), 2),
        (tfjs(["group1-shard1of2.bin", "../../a.bin"], [3]), 1),
        (tfjs(["https://example.com/a.bin"], [3]), 1),
        (tfjs(["group1-shard1of2.bin", "group1-shard2of2.bin"], [3]).replace(b"MatMul", b"ReadFile"), 1),
    ],
)
def test_tensorflow_js(tmp_path: Path, model: bytes, code: int) -> None:
    weights = {"m/group1-shard1of2.bin": b"\x01\x02\x03\xff" * 2, "m/group1-shard2of2.bin": b"\x9a\x99\x19\x3f"}
    assert scan(written(tmp_path, {"m/model.json": model, **weights})).exit_code == code


def test_a_pickle_among_the_weights_is_still_seen(tmp_path: Path) -> None:
    files = {"model.json": tfjs(["group1-shard1of1.bin"], [len(EVIL)], "uint8"), "group1-shard1of1.bin": EVIL}
    assert scan(written(tmp_path, files)).exit_code == 1
