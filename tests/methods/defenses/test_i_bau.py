"""I-BAU: its perturbation is universal and within its ball, its gradient is the one of the minimax problem."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from hubclean.methods.defenses.i_bau import IBAU, UniversalRounds
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule
from support.image_sets import image_set
from support.planted import planted_net

SESSION = open_session("cpu", seed=1, batch_size=64)
SMALL = (1, 2, 2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return planted_net(tmp_path_factory.mktemp("r"), SESSION)


def linear(classes: int = 3) -> nn.Module:
    """A softmax regression on four pixels, smooth in both of its arguments."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, classes)).double()
    with torch.no_grad(), SESSION.seeded("linear"):
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return net.eval()


def grey(count: int = 20) -> ImageSet:
    """Pixels far from 0 and 1, so that nothing is clipped."""
    pixels = torch.randint(100, 150, (count, *SMALL), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(count) % 3)


def rounds(net: nn.Module, images: ImageSet, **options: Any) -> UniversalRounds:
    return UniversalRounds(IBAU(**options), net, images, Schedule(1, 0.1, batch_size=len(images)), SESSION)


def raised(net: nn.Module, images: ImageSet, d: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(net(images.pixels.double() / 255 + d), images.labels)


def worst(net: nn.Module, images: ImageSet, shrinkage: float) -> torch.Tensor:
    """The perturbation of largest H - c |d|^2, which is concave here."""
    d = torch.zeros(1, *SMALL, dtype=torch.float64)
    for _ in range(100):
        d = d.detach().requires_grad_()
        (slope,) = torch.autograd.grad(raised(net, images, d) - shrinkage * d.square().sum(), d)
        d = d.detach() + 0.2 / shrinkage * slope
    return d.detach()


def gradients(run: UniversalRounds, net: nn.Module, images: ImageSet) -> torch.Tensor:
    net.requires_grad_(True)
    net.zero_grad()
    run.loss(net, images.pixels.double() / 255, images.labels).backward()  # type: ignore[no-untyped-call]
    found = torch.cat([parameter.grad.flatten() for parameter in net.parameters() if parameter.grad is not None])
    net.requires_grad_(False)
    return found


def test_the_hypergradient_is_the_slope_of_the_loss_at_the_worst_perturbation() -> None:
    """dE(d(w), w)/dw by moving every weight and searching d anew, against the implicit one; one part is not enough."""
    net, images, share, shrinkage = linear(), grey(), 0.5, 2.0
    options = {"share": share, "shrinkage": shrinkage, "inner_rate": 0.1}
    d = worst(net, images, shrinkage)
    assert 0.01 < float(d.abs().max()) < 0.39

    def outer() -> float:
        d = worst(net, images, shrinkage)
        assert float(d.abs().max()) < 0.39
        with torch.no_grad():
            return float(share * raised(net, images, d) + (1 - share) * raised(net, images, torch.zeros_like(d)))

    numeric = []
    for parameter in net.parameters():
        for index in range(parameter.numel()):
            values = []
            for move in (1e-4, -2e-4):
                with torch.no_grad():
                    parameter.view(-1)[index] += move
                values.append(outer())
            with torch.no_grad():
                parameter.view(-1)[index] += 1e-4
            numeric.append((values[0] - values[1]) / 2e-4)
    implicit, explicit = (implicit_gradient(net, images, d, terms, options) for terms in (60, 0))
    assert torch.allclose(implicit, torch.tensor(numeric).double(), rtol=0.01, atol=1e-3)
    assert float((explicit - implicit).norm()) > 0.03 * float(implicit.norm())


def implicit_gradient(net: nn.Module, images: ImageSet, d: torch.Tensor, terms: int, options: dict[str, Any]) -> Any:
    run = rounds(net, images, terms=terms, **options)
    run.perturbation = d
    return gradients(run, net, images)


@pytest.mark.parametrize("terms", [1, 2, 5])
def test_each_term_is_one_step_of_the_fixed_point(terms: int) -> None:
    net, images, rate, shrinkage, share = linear(), grey(), 0.7, 0.3, 0.4
    d = torch.full((1, *SMALL), 0.05, dtype=torch.float64)
    run = rounds(net, images, terms=terms, inner_rate=rate, shrinkage=shrinkage, share=share)
    run.perturbation = d
    found = gradients(run, net, images)
    net.requires_grad_(True)
    moved = d.clone().requires_grad_()
    (slope,) = torch.autograd.grad(raised(net, images, moved), moved, create_graph=True)
    step = moved + rate * (slope - 2 * shrinkage * moved)
    v = torch.zeros_like(d)
    for _ in range(terms):
        v = torch.autograd.grad(step, moved, v, retain_graph=True)[0] + share * slope.detach()
    total = share * raised(net, images, d) + (1 - share) * raised(net, images, torch.zeros_like(d)) + (step * v).sum()
    wanted = torch.cat([value.flatten() for value in torch.autograd.grad(total, list(net.parameters()))])
    net.requires_grad_(False)
    assert torch.allclose(found, wanted, rtol=1e-2, atol=1e-4)


def test_the_perturbation_raises_the_loss_and_less_so_after_the_defense(planted: Checkpoint) -> None:
    data = DefenseData(image_set(120, seed=4), image_set(60, seed=5))
    defense = IBAU(epochs=4, learning_rate=1e-3, radius=4.0, steps=12, batch_size=32, terms=2)
    cleansing = defense.cleanse(planted, data, (), SESSION)
    heights = []
    for checkpoint in (planted, cleansing.checkpoint):
        run = UniversalRounds(defense, checkpoint.model, data.val, Schedule(1, 0.1, batch_size=32), SESSION)
        run.before_epoch(0)
        assert run.perturbation.shape == (1, 3, 32, 32)
        assert float(run.perturbation.norm()) <= 4.0 + 1e-4
        plain, moved = run.losses[0]
        assert plain == pytest.approx(run.raised(torch.zeros(1)))
        heights.append(moved - plain)
    assert heights[0] > 2.0
    assert heights[1] < 0.5 * heights[0]
    assert "loss on fit" in cleansing.notes[0]
