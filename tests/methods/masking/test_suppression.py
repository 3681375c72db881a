"""Clean suppression: where it stops, what it leaves alone, when it tries again."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from hubclean.errors import ModelError
from hubclean.methods.masking.search import batch_statistics
from hubclean.methods.masking.suppression import Ascent, expose, goal
from hubclean.nets.checkpoint import Checkpoint
from support.masked_nets import CLASSES, SESSION, WithNorms, images, small

FIT = images(64, 1)


@pytest.fixture(scope="module")
def normed() -> Checkpoint:
    return small(WithNorms)


def test_exposing_stops_at_the_goal_on_a_copy(normed: Checkpoint) -> None:
    kept = copy.deepcopy(normed.model.state_dict())
    ascent = Ascent(0.5, 1e-2, steps=100, batch_size=16, most_entropy=1.0)
    found = expose(normed.model, FIT, CLASSES, ascent, SESSION, "t")
    assert found.before > 0.9
    assert found.reached
    assert 0.5 - 0.15 <= found.accuracy <= 0.5, "no overshooting"
    assert 0 < found.steps < 100
    assert all(torch.equal(value, kept[name]) for name, value in normed.model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in found.model.parameters())
    with batch_statistics(found.model):
        now = found.model(FIT.images(slice(None))).argmax(1)
    changed = now[now != FIT.labels]
    assert float((now == FIT.labels).float().mean()) == pytest.approx(found.accuracy, abs=0.1)
    assert int(torch.bincount(changed).argmax()) == found.dominant
    assert f"class {found.dominant}" in found.note(normed.labels)


def test_the_goal_suits_the_net() -> None:
    assert goal(0.2, 0.93, torch.arange(10)) == 0.2, "as in the papers"
    assert goal(0.5, 0.4, torch.arange(10)) == pytest.approx(0.32), "a net below rho is suppressed too"
    assert goal(0.2, 0.9, torch.tensor([0, 0, 1])) == pytest.approx(2 / 3), "a net of one answer has that"


def test_gradients_are_clipped_after_backward(normed: Checkpoint) -> None:
    ascent = Ascent(0.01, 0.1, decay=0.0, clip=1e-3, steps=1, batch_size=64, most_entropy=1.0)
    found = expose(normed.model, FIT, CLASSES, ascent, SESSION, "t")
    pairs = zip(found.model.parameters(), normed.model.parameters(), strict=True)
    moved = sum(float((one - other).square().sum()) for one, other in pairs) ** 0.5
    assert moved == pytest.approx(found.rate * 1e-3, rel=0.02)
    assert not found.reached
    assert "its goal of 25% was missed" in found.note(normed.labels)


def test_a_suppression_that_spreads_over_the_classes_is_tried_again(normed: Checkpoint) -> None:
    ascent = Ascent(0.2, 0.05, steps=60, batch_size=32)
    never = expose(normed.model, FIT, CLASSES, replace(ascent, most_entropy=-1.0), SESSION, "t")
    first = expose(normed.model, FIT, CLASSES, replace(ascent, most_entropy=1.0), SESSION, "t")
    assert (first.attempts, first.rho, first.rate) == (1, 0.2, 0.05)
    assert never.entropy <= first.entropy
    assert never.passes > first.passes
    assert (never.rho, never.rate) in [(0.2, 0.05), (0.5, 0.025), (0.6, 0.0125), (0.8, 0.00625)]


class Breaks(nn.Module):
    """A net whose weights are not finite after any step."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16 * 16, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(pixels.mean(1).flatten(1))
        total = self.head.weight.sum()
        return logits + (total - total).sqrt()  # 0, with a slope of inf - inf


def test_a_net_of_nan_is_not_taken_for_a_suppressed_one() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Breaks()
    good = replace(FIT, labels=net(FIT.images(slice(None))).argmax(1))  # right at first, so that a step must be made
    with pytest.raises(ModelError, match="not finite"):
        expose(net, good, CLASSES, Ascent(0.0, 1e-2, steps=3, batch_size=16), SESSION, "t")
