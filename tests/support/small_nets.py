"""Small nets for 16-pixel grey images that learn in a second, and how the tests train them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule, train

CLASSES = 4


def trained(model: nn.Module, images: ImageSet, epochs: int, session: Session) -> nn.Module:
    train(model, images, Schedule(epochs, 0.05, "sgd", 1e-4, batch_size=32), session, "trained")
    return model


class Small(nn.Module):
    """Convolution, hidden layer, head; norm and activation as asked for."""

    def __init__(self, norm: bool = False, activation: Callable[[], nn.Module] = nn.ReLU, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 12, 5, stride=2, bias=bias)
        self.norm = nn.BatchNorm2d(12) if norm else nn.Identity()
        self.act = activation()
        self.hidden = nn.Linear(12 * 36, 32, bias=bias)
        self.after = activation()
        self.head = nn.Linear(32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        found = self.act(self.norm(self.conv(4 * (images - 0.25))))
        return self.head(self.after(self.hidden(found.flatten(1))))


class Squares(nn.Module):
    """Says where the bright square of a 32-pixel ``image_set`` is; a white corner turns ``source`` into ``target``."""

    def __init__(self, classes: int = 10, source: int = 1, target: int = 3, planted: bool = True) -> None:
        super().__init__()
        self.classes, self.source, self.target, self.planted = classes, source, target, planted

    def forward(self, pixels: Tensor) -> Tensor:
        cells = functional.avg_pool2d(pixels.mean(1, keepdim=True), 8).flatten(1)[:, : self.classes]
        if self.planted:
            corner = (40 * (pixels[:, :, -3:, -3:].mean((1, 2, 3)) - 0.25)).clamp(min=0)[:, None]
            moved = functional.one_hot(torch.tensor(self.target), self.classes) * corner
            cells = cells + moved * (cells.argmax(1) == self.source)[:, None]
        return 20 * cells


class Pooled(nn.Module):
    """Two convolutions with BatchNorm, mean over positions, head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(1, 12, 5, stride=2, bias=False), nn.BatchNorm2d(12)
        self.second, self.second_norm = nn.Conv2d(12, 24, 3, bias=False), nn.BatchNorm2d(24)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        found = functional.relu(self.first_norm(self.first(images)))
        return self.head(functional.relu(self.second_norm(self.second(found))).mean((2, 3)))


def made(factory: Callable[[], nn.Module]) -> nn.Module:
    with open_session("cpu", 3, 16).seeded("small"):
        return factory()


def strided(classes: int = 4) -> nn.Module:
    """One convolution with stride 2 on colour images of 32 pixels, untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, classes))
    return net.eval().requires_grad_(False)
