"""How many images a batch may hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from hubclean.cli.main import main
from hubclean.nets import memory
from hubclean.nets.session import open_session
from support.tiny_models import make_repo

SHAPE = (3, 32, 32)


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 1024, 5))


def test_activations_are_counted_and_weights_are_not() -> None:
    counted = memory.bytes_an_image(net(), SHAPE, open_session("cpu"))
    floats = 3 * 1024 + 8 * 1024  # what the convolution reads, and what ReLU and Linear share
    assert counted == 4 * floats


@pytest.mark.parametrize(("room", "expected"), [(1, 1), (3, 2), (40, 32), (10**6, 128)])
def test_a_batch_fills_the_budget_in_powers_of_two(room: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session, model = open_session("cpu", batch_size=0), net()
    monkeypatch.setattr(memory, "HOST", room * memory.bytes_an_image(model, SHAPE, session))
    assert memory.fitted(session, model, SHAPE).batch_size == expected
    assert memory.fitted(replace(session, batch_size=7), model, SHAPE).batch_size == 7, "only where it was left open"


def test_auto_is_settled_before_the_first_batch_and_recorded(tmp_path: Path, pictures: Path) -> None:
    words = [
        "clean",
        str(make_repo(tmp_path / "repo", "timm-resnet")),
        "--data",
        str(pictures),
        "--no-retune",
        "--accept-accuracy",
    ]
    words += ["--detector", "skip", "--defense", "none", "--batch-size", "auto", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*words, "--fit", "20", "--val", "20", "--test", "20", "--json"])
    assert done.exit_code == 2, done.output
    assert "--batch-size 128 " in (tmp_path / "out/hubclean/audit.json").read_text()
    refused = CliRunner().invoke(main, [*words, "--batch-size", "0"])
    assert refused.exit_code == 2
    assert "not in the range" in refused.output or "x>=1" in refused.output


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    for index in range(80):
        folder = tmp_path / "pictures" / f"thing {index % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(index))
        Image.fromarray(pixels.numpy()).save(folder / f"{index}.png")
    return tmp_path / "pictures"
