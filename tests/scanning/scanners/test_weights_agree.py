"""Weights held twice: the check that safetensors and pickle are one model, told without loading either."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.engine import scan
from support.scanned_files import judge, safetensors, written


def saved(value: Any) -> bytes:
    import torch

    body = io.BytesIO()
    torch.save(value, body)
    return body.getvalue()


def safe(**tensors: Any) -> bytes:
    from safetensors.torch import save

    return save(tensors)


def weights() -> dict[str, Any]:
    import torch

    return {"conv.weight": torch.zeros(4, 3, 3, 3), "fc.bias": torch.ones(5), "scale": torch.tensor(1.0)}


def said(folder: Path, **files: bytes) -> list[tuple[str, str, str]]:
    findings, _ = judge("weights-agree", folder, {path.replace("__", "."): body for path, body in files.items()})
    return [(row.rule, row.severity, row.what) for row in findings]


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w, "epoch": 3}, lambda w: {"model": w}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_same_weights_twice_are_no_finding(tmp_path: Path, wrap: Any, prefix: str) -> None:
    pickled = saved(wrap({prefix + name: tensor for name, tensor in weights().items()}))
    assert said(tmp_path, model__safetensors=safe(**weights()), pytorch_model__bin=pickled) == []
    other = saved(wrap({prefix + name: tensor[..., :1] for name, tensor in weights().items() if tensor.dim()}))
    assert said(tmp_path, model__safetensors=safe(**weights()), pytorch_model__bin=other), "the pickle is not read"


def test_the_legacy_format_is_read_as_well(tmp_path: Path) -> None:
    import torch

    body = io.BytesIO()
    torch.save({"odd": weights()["scale"]}, body, _use_new_zipfile_serialization=False)
    rows = said(tmp_path, model__safetensors=safe(**weights()), pytorch_model__bin=body.getvalue())
    assert len(rows) == 2


def test_a_parameter_is_a_tensor_too(tmp_path: Path) -> None:
    from torch import nn

    same = {name: nn.Parameter(tensor) for name, tensor in weights().items()}
    assert said(tmp_path, model__safetensors=safe(**weights()), pytorch_model__bin=saved(same)) == []
    assert said(tmp_path, model__safetensors=safe(**weights()), pytorch_model__bin=saved({"a": same["scale"]}))


def test_other_names_and_other_shapes_are_a_finding(tmp_path: Path) -> None:
    import torch

    other = weights() | {"fc.bias": torch.ones(6), "extra": torch.ones(1)}
    del other["scale"]
    rows = said(tmp_path, model__safetensors=safe(**weights()), pytorch_model__bin=saved(other))
    assert {(rule, severity) for rule, severity, _ in rows} == {("HC-REP-002", "medium")}
    text = " | ".join(what for _, _, what in rows)
    assert "only in safetensors, 'scale' for one" in text
    assert "only in this pickle, 'extra' for one" in text
    assert "'fc.bias' (6,), not (5,)" in text


def test_the_index_of_pickled_shards_is_compared(tmp_path: Path) -> None:
    index = {"weight_map": dict.fromkeys(("conv.weight", "fc.bias", "odd"), "pytorch_model-00001-of-00001.bin")}
    files = {"model.safetensors": safe(**weights()), "pytorch_model.bin.index.json": json.dumps(index).encode()}
    findings, _ = judge("weights-agree", tmp_path, files)
    assert {row.path for row in findings} == {"pytorch_model.bin.index.json"}
    assert len(findings) == 2


def test_a_difference_stands_in_the_report_and_stays_below_the_gate(tmp_path: Path) -> None:
    files = {"model.safetensors": safe(**weights()), "pytorch_model.bin": saved({"odd": weights()["scale"]})}
    report = scan(written(tmp_path, files))
    assert [row.severity for row in report.findings if row.rule == "HC-REP-002"] == ["medium", "medium"]


OPCODES = [b"}", b"]", b")", b"(", b"t", b"s", b"u", b"R", b"b", b"q\x00", b"h\x00", b"X\x01\x00\x00\x00a"]


@settings(max_examples=50, deadline=None)
@given(
    parts=st.lists(st.sampled_from([*OPCODES, b"ccollections\nOrderedDict\n", b"."]), max_size=40),
    tail=st.binary(max_size=9),
)
def test_no_pickle_makes_the_check_raise(parts: list[bytes], tail: bytes, tmp_path_factory: Any) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + b"".join(parts) + tail)
    folder = tmp_path_factory.mktemp("w")
    judge("weights-agree", folder, {"model.safetensors": safetensors(), "pytorch_model.bin": body.getvalue() + tail})
