"""Units of the last convolution, or hidden units and heads: ranked, cut in the file, held at zero in fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import masks, pruning
from hubclean.nets.cut.activations import unit_activations
from hubclean.nets.cut.pruning import LayerUnits, prunable
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train
from support.image_sets import defense_data, image_set
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=32)
EXPECTED = {
    "timm-resnet": ["layer4.0.conv2"],
    "timm-efficientnet": ["conv_head"],
    "timm-convnext": ["stages.3.blocks.1.mlp.fc1"],
    "timm-vit": ["blocks.5.attn.qkv", "blocks.5.mlp.fc1"],
    "timm-swin": ["layers.1.blocks.0.attn.qkv", "layers.1.blocks.0.mlp.fc1"],
    "hf-vit": ["vit.layers.1.attention.v_proj", "vit.layers.1.mlp.fc1"],
    "hf-resnet": ["resnet.encoder.stages.1.layers.0.layer.1.convolution"],
    "hf-convnext": ["convnext.encoder.stages.3.layers.0.pwconv1"],
}


@pytest.fixture(scope="module", params=EXPECTED)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Checkpoint]:
    repo = make_repo(tmp_path_factory.mktemp("repo") / request.param, request.param)
    return request.param, loading.load_checkpoint(LocalRepo(repo))


def last_units(checkpoint: Checkpoint) -> LayerUnits:
    found = prunable(checkpoint, "conv", defense_data().fit.images(slice(0, 2)))
    assert isinstance(found, LayerUnits)
    return found


def test_the_last_layer_is_the_one_expected(loaded: tuple[str, Checkpoint]) -> None:
    kind, checkpoint = loaded
    assert [group.name for group in last_units(checkpoint).groups] == EXPECTED[kind]


def test_units_cut_in_the_file_are_units_silenced_by_a_hook(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    units = last_units(checkpoint)
    images = defense_data().val.images(slice(0, 4))
    dead = torch.tensor([0, units.count - 1])
    trial = checkpoint.copy()
    pruning.cut_channels(trial.model, units, dead)
    off, start = [], 0
    for group in units.groups:
        mask = torch.ones(group.count)
        mask[[int(one) - start for one in dead if start <= one < start + group.count]] = 0
        off.append(mask)
        start += group.count
    with torch.no_grad(), masks.masked(checkpoint.model, units.groups, off):
        silent = checkpoint.model(images)
    torch.testing.assert_close(trial.model(images), silent, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(trial.model(images), checkpoint.model(images), atol=1e-4)


def test_the_curve_is_what_cut_copies_give(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    units, val = last_units(checkpoint), defense_data().val
    steps = [torch.arange(0, units.count // 2), torch.arange(units.count // 2, units.count - 1)]
    points = list(pruning.pruning_curve(checkpoint, units, steps, val, (), SESSION))
    assert [point.cut for point in points] == [0, len(steps[0]), units.count - 1]
    for point in points:
        trial = checkpoint.copy()
        pruning.cut_channels(trial.model, units, torch.arange(point.cut))
        assert point.clean_accuracy == pytest.approx(clean_accuracy(trial.model, val, SESSION).value)


def test_fine_pruning_cuts_the_least_active_and_keeps_them_cut(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    data, units = defense_data(), last_units(checkpoint)
    before = {name: tensor.clone() for name, tensor in checkpoint.model.state_dict().items()}
    defense = FinePruning(site="conv", step=0.25, max_drop=1.0, epochs=1, learning_rate=0.05)
    cleansing = defense.cleanse(checkpoint, data, (), SESSION)
    assert all(torch.equal(tensor, before[name]) for name, tensor in checkpoint.model.state_dict().items())
    order = torch.argsort(units.activity(checkpoint, data.fit, SESSION), stable=True)
    assert cleansing.cut == cleansing.curve[-1].cut > 0
    for stage in cleansing.stages:
        parameters = dict(stage.checkpoint.model.named_parameters())
        for name, mask in units.held(stage.checkpoint.model, order[: cleansing.cut]).items():
            assert int((parameters[name][mask] != 0).sum()) == 0, (stage.name, name)
    assert units.layer in cleansing.notes[0]


def test_activity_is_relative_to_each_layer(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-vit")))
    units = last_units(checkpoint)
    images = image_set(8)
    each = unit_activations(checkpoint.model, units.groups, images, SESSION, len(checkpoint.labels))
    found = units.activity(checkpoint, images, SESSION)
    start = 0
    for one in each:
        part = found[start : start + len(one.mean)]
        torch.testing.assert_close(part.mean(), torch.tensor(1.0, dtype=torch.float64))
        assert torch.equal(part.argsort(), pruning.ranking(one).argsort())
        start += len(part)


def test_a_net_without_such_a_layer_says_so() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(3 * 64, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.fc(images.flatten(1))

    three, labels = (0.5, 0.5, 0.5), tuple("abcd")
    checkpoint = loading.wrap(
        Plain(), mean=three, std=three, input_size=(3, 8, 8), labels=labels, name="plain", adapters=()
    )
    with pytest.raises(ModelError, match="site=feature"):
        prunable(checkpoint, "conv", torch.rand(2, 3, 8, 8))


def test_training_without_holding_would_bring_units_back(tmp_path: Path) -> None:
    """Cut where they are read alone, units return: what ``held`` is for."""
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-convnext")))
    units = last_units(checkpoint)
    dead = torch.arange(units.count // 2)
    reading = masks.entries_of(checkpoint.model, units.groups, {units.groups[0].name: dead}, ("consumers",))
    trial = checkpoint.copy()
    with torch.no_grad():
        for name, mask in reading.items():
            trial.model.get_parameter(name).masked_fill_(mask, 0)
    train(trial.model, image_set(64, 10), Schedule(1, 1e-2, batch_size=32), SESSION, "test")
    assert all(bool((trial.model.get_parameter(name)[mask] != 0).any()) for name, mask in reading.items())


def test_what_only_the_heads_read_is_cut_where_it_is_made_as_well(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-efficientnet")))
    images = defense_data().fit.images(slice(0, 2))
    units = prunable(checkpoint, "feature", images)
    held = units.held(checkpoint.model, torch.tensor([1, 7]))
    rows = {name: mask.flatten(1).any(1) if mask.ndim > 1 else mask for name, mask in held.items()}
    made = {"net.conv_head.weight", "net.bn2.weight", "net.bn2.bias"}
    assert set(held) == made | {"net.classifier.weight"}
    assert all(rows[name].nonzero().flatten().tolist() == [1, 7] for name in made)
    assert held["net.classifier.weight"].all(0).nonzero().flatten().tolist() == [1, 7]
    trial, plain = checkpoint.copy(), checkpoint.copy()
    pruning.cut_channels(trial.model, units, torch.tensor([1, 7]))
    pruning.cut_channels(plain.model, pruning.FeatureChannels(checkpoint), torch.tensor([1, 7]))
    torch.testing.assert_close(trial.model(images), plain.model(images), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["timm-resnet", "timm-convnext", "timm-vit"])
def test_a_residual_stream_is_cut_at_the_heads_alone(tmp_path: Path, kind: str) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, kind)))
    units = prunable(checkpoint, "feature", defense_data().fit.images(slice(0, 2)))
    assert set(units.held(checkpoint.model, torch.tensor([0]))) == {f"net.{checkpoint.site.heads[0].weight}"}


def test_a_unit_that_nothing_reads_is_left_alone() -> None:
    class Slice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = torch.nn.Conv2d(3, 6, 3), torch.nn.Linear(4, 5)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(images).tanh().mean((2, 3))[:, :4])

    three, labels = (0.5, 0.5, 0.5), tuple("abcde")
    checkpoint = loading.wrap(
        Slice(), mean=three, std=three, input_size=(3, 8, 8), labels=labels, name="slice", adapters=()
    )
    units = prunable(checkpoint, "feature", torch.rand(2, 3, 8, 8))
    held = units.held(checkpoint.model, torch.tensor([2]))
    assert held["net.conv.bias"].tolist() == [False, False, True, False, False, False]
    assert not held["net.fc.weight"][:, [0, 1, 3]].any()
