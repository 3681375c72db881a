"""Checkpoints as trainers write them: what ``convert`` makes of them is what the library loads, with equal weights."""

from __future__ import annotations

import json
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

from hubclean.cli.main import main
from hubclean.errors import FormatError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.expected_names import architecture_of
from hubclean.scanning.converting import convert as bare_convert
from support.tiny_models import make_repo, shake

State = dict[str, torch.Tensor]
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: torch.nn.Module = timm.create_model("test_efficientnet", num_classes=3)
        shake(made)
    return made.eval()


def before(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def half(state: State) -> State:
    return {name: value / 2 if value.is_floating_point() else value for name, value in state.items()}


def repo(folder: Path, value: Any, name: str = "pytorch_model.bin", config: bool = True, **options: Any) -> Path:
    folder.mkdir()
    if config:
        (folder / "config.json").write_text(json.dumps({"architecture": "test_efficientnet", "num_classes": 3}))
    torch.save(value, folder / name, **options)
    return folder


def convert(folder: Path, out: Path, **options: Any) -> Any:
    return bare_convert(folder, out, architecture=architecture_of, **options)


def loaded(folder: Path) -> State:
    """What timm itself makes of a folder; it is strict."""
    state: State = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    return state


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


KINDS: dict[str, Callable[[State], Any]] = {
    "DistributedDataParallel": lambda s: {"state_dict": before("module.", s), "epoch": 3},
    "torch.compile": lambda s: before("_orig_mod.", s),
    "compiled inside DDP": lambda s: {"model": before("module._orig_mod.", s)},
    "one part compiled": lambda s: {n.replace("blocks.", "blocks._orig_mod.", 1): v for n, v in s.items()},
    "Lightning, self.model": lambda s: {"state_dict": before("model.", s), "pytorch-lightning_version": "2.5"},
    "Lightning, self.net, with a loss": lambda s: {
        "state_dict": {**before("net.", s), "criterion.weight": torch.ones(3)}, "hparams_name": "kwargs"
    },
    "Lightning, compiled": lambda s: {"state_dict": before("model._orig_mod.", s)},
    "Lightning, a copy beside it": lambda s: {
        "state_dict": {**before("model.", s), **before("ema_model.module.", half(s))}
    },
    "a deeper module": lambda s: {"state_dict": before("learner.backbone_net.", s)},
    "a key that nobody knows": lambda s: {"my_weights": s, "optimizer": {"state": {0: {"m": torch.ones(2)}}}},
    "counters of thop": lambda s: {**s, "total_ops": torch.zeros(1), "total_params": torch.zeros(1)},
    "a complex buffer": lambda s: {**s, "rope.freqs_cis": torch.ones(2, dtype=torch.complex64)},
    "a complex buffer that safetensors cannot hold": lambda s: {**s, "f": torch.ones(2, dtype=torch.complex128)},
    "transposed weights": lambda s: {n: v.T.contiguous().T if v.ndim == 2 else v for n, v in s.items()},
    "before batch norms counted": lambda s: {n: v for n, v in s.items() if not n.endswith("num_batches_tracked")},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_trainers_write_becomes_what_timm_loads(kind: str, net: torch.nn.Module, tmp_path: Path) -> None:
    folder = repo(tmp_path / "repo", KINDS[kind](net.state_dict()))
    report = convert(folder, tmp_path / "out")
    assert report.exit_code == 0, report.refused
    assert [row.path for row in report.files] == ["config.json", "model.safetensors"]
    expected = net.state_dict()
    if "counted" in kind:  # timm begins to count at 0
        expected = {n: v * 0 if n.endswith("num_batches_tracked") else v for n, v in expected.items()}
    assert same(loaded(tmp_path / "out"), expected)


def test_swa_and_dotted_tar_names(net: torch.nn.Module, tmp_path: Path) -> None:
    folder = repo(tmp_path / "repo", AveragedModel(net).state_dict(), "model_best.pth.tar")
    report = convert(folder, tmp_path / "out")
    assert report.conversion.prefix == "module."
    assert "of other names: n_averaged (1 tensor)" in report.conversion.dropped
    assert same(loaded(tmp_path / "out"), net.state_dict())


def test_clean_takes_them_too(net: torch.nn.Module, tmp_path: Path) -> None:
    wrapped = {"state_dict": before("model.", half(net.state_dict())), "state_dict_ema": before("model.", net.state_dict())}  # fmt: skip # noqa: E501
    checkpoint = loading.load_checkpoint(LocalRepo(repo(tmp_path / "repo", wrapped)))
    assert same(checkpoint.model.net.state_dict(), net.state_dict())  # type: ignore[union-attr, operator]
    assert checkpoint.conversion is not None
    assert (checkpoint.conversion.key, checkpoint.conversion.prefix) == ("state_dict_ema", "model.")


@pytest.mark.parametrize(("weights", "ema"), [("state_dict", "state_dict_ema"), ("model", "model_ema")])
def test_the_averaged_copy_is_taken_where_timm_takes_it(
    weights: str, ema: str, net: torch.nn.Module, tmp_path: Path
) -> None:
    folder = repo(tmp_path / "repo", {weights: half(net.state_dict()), ema: net.state_dict()})
    by_timm = loaded(folder)
    done = CliRunner().invoke(main, ["convert", str(folder), "--out", str(tmp_path / "out")])
    assert f"taken: '{ema}', the averaged copy, which timm takes first; --key takes another: {weights} (" in done.output
    assert same(loaded(tmp_path / "out"), by_timm)
    convert(folder, tmp_path / "plain", key=weights)
    assert same(loaded(tmp_path / "plain"), half(net.state_dict()))


def test_without_timm_the_plain_weights_are_taken_and_the_copy_is_named(net: torch.nn.Module, tmp_path: Path) -> None:
    folder = repo(tmp_path / "repo", {"state_dict": net.state_dict(), "ema": half(net.state_dict())}, config=False)
    report = convert(folder, tmp_path / "out")
    assert same(load_file(tmp_path / "out" / "model.safetensors"), net.state_dict())
    assert "--key takes another: ema (" in report.conversion.notes[0]


@pytest.mark.parametrize(
    ("make", "config", "why"),
    [
        (lambda s: {"generator": s, "discriminator": half(s)}, True, "2 dicts .* --key: generator, discriminator"),
        (lambda s: {"a": {"weights_of_a": s}, "n": 1}, False, r"--key takes one of: a\.weights_of_a \(\d+ tensors\)"),
        (lambda s: {"state_dict": before("student_x.", s) | before("teacher_x.", s)}, True, "several prefixes"),
        (
            lambda s: {n: v for n, v in s.items() if not n.startswith("classifier.")},
            True,
            r"(?s)not what the config builds: .*classifier\.weight.*--prefix '' writes them as they are",
        ),
        (lambda s: before("module.", {"conv.weight": torch.ones(2)}), True, "not what the config builds"),
    ],
)
def test_what_cannot_be_told_apart_or_loaded_is_refused_with_what_to_say(
    make: Callable[[State], Any], config: bool, why: str, net: torch.nn.Module, tmp_path: Path
) -> None:
    folder = repo(tmp_path / "repo", make(net.state_dict()), config=config)
    with pytest.raises(FormatError, match=why):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prefix_of_the_users_and_none_at_all(net: torch.nn.Module, tmp_path: Path) -> None:
    state = before("student_x.", net.state_dict()) | before("teacher_x.", half(net.state_dict()))
    folder = repo(tmp_path / "repo", {"state_dict": state})
    convert(folder, tmp_path / "out", prefix="teacher_x.")
    assert same(loaded(tmp_path / "out"), half(net.state_dict()))
    convert(folder, tmp_path / "all", prefix="")
    assert same(load_file(tmp_path / "all" / "model.safetensors"), state)
    with pytest.raises(FormatError, match=r"no name begins with 'x\.'; they begin: student_x\. \(\d+ tensors\)"):
        convert(folder, tmp_path / "no", prefix="x.")


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "model.vit:vit.", "vit."])
def test_names_of_transformers_are_those_on_disk(prefix: str, tmp_path: Path) -> None:
    """transformers 5 has other names in memory than on disk; a bare base without its own prefix is loaded, too."""
    source = make_repo(tmp_path / "made", "hf-vit")
    state = load_file(source / "model.safetensors")
    if prefix == "vit.":
        wrapped = {name.removeprefix("vit."): value for name, value in state.items()}
    else:
        wrapped = before(prefix.partition(".")[0] + "." if prefix else "", state)
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    torch.save({"state_dict": wrapped}, folder / "pytorch_model.bin")
    report = convert(folder, tmp_path / "out")
    assert report.exit_code == 0
    auto = transformers.AutoModelForImageClassification
    one, info = auto.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert torch.equal(one.eval()(IMAGES).logits, auto.from_pretrained(source).eval()(IMAGES).logits)


