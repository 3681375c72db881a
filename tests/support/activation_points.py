"""One point of a net that gives out what it is given, and images whose activations there are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from hubclean.nets.construction.classifier import logits_of
from hubclean.nets.cut.activations import Activations, unit_activations
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session
from hubclean.nets.trace import recorder, unit_finder
from hubclean.nets.trace.units import Point, UnitGroup


def session(batch: int = 2) -> Session:
    return open_session("cpu", batch_size=batch)


def images(size: tuple[int, int, int], labels: list[int]) -> ImageSet:
    draw = torch.Generator().manual_seed(0)
    return ImageSet(
        torch.randint(0, 256, (len(labels), *size), generator=draw, dtype=torch.uint8), torch.tensor(labels)
    )


@cache
def any_group() -> UnitGroup:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
    return unit_finder.find_units(recorder.record_forward(net, torch.rand(2, 3, 2, 2), logits_of), net)[0]


def unit_group(name: str, count: int, point: Point | None, watch: Point | None = None) -> UnitGroup:
    return replace(any_group(), name=name, count=count, point=point, watch=watch)


class Still(nn.Module):
    """Gives out what it is given in the shape and type asked for; logits are made of nothing."""

    def __init__(self, reshape: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.reshape, self.here = reshape, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        self.here(self.reshape(images))
        return images.mean((2, 3))


def measured(
    reshape: Callable[[Tensor], Any], point: Point, data: ImageSet, batch: int = 2, count: int = 3
) -> Activations:
    return unit_activations(Still(reshape), [unit_group("some.layer", count, point)], data, session(batch), 4)[0]


THREE = torch.arange(3)
