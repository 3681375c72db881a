"""The pass that measures activations: once over the images, nothing kept or changed, and what it refuses."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hubclean.errors import DataError, ModelError
from hubclean.nets.cut.activations import unit_activations
from hubclean.nets.images import ImageSet
from hubclean.nets.trace.units import Point
from support.activation_points import THREE, Still, images, measured, session, unit_group
from support.feature_nets import hooks_of, wrapped


def test_every_image_passes_the_model_once_and_nothing_is_kept() -> None:
    data = images((3, 8, 8), [0, 1, 2, 2, 0])
    passed: list[int] = []
    refs: list[Any] = []
    alive: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5, 4)

        def forward(self, images: Tensor) -> Tensor:
            passed.append(len(images))
            alive.append(sum(ref() is not None for ref in refs))
            maps = self.conv(images).relu()
            refs.append(weakref.ref(maps))
            return torch.as_tensor(self.fc(maps.mean((2, 3))))

    checkpoint = wrapped(Counting())
    passed.clear()  # of the recording
    alive.clear()
    refs.clear()
    point = Point("conv", "out", 1, torch.arange(5))
    unit_activations(checkpoint.model, [unit_group("conv", 5, point)] * 2, data, session(), 4)
    assert passed == [2, 2, 1]
    assert alive == [0, 0, 0], "maps of earlier batches"


def test_the_model_is_measured_as_it_predicts() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 4)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    (found,) = unit_activations(
        net, [unit_group("0", 3, Point("0", "in", 1, THREE))], images((3, 4, 4), [0, 1]), session(), 4
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not found.mean.requires_grad


class Fails(Exception):
    pass


def test_hooks_are_gone_after_an_exception() -> None:
    calls: Iterator[int] = iter(range(9))

    def reshape(value: Tensor) -> Tensor:
        if next(calls) == 1:
            raise Fails
        return value

    model, point = Still(reshape), Point("here", "out", 1, THREE)
    with pytest.raises(Fails):
        unit_activations(model, [unit_group("here", 3, point)], images((3, 4, 4), [0, 1, 2]), session(), 4)
    assert hooks_of(model) == 0


@pytest.mark.parametrize(
    ("point", "reshape", "said"),
    [
        (None, lambda x: x, "'some.layer' cannot be watched"),
        (Point("here", "out", 1, torch.arange(4)), lambda x: x, "4 channels were expected"),
        (Point("here", "out", 4, THREE), lambda x: x, "3 channels were expected"),
        (Point("here", "out", 1, THREE), lambda x: x[:1], "is not that of the images"),
        (Point("here.x", "out", 1, THREE), lambda x: x, "no module 'here.x'"),
        (Point("here", "out", 1, THREE), lambda x: "text", "no tensor passes at 'here'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(
    point: Point | None, reshape: Callable[[Tensor], Any], said: str
) -> None:
    model = Still(reshape)
    with pytest.raises(ModelError, match=said):
        unit_activations(model, [unit_group("some.layer", 3, point)], images((3, 4, 4), [0, 1]), session(), 4)
    assert hooks_of(model) == 0


def test_a_module_that_does_not_run_is_named() -> None:
    model = Still(lambda x: x)
    model.add_module("idle", nn.Identity())
    with pytest.raises(ModelError, match="'idle' did not run"):
        unit_activations(
            model, [unit_group("idle", 3, Point("idle", "in", 1, THREE))], images((3, 4, 4), [0, 1]), session(), 4
        )


@pytest.mark.parametrize("labels", [[], [0, 4], [-1, 0]])
def test_labels_that_the_model_does_not_have_are_refused(labels: list[int]) -> None:
    data = ImageSet(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8), torch.tensor(labels, dtype=torch.long))
    with pytest.raises(DataError):
        measured(lambda x: x, Point("here", "out", 1, THREE), data)
