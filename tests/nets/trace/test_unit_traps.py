"""Nets made to mislead who follows channels: what is claimed of them must hold, what cannot be known must be said."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hubclean
from hubclean.errors import ModelError
from hubclean.nets.cut import masks
from support.unit_nets import IMAGES, Holder, Net, conv, groups_of, heads_of, shaken


def linear(width: int = 6, out: int = 5) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(width, out)


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


class Biased(nn.Module):
    """A norm with a bias and no weight: the bias alone silences nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (6,), None, self.bias)


Given = namedtuple("Given", "value rest")


class Second(nn.Module):
    """Reads its second argument."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 6, 1, 1))

    def forward(self, scale: Tensor, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight)


def written_through(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    y[:, :3].add_(1)
    return net.b(y)


def written_late(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    rows = y.view(2, 6, -1)
    y.sigmoid_()
    return net.b(rows.unflatten(2, (12, 12)))


def gated_through(net: Any, x: Tensor) -> Tensor:
    y, gate = net.c(x), net.a(x)
    y[:, :6].mul_(gate)
    return net.b(y) + net.d(gate)


def buffer_written(net: Any, x: Tensor) -> Tensor:
    room, y = torch.zeros(2, 6, 12, 12), net.a(x)
    part = room[:, :6]
    part += y
    return net.b(room) + net.d(y)


def masked_attention(net: Any, x: Tensor) -> Tensor:
    small = functional.avg_pool2d(x, 4)
    content, mask = net.a(tokens(small)).split([8, 9], -1)
    query = heads_of(torch.ones(2, 9, 8), 2)
    out = functional.scaled_dot_product_attention(query, query, heads_of(content, 2), attn_mask=mask[:, None])
    return net.b(out.transpose(1, 2).flatten(2))


def spectral() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 6, 1))


def weight_norm_over_inputs() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 1), dim=1)


def outside(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    return net.b(y) * float(y[:, 0].amax((0, 1, 2)).item())


# body, modules, sides of layer ``a`` that can be cut
TRAPS: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, Callable[[], nn.Module]], str]] = {
    "index in a buffer": (lambda n, x: n.b(n.a(x)[:, n.order]), {}, "producer"),
    "tokens by a buffer": (lambda n, x: n.b(n.a(tokens(x))[:, n.order]), {"a": linear(3, 6), "b": linear()}, "both"),
    "table by channels": (
        lambda n, x: n.b(n.a(x)) * n.order.float()[n.b(n.a(x)).amax((1, 2, 3)).long().clamp(0, 5), None, None, None],
        {},
        "none",
    ),
    "shift by padding": (lambda n, x: n.b(functional.pad(n.a(x), (0, 0, 0, 0, 1, -1))), {}, "both"),
    "padding with ones": (lambda n, x: n.b(functional.pad(n.a(x), (1, 1), value=1.0)), {}, "producer"),
    "channels of ones": (
        lambda n, x: n.b(functional.pad(n.a(x), (0, 0) * 2 + (1, 1), value=1.0)),
        {"b": conv(8)},
        "both",
    ),
    "padded before the norm": (
        lambda n, x: n.b(n.norm(functional.pad(n.a(x), (0, 0) * 2 + (0, 2)))),
        {"norm": lambda: nn.BatchNorm2d(8), "b": conv(8)},
        "both",
    ),
    "roll of everything": (lambda n, x: n.b(n.a(tokens(x)).roll(1)), {"a": linear(3, 6), "b": linear()}, "both"),
    "flip of two axes": (lambda n, x: n.b(n.a(tokens(x)).flip(2, 1)), {"a": linear(3, 6), "b": linear()}, "both"),
    "type of another": (lambda n, x: n.b((y := n.a(x)) + n.place.type_as(y)), {}, "producer"),
    "device of another": (lambda n, x: n.b((y := n.a(x)) + n.place.to(y)), {}, "producer"),
    "scale like another": (lambda n, x: n.b((y := n.a(x)) * n.place.to(y) * torch.ones_like(y)), {}, "both"),
    "bias alone": (
        lambda n, x: n.b(n.norm(n.a(tokens(x)))),
        {"a": linear(3, 6), "norm": Biased, "b": linear()},
        "producer",
    ),
    "fixed filter with a bias": (
        lambda n, x: n.b(functional.conv2d(n.a(x), n.filters, n.order.float(), groups=6)),
        {},
        "producer",
    ),
    "bias made of the image": (
        lambda n, x: n.b(functional.linear(tokens(x), n.a.weight, n.d(x.mean((0, 2, 3))))),
        {"a": linear(3, 6), "b": linear(), "d": linear(3, 6)},
        "consumer",
    ),
    "slopes made of channels": (lambda n, x: n.b(torch.prelu(y := n.a(x), y.flip(1).mean((0, 2, 3)))), {}, "producer"),
    "lower bound": (lambda n, x: n.b(functional.hardtanh(n.a(x), 0.1, 2.0)), {}, "producer"),
    "mask made of channels": (masked_attention, {"a": linear(3, 17), "b": linear(8)}, "producer"),
    "written through a view": (written_through, {}, "producer"),
    "written after a view": (written_late, {}, "producer"),
    "gate written through a view": (gated_through, {"c": conv(3, 8), "b": conv(8), "d": conv()}, "producer"),
    "buffer written through a view": (buffer_written, {"d": conv()}, "producer"),
    "spectral norm": (lambda n, x: n.b(n.a(x)), {"a": spectral}, "consumer"),
    "weight norm of columns": (lambda n, x: n.b(n.a(x)), {"a": weight_norm_over_inputs}, "consumer"),
    "a number taken out": (outside, {}, "both"),
    "given in a mapping": (lambda n, x: n.b(n.a(x)["y"].relu()), {"a": lambda: Holder(lambda y: {"y": y})}, "both"),
    "given in a list": (lambda n, x: n.b(n.a(x)[0].relu()), {"a": lambda: Holder(lambda y: [y])}, "both"),
    "given second": (lambda n, x: n.b(n.a(x)[1].relu()), {"a": lambda: Holder(lambda y: (None, y))}, "both"),
    "given after another": (
        lambda n, x: n.b(n.a(x)[1].relu()),
        {"a": lambda: Holder(lambda y: (torch.ones(6), y))},
        "both",
    ),
    "given by name": (lambda n, x: n.b(n.a(x).value.relu()), {"a": lambda: Holder(lambda y: Given(y, 1))}, "both"),
    "used before it is given": (
        lambda n, x: n.b((r := n.a(x))[0].relu()) + n.d(r[1]),
        {"a": lambda: Holder(lambda y: (y, y.mean((2, 3), keepdim=True))), "d": conv()},
        "none",
    ),
    "a reader of two": (lambda n, x: n.b(n.a(x).tanh()) + n.b(n.d(x)), {"d": conv(3, 6)}, "producer"),
    "a sum with its gate": (lambda n, x: n.b((y := n.a(x)) + y.sigmoid()), {}, "producer"),
    "sigmoid for an activation": (lambda n, x: n.b(n.a(x).sigmoid()), {}, "producer"),
    "a power of nothing": (lambda n, x: n.b(n.a(x).abs() ** 0), {}, "producer"),
    "pooled channels": (
        lambda n, x: n.b(functional.avg_pool2d(n.a(x.permute(0, 2, 3, 1)), 2)).permute(0, 3, 1, 2),
        {"a": linear(3, 6), "b": linear(3)},
        "producer",
    ),
    "two into one": (
        lambda n, x: n.b(functional.conv2d(n.a(x), n.filters.view(3, 2, 3, 3), groups=3)),
        {"b": conv(3)},
        "producer",
    ),
    "a sum of exponentials": (lambda n, x: n.b(n.a(x).unflatten(1, (3, 2)).logsumexp(2)), {"b": conv(3)}, "producer"),
    "joined before the norm": (
        lambda n, x: n.b(n.norm(torch.cat([n.a(x), n.d(x)], 1))),
        {"norm": lambda: nn.BatchNorm2d(12), "d": conv(3, 6), "b": conv(12)},
        "producer",
    ),
    "a norm of two": (
        lambda n, x: n.b(n.norm(n.a(x)) * n.norm(n.d(x))),
        {"norm": lambda: nn.BatchNorm2d(6), "d": conv(3, 6)},
        "producer",
    ),
    "partly a sum": (lambda n, x: n.b(torch.stack([n.a(x), n.d(x).exp()], 1).sum(1)), {"d": conv(3, 6)}, "producer"),
    "queries alone": (
        lambda n, x: n.b(
            functional.scaled_dot_product_attention(
                heads_of(n.a(tokens(x)), 2), heads_of(n.d(tokens(x)), 2), heads_of(n.d(tokens(x)), 2)
            )
            .transpose(1, 2)
            .flatten(2)
        ),
        {"a": linear(3, 6), "d": linear(3, 6), "b": linear()},
        "none",
    ),
    "read as second argument": (lambda n, x: n.b(torch.ones(6, 1, 1), n.a(x).relu()), {"b": Second}, "both"),
}


def trapped(name: str) -> nn.Module:
    body, modules, _ = TRAPS[name]
    net = Net(5, body, **{key: make() for key, make in {"a": conv(3, 6), "b": conv(), **modules}.items()})
    net.register_buffer("order", torch.tensor([3, 1, 0, 2, 5, 4]), persistent=False)
    net.register_buffer("place", torch.linspace(-1, 1, 6).view(1, 6, 1, 1), persistent=False)
    net.register_buffer("filters", torch.linspace(0.5, 1, 54).view(6, 1, 3, 3), persistent=False)
    return shaken(net)


@pytest.mark.parametrize("name", TRAPS)
def test_no_trap_leads_to_a_claim_that_does_not_hold(name: str) -> None:
    net = trapped(name)
    groups = groups_of(net)
    assert groups["a"].cut == TRAPS[name][2], groups["a"].why
    assert groups["a"].why or groups["a"].cut == "both"
    for group in groups.values():
        for seed in range(2 * group.count if group.cut != "none" else 0):
            assert masks.prove_units(net, [group], IMAGES, seed=seed).failed == (), (group.name, seed)


def test_a_watch_point_is_the_argument_that_is_read() -> None:
    watch = groups_of(trapped("read as second argument"))["a"].watch
    assert watch is not None
    assert (watch.module, watch.side) == ("a", "out"), "the first argument of b is a scale"


def test_layers_of_other_kinds_are_listed_with_their_channels() -> None:
    net = Net(
        6,
        lambda n, x: n.rows(tokens(n.deep(x[:, :, None]).squeeze(2)))[0],
        deep=nn.Conv3d(3, 4, 1),
        rows=nn.LSTM(4, 6, batch_first=True),
    )
    found = groups_of(shaken(net))
    assert {name: (group.kind, group.count, group.cut) for name, group in found.items()} == {
        "deep": ("conv", 4, "none"),
        "rows": ("linear", 6, "none"),
    }
    assert "lstm" in found["rows"].why
    assert "conv3d" in found["deep"].why


def test_weights_that_give_no_numbers_prove_nothing() -> None:
    net = trapped("scale like another")
    with torch.no_grad():
        net.get_parameter("a.weight")[0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        masks.prove_units(net, list(groups_of(net).values()), IMAGES)


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def kept() -> nn.Module:
    net = classifier()
    net.__dict__["last"] = net(IMAGES)  # part of a graph, as a net has it that keeps its features
    return net


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.relu, "must be a torch.nn.Module"),
        (nn.Identity, "no parameters"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3)), "lazy layers"),
        (kept, "cannot be copied"),
        (lambda: nn.Sequential(classifier(), nn.Softmax(-1)), "must return logits, with no softmax"),
        (lambda: torch.jit.trace(classifier(), IMAGES), "torch.jit"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:Warning")
def test_what_is_in_the_way_is_said(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        hubclean.locate(make(), IMAGES)


def test_a_compiled_net_is_located_as_the_net_it_wraps() -> None:
    net = classifier()
    assert hubclean.locate(torch.compile(net), IMAGES).site == hubclean.locate(net, IMAGES).site
