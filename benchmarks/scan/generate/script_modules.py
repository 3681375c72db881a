"""Modules that ``packed_formats`` writes as TorchScript; nothing here is run."""

import torch
import torchvision
from torch import nn


class Net(nn.Module):
    """A convolution, texts, a branch, a list of modules, an exported method."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())])
        self.head = nn.Linear(4, 2)
        self.names = ["cat", "dog"]

    def forward(self, x: torch.Tensor, loud: bool = False) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        x = x.mean([2, 3])
        if loud:
            print("x")
            assert x.shape[0] > 0, 'bad "shape" # no'
        return self.head(x)

    @torch.jit.export
    def label(self, number: int) -> str:
        return self.names[number] + "!"


class Boxes(nn.Module):
    """An operator of torchvision."""

    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return torchvision.ops.nms(boxes, scores, 0.5)


class Saves(nn.Module):
    """Writes a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "never-written")
        return x


class Maps(nn.Module):
    """Maps a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_file("/etc/hostname", False, 10, dtype=torch.uint8)


class Reads(nn.Module):
    """Reads a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.image.read_file("/etc/hostname")


class Writes(nn.Module):
    """Writes a file by an operator of torchvision."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.image.write_file("never-written", x)
