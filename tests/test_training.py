"""Training: it learns, holds what is cut, moves no global state, and shifts images by whole pixels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sets import image_set
from torch import nn

from hubclean import training
from hubclean.metrics import clean_accuracy
from hubclean.sessions import open_session
from hubclean.tensors import ImageSet
from hubclean.training import Schedule, _optimizer, _shifted, _shuffled, suited, train

SESSION = open_session("cpu", seed=6, batch_size=64)


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(16 * 64, 10)
        )


def test_it_learns_repeats_and_leaves_the_generator_alone() -> None:
    images, state = image_set(200), torch.get_rng_state()
    models = [net(), net()]
    for model in models:
        train(model, images, Schedule(8, 0.02, batch_size=32), SESSION, "one")
    assert clean_accuracy(models[0], image_set(100, seed=5), SESSION).value > 0.9
    assert torch.equal(state, torch.get_rng_state())
    for (name, left), right in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        assert torch.equal(left, right), name
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in models[0].parameters())
    other = net()
    train(other, images, Schedule(8, 0.02, batch_size=32), SESSION, "another purpose")
    assert not torch.equal(other[5].weight, models[0][5].weight)  # type: ignore[index]


def test_held_entries_are_exactly_zero_after_every_kind_of_step() -> None:
    for optimizer in ("sgd", "adamw"):
        model = net()
        mask = torch.zeros(10, 1024, dtype=torch.bool)
        mask[:, 100:300] = True
        with torch.no_grad():
            model[5].weight.masked_fill_(mask, 0)  # type: ignore[index]
        schedule = Schedule(2, 0.01, optimizer, weight_decay=0.1, batch_size=32)
        train(model, image_set(100), schedule, SESSION, "held", {"5.weight": mask})
        weight = model[5].weight  # type: ignore[index]
        assert (weight[mask] == 0).all()
        assert (weight[~mask] != 0).float().mean() > 0.99


def test_frozen_statistics_stay() -> None:
    model = net()
    before = model[1].running_mean.clone()  # type: ignore[index, operator, union-attr]
    train(model, image_set(64), Schedule(1, 0.01, freeze_statistics=True), SESSION, "frozen")
    assert torch.equal(before, model[1].running_mean)  # type: ignore[index, arg-type]
    train(model, image_set(64), Schedule(1, 0.01), SESSION, "moving")
    assert not torch.equal(before, model[1].running_mean)  # type: ignore[index, arg-type]


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    images, schedule = image_set(50), Schedule(2, 0.01, batch_size=16)
    marked = ImageSet(images.pixels, torch.arange(50))
    epochs = [torch.cat([labels for _, labels in _shuffled(marked, schedule, SESSION, "x", e)]) for e in (0, 1)]
    assert all(sorted(seen.tolist()) == list(range(50)) for seen in epochs)
    assert not torch.equal(*epochs)


def test_the_rate_falls_to_zero_by_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(training, "_optimizer", lambda *args: made.append(_optimizer(*args)) or made[0])
    rates: list[float] = []
    train(net(), image_set(64), Schedule(4, 0.02, batch_size=32), SESSION, "rate",
          after_epoch=lambda _: rates.append(made[0][1].get_last_lr()[0]))  # fmt: skip
    assert rates == pytest.approx([0.02 * (1 + math.cos(math.pi * share)) / 2 for share in (0.25, 0.5, 0.75, 1)])


def test_a_huge_gradient_is_clipped() -> None:
    class Loud(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3072, 10, bias=False)
            nn.init.zeros_(self.fc.weight)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(1e4 * self.fc(images.flatten(1)))

    model = Loud()
    train(model, image_set(32), Schedule(1, 0.1, batch_size=32), SESSION, "loud")
    assert float(model.fc.weight.norm()) == pytest.approx(0.1 * 5, rel=1e-3)


def test_a_last_batch_of_one_image_does_not_break_batch_norm() -> None:
    train(net(), image_set(65), Schedule(1, 0.01, batch_size=32), SESSION, "rest")


def test_a_shift_moves_whole_images_and_fills_with_black() -> None:
    pixels = torch.arange(2 * 3 * 5 * 7.0).view(2, 3, 5, 7) + 1
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        moved = _shifted(pixels, 2, generator)
        assert moved.shape == pixels.shape
        padded = nn.functional.pad(pixels, (2, 2, 2, 2))
        for image, frame in zip(moved, padded, strict=True):
            places = [(i, j) for i in range(5) for j in range(5) if torch.equal(frame[:, i : i + 5, j : j + 7], image)]
            assert len(places) == 1
            seen.add(places[0])
    assert len(seen) > 15
    assert _shifted(pixels, 0, generator) is pixels


def test_the_optimiser_suits_the_norms_not_a_family() -> None:
    assert suited(net()) == ("sgd", 1e-2)
    assert suited(nn.Sequential(nn.Conv2d(3, 4, 3))) == ("sgd", 1e-2)
    assert suited(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))) == ("adamw", 5e-5)
    assert suited(nn.Sequential(nn.RMSNorm(4), nn.Linear(4, 2))) == ("adamw", 5e-5)
    assert suited(nn.Sequential(nn.BatchNorm2d(4), nn.LayerNorm(4))) == ("sgd", 1e-2)
    assert suited(nn.Sequential(nn.GroupNorm(2, 4))) == ("sgd", 1e-2)
