"""What is one format at its start and another behind: readers that look for the second find it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from hubclean.scanning.engine import scan
from support.pickled import EVIL
from support.scanned_files import written

CONFIG = b'{"architecture": "resnet18"}'


def zipped(comment: int) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("archive/data.pkl", EVIL)
        archive.comment = b"x" * comment
    return body.getvalue()


@pytest.mark.parametrize("comment", [0, 5000, 65535])
@pytest.mark.parametrize("front", [0, 700_000])
def test_a_zip_in_the_tensors_of_safetensors(comment: int, front: int, tmp_path: Path) -> None:
    data = bytes(front) + zipped(comment)
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + data
    assert zipfile.is_zipfile(io.BytesIO(whole))
    report = scan(written(tmp_path, {"config.json": CONFIG, "model.safetensors": whole}))
    assert (report.exit_code, "HC-PKL-001" in {row.rule for row in report.findings}) == (1, True)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "a.pkl"])
@pytest.mark.parametrize("length", [300_000, 5_000_000])
@pytest.mark.parametrize("opcode", [b"V%b\n0", b"X%b0"])
def test_a_pickle_behind_a_long_constant(name: str, length: int, opcode: bytes, tmp_path: Path) -> None:
    words = b" " * length if opcode.startswith(b"V") else length.to_bytes(4, "little") + b" " * length
    report = scan(written(tmp_path, {"config.json": CONFIG, name: opcode % words + EVIL[2:]}))
    assert (report.exit_code, "HC-PKL-001" in {row.rule for row in report.findings}) == (1, True)


@pytest.mark.parametrize(("name", "front"), [("x.pt", b""), ("x.png", b"\x89PNG\r\n\x1a\n" + bytes(100))])
@pytest.mark.parametrize("comment", [b"PK\x05\x06", b"PK\x05\x06" + bytes(17)])
def test_an_end_record_without_room_is_passed_over(name: str, front: bytes, comment: bytes, tmp_path: Path) -> None:
    """miniz, and so ``torch.load``, goes on to the record before; what begins within the last 21 bytes is none."""
    whole = front + zipped(0)[:-2] + len(comment).to_bytes(2, "little") + comment
    report = scan(written(tmp_path, {"config.json": CONFIG, name: whole}))
    assert (report.exit_code, "HC-PKL-001" in {row.rule for row in report.findings}) == (1, True)
