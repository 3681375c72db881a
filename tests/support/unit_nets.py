"""Hand-made nets whose units are known: layer by layer, which sides can be cut and how many there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets.construction.classifier import logits_of
from hubclean.nets.trace import unit_finder
from hubclean.nets.trace.recorder import record_forward
from hubclean.nets.trace.units import UnitGroup

IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def groups_of(net: nn.Module, images: Tensor = IMAGES) -> dict[str, UnitGroup]:
    return {group.name: group for group in unit_finder.find_units(record_forward(net, images, logits_of), net)}


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=draw)
                tensor.copy_(1 + noise.abs() if "running_var" in name else 0.3 * noise + tensor)
    return net.eval().requires_grad_(False)


class Net(nn.Module):
    """Any body, then the mean over all positions and a head."""

    def __init__(self, width: int, forward: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.fc, self._body = nn.Linear(width, 4), forward

    def forward(self, images: Tensor) -> Tensor:
        out = self._body(self, images)
        return self.fc(out.mean((2, 3)) if out.ndim == 4 else out.mean(1) if out.ndim == 3 else out)


def heads_of(tensor: Tensor, count: int) -> Tensor:
    return tensor.unflatten(-1, (count, -1)).transpose(1, 2)


def attention(net: Any, x: Tensor) -> Tensor:
    tokens = net.stem(x).flatten(2).transpose(1, 2)
    q, k, v = net.qkv(tokens).reshape(2, -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
    return tokens + net.proj((scores @ v).transpose(1, 2).flatten(2))


def squeeze_excite(net: Any, x: Tensor) -> Tensor:
    x = net.a(x).tanh()
    return net.b(x * net.up(net.down(x.mean((2, 3), keepdim=True)).tanh()).sigmoid())


def shuffled(net: Any, x: Tensor) -> Tensor:
    x = net.a(x).tanh()
    return net.b(x.view(2, 2, 3, *x.shape[2:]).transpose(1, 2).reshape(x.shape))


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, tuple[str, str, int, bool]]]] = {
    # layer -> kind, sides that can be cut, units, residual
    "norm": (
        lambda: Net(
            5, lambda n, x: n.b(n.n(n.a(x)).tanh()), a=nn.Conv2d(3, 6, 3), n=nn.BatchNorm2d(6), b=nn.Conv2d(6, 5, 3)
        ),
        {"a": ("conv", "both", 6, False), "b": ("conv", "both", 5, False)},
    ),
    "residual": (
        lambda: Net(
            6, lambda n, x: (y := n.a(x).tanh()) + n.b(y), a=nn.Conv2d(3, 6, 3), b=nn.Conv2d(6, 6, 3, padding=1)
        ),
        {"a": ("conv", "producer", 6, True), "b": ("conv", "producer", 6, True)},
    ),
    "grouped and depthwise": (
        lambda: Net(
            6,
            lambda n, x: n.d(n.g(n.a(x).tanh()).tanh()),
            a=nn.Conv2d(3, 6, 1),
            g=nn.Conv2d(6, 6, 3, groups=2),
            d=nn.Conv2d(6, 6, 3, groups=6),
        ),
        {"a": ("conv", "both", 6, False), "g": ("conv", "both", 6, False), "d": ("depthwise", "both", 6, False)},
    ),
    "shuffle": (
        lambda: Net(4, shuffled, a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 4, 1, groups=2)),
        {"a": ("conv", "both", 6, False), "b": ("conv", "both", 4, False)},
    ),
    "squeeze and excite": (
        lambda: Net(
            4,
            squeeze_excite,
            a=nn.Conv2d(3, 6, 1),
            down=nn.Conv2d(6, 2, 1),
            up=nn.Conv2d(2, 6, 1),
            b=nn.Conv2d(6, 4, 1),
        ),
        {
            "a": ("conv", "both", 6, False),
            "down": ("conv", "both", 2, False),
            "up": ("gate", "none", 6, False),
            "b": ("conv", "both", 4, False),
        },
    ),
    "branches": (
        lambda: Net(7, lambda n, x: torch.cat([n.a(x), n.b(x).tanh()], 1), a=nn.Conv2d(3, 3, 3), b=nn.Conv2d(3, 4, 3)),
        {"a": ("conv", "both", 3, False), "b": ("conv", "both", 4, False)},
    ),
    "attention": (
        lambda: Net(8, attention, stem=nn.Conv2d(3, 8, 4, 4), qkv=nn.Linear(8, 24), proj=nn.Linear(8, 8)),
        {
            "stem": ("conv", "producer", 8, True),
            "qkv": ("attention", "both", 2, False),
            "proj": ("linear", "producer", 8, True),
        },
    ),
    "gated linear units": (
        lambda: Net(
            5,
            lambda n, x: n.b((h := n.a(x.flatten(2).transpose(1, 2)).chunk(2, -1))[0] * functional.silu(h[1])),
            a=nn.Linear(3, 12),
            b=nn.Linear(6, 5),
        ),
        {"a": ("linear", "both", 6, False), "b": ("linear", "both", 5, False)},
    ),
    "norm over channels": (
        lambda: Net(
            5, lambda n, x: n.b(n.n(n.a(x)).tanh()), a=nn.Conv2d(3, 6, 3), n=nn.GroupNorm(2, 6), b=nn.Conv2d(6, 5, 3)
        ),
        {"a": ("conv", "both", 6, False), "b": ("conv", "both", 5, False)},
    ),
    "weight norm": (
        lambda: Net(
            5,
            lambda n, x: n.b(n.a(x).tanh()),
            a=nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 3)),
            b=nn.Conv2d(6, 5, 3),
        ),
        {"a": ("conv", "both", 6, False), "b": ("conv", "both", 5, False)},
    ),
    "transposed": (
        lambda: Net(
            5,
            lambda n, x: n.b(n.t(n.a(x).tanh()).tanh()),
            a=nn.Conv2d(3, 6, 3),
            t=nn.ConvTranspose2d(6, 4, 2),
            b=nn.Conv2d(4, 5, 3),
        ),
        {"a": ("conv", "both", 6, False), "t": ("conv", "both", 4, False), "b": ("conv", "both", 5, False)},
    ),
    "act before norm": (
        lambda: Net(
            5, lambda n, x: n.b(n.n(n.a(x).tanh())), a=nn.Conv2d(3, 6, 3), n=nn.BatchNorm2d(6), b=nn.Conv2d(6, 5, 3)
        ),
        {"a": ("conv", "producer", 6, False), "b": ("conv", "both", 5, False)},
    ),
    "channels last": (
        lambda: Net(
            5,
            lambda n, x: n.b(functional.gelu(n.n(n.a(x.permute(0, 2, 3, 1))))).permute(0, 3, 1, 2),
            a=nn.Linear(3, 6),
            n=nn.LayerNorm(6),
            b=nn.Linear(6, 5),
        ),
        {"a": ("linear", "both", 6, False), "b": ("linear", "both", 5, False)},
    ),
    "flatten": (
        lambda: Net(5, lambda n, x: n.b(n.a(x).tanh().flatten(1)), a=nn.Conv2d(3, 2, 9), b=nn.Linear(32, 5)),
        {"a": ("conv", "both", 2, False), "b": ("linear", "both", 5, False)},
    ),
    "selected kernels": (
        lambda: Net(
            4,
            lambda n, x: n.b((torch.stack([n.a(x), n.c(x)], 1) * 0.5).sum(1)),
            a=nn.Conv2d(3, 6, 1),
            c=nn.Conv2d(3, 6, 1),
            b=nn.Conv2d(6, 4, 1),
        ),
        {"a": ("conv", "producer", 6, False), "c": ("conv", "producer", 6, False), "b": ("conv", "both", 4, False)},
    ),
    "twice the same layer": (
        lambda: Net(
            3, lambda n, x: n.b(n.a(n.a(x).tanh()).tanh()), a=nn.Conv2d(3, 3, 3, padding=1), b=nn.Conv2d(3, 3, 1)
        ),
        {"a": ("conv", "none", 3, False), "a#2": ("conv", "consumer", 3, False), "b": ("conv", "both", 3, False)},
    ),
    "tokens mixed": (
        lambda: Net(
            6,
            lambda n, x: n.b(n.mix(n.a(x).flatten(2)).transpose(1, 2)),
            a=nn.Conv2d(3, 4, 1),
            mix=nn.Linear(144, 7, bias=False),
            b=nn.Linear(4, 6),
        ),
        {"a": ("conv", "both", 4, False), "b": ("linear", "both", 6, False)},
    ),
}


def conv(width: int = 6, out: int = 5, kernel: int = 1) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(width, out, kernel)


class Holder(nn.Module):
    """A convolution that gives its output out in whatever ``wrap`` makes of it."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.wrap = nn.Parameter(torch.ones(6, 3, 1, 1)), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(functional.conv2d(x, self.weight))
