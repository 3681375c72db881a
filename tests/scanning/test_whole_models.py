"""Whole pickled models, trainers' checkpoints and averaged copies become the tensors that torch would load."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from hubclean.cli.main import main
from hubclean.errors import FormatError, RefusedError
from hubclean.scanning.converting import convert
from hubclean.scanning.engine import scan
from support.pickled import call, text


class Learner:
    """What fastai's and others' trainers pickle: an object with the model among its attributes."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.lr, self.path = model, 0.1, Path("models")


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.bias = None
        self.register_parameter("shift", None)
        self.register_buffer("mean", torch.randn(3))
        self.register_buffer("passing", torch.randn(3), persistent=False)
        self.register_buffer("none", None)


def net() -> nn.Module:
    torch.manual_seed(0)
    shared = nn.Linear(3, 3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Norm(), nn.ModuleDict({"a": shared, "b": shared}))


WHOLE: dict[str, Any] = {
    "a module": lambda: net(),
    "timm": lambda: timm.create_model("test_vit", num_classes=3),
    "half": lambda: net().half(),
    "parallel": lambda: nn.DataParallel(net()),
    "under model": lambda: {"epoch": 3, "model": net(), "ema": None, "optimizer": None},
    "only an average": lambda: {"epoch": 3, "model": None, "ema": net().half(), "updates": 4},
    "an object with a model": lambda: Learner(net()),
}  # fmt: skip


def expected(value: Any) -> dict[str, torch.Tensor]:
    model = value
    if isinstance(value, dict):
        model = value["model"] if value["model"] is not None else value["ema"]
    model = model.model if isinstance(model, Learner) else model
    state = (model.module if isinstance(model, nn.DataParallel) else model).state_dict()
    return dict(state)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_model_comes_out_as_its_state_dict(case: str, zipped: bool, tmp_path: Path) -> None:
    place = tmp_path / "repo" / "model.pth"
    place.parent.mkdir()
    torch.save(WHOLE[case](), place, _use_new_zipfile_serialization=zipped)
    refused = convert(place.parent, tmp_path / "out")
    assert (refused.exit_code, refused.folder) == (1, None)
    report = convert(place.parent, tmp_path / "out", unknown=True)
    assert report.exit_code == 0, report.refused
    found = load_file(tmp_path / "out" / "model.safetensors")
    wanted = expected(torch.load(place, weights_only=False))  # noqa: TID251  # our own file
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name].dtype != wanted[name].dtype] == []
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []
    assert report.conversion
    assert any("classes and their attributes: " in row for row in report.conversion.dropped)


STATES: dict[str, Any] = {
    "Lightning": lambda state: {
        "state_dict": {f"model.{key}": value for key, value in state.items()},
        "hyper_parameters": {"lr": 0.1}, "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(1.0)}},
        "pytorch-lightning_version": "2.5.0", "loops": {}, "optimizer_states": [{"state": {}}],
    },
    "a namespace": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1, out=Path("x")), "epoch": 3},
    "an average beside": lambda state: {
        "model": state, "model_ema": {key: value * 2 for key, value in state.items()}, "epoch": 1
    },
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "compiled in parallel": lambda state: {"net": {f"module._orig_mod.{key}": value for key, value in state.items()}},
    "teacher and student": lambda state: {
        "student": {key: value * 0 for key, value in state.items()}, "teacher": state, "epoch": 3
    },
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
def test_what_trainers_wrap_around_the_weights_is_left_behind(case: str, tmp_path: Path) -> None:
    state = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()
    (tmp_path / "repo").mkdir()
    torch.save(STATES[case](state), tmp_path / "repo" / "last.ckpt")
    report = convert(tmp_path / "repo", tmp_path / "out")
    assert report.exit_code == 0, report.refused
    found = load_file(tmp_path / "out" / "model.safetensors")
    before = "model." if case == "Lightning" else ""
    assert found.keys() == {before + key for key in state}
    assert all(torch.equal(found[before + key], value) for key, value in state.items())


