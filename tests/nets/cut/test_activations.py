"""Activation statistics of one pass: the same as from kept features, whatever batches, windows, heads and blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import Classifier, logits_of
from hubclean.nets.cut import activations
from hubclean.nets.cut.activations import feature_activations, unit_activations
from hubclean.nets.cut.features import features
from hubclean.nets.images import ImageSet
from hubclean.nets.trace import recorder, unit_finder
from hubclean.nets.trace.units import Point, UnitGroup
from support.activation_points import THREE, images, measured, session, unit_group
from support.feature_nets import Branches, Flat, hooks_of, wrapped
from support.tiny_models import make_repo

LABELS = [3, 1, 0, 7, 1]
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}  # batches of other sizes sum in other orders


def groups_of(checkpoint: Checkpoint) -> list[UnitGroup]:
    assert isinstance(checkpoint.model, Classifier)
    net = checkpoint.model.net
    found = unit_finder.find_units(
        recorder.record_forward(net, torch.rand(2, *checkpoint.facts.input_size), logits_of), net
    )
    return [group for group in found if group.watch or group.point]


def one_by_one(checkpoint: Checkpoint, points: list[Point], data: ImageSet) -> list[Tensor]:
    """What passes each point of every image, run on its own: ``(n, c, positions)`` float64."""
    kept: list[list[Tensor]] = [[] for _ in points]
    net, handles = checkpoint.model.net, []

    def hook(index: int, axis: int, side: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: Any, out: Any = None) -> None:
            value = args[0] if side == "in" else out
            kept[index].append(value.double().movedim(axis, 0).flatten(1))

        return keep

    for index, point in enumerate(points):
        module = net.get_submodule(point.module)  # type: ignore[union-attr, operator]
        register = module.register_forward_pre_hook if point.side == "in" else module.register_forward_hook
        handles.append(register(hook(index, point.axis, point.side)))
    with torch.no_grad():
        for row in range(len(data)):
            checkpoint.model(data.images(slice(row, row + 1)))
    for handle in handles:
        handle.remove()
    return [torch.stack(rows) for rows in kept]


def folded(values: Tensor, owner: Tensor, count: int) -> Tensor:
    return torch.stack([values[..., owner == unit].mean(-1) for unit in range(count)], -1)


KINDS = ["timm-resnet", "timm-convnext", "timm-vit", "timm-swin", "hf-swin", "hf-resnet"]


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_the_whole_network_are_measured_as_if_image_by_image(kind: str, tmp_path: Any) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, kind)))
    data, groups = images(checkpoint.facts.input_size, LABELS), groups_of(checkpoint)
    assert len(groups) > 3
    found = unit_activations(checkpoint.model, groups, data, session(), 10)
    points = [point for group in groups if (point := group.watch or group.point)]
    for group, point, got, rows in zip(groups, points, found, one_by_one(checkpoint, points, data), strict=True):
        owner, count = point.owner, group.count
        means = folded(rows.mean(2), owner, count)
        torch.testing.assert_close(got.mean, means.mean(0), **CLOSE)
        torch.testing.assert_close(got.absolute, folded(rows.abs().mean((0, 2)), owner, count), **CLOSE)
        torch.testing.assert_close(
            got.largest, torch.stack([rows[:, owner == unit].max() for unit in range(count)]), **CLOSE
        )
        expected = torch.full((10, count), torch.nan, dtype=torch.float64)
        expected[[3, 0, 7]] = means[[0, 2, 3]]
        expected[1] = (means[1] + means[4]) / 2
        torch.testing.assert_close(got.by_class, expected, equal_nan=True, **CLOSE)
        assert got.counts.tolist() == [1, 2, 0, 1, 0, 0, 0, 1, 0, 0]
        assert (got.mean.dtype, got.mean.device.type, got.mean.requires_grad) == (torch.float64, "cpu", False)
    assert hooks_of(checkpoint.model) == 0


@pytest.mark.parametrize("kind", ["timm-resnet", "timm-resnetv2", "timm-vit", "timm-deit-distilled", "hf-deit"])
def test_features_are_those_of_the_heads_inputs(kind: str, tmp_path: Any) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, kind)))
    data = images(checkpoint.facts.input_size, LABELS)
    found = feature_activations(checkpoint, data, session(3))
    every = features(checkpoint.model, checkpoint.site, data.images(slice(None))).double()
    torch.testing.assert_close(found.mean, every.mean(0), **CLOSE)
    torch.testing.assert_close(found.by_class[1], every[[1, 4]].mean(0), **CLOSE)
    assert found.signed == ("resnet" not in kind)
    if len(checkpoint.site.heads) == 1:
        torch.testing.assert_close(found.absolute, every.abs().mean(0), **CLOSE)
        torch.testing.assert_close(found.largest, every.max(0).values, **CLOSE)
    assert hooks_of(checkpoint.model) == 0


def test_a_block_of_columns_is_one_channel_and_its_signs_do_not_cancel() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5 * 36, 4))
    checkpoint, data = wrapped(net), images((3, 8, 8), [0, 1, 2, 2, 0])
    with torch.no_grad():
        maps = net[0]((data.images(slice(None)) - 0.5) / 0.5).double()
    assert checkpoint.site.block == 36
    found = feature_activations(checkpoint, data, session())
    torch.testing.assert_close(found.absolute, maps.abs().mean((0, 2, 3)), **CLOSE)
    torch.testing.assert_close(found.largest, maps.amax((0, 2, 3)), **CLOSE)
    assert found.signed
    assert not feature_activations(wrapped(Flat()), data, session()).signed


def test_heads_of_different_width_stand_side_by_side() -> None:
    checkpoint, data = wrapped(Branches()), images((3, 8, 8), [0, 1, 2, 2, 0])
    found = feature_activations(checkpoint, data, session())
    every = features(checkpoint.model, checkpoint.site, data.images(slice(None))).double()
    assert found.mean.shape == (10,)
    torch.testing.assert_close(found.mean, every.mean(0), **CLOSE)
    torch.testing.assert_close(found.largest, every.max(0).values, **CLOSE)


class Twice(nn.Module):
    """Gives the same features to two heads of one width, once negated."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images).relu().mean((2, 3))
        return torch.as_tensor(self.one(maps) + self.two(-maps))


