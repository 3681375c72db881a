"""Training: it learns, holds what is cut, moves no global state, and shifts images by whole pixels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from hubclean.nets import training
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, new_optimizer, shifted, shuffled, suited, train
from support.image_sets import image_set

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
    epochs = [torch.cat([labels for _, labels in shuffled(marked, schedule, SESSION, "x", e)]) for e in (0, 1)]
    assert all(sorted(seen.tolist()) == list(range(50)) for seen in epochs)
    assert not torch.equal(*epochs)


def test_the_rate_falls_to_zero_by_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(training, "new_optimizer", lambda *args: made.append(new_optimizer(*args)) or made[0])
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
        moved = shifted(pixels, 2, generator)
        assert moved.shape == pixels.shape
        padded = nn.functional.pad(pixels, (2, 2, 2, 2))
        for image, frame in zip(moved, padded, strict=True):
            places = [(i, j) for i in range(5) for j in range(5) if torch.equal(frame[:, i : i + 5, j : j + 7], image)]
            assert len(places) == 1
            seen.add(places[0])
    assert len(seen) > 15
    assert shifted(pixels, 0, generator) is pixels


def test_the_optimiser_suits_the_norms_not_a_family() -> None:
    assert suited(net()) == ("sgd", 1e-2)
    assert suited(nn.Sequential(nn.Conv2d(3, 4, 3))) == ("sgd", 1e-2)
    assert suited(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))) == ("adamw", 1e-4)
    assert suited(nn.Sequential(nn.RMSNorm(4), nn.Linear(4, 2))) == ("adamw", 1e-4)
    assert suited(nn.Sequential(nn.BatchNorm2d(4), nn.LayerNorm(4))) == ("sgd", 1e-2)
    assert suited(nn.Sequential(nn.GroupNorm(2, 4))) == ("sgd", 1e-2)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_only_the_named_parameters_move() -> None:
    model = net()
    before = weights(model)
    train(model, image_set(64), Schedule(1, 0.01, freeze_statistics=True), SESSION, "only", only=["5.weight"])
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"5.weight"} | {name for name in moved if "num_batches" in name}


def test_a_loss_of_ones_own_is_what_is_minimised() -> None:
    model, calls = net(), []

    def shrink(given: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append((pixels.shape, labels.shape))
        return given.get_parameter("5.weight").square().sum()

    before = weights(model)
    train(model, image_set(64), Schedule(2, 0.01, batch_size=32), SESSION, "own", loss=shrink)
    assert calls == [((32, 3, 32, 32), (32,))] * 4
    assert float(model.get_parameter("5.weight").norm()) < float(before["5.weight"].norm())
    assert torch.equal(model.get_parameter("0.weight"), before["0.weight"])


def test_after_step_has_the_last_word_and_passes_are_counted() -> None:
    model = net()

    def put_back() -> None:
        with torch.no_grad():
            model.get_parameter("5.bias").fill_(0.25)

    passes = train(model, image_set(70), Schedule(3, 0.01, batch_size=32), SESSION, "x", after_step=put_back)
    assert (model.get_parameter("5.bias") == 0.25).all()
    assert passes == 210
    assert train(net(), image_set(70), Schedule(3, 0.01, batch_size=32, sharpness=1.0), SESSION, "x") == 420


def test_a_rate_of_its_own() -> None:
    model, same = net(), net()
    rates = {"5.weight": 0.0}
    train(model, image_set(64), Schedule(1, 0.01, batch_size=32), SESSION, "x", rates=rates)
    assert torch.equal(model.get_parameter("5.weight"), same.get_parameter("5.weight"))
    assert not torch.equal(model.get_parameter("0.weight"), same.get_parameter("0.weight"))


@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_a_sharpness_aware_step_is_the_formula(radius: float) -> None:
    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(1)
            self.fc = nn.Linear(12, 3)
            with torch.no_grad():
                self.fc.weight.copy_(torch.randn(3, 12, generator=generator))
                self.fc.bias.copy_(torch.randn(3, generator=generator))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.fc(images.flatten(1)))

    images, model = image_set(8, 3, (3, 2, 2)), Line()
    w = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]

    def slope(at: list[torch.Tensor]) -> list[torch.Tensor]:
        logits = images.images(slice(None)).flatten(1) @ at[0].T + at[1]
        return list(torch.autograd.grad(nn.functional.cross_entropy(logits, images.labels), at))

    g = slope(w)
    length = sum(((a * b) ** 2).sum() for a, b in zip(w, g, strict=True)) ** 0.5
    uphill = [(a + radius * a**2 * b / length).detach().requires_grad_() for a, b in zip(w, g, strict=True)]
    wanted = [a - 0.01 * b for a, b in zip(w, slope(uphill), strict=True)]
    train(model, images, Schedule(1, 0.01, batch_size=8, sharpness=radius), SESSION, "sam")
    for parameter, value in zip(model.parameters(), wanted, strict=True):
        assert torch.allclose(parameter, value, atol=1e-6)
    assert not torch.allclose(w[0] - 0.01 * g[0], wanted[0], atol=1e-5), "else the step uphill did nothing"


def test_the_step_uphill_moves_no_running_statistics() -> None:
    plain, sharp = net(), net()
    for model, radius in ((plain, 0.0), (sharp, 5.0)):
        train(model, image_set(32), Schedule(1, 0.01, batch_size=32, sharpness=radius), SESSION, "same")
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(plain.state_dict()[f"1.{name}"], sharp.state_dict()[f"1.{name}"]), name
    assert not torch.equal(plain.state_dict()["0.weight"], sharp.state_dict()["0.weight"])


def test_flips_mirror_about_half_of_the_images_and_draw_nothing_when_off() -> None:
    images = image_set(60)
    found = {}
    for flip in (False, True):
        schedule = Schedule(1, 0.01, batch_size=60, flip=flip)
        ((found[flip], _),) = shuffled(images, schedule, SESSION, "flip", 0)
    same = [torch.equal(a, b) for a, b in zip(found[False], found[True], strict=True)]
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(found[False], found[True], strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 15 < sum(mirrored) < 45


def test_the_optimiser_lets_go_of_the_model() -> None:
    train(net(), image_set(32), Schedule(1, 0.01), SESSION, "gone")
    assert all(not optimizer.optimizer.state for optimizer in SESSION.accelerator._optimizers)
    assert all(not optimizer.optimizer.param_groups for optimizer in SESSION.accelerator._optimizers)