def test_an_average_is_named_and_taken_by_its_key(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2)}
    (tmp_path / "repo").mkdir()
    torch.save({"model": state, "ema": {"weight": torch.zeros(2)}}, tmp_path / "repo" / "last.ckpt")
    report = convert(tmp_path / "repo", tmp_path / "out")
    assert report.conversion
    assert report.conversion.dropped == ("ema: a tensor",)
    assert convert(tmp_path / "repo", tmp_path / "two", key="ema").exit_code == 0
    assert load_file(tmp_path / "two" / "model.safetensors")["weight"].tolist() == [0, 0]


class Evil(nn.Linear):
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_what_runs_something_stays_refused(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    place = tmp_path / "repo" / "model.pth"
    torch.save(nn.Sequential(nn.Linear(2, 2), Evil(2, 2)), place)
    report = convert(tmp_path / "repo", tmp_path / "out", unknown=True)
    assert report.refused
    assert (report.exit_code, "HC-PKL-001" in report.refused.why) == (1, True)
    torch.save({"model": net(), "hook": torch.utils.data.get_worker_info}, place)
    with pytest.raises(FormatError, match=r"HC-PKL-002: .*get_worker_info"):
        convert(tmp_path / "repo", tmp_path / "out", unknown=True)
    assert not (tmp_path / "out").exists()


def test_the_advice_says_whether_convert_can(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "whole.pth")
    torch.save({"w": torch.ones(1), "args": argparse.Namespace()}, tmp_path / "args.pth")
    torch.save({"net": net(), "hook": torch.utils.data.get_worker_info}, tmp_path / "hook.pth")
    (tmp_path / "raw.pkl").write_bytes(b"\x80\x02" + call("a.b", "C") + b".")
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x02" + call("os", "system", text("id")) + b".")
    advice: dict[str, set[str]] = {}
    for row in scan(tmp_path).findings:
        if row.rule not in ("HC-PKL-009", "HC-INC-001"):
            advice.setdefault(row.path, set()).add(row.advice)
    assert advice["whole.pth"] == {
        "do not load it; `hubclean convert --allow-unknown` copies its tensors without importing a class"
    }
    assert all("leaves it behind" in row for row in advice["args.pth"])
    assert any("refuses it too" in row for row in advice["hook.pth"])
    assert all("finds no tensors" in row for row in advice["raw.pkl"])
    assert all("refuses it too" in row for row in advice["evil.pkl"])


def test_a_checkpoint_in_a_subfolder_comes_with_what_lies_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "repo" / "unet"
    home.mkdir(parents=True)
    torch.save({"w": torch.ones(2)}, home / "pytorch_model.bin")
    (home / "config.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "repo" / "config.json").write_text(json.dumps({"a": 2}))
    assert convert(tmp_path / "repo", tmp_path / "out").exit_code == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"a": 1}
    (tmp_path / "repo" / "vae").mkdir()
    torch.save({"w": torch.ones(2)}, tmp_path / "repo" / "vae" / "pytorch_model.bin")
    with pytest.raises(RefusedError, match=r"2 folders hold checkpoints \(unet, vae\)"):
        convert(tmp_path / "repo", tmp_path / "more")
    assert convert(tmp_path / "repo", tmp_path / "more", file="vae/pytorch_model.bin").exit_code == 0


def test_the_option_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    torch.save(net(), tmp_path / "repo" / "model.pth")
    words = ["convert", str(tmp_path / "repo"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(main, words).exit_code == 1
    done = CliRunner().invoke(main, [*words, "--allow-unknown"])
    assert done.exit_code == 0, done.output
    assert "left behind: classes and their attributes: torch.nn.modules.container.Sequential" in done.output


def test_modules_inside_each_other_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    model = nn.Sequential(nn.Linear(2, 2))
    model.add_module("again", model)
    torch.save(model, tmp_path / "repo" / "model.pth")
    with pytest.raises(FormatError):
        convert(tmp_path / "repo", tmp_path / "out", unknown=True)
