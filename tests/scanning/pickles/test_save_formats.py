"""torch's save formats: plain weights are silent in every one, and the walk finds every tensor."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.pickles.torch_tensors import tensors
from hubclean.scanning.sources import BytesSource
from support.scanned_files import written


def saved(value: Any, **options: Any) -> bytes:
    import torch

    body = io.BytesIO()
    torch.save(value, body, **options)
    return body.getvalue()


def checkpoint() -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(2, 3, 6, 4)).sum().backward()
    optimizer.step()
    base = torch.arange(24.0)
    kinds = "float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 float8_e4m3fn float8_e5m2 uint16"
    return {
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "tied": [net[0].weight, net[0].weight],
        "views": (base[3:9], base.reshape(4, 6).t(), base[::5]),
        "kinds": {kind: torch.zeros(3, dtype=getattr(torch, kind)) for kind in kinds.split()},
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(1.0),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "size": torch.Size([1, 2]),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
    }


FORMATS: list[dict[str, Any]] = [
    {"_use_new_zipfile_serialization": new, "pickle_protocol": protocol}
    for new in (True, False)
    for protocol in range(2, 6)
]


@pytest.mark.parametrize("options", FORMATS, ids=str)
def test_plain_weights_are_silent_in_every_save_format(tmp_path: Path, options: dict[str, Any]) -> None:
    import torch

    value = checkpoint()
    if not options["_use_new_zipfile_serialization"]:
        value["kinds"] = {"float32": torch.zeros(2)}  # the legacy format knows no new types
    body = saved(value, **options)
    report = scan(written(tmp_path / "repo", {"pytorch_model.bin": body}))
    assert [(row.rule, row.severity) for row in report.findings] == [("HC-PKL-009", "medium")], report.findings
    assert (report.files[0].state, report.exit_code) == ("finding", 0)
    beside = scan(written(tmp_path / "repo", {"model.safetensors": b"\x02\0\0\0\0\0\0\0{}"}))
    assert [row.rule for row in beside.findings] == []


@pytest.mark.parametrize("new", [True, False])
def test_the_walk_finds_every_tensor_as_torch_made_it(new: bool) -> None:
    import torch

    value = checkpoint()
    del value["kinds"]
    body = saved(value, _use_new_zipfile_serialization=new)
    walked = read_zip(BytesSource(body)).pickle if new else read_pickles(BytesSource(body))
    assert walked is not None
    rows = {".".join(path): record for path, record in tensors(walked.root)}
    expected = {f"state_dict.{key}": part for key, part in value["state_dict"].items()}
    expected |= {f"views.{place}": part for place, part in enumerate(value["views"])}
    expected |= {"empty": value["empty"], "scalar": value["scalar"], "parameter": value["parameter"]}
    for key, part in expected.items():
        record = rows[key]
        assert (record.size, record.stride, record.offset) == (tuple(part.shape), part.stride(), part.storage_offset())
        assert getattr(torch, record.dtype) == part.dtype
        assert record.storage.nbytes == part.untyped_storage().nbytes()
    assert rows["parameter"].requires_grad
    assert rows["tied.0"].storage == rows["tied.1"].storage
    if not new:
        first = walked.storages[next(iter(walked.storages))]
        assert struct.unpack_from("<q", body, walked.data_start) == (first.numel,)
