"""Small nets with BatchNorm in unusual places, and what the tests of CLP and BNP do with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hubclean.methods.interface import Cleansing
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import predictions
from hubclean.nets.session import open_session
from support.image_sets import image_set

SESSION = open_session("cpu", seed=1, batch_size=16)


class Net(nn.Module):
    """Declares every norm before the convolution it follows, and all of them in the wrong order."""

    def __init__(self, width: int = 24, norm: bool = True) -> None:
        super().__init__()
        self.last = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.first = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.two = nn.Conv2d(width, width, 3, padding=1)
        self.one = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        inside = torch.relu(self.first(self.one(images)))
        inside = torch.relu(self.last(self.two(inside)))
        out: Tensor = self.head(inside.mean((2, 3)))
        return out


class Before(nn.Module):
    """Norms before convolutions, as in ResNet v2: only ``inner`` is followed by a norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.inner, self.norm2 = nn.Conv2d(16, 24, 3, padding=1), nn.BatchNorm2d(24)
        self.outer, self.head = nn.Conv2d(24, 16, 3, padding=1), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        stream = self.stem(images)
        branch = self.inner(torch.relu(self.norm1(stream)))
        stream = stream + self.outer(torch.relu(self.norm2(branch)))
        out: Tensor = self.head(torch.relu(stream).mean((2, 3)))
        return out


def wrapped(net: nn.Module, seed: int = 0) -> Checkpoint:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=draw) * 0.2 + (0.9 if tensor.ndim == 1 else -0.1))
                tensor.mul_(0.1 if name.endswith(("bias", "running_mean")) else 1)
    labels = tuple(map(str, range(10)))
    return loading.wrap(net.eval(), mean=(0.5,) * 3, std=(0.25,) * 3, input_size=(3, 8, 8), labels=labels, name="own")


def answered(checkpoint: Checkpoint, count: int = 40) -> DefenseData:
    """Images labelled with the model's own answers: clean accuracy is 1 before any cut."""
    parts = []
    for seed in (1, 2):
        images = image_set(count, 10, checkpoint.facts.input_size, seed)
        parts.append(ImageSet(images.pixels, predictions(checkpoint.model, images, SESSION)))
    return DefenseData(*parts)


def cleansed(method: Any, checkpoint: Checkpoint, data: DefenseData | None = None) -> Cleansing:
    found: Cleansing = method.cleanse(checkpoint, data or DefenseData.none(checkpoint.facts.input_size), (), SESSION)
    return found


def part(checkpoint: Checkpoint, name: str) -> Tensor:
    return checkpoint.model.get_parameter(f"net.{name}").detach()
