"""Checkpoints made so that a converter writes other numbers than torch loads: followed, or refused."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hubclean.errors import FormatError
from hubclean.scanning.converting import convert
from support.pickled import MAGIC, call, name, number, row, state_dict, storage, stream, tensor, text

GOOD, BAD = (1.0, 2.0, 3.0, 4.0), (9.0, 9.0, 9.0, 9.0)
W, X = tensor(storage("0")), tensor(storage("1"))
HOOKS = call("collections", "OrderedDict")
PARTS = (number(0), row(number(4)), row(number(1)))
BYTES = row(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), text("cpu"), number(16)) + b"Q"


def saved(body: bytes, byteorder: tuple[str, bytes] = ("byteorder", b"little")) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", stream(body))
        archive.writestr("archive/data/0", struct.pack("<4f", *GOOD))
        if storage("1") in body:
            archive.writestr("archive/data/1", struct.pack("<4f", *BAD))
        archive.writestr(f"archive/{byteorder[0]}", byteorder[1])
    return out.getvalue()


def typed(*metadata: bytes) -> bytes:
    return call(
        "torch._utils", "_rebuild_tensor_v3", BYTES, *PARTS, b"\x89", HOOKS, name("torch", "float32"), *metadata
    )


def with_state(key: str, value: bytes) -> bytes:
    return call("torch._utils", "_rebuild_parameter_with_state", W, b"\x89", HOOKS, b"}" + text(key) + value + b"s")


VIEW = (name("torch._utils", "_rebuild_tensor_v2"), name("torch", "Tensor"), row(storage("0"), *PARTS, b"\x89", HOOKS))
BENT = {
    "another storage set by BUILD": saved(state_dict(w=W + row(storage("1"), *PARTS) + b"b")),
    "other data as an attribute": saved(state_dict(w=with_state("data", X))),
    "one number for all": saved(state_dict(w=with_state("real", number(5)))),
    "other data on a subclass": saved(
        state_dict(w=call("torch._tensor", "_rebuild_from_type_v2", *VIEW, b"}" + text("data") + X + b"s"))
    ),
    "the negative": saved(state_dict(w=typed(b"}" + text("neg") + b"\x88s"))),
    "the same name at the top and below": saved(b"}(" + text("w") + W + text("net") + state_dict(w=X) + b"u"),
    "one name twice, once in a call": saved(
        call("collections", "OrderedDict", b"](" + row(text("w"), X) + b"e") + text("w") + W + b"s"
    ),
    "big-endian bytes of another type": saved(state_dict(w=typed()), ("byteorder", b"big")),
}


def written(tmp_path: Path, body: bytes) -> dict[str, torch.Tensor]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "pytorch_model.bin").write_bytes(body)
    assert convert(tmp_path / "in", tmp_path / "out").folder
    return load_file(tmp_path / "out" / "model.safetensors")


@pytest.mark.parametrize("case", BENT)
def test_numbers_that_a_loader_would_change_are_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "pytorch_model.bin").write_bytes(BENT[case])
    with contextlib.suppress(FormatError):  # where no rule is broken, yet loaders would see other numbers
        assert not convert(tmp_path / "in", tmp_path / "out").folder
    assert not (tmp_path / "out").exists()


def test_the_byte_order_is_found_whatever_the_case_of_its_name(tmp_path: Path) -> None:
    found = written(tmp_path, saved(state_dict(w=W), ("BYTEORDER", b"big")))
    assert found["w"].tolist() == list(struct.unpack(">4f", struct.pack("<4f", *GOOD)))


def test_a_legacy_file_is_little_endian_whatever_machine_it_names(tmp_path: Path) -> None:
    pickles = [number(MAGIC), number(1001), b"}" + text("little_endian") + b"\x89s"]
    pickles += [state_dict(w=tensor(storage("0", legacy=True))), b"]" + text("0") + b"a"]
    body = b"".join(map(stream, pickles)) + struct.pack("<q4f", 4, *GOOD)
    assert written(tmp_path, body)["w"].tolist() == list(GOOD)


def test_tensors_given_to_the_call_of_a_dict_are_there_and_nameless_ones_are_listed(tmp_path: Path) -> None:
    body = call("collections", "OrderedDict", b"](" + row(text("x"), X) + b"e")
    body += b"(" + text("w") + W + row(text("a")) + W + b"u"
    found = written(tmp_path, saved(body))
    assert {key: tuple(value.tolist()) for key, value in found.items()} == {"x": BAD, "w": GOOD}
    assert "(a key that is no text): a tensor" in (tmp_path / "out" / "hubclean" / "conversion.json").read_text()
