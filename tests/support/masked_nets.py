"""Two nets small enough to write their forward out by hand, wrapped as checkpoints and trained in a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import searchable_units
from hubclean.nets.images import ImageSet
from hubclean.nets.session import open_session
from hubclean.nets.trace.units import UnitGroup
from hubclean.nets.training import Schedule, train
from support.image_sets import image_set

SESSION = open_session("cpu", seed=1, batch_size=64)
SHAPE, CLASSES = (3, 16, 16), 4


class WithNorms(nn.Module):
    """Two convolutions with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12)
        self.fc = nn.Linear(12 * 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(torch.relu(self.bn2(self.conv2(x))).flatten(1))  # type: ignore[no-any-return]


class Plain(nn.Module):
    """A convolution and a hidden layer, with biases and no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.hidden, self.fc = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(6 * 64, 10), nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x)).flatten(1)
        return self.fc(torch.relu(self.hidden(x)))  # type: ignore[no-any-return]


def images(count: int = 64, seed: int = 0) -> ImageSet:
    return image_set(count, CLASSES, SHAPE, seed)


def units_of(checkpoint: Checkpoint) -> tuple[UnitGroup, ...]:
    """Its prunable units, proved on two images."""
    return searchable_units.of_network(checkpoint, torch.rand(2, *checkpoint.facts.input_size))


def small(kind: type[nn.Module], epochs: int = 3) -> Checkpoint:
    """A net of ``kind`` trained on the same kind of images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = kind()
    labels = tuple(f"class {index}" for index in range(CLASSES))
    wrapped = loading.wrap(
        net, mean=(0.2, 0.3, 0.4), std=(0.5, 0.4, 0.3), input_size=SHAPE, labels=labels, name="small"
    )
    train(wrapped.model, images(256, 9), Schedule(epochs, 0.01, "adamw", batch_size=32), SESSION, "small")
    return wrapped
