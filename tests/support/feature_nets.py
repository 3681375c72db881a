"""Small nets whose features and heads are known, wrapped as checkpoints, and what hangs on a net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint


def pixels(checkpoint: Checkpoint, count: int = 3) -> Tensor:
    return torch.rand(count, *checkpoint.facts.input_size, generator=torch.Generator().manual_seed(1))


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


class Flat(nn.Module):
    """Convolution, flatten, linear: a channel owns a block of columns. ``order`` moves the channels last instead."""

    def __init__(self, last: bool = False, hidden: bool = False) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 5, 3), last
        self.hidden = nn.Linear(5 * 36, 5 * 36) if hidden else nn.Identity()
        self.fc = nn.Linear(5 * 36, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.conv(images).relu()
        maps = maps.permute(0, 2, 3, 1) if self.last else maps
        return {"logits": self.fc(self.hidden(maps.flatten(1)).relu())}


def wrapped(net: nn.Module, size: int = 8, classes: int = 4) -> Checkpoint:
    three, labels = (0.5, 0.5, 0.5), tuple(str(i) for i in range(classes))
    return loading.wrap(net, mean=three, std=three, input_size=(3, size, size), labels=labels, name="mine", adapters=())


class Branches(nn.Module):
    """Heads of different width, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 3)
        self.heads = nn.ModuleList([nn.Linear(4, 4), nn.Linear(6, 4)])

    def forward(self, images: Tensor) -> Tensor:
        both = [conv(images).relu().mean((2, 3)) for conv in (self.one, self.two)]
        return torch.stack([head(x) for head, x in zip(self.heads, both, strict=True)]).mean(0)