def test_heads_of_one_width_are_averaged_after_the_absolute_value() -> None:
    checkpoint, data = wrapped(Twice()), images((3, 8, 8), [0, 1, 2, 2, 0])
    found = feature_activations(checkpoint, data, session())
    with torch.no_grad():
        maps = checkpoint.model.net.body((data.images(slice(None)) - 0.5) / 0.5).relu().mean((2, 3)).double()  # type: ignore[union-attr, operator]
    torch.testing.assert_close(found.mean, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.absolute, maps.mean(0), **CLOSE)
    torch.testing.assert_close(found.largest, maps.max(0).values, **CLOSE)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[int], int, int, int, Tensor]:
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=7))
    owner = draw(st.lists(st.integers(-1, 2), min_size=1, max_size=6))
    return labels, draw(st.integers(1, 8)), draw(st.integers(1, 3)), draw(st.integers(1, 3)), torch.tensor(owner)


@settings(deadline=None)
@given(layouts())
def test_any_batch_windows_and_owners_give_the_plain_statistics(case: tuple[list[int], int, int, int, Tensor]) -> None:
    labels, batch, windows, axis, owner = case
    data = images((len(owner), 2 * windows, 3), labels)

    def windowed(value: Tensor) -> Tensor:  # an image's windows follow each other, the channels lie along ``axis``
        parts = value.unflatten(2, (windows, 2)).movedim(2, 1).flatten(0, 1)
        return parts.movedim(1, axis) - 0.5

    found = measured(windowed, Point("here", "out", axis, owner), data, batch)
    rows = data.images(slice(None)).double().flatten(2) - 0.5
    for unit in range(3):
        own = rows[:, owner == unit]
        if not own.numel():
            assert all(bool(value[unit].isnan()) for value in (found.mean, found.absolute, found.largest))
            continue
        torch.testing.assert_close(found.mean[unit], own.mean(), **CLOSE)
        torch.testing.assert_close(found.absolute[unit], own.abs().mean(), **CLOSE)
        torch.testing.assert_close(found.largest[unit], own.max(), **CLOSE)
        for label in range(4):
            mine = own[data.labels == label]
            assert int(found.counts[label]) == len(mine)
            expected = mine.mean() if len(mine) else torch.tensor(torch.nan, dtype=torch.float64)
            torch.testing.assert_close(found.by_class[label, unit], expected, equal_nan=True, **CLOSE)


@pytest.mark.parametrize("batch", [2, 5])
def test_large_maps_are_reduced_in_parts_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    data, point = images((3, 8, 8), [0, 1, 2, 3, 3]), Point("here", "in", 1, THREE)
    whole = measured(lambda x: x - 0.5, point, data, batch)
    monkeypatch.setattr(activations, "CACHED", 200)  # one image is 192 numbers
    parts = measured(lambda x: x - 0.5, point, data, batch)
    for name in ("mean", "absolute", "largest", "by_class"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), **CLOSE)


def test_half_precision_maps_are_summed_in_float32() -> None:
    data = ImageSet(torch.full((2, 3, 64, 64), 255, dtype=torch.uint8), torch.tensor([0, 1]))
    found = measured(lambda x: (x * 40).half(), Point("here", "out", 1, THREE), data)  # sums to 163,840: no float16
    assert found.mean.tolist() == found.absolute.tolist() == found.largest.tolist() == [40.0] * 3


def test_a_change_made_in_place_after_the_point_is_not_seen() -> None:
    data = images((3, 4, 4), [0, 1])
    net = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 4))
    model = Classifier(net, (0.5,) * 3, (0.5,) * 3)
    (found,) = unit_activations(model, [unit_group("0", 3, Point("0", "out", 1, THREE))], data, session(), 4)
    expected = ((data.images(slice(None)).double() - 0.5) / 0.5).mean((0, 2, 3))
    torch.testing.assert_close(found.mean, expected, **CLOSE)
    assert found.signed


def test_the_watch_is_read_where_there_is_one_and_the_point_elsewhere() -> None:
    data = images((3, 4, 4), [0, 1])
    net = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))
    point, watch = Point("0", "out", 1, THREE), Point("1", "out", 1, THREE)
    model = Classifier(net, (0.5,) * 3, (0.5,) * 3)
    before, after = unit_activations(
        model, [unit_group("a", 3, point), unit_group("a", 3, point, watch)], data, session(), 4
    )
    assert before.signed
    assert not after.signed
    torch.testing.assert_close(after.mean, (before.absolute + before.mean) / 2, **CLOSE)
