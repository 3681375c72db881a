"""Positions: found behind any flatten, cut in the file as a hook would, their mean left in the bias."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import pruning
from hubclean.nets.cut.positions import PositionInputs
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from support.flat_nets import FLAT, Hidden, flat
from support.image_sets import image_set
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=16)
IMAGES = image_set(40, seed=5)


def read_by(checkpoint: Checkpoint, name: str, images: ImageSet) -> torch.Tensor:
    """What enters a layer, by a hook of the test's own."""
    seen: list[torch.Tensor] = []
    layer = checkpoint.model.get_submodule(f"net.{name}")
    handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        checkpoint.model(images.images(slice(None)))
    handle.remove()
    return seen[0]


def positions(checkpoint: Checkpoint) -> PositionInputs:
    found = pruning.prunable(checkpoint, "position", IMAGES.images(slice(0, 2)))
    assert isinstance(found, PositionInputs)
    return found


@pytest.fixture(scope="module", params=list(FLAT))
def case(request: pytest.FixtureRequest) -> tuple[Checkpoint, str]:
    factory, name = FLAT[request.param]
    return flat(factory), name


def test_every_input_of_the_flattened_map_is_a_unit(case: tuple[Checkpoint, str]) -> None:
    checkpoint, name = case
    units, inputs = positions(checkpoint), read_by(checkpoint, name, IMAGES)
    assert units.count == inputs.shape[1]
    assert name in units.layer
    weight = checkpoint.model.get_submodule(f"net.{name}").weight
    wanted = inputs.double().std(0, correction=0) / weight.double().norm(dim=0)
    torch.testing.assert_close(units.activity(checkpoint, IMAGES, SESSION), wanted, rtol=1e-4, atol=1e-6)


def test_a_cut_in_the_file_is_the_mean_in_place_of_the_input(case: tuple[Checkpoint, str]) -> None:
    checkpoint, name = case
    units = pruning.with_means(positions(checkpoint), checkpoint, IMAGES, SESSION)
    dead, inputs = torch.arange(1, units.count, 3), read_by(checkpoint, name, IMAGES)
    trial, other = checkpoint.copy(), image_set(12, seed=8).images(slice(None))
    pruning.cut_channels(trial.model, units, dead)
    assert not trial.model.get_submodule(f"net.{name}").weight[:, dead].any()

    def filled(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return args[0].index_copy(1, dead, inputs[:, dead].mean(0).expand(len(args[0]), -1))

    before = checkpoint.model(other)
    handle = checkpoint.model.get_submodule(f"net.{name}").register_forward_pre_hook(filled)
    wanted = checkpoint.model(other)
    handle.remove()
    torch.testing.assert_close(trial.model(other), wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, wanted, atol=1e-4), "the cut must do something"


def test_the_curve_is_what_filled_copies_give(case: tuple[Checkpoint, str]) -> None:
    checkpoint, _ = case
    units = pruning.with_means(positions(checkpoint), checkpoint, IMAGES, SESSION)
    steps = list(torch.arange(units.count - 1).split(units.count // 3))
    for point in pruning.pruning_curve(checkpoint, units, steps, IMAGES, (), SESSION):
        trial = checkpoint.copy()
        pruning.cut_channels(trial.model, units, torch.arange(point.cut))
        assert point.clean_accuracy == pytest.approx(clean_accuracy(trial.model, IMAGES, SESSION).value, abs=0.026)


def test_without_a_bias_or_images_a_cut_is_a_zero() -> None:
    for checkpoint, given in ((flat(partial(Hidden, bias=False)), True), (flat(Hidden), False)):
        units: pruning.Prunable = positions(checkpoint)
        units = pruning.with_means(units, checkpoint, IMAGES, SESSION) if given else units
        trial = checkpoint.copy()
        pruning.cut_channels(trial.model, units, torch.tensor([0, 5]))
        before, after = checkpoint.model.state_dict(), trial.model.state_dict()
        assert [name for name in before if not torch.equal(before[name], after[name])] == ["net.hidden.weight"]


@pytest.mark.parametrize("kind", ["timm-resnet", "timm-vit", "timm-swin", "hf-convnext"])
def test_a_net_without_a_flatten_says_so(kind: str, tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path / "repo", kind)))
    with pytest.raises(ModelError, match="no positions to cut: use site=feature"):
        positions(checkpoint)


def test_the_mean_of_final_channels_goes_into_the_heads_biases(tmp_path: Path) -> None:
    for kind in ("timm-resnet", "timm-resnetv2", "timm-deit-distilled", "timm-swin"):
        checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path / kind, kind)))
        units = pruning.prunable(checkpoint, "feature", IMAGES.images(slice(0, 2)))
        units = pruning.with_means(units, checkpoint, IMAGES, SESSION)
        trial, dead, pixels = checkpoint.copy(), torch.arange(0, units.count, 2), IMAGES.images(slice(None))
        pruning.cut_channels(trial.model, units, dead)
        means = [one.model(pixels).mean(0) for one in (checkpoint, trial)]
        torch.testing.assert_close(means[1], means[0], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(trial.model(pixels), checkpoint.model(pixels), atol=1e-3)
