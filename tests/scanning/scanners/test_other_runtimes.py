"""GGUF, TFLite, Core ML, OpenVINO: what the libraries write passes; a bad twin of each known mechanism does not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import HubcleanError
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.graphs.coreml_model import read_coreml
from hubclean.scanning.formats.graphs.gguf import read_gguf
from hubclean.scanning.formats.graphs.openvino_ir import read_ir
from hubclean.scanning.formats.graphs.tflite_model import read_tflite
from hubclean.scanning.sources import BytesSource
from support import ROOT
from support.scanned_files import judge, written
from support.wire import message

FIXTURES = ROOT / "tests" / "scanning" / "fixtures"
KINDS = ("gguf", "tflite", "coreml", "openvino")


def made(kind: str, folder: str = "") -> dict[str, bytes]:
    top = FIXTURES / kind / folder
    rows = {place.relative_to(top).as_posix(): place.read_bytes() for place in top.rglob("*") if place.is_file()}
    return {path: body for path, body in rows.items() if not path.startswith("bad/")}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_libraries_write_passes(tmp_path: Path, kind: str) -> None:
    report = scan(written(tmp_path, made(kind)))
    assert report.findings == ()
    assert {row.path: row.state for row in report.files} == dict.fromkeys(made(kind), "ok")
    assert report.exit_code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_file_is_not_checked(tmp_path: Path, kind: str) -> None:
    files = {path: body[: len(body) // 2] for path, body in made(kind).items()}
    report = scan(written(tmp_path, files))
    assert report.exit_code == 2, report.findings


TFLITE = {
    "custom": "HC-NET-001", "flex": "HC-NET-001", "readfile": "HC-NET-002", "hidden": "HC-NET-002",
    "index": "HC-NET-004", "negative": "HC-NET-004",
}  # fmt: skip


@pytest.mark.parametrize("name", TFLITE)
@pytest.mark.parametrize("path", ["a.tflite", "model.bin", "m"])
def test_tflite_sees(tmp_path: Path, name: str, path: str) -> None:
    findings, verdicts = judge("tflite", tmp_path, {path: made("tflite", "bad")[f"{name}.tflite"]})
    assert TFLITE[name] in [row.rule for row in findings]
    assert verdicts == {}


def test_a_program_in_the_zip_behind_a_tflite_model_is_found(tmp_path: Path) -> None:
    body = made("tflite")["labels.tflite"].replace(b"labels.txt", b"labels2.py")
    report = scan(written(tmp_path, {"a.tflite": body}))
    assert "HC-ZIP-005" in [row.rule for row in report.findings]


def gguf(keys: bytes = b"", count: int = 0, tensors: bytes = b"", many: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, many, count) + keys + tensors + bytes(96)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def row(dims: list[int], kind: int = 0, offset: int = 0) -> bytes:
    return text("w") + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def numbers(key: str, count: int) -> bytes:
    """A list of numbers, or of empty texts, which take as many bytes."""
    kind, size = (8, 8) if key.endswith("tokens") else (5, 4)
    return text(key) + struct.pack("<IIQ", 9, kind, count) + bytes(count * size)


ABSURD = {
    "keys": gguf(count=1 << 62),
    "tensors": gguf(many=(1 << 64) // 40),
    "length of a key": gguf(struct.pack("<Q", (1 << 64) - 1), 1),
    "length of a string": gguf(text("a") + struct.pack("<IQ", 8, (1 << 64) - 1), 1),
    "length of a list": gguf(text("a") + struct.pack("<IIQ", 9, 8, 1 << 60), 1),
    "type": gguf(text("a") + struct.pack("<I", 1 << 20), 1),
    "type of a list": gguf(text("a") + struct.pack("<IIQ", 9, 1 << 20, 1), 1),
    "dimensions": gguf(tensors=text("w") + struct.pack("<I", 99), many=1),
    "values": gguf(tensors=row([1 << 32, 1 << 32]), many=1),
    "type of a tensor": gguf(tensors=row([1], 1 << 20), many=1),
    "offset": gguf(tensors=row([1], 0, 1 << 60), many=1),
    "gap": gguf(tensors=row([1], 0, 200), many=1),
    "alignment": gguf(text("general.alignment") + struct.pack("<II", 4, 0), 1),
    "tokens": gguf(numbers("tokenizer.ggml.tokens", 8) + numbers("tokenizer.ggml.token_type", 2), 2),
    "sum": gguf(tensors=row([1 << 59]) * 5, many=5),
}


@pytest.mark.parametrize("name", ABSURD)
def test_numbers_that_made_loaders_of_gguf_overflow_are_found(tmp_path: Path, name: str) -> None:
    findings, _ = judge("gguf", tmp_path, {"m.gguf": ABSURD[name]})
    assert [(found.rule, found.severity) for found in findings] == [("HC-NET-004", "high")]


TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}"


@pytest.mark.parametrize(
    "key",
    [
        text("tokenizer.chat_template") + struct.pack("<I", 8) + text(TEMPLATE),
        text("tokenizer.chat_template.tool") + struct.pack("<I", 8) + text(TEMPLATE),
        text("tokenizer.chat_template") + struct.pack("<IIQ", 9, 8, 1) + text(TEMPLATE),
        (text("tokenizer.chat_template") + struct.pack("<I", 8)).join([b"", text("x"), text(TEMPLATE)]),
    ],
)
@pytest.mark.parametrize("path", ["m.gguf", "model"])
def test_templates_of_gguf_are_judged(tmp_path: Path, key: bytes, path: str) -> None:
    findings, _ = judge("gguf", tmp_path, {path: gguf(key, key.count(b"tokenizer."))})
    assert "HC-CFG-004" in [found.rule for found in findings]


def test_templates_of_the_other_byte_order_are_judged(tmp_path: Path) -> None:
    key, body = b"tokenizer.chat_template", TEMPLATE.encode()
    head = b"GGUF" + struct.pack(">IQQQ", 3, 0, 1, len(key)) + key + struct.pack(">IQ", 8, len(body)) + body
    findings, _ = judge("gguf", tmp_path, {"m.gguf": head + bytes(96)})
    assert "HC-CFG-004" in [found.rule for found in findings]


@pytest.mark.parametrize(
    "body",
    [
        gguf(version=9),
        gguf(text("a") + struct.pack("<I", 77), 1),
        gguf((text("a") + struct.pack("<IB", 0, 1)) * 2, 2),
        gguf(tensors=row([100]), many=1),
        gguf(tensors=row([1], 200), many=1),
        gguf(tensors=row([8]) + row([16], 0, 32), many=2),  # as a file that was cut
        gguf(text("t.chat_template") + struct.pack("<I", 8) + text("x" * (2 << 20)), 1),
    ],
)
def test_gguf_that_cannot_be_judged_is_not_checked(tmp_path: Path, body: bytes) -> None:
    assert judge("gguf", tmp_path, {"m.gguf": body})[1]["m.gguf"].state == "unchecked"


def program(place: str) -> bytes:
    value = message((5, message((1, place), (2, 0))))
    operation = message((1, "const"), (5, message((1, "val"), (2, value))))
    block = message((1, "CoreML5"), (2, message((3, operation))))
    function = message((1, "main"), (2, message((3, block))))
    return message((1, 7), (2, message((1, "d"))), (502, message((1, 1), (2, function))))


NETWORK = message((1, message((1, "mine"), (500, message((10, "MyLayer"))))))
CUSTOM = {
    "layer": message((1, 4), (2, b""), (500, NETWORK)),
    "classifier": message((1, 4), (2, b""), (403, NETWORK)),
    "model": message((1, 4), (2, b""), (555, message((10, "MyModel")))),
    "pipeline": message((1, 4), (2, b""), (202, message((1, message((1, 4), (500, NETWORK)))))),
    "branch": message((1, 4), (2, b""), (500, message((1, message((605, message((2, NETWORK)))))))),
}


@pytest.mark.parametrize("name", CUSTOM)
@pytest.mark.parametrize("path", ["m.mlmodel", "model.bin"])
def test_core_ml_sees_what_an_app_must_bring(tmp_path: Path, name: str, path: str) -> None:
    findings, _ = judge("coreml", tmp_path, {path: CUSTOM[name]})
    assert [(found.rule, found.severity) for found in findings] == [("HC-NET-001", "medium")]


@pytest.mark.parametrize("place", ["@model_path/../../x", "/etc/passwd", "../w.bin"])
def test_core_ml_sees_weights_outside(tmp_path: Path, place: str) -> None:
    findings, _ = judge("coreml", tmp_path, {"m.mlmodel": program(place)})
    assert [(found.rule, found.severity) for found in findings] == [("HC-NET-003", "high")]
    linked = message(
        (1, 4), (2, b""), (556, message((1, message((1, message((1, place.partition("/")[2] or place)))))))
    )
    assert judge("coreml", tmp_path, {"m.mlmodel": linked})[0]


def test_core_ml_packages_stay_inside(tmp_path: Path) -> None:
    files = made("coreml")
    (manifest,) = [path for path in files if path.endswith("Manifest.json")]
    told = json.loads(files[manifest])
    next(iter(told["itemInfoEntries"].values()))["path"] = "../../../x"
    findings, _ = judge("coreml", tmp_path, files | {manifest: json.dumps(told).encode()})
    assert [found.rule for found in findings] == ["HC-NET-003"]
    (weights,) = [path for path in files if path.endswith("weight.bin")]
    (tmp_path / weights).unlink()
    (tmp_path / manifest).write_bytes(files[manifest])
    assert scan(tmp_path).exit_code == 2


XML = b"<?xml version='1.0'?><net name='a' version='11'><layers>%s</layers></net>"


@pytest.mark.parametrize(
    ("layer", "rule"),
    [
        (b"<layer id='0' type='Add' version='opset1'/>", None),
        (b"<layer id='0' type='Mine' version='extension'/>", "HC-NET-001"),
        (b"<layer id='0' type='Add' version='opset1'><data library='/tmp/x.so'/></layer>", "HC-NET-003"),
        (b"<layer type='Const' version='opset1'><data offset='-4' size='8'/></layer>", "HC-NET-004"),
        (b"<layer type='Const' version='opset1'><data offset='0' size='99999999999999999999'/></layer>", "HC-NET-004"),
        (b"<layer type='Const' version='opset1'><data offset='60' size='8'/></layer>", "HC-INC-001"),
    ],
)
def test_openvino_by_its_layers(tmp_path: Path, layer: bytes, rule: str | None) -> None:
    findings, verdicts = judge("openvino", tmp_path, {"m.xml": XML % layer, "m.bin": bytes(64)})
    assert [found.rule for found in findings] == ([rule] if rule else [])
    assert (verdicts.get("m.xml") is not None) == (rule in (None, "HC-INC-001"))


@pytest.mark.parametrize("before", [b"", b"<!--" + b" " * 9000 + b"-->"])
def test_openvino_with_a_document_type_is_found_behind_any_comment(tmp_path: Path, before: bytes) -> None:
    body = (
        before + b"<!DOCTYPE net [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><net version='11'><layers>&x;</layers></net>"
    )
    findings, _ = judge("openvino", tmp_path, {"m.xml": body})
    assert [found.rule for found in findings] == ["HC-NET-003"]


def test_other_xml_is_left_to_the_listing(tmp_path: Path) -> None:
    files = {"a.xml": b"<annotation><size/></annotation>", "b.xml": b"words", "c.xml": b"<!DOCTYPE plist><plist/>"}
    assert judge("openvino", tmp_path, files) == ([], {})
    assert scan(tmp_path).exit_code == 0


def test_weights_beside_are_not_taken_on_trust(tmp_path: Path) -> None:
    files = {"m.xml": XML % b"", "m.bin": b"cos\nsystem\n(S'id'\ntR.", "alone.bin": b"\x01\x02\x03" * 50}
    report = scan(written(tmp_path, files))
    assert report.exit_code == 1
    states = {row.path: row.state for row in report.files}
    assert states == {"m.xml": "ok", "m.bin": "unchecked", "alone.bin": "unchecked"}


READERS = {
    "gguf/chat-q8_0.gguf": read_gguf, "tflite/add.tflite": read_tflite, "tflite/bad/hidden.tflite": read_tflite,
    "coreml/network.mlmodel": read_coreml,
    "coreml/program.mlpackage/Data/com.apple.CoreML/model.mlmodel": read_coreml,
}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*READERS, "openvino/openvino_model.xml"]), st.data())
def test_mutations_never_raise_anything_else(name: str, data: st.DataObject) -> None:
    body = bytearray((FIXTURES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        if name in READERS:
            READERS[name](BytesSource(bytes(body)))
        else:
            read_ir(bytes(body))
    except HubcleanError:
        return
