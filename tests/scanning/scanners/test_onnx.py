"""ONNX: what the libraries write passes, whatever it is called; a bad twin for every public advisory does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import HubcleanError
from hubclean.hub.repos import LocalRepo
from hubclean.registry import methods
from hubclean.scanning.engine import reader_of, scan
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.graphs.onnx_model import read_onnx
from hubclean.scanning.formats.protobuf_wire import BrokenWire
from hubclean.scanning.sources import BytesSource
from support import ROOT
from support.scanned_files import judge, written
from support.wire import graph, message, node, onnx, tensor

FIXTURES = ROOT / "tests" / "scanning" / "fixtures" / "onnx"
MADE = {place.name: place.read_bytes() for place in FIXTURES.iterdir()}
MODELS = sorted(name for name in MADE if name.endswith(".onnx"))
PLAIN = onnx(graph((1, node("Relu")), (5, tensor(raw=bytes(16)))))


def external(**entries: str) -> bytes:
    return onnx(graph((1, node("Relu")), (5, tensor(**entries))))


def test_what_the_libraries_write_passes(tmp_path: Path) -> None:
    report = scan(written(tmp_path, MADE))
    assert report.findings == ()
    assert {row.state for row in report.files} == {"ok"}
    assert report.exit_code == 0
    said = {row.path: row.reason for row in report.files}
    assert "com.microsoft" in said["optimized.onnx"]
    assert "pkg.blocks" in said["subgraphs.onnx"]
    assert "beside.onnx_data as long as it says" in said["beside.onnx"]
    assert "beside.onnx says" in said["beside.onnx_data"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("path", ["model", "model.bin", "onnx/model.ort", "weights.pb", "model.dat"])
def test_a_model_is_known_under_any_name(tmp_path: Path, name: str, path: str) -> None:
    assert sniff(MADE[name][:4096], len(MADE[name])) == "onnx"
    files = {path: MADE[name]}
    if name == "beside.onnx":
        files[str(Path(path).parent / "beside.onnx_data")] = MADE["beside.onnx_data"]
    assert judge("onnx", tmp_path, files)[1][path].state == "ok"
    listed = judge("listing", tmp_path, files)
    assert listed[0] == []
    assert path not in listed[1]


ATTRIBUTE = message((1, "value"), (5, tensor(location="../../etc/passwd")), (20, 4))
OUT = tensor(location="a/../../b")
LEAVING = {
    "initializer": external(location="../../etc/passwd"),
    "constant": onnx(graph((1, node("Constant", "", ATTRIBUTE)))),
    "list of tensors": onnx(graph((1, node("X", "", message((1, "v"), (10, tensor(location="/etc/passwd"))))))),
    "subgraph": onnx(graph((1, node("If", "", message((1, "g"), (6, graph((5, tensor(location="../x"))))))))),
    "subgraphs": onnx(graph((1, node("If", "", message((1, "g"), (11, graph((5, tensor(location="../x"))))))))),
    "sparse": onnx(graph((1, node("Relu")), (15, message((1, tensor(location="~/.ssh/id"))),))),
    "sparse attribute": onnx(graph((1, node("C", "", message((1, "v"), (22, message((2, OUT)))))))),
    "function": onnx(graph((1, node("Relu"))), (25, message((1, "F"), (7, node("C", "", ATTRIBUTE)), (10, "l")))),
    "default of a function": onnx(graph((1, node("Relu"))), (25, message((1, "F"), (11, ATTRIBUTE), (10, "l")))),
    "training": onnx(graph((1, node("Relu"))), (20, message((2, graph((5, tensor(location="../x"))))))),
    "windows": external(location="..\\..\\secret"),
    "drive": external(location="C:\\secret"),
    "address": external(location="https://example.org/x"),
    "memory": external(location="*/_ORT_MEM_ADDR_/*", offset="140000000000", length="64"),
    "base path": external(location="w.bin", basepath="/etc"),
    "not used": onnx(graph((1, node("Relu")), (5, tensor(used=False, location="../x")))),
    "given twice": onnx(graph((1, node("Relu")), (5, message((13, message((1, "location"), (2, "a"), (2, "/x"))))))),
    "two graphs": PLAIN + message((7, graph((5, tensor(location="../x"))))),
    "compiled": onnx(graph((1, node(
        "EPContext", "com.microsoft", message((1, "embed_mode"), (3, 0)), message((1, "ep_cache_context"), (4, "../a"))
    )))),
}  # fmt: skip


LEAVING["an engine whose mode is not said"] = onnx(
    graph((1, node("EPContext", "com.microsoft", message((1, "ep_cache_context"), (4, "/tmp/engine.bin")))))
)


@pytest.mark.parametrize("where", LEAVING)
def test_tensors_outside_the_repo_are_found_wherever_they_hang(tmp_path: Path, where: str) -> None:
    findings, _ = judge("onnx", tmp_path, {"model.onnx": LEAVING[where], "w.bin": bytes(64)})
    assert ("HC-NET-003", "high") in {(row.rule, row.severity) for row in findings}
    assert scan(tmp_path).exit_code == 1


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "w.bin", "__class__": "x"},
        {"location": "w.bin", "raw_data": "x"},
        {"location": "w.bin", "length": "-1"},
        {"location": "w.bin", "offset": "1e9"},
        {"location": "w.bin", "length": "99999999999999999999999"},
        {"location": "w.bin", "length": str(1 << 62)},
    ],
)
def test_keys_and_numbers_that_bend_a_loader_are_found(tmp_path: Path, entries: dict[str, str]) -> None:
    findings, _ = judge("onnx", tmp_path, {"model.onnx": external(**entries), "w.bin": bytes(64)})
    assert [(row.rule, row.severity) for row in findings] == [("HC-NET-004", "high")]


@pytest.mark.parametrize(
    ("kind", "domain", "rule"),
    [
        ("Relu", "ai.onnx", None),
        ("FusedMatMul", "com.microsoft", None),
        ("ATen", "org.pytorch.aten", None),
        ("Mine", "org.example", "HC-NET-001"),
        ("Block", "pkg.blocks", "HC-NET-001"),
        ("PyOp", "ai.onnx.contrib", "HC-NET-002"),
        ("AzureTextInvoker", "com.microsoft.extensions", "HC-NET-002"),
        ("OpenAIAudioToText", "ai.onnx.contrib", "HC-NET-002"),
        ("PythonOp", "com.microsoft", "HC-NET-002"),
        ("PyOp_1", "", "HC-NET-002"),
        ("Mine", "pyopmulti_2", "HC-NET-002"),
    ],
)
def test_operators_by_their_domain(tmp_path: Path, kind: str, domain: str, rule: str | None) -> None:
    findings, verdicts = judge("onnx", tmp_path, {"model.onnx": onnx(graph((1, node(kind, domain))))})
    assert [row.rule for row in findings] == ([rule] if rule else [])
    assert ("model.onnx" in verdicts) == (rule is None)


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": PLAIN[:-20]},
        {"model.onnx": b"\x08\x09\x12\x01a"},
        {"model.onnx": b"words"},
        {"model.onnx": external(location="gone.bin")},
        {"model.onnx": external(location="w.bin", length="65"), "w.bin": bytes(64)},
        {"model.onnx": onnx(graph((5, message((8, "w"), (14, 1)))))},
    ],
)
def test_what_is_broken_or_not_there_is_not_checked(tmp_path: Path, files: dict[str, bytes]) -> None:
    findings, verdicts = judge("onnx", tmp_path, files)
    assert verdicts["model.onnx"].state == "unchecked"
    assert {row.rule for row in findings} == {"HC-INC-001"}
    assert scan(tmp_path).exit_code == 2


def test_what_is_named_as_weights_and_is_something_else_is_not_acquitted(tmp_path: Path) -> None:
    files = {"model.onnx": external(location="lib.so"), "lib.so": b"\x7fELF" + bytes(90)}
    assert judge("onnx", tmp_path, files)[1]["lib.so"].state == "unchecked"


def test_of_one_file_alone_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(external(location="w.bin"))
    assert scan(tmp_path / "model.onnx").exit_code == 0


def test_a_large_model_costs_few_small_reads(tmp_path: Path) -> None:
    large, small = 6 << 20, 2000
    tensors = [tensor(f"w{n}", raw=bytes(large if n % 4 == 0 else small)) for n in range(32)]
    (tmp_path / "model.onnx").write_bytes(onnx(graph(*[(1, node("MatMul"))] * 500, *((5, row) for row in tensors))))
    repo = LocalRepo(tmp_path)
    reader = reader_of(repo, repo.files())
    (row,) = methods("scanners")["onnx"]().scan(reader, repo.files())
    assert "32 tensors" in getattr(row, "reason", "")
    assert reader.requests < 20
    assert reader.bytes_read < 400_000


def test_nesting_ends_somewhere() -> None:
    inner = graph((1, node("Relu")))
    for _ in range(40):
        inner = graph((1, node("If", "", message((1, "g"), (6, inner)))))
    with pytest.raises(BrokenWire, match="nested"):
        read_onnx(BytesSource(onnx(inner)))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MODELS), st.data())
def test_mutations_never_raise_anything_else(name: str, data: st.DataObject) -> None:
    body = bytearray(MADE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        model = read_onnx(BytesSource(bytes(body)))
    except HubcleanError:
        return
    assert model.nodes + model.tensors <= len(body)
