"""Weights as timm, transformers, torchvision and torch write them are silent in every format that they are saved in."""

from __future__ import annotations

import collections
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubclean.scanning.engine import scan
from support.tiny_models import make_repo

torch = pytest.importorskip("torch")


def net() -> Any:
    import timm

    return timm.create_model("test_resnet", num_classes=4)


def trained(optimizer: str) -> dict[str, Any]:
    """A trainer's checkpoint: weights, optimizer after a step, schedule, best figures."""
    model = net()
    chosen = getattr(torch.optim, optimizer)(model.parameters(), lr=0.1)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    chosen.step()
    schedule = torch.optim.lr_scheduler.OneCycleLR if optimizer == "SGD" else torch.optim.lr_scheduler.CosineAnnealingLR
    rate = schedule(chosen, 0.1, 10) if optimizer == "SGD" else schedule(chosen, 10)
    return {
        "state_dict": model.state_dict(),
        "optimizer": chosen.state_dict(),
        "lr_scheduler": rate.state_dict(),
        "scaler": torch.amp.GradScaler("cpu", enabled=False).state_dict(),
        "epoch": 3,
    }


def numpy_inside() -> dict[str, Any]:
    import numpy

    return {
        "best": numpy.float64(0.9),
        "single": numpy.float32(0.5),
        "count": numpy.int64(3),
        "flag": numpy.bool_(True),
        "mean": numpy.arange(3.0),
        "half": numpy.zeros((2, 3), numpy.float16),
        "columns": numpy.asfortranarray(numpy.ones((2, 2))),
        "names": numpy.array(["cat", "dog"]),
        "rng": {"torch": torch.get_rng_state(), "numpy": numpy.random.get_state(), "python": random.getstate()},
    }


def numbers() -> dict[str, Any]:
    """Every element type of torch that can be saved."""
    words = "float64 float16 bfloat16 int8 int16 int64 uint8 uint16 uint32 uint64 bool complex32 complex64 complex128"
    words += " float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2 bits8"
    return {word: torch.empty(4, dtype=getattr(torch, word)) for word in words.split() if hasattr(torch, word)}


def quantized() -> dict[str, Any]:
    scales, zeros = torch.full((3,), 0.1), torch.zeros(3)
    return {
        "tensor": torch.quantize_per_tensor(torch.randn(3, 3), 0.1, 0, torch.qint8),
        "channel": torch.quantize_per_channel(torch.randn(3, 3), scales, zeros, 0, torch.quint8),
        "model": torch.ao.quantization.quantize_dynamic(
            torch.nn.Sequential(torch.nn.Linear(2, 2)), {torch.nn.Linear}
        ).state_dict(),
    }


def layouts() -> dict[str, Any]:
    noted = torch.nn.Parameter(torch.ones(2))
    noted.note = "written by a trainer"  # type: ignore[attr-defined]
    return {
        "coo": torch.sparse_coo_tensor(torch.tensor([[0, 1], [1, 0]]), [1.0, 2.0], (2, 2)),
        "csr": torch.eye(3).to_sparse_csr(),
        "csc": torch.eye(3).to_sparse_csc(),
        "bsr": torch.eye(4).to_sparse_bsr((2, 2)),
        "meta": torch.empty(3, device="meta"),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "expanded": torch.ones(1).expand(5),
        "buffer": torch.nn.Buffer(torch.ones(2)),
        "noted": noted,
        "channels_last": torch.ones(1, 2, 2, 2).to(memory_format=torch.channels_last),
    }


def plain_values() -> dict[str, Any]:
    return {
        "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter("aab"),
        "set": {1, 2},
        "bytes": b"a",
        "bytearray": bytearray(b"ab"),
        "large": 1 << 70,
        "complex": 1 + 2j,
        "nan": float("nan"),
        "size": torch.Size([1, 2]),
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
        "layout": torch.strided,
    }


def torchvision_model() -> dict[str, Any]:
    import torchvision

    return torchvision.models.mobilenet_v2(width_mult=0.25, num_classes=4).state_dict()


CASES: dict[str, Callable[[], Any]] = {
    "timm": lambda: net().state_dict(),
    "torchvision": torchvision_model,
    "bfloat16": lambda: {key: value.bfloat16() for key, value in net().state_dict().items()},
    "parallel": lambda: {f"module.{key}": value for key, value in net().state_dict().items()},
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(net()).state_dict(),
    **{name: (lambda name=name: trained(name)) for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")},
    "numpy": numpy_inside,
    "numbers": numbers,
    "quantized": quantized,
    "layouts": layouts,
    "values": plain_values,
}


@pytest.mark.parametrize("case", CASES)
def test_what_torch_save_writes_is_silent(case: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = CASES[case]()
        for protocol in (2, 4):
            torch.save(value, tmp_path / f"zip-{protocol}.bin", pickle_protocol=protocol)
            torch.save(
                value, tmp_path / f"legacy-{protocol}.pth", pickle_protocol=protocol,
                _use_new_zipfile_serialization=False,
            )  # fmt: skip
    report = scan(tmp_path)
    assert [(row.rule, row.path, row.what) for row in report.findings if row.rule != "HC-PKL-009"] == []
    assert {row.severity for row in report.findings} == {"medium"}
    assert (len(report.findings), report.exit_code) == (4, 0)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("shard", ["20KB", "5GB"])
def test_what_the_hub_client_shards_is_silent(safe: bool, shard: str, tmp_path: Path) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(net().state_dict(), tmp_path, max_shard_size=shard, safe_serialization=safe)
    report = scan(tmp_path)
    assert (len(report.files) > 2) == (shard == "20KB")
    assert {row.rule for row in report.findings} == (set() if safe else {"HC-PKL-009"})
    assert report.exit_code == 0


@pytest.mark.parametrize("kind", ["hf-vit", "hf-resnet", "timm-vit"])
def test_weights_saved_twice_agree(kind: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    repo = make_repo(tmp_path / "repo", kind, shard="20KB" if kind == "hf-vit" else None)
    state: dict[str, Any] = {}
    for shard in sorted(repo.glob("*.safetensors")):
        state |= load_file(shard)
    torch.save(state, repo / "pytorch_model.bin")
    report = scan(repo)
    assert [(row.rule, row.path, row.what) for row in report.findings] == []
    assert report.exit_code == 0
    state.pop(min(state))
    torch.save(state, repo / "pytorch_model.bin")
    assert {row.rule for row in scan(repo).findings} == {"HC-REP-002"}


def test_what_timm_pushes_is_silent(tmp_path: Path) -> None:
    from timm.models import save_for_hf

    save_for_hf(net(), tmp_path, safe_serialization="both")
    assert {"model.safetensors", "pytorch_model.bin", "config.json"} <= {path.name for path in tmp_path.iterdir()}
    report = scan(tmp_path)
    assert [(row.rule, row.path, row.what) for row in report.findings] == []
    assert report.exit_code == 0
