"""Traps that single-line changes of the following code once survived: claims that only that line keeps true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets.cut import masks
from support.unit_nets import CASES, IMAGES, Holder, Net, conv, groups_of, shaken

EDGES: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, Callable[[], nn.Module]], str]] = {
    "pooling as long as the channel axis": (
        lambda n, x: n.b(functional.avg_pool2d(n.a(x).permute(0, 2, 3, 1), 3, 1, 1).permute(0, 3, 1, 2)),
        {},
        "producer",
    ),
    "a fixed filter that mixes channels": (lambda n, x: n.b(functional.conv2d(n.a(x), n.filters)), {}, "producer"),
    "joined with its own exponential": (
        lambda n, x: n.b(torch.cat([y := n.a(x), y.exp()], 1)),
        {"b": conv(12)},
        "producer",
    ),
    "divided by a function of itself": (lambda n, x: n.b((y := n.a(x)) / (1 + y.abs())), {}, "both"),
    "a constant divided by it": (lambda n, x: n.b(0.5 / (1 + n.a(x).abs())), {}, "producer"),
    "divided by another after a shift": (lambda n, x: n.b((y := n.a(x)).tanh() / (2 + y.sigmoid())), {}, "both"),
    "normalised over channels, by position": (
        lambda n, x: n.b(functional.normalize(n.a(x).permute(0, 2, 3, 1), 2, -1).permute(0, 3, 1, 2)),
        {},
        "producer",
    ),
    "normalised over pixels, by position": (lambda n, x: n.b(functional.normalize(n.a(x), 2.0, 2)), {}, "both"),
    "given out after a sigmoid": (lambda n, x: n.b(n.a(x)), {"a": lambda: Holder(torch.sigmoid)}, "none"),
}


@pytest.mark.parametrize("name", EDGES)
def test_no_claim_that_does_not_hold(name: str) -> None:
    body, modules, expected = EDGES[name]
    net = Net(5, body, **{key: make() for key, make in {"a": conv(3, 6), "b": conv(), **modules}.items()})
    net.register_buffer("filters", torch.linspace(0.5, 1, 36).view(6, 6, 1, 1), persistent=False)
    group = groups_of(shaken(net))["a"]
    assert group.cut == expected, group.why
    for seed in range(group.count if group.cut != "none" else 0):
        assert masks.prove_units(net, [group], IMAGES, seed=seed).failed == (), seed


def test_a_grouped_reader_is_no_place_to_watch_channels() -> None:
    groups = groups_of(shaken(CASES["grouped and depthwise"][0]()))
    watch = groups["a"].watch
    assert watch is not None
    assert (watch.module, watch.side, watch.owner.tolist()) == ("a", "out", list(range(6)))


@pytest.mark.parametrize(
    "body",
    [lambda n, x: n.b((y := n.a(x)) / y.abs()), lambda n, x: n.b(torch.tensor(0.5) / n.a(x))],
    ids=["its size", "a constant"],
)
def test_a_division_by_zero_is_not_taken_for_zero(body: Callable[[Any, Tensor], Tensor]) -> None:
    group = groups_of(shaken(Net(5, body, a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 5, 1))))["a"]
    assert group.consumers == (), "a zeroed column reads nothing where the net would read what is no number"