class _Python2(pickle._Pickler):  # type: ignore[misc, name-defined]
    """Writes texts as Python 2 wrote its byte strings, and names of built-in modules as they were called there."""

    def save_str(self, obj: str) -> None:
        body = obj.encode("latin1")
        self.write(b"U" + bytes([len(body)]) + body if len(body) < 256 else b"T" + struct.pack("<i", len(body)) + body)
        self.memoize(obj)

    dispatch = {**pickle._Pickler.dispatch, str: save_str}  # type: ignore[attr-defined]  # noqa: RUF012


def test_a_legacy_checkpoint_of_python_2_with_a_text_that_is_no_utf8(net: torch.nn.Module, tmp_path: Path) -> None:
    module = SimpleNamespace(__name__="pickle", Pickler=_Python2, dump=lambda o, f, protocol: _Python2(f, 2).dump(o))
    value = {"state_dict": OrderedDict(before("module.", net.state_dict())), "arch": "r\xe9seau", "note": "x" * 300}
    options = {"_use_new_zipfile_serialization": False, "pickle_module": module, "pickle_protocol": 2}
    folder = repo(tmp_path / "repo", value, "model.pth", **options)
    assert b"U\x06r\xe9seau" in (folder / "model.pth").read_bytes()
    report = convert(folder, tmp_path / "out")
    assert report.exit_code == 0, report.refused
    assert same(loaded(tmp_path / "out"), net.state_dict())


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantized_and_8_bit_weights(net: torch.nn.Module, tmp_path: Path) -> None:
    state = dict(net.state_dict())
    small = {n: v.to(torch.float8_e5m2) if v.is_floating_point() else v for n, v in state.items()}
    convert(repo(tmp_path / "fp8", small), tmp_path / "out")
    kept = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(kept[n].float(), v.float()) for n, v in small.items())
    state["classifier.weight"] = torch.quantize_per_tensor(state["classifier.weight"], 0.1, 0, torch.qint8)
    with pytest.raises(
        FormatError, match=r"'classifier.weight' has the dtype qint8, quantized .* dequantize the model"
    ):
        convert(repo(tmp_path / "q", state), tmp_path / "no")
