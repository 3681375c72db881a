"""Tensors read out of pickled checkpoints without unpickling are those that torch loads, bit for bit."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from hubclean.errors import FormatError
from hubclean.scanning.formats import safetensors_writer, torch_checkpoint
from hubclean.scanning.formats.torch_checkpoint import open_pickled
from support.pickled import call, stream


def converted(place: Path, **options: Any) -> dict[str, Tensor]:
    out = place.with_suffix(".safetensors")
    with open_pickled(place, **options) as weights:
        safetensors_writer.write_safetensors(out, weights.tensors, {"format": "pt"})
    return load_file(out)


def same(one: Tensor, two: Tensor) -> bool:
    bits = [tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1) for tensor in (one, two)]
    return one.dtype == two.dtype and one.shape == two.shape and torch.equal(*(part.view(torch.uint8) for part in bits))


def tensors() -> dict[str, Tensor]:
    image = torch.randn(8, 3, 5, 5)
    return {
        "plain": image,
        "last": image.contiguous(memory_format=torch.channels_last),
        "turned": torch.randn(4, 6).t(),
        "tied": image,
        "view": image[1:3, ::2],
        "one": torch.ones(1).expand(5),
        "none": torch.zeros(0, 3),
        "number": torch.tensor(5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "flags": torch.tensor([True, False]),
        "bf16": torch.randn(7).bfloat16(),
        "half": torch.randn(3).half(),
        "double": torch.randn(3, 1).double(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "short": torch.arange(-2, 3, dtype=torch.int16),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_every_dtype_and_layout_comes_out_as_torch_loads_it(tmp_path: Path, zipped: bool) -> None:
    held = tensors()
    if zipped:
        held |= {"fp8": torch.randn(4).to(torch.float8_e4m3fn), "u16": torch.arange(4).to(torch.uint16)}
    torch.save(held, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    found = converted(tmp_path / "x.pth")
    assert found.keys() == held.keys()
    assert [name for name in held if not same(found[name], held[name])] == []


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_view_of_a_storage_is_gathered_right(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = torch.arange(240, dtype=torch.int32)
    size = data.draw(st.lists(st.integers(1, 4), max_size=4))
    stride = [data.draw(st.integers(0, 12)) for _ in size]
    reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    view = base.as_strided(size, stride, data.draw(st.integers(0, 239 - reach)))
    place = tmp_path_factory.mktemp("v") / "x.pth"
    torch.save({"view": view}, place)
    assert same(converted(place)["view"], view)


def test_a_large_tensor_goes_through_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_checkpoint, "PIECE", 1000)
    held = {"long": torch.randn(999), "turned": torch.randn(60, 50).t()}
    torch.save(held, tmp_path / "x.pth")
    with open_pickled(tmp_path / "x.pth") as weights:
        sizes = [len(piece) for tensor in weights.tensors.values() for piece in tensor.pieces()]
    assert max(sizes) <= 1000
    assert sum(sizes) == sum(tensor.nbytes for tensor in held.values())
    found = converted(tmp_path / "x.pth")
    assert all(same(found[name], held[name]) for name in held)


def swapped(body: bytes) -> bytes:
    """The same torch zip as a big-endian machine writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if "/data/" in info.filename:
                data = struct.pack(f">{len(data) // 4}I", *struct.unpack(f"<{len(data) // 4}I", data))
            new.writestr(info, b"big" if info.filename.endswith("/byteorder") else data)
    return out.getvalue()


def test_numbers_of_a_big_endian_machine_are_turned_round(tmp_path: Path) -> None:
    held = {"a": torch.randn(3, 4), "b": torch.randn(4, 3).t()}
    body = io.BytesIO()
    torch.save(held, body)
    (tmp_path / "x.pth").write_bytes(swapped(body.getvalue()))
    found = converted(tmp_path / "x.pth")
    assert all(same(found[name], held[name]) for name in held)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"c": torch.zeros(2, dtype=torch.complex128)}, "dtype complex128, which safetensors cannot hold"),
        ({"a": torch.zeros(1).expand(5_000_000)}, "four times as large"),
        ({"__metadata__": torch.zeros(1)}, "no name for a tensor"),
        ({"a\n": torch.zeros(1)}, "no name for a tensor"),
        ({"epoch": 3}, "no dict of tensors"),
    ],
)
def test_what_cannot_be_converted_faithfully_is_refused(tmp_path: Path, value: Any, why: str) -> None:
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(FormatError, match=why):
        converted(tmp_path / "x.pth")


def test_nothing_that_breaks_a_rule_is_read(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(stream(call("os", "system")))
    with pytest.raises(FormatError, match=r"HC-PKL-001: .*os\.system"):
        converted(tmp_path / "evil.pth")
    torch.save({"a": torch.zeros(3), "extra": torch.nn.Linear(1, 1)}, tmp_path / "whole.pth")
    with pytest.raises(FormatError, match="HC-PKL-002"):
        converted(tmp_path / "whole.pth")
    allow = frozenset({"torch.nn.modules.linear.Linear"})
    assert list(converted(tmp_path / "whole.pth", allow=allow)) == ["a"]


@pytest.mark.parametrize("body", [b"", b"plain text", b"PK\x05\x06" + bytes(18), json.dumps([1]).encode()])
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(body)
    with pytest.raises(FormatError) as said:
        converted(tmp_path / "x.pth")
    assert "\n" not in str(said.value)


def test_a_legacy_storage_that_lies_about_its_length_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(77)}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    body = (tmp_path / "x.pth").read_bytes()
    at = body.rindex(struct.pack("<q", 77))
    (tmp_path / "x.pth").write_bytes(body[:at] + struct.pack("<q", 76) + body[at + 8 :])
    with pytest.raises(FormatError, match="HC-PKL-008: a storage of 77 elements says to have 76"):
        converted(tmp_path / "x.pth")


def test_a_negated_view_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.view_as_real(torch.ones(2, dtype=torch.complex64)), "b": torch._neg_view(torch.ones(2))},
               tmp_path / "x.pth")  # fmt: skip
    with pytest.raises(FormatError, match="'b' is stored conjugated or negated"):
        converted(tmp_path / "x.pth")
