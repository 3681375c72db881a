"""Which of the dicts of a checkpoint are the weights, told without loading it."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from hubclean.errors import FormatError
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.state_dict import Sought, StateDict, state_dict
from hubclean.scanning.sources import BytesSource

NAMES = ["0.weight", "0.bias"]


def found(value: Any, key: str | None = None) -> StateDict:
    body = io.BytesIO()
    torch.save(value, body)
    pickle = read_zip(BytesSource(body.getvalue())).pickle
    assert pickle
    return state_dict(pickle.root, Sought(key))


def weights() -> dict[str, Any]:
    return nn.Sequential(nn.Linear(3, 2)).state_dict()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (weights(), ""),
        ({"state_dict": weights()}, "state_dict"),
        ({"model": {"state_dict": weights()}}, "model.state_dict"),
        ({"net": weights(), "acc": 0.9}, "net"),
    ],
)
def test_weights_are_found_where_trainers_put_them(value: Any, key: str) -> None:
    row = found(value)
    assert (list(row.tensors), row.key) == (NAMES, key)
    assert row.tensors["0.weight"].size == (2, 3)


def test_what_stays_behind_is_told() -> None:
    optimizer = {"state": {0: {"m": torch.zeros(2), "v": torch.zeros(2)}}}
    row = found({"model": weights(), "optimizer": optimizer, "epoch": 3, "ema": torch.zeros(1)})
    assert set(row.dropped) == {"optimizer: 2 tensors", "epoch: int", "ema: a tensor"}
    flat = found({**weights(), "note\x1b": "x"})
    assert flat.dropped == ("note\\x1b: str",)


def test_wrappers_before_all_names_are_taken_off_and_parts_of_the_model_are_not() -> None:
    wrapped = {f"module._orig_mod.{name}": value for name, value in weights().items()}
    row = found(wrapped)
    assert (list(row.tensors), row.prefix) == (NAMES, "module.")
    assert next(iter(found({**wrapped, "step": torch.ones(1)}).tensors)) == "module.0.weight"
    assert found({f"model.{name}": value for name, value in weights().items()}).prefix == ""


def test_a_key_of_the_users_is_followed_or_refused_with_those_there_are() -> None:
    value = {"state_dict": weights(), "ema": {"shadow": {"0.weight": torch.ones(1)}}}
    assert list(found(value, "ema.shadow").tensors) == ["0.weight"]
    with pytest.raises(
        FormatError,
        match=r"there are: state_dict \(2 tensors\), ema \(1 tensor\); --key takes one of: state_dict",
    ):
        found(value, "x")


@pytest.mark.parametrize("value", [{}, {"a": 1}, [torch.zeros(1)], torch.zeros(1), {"state_dict": {"model": {}}}])
def test_no_weights_are_an_error(value: Any) -> None:
    if isinstance(value, list):
        assert list(found(value).tensors) == ["0"]
        return
    with pytest.raises(FormatError, match="no dict of tensors"):
        found(value)
