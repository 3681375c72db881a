"""CLP: the bound by the formula, layers paired as they are computed, cuts exact, and stopped by accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hubclean.hub.repos import LocalRepo
from hubclean.methods import outliers
from hubclean.methods.defenses.clp import ChannelLipschitzPruning
from hubclean.nets import loading
from hubclean.nets.cut import batch_norms
from support.norm_nets import Before, Net, answered, cleansed, part, wrapped
from support.tiny_models import make_repo

CLP = ChannelLipschitzPruning


def naive(weight: Tensor, norm: nn.BatchNorm2d | None) -> list[float]:
    rows = []
    for channel in range(len(weight)):
        matrix = weight[channel].reshape(weight.shape[1], -1)
        bound = float(torch.linalg.svdvals(matrix)[0])
        if norm is not None:
            assert norm.running_var is not None
            bound *= abs(float(norm.weight[channel])) / float(norm.running_var[channel] + norm.eps) ** 0.5
        rows.append(bound)
    return rows


def test_the_bound_is_that_of_every_channel_with_its_norm_folded_in(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path / "r", "timm-resnet")))
    net: Any = checkpoint.model.net
    found, _ = batch_norms.norm_layers(checkpoint, torch.rand(2, 3, 32, 32))
    by_name = {layer.group.name: layer for layer in found}
    pairs = {"layer1.0.conv1": "layer1.0.bn1", "layer2.0.conv2": "layer2.0.bn2"}
    assert pairs.keys() <= by_name.keys()
    for conv, norm in pairs.items():
        assert by_name[conv].group.norm == norm
        wanted = naive(net.get_submodule(conv).weight, net.get_submodule(norm))
        assert by_name[conv].lipschitz().tolist() == pytest.approx(wanted, rel=1e-4)


def test_norms_are_paired_as_they_run_and_not_as_they_are_declared() -> None:
    checkpoint = wrapped(Net())
    net: Any = checkpoint.model.net
    found, others = batch_norms.norm_layers(checkpoint, torch.rand(2, 3, 8, 8))
    assert {layer.group.name: layer.group.norm for layer in found} == {"one": "first", "two": "last"}
    assert others == {}
    for layer, norm in zip(found, (net.first, net.last), strict=True):
        assert layer.lipschitz().tolist() == pytest.approx(naive(layer.weight, norm), rel=1e-4)


def test_a_loud_channel_is_cut_exactly_and_nothing_else() -> None:
    checkpoint = wrapped(Net())
    with torch.no_grad():
        checkpoint.model.get_parameter("net.first.weight")[7] = 20.0
    found = cleansed(CLP(), checkpoint)
    cut = found.checkpoint
    assert found.cut == 1
    assert found.kept == "pruned"
    for name in ("one.weight", "one.bias", "first.weight", "first.bias"):
        assert not part(cut, name)[7].any(), name
        rest = [row for row in range(24) if row != 7]
        assert torch.equal(part(cut, name)[rest], part(checkpoint, name)[rest])
    for name in ("two.bias", "last.weight", "last.bias", "head.weight", "head.bias"):
        assert torch.equal(part(cut, name), part(checkpoint, name))
    images = torch.rand(4, 3, 8, 8)
    silence = checkpoint.model.get_submodule("net.first").register_forward_hook(
        lambda _, args, out: out * (torch.arange(24) != 7).view(1, -1, 1, 1)
    )
    wanted = checkpoint.model(images)
    silence.remove()
    torch.testing.assert_close(cut.model(images), wanted)
    assert "1 of 48 units in 1 of 2 layers" in found.notes[0]
    assert "one (1 of 24)" in found.notes[0]


def test_without_images_it_says_that_nothing_was_measured() -> None:
    checkpoint = wrapped(Net())
    with torch.no_grad():
        checkpoint.model.get_parameter("net.last.weight")[3] = -20.0
    found = cleansed(CLP(), checkpoint)
    assert (found.cut, found.curve, found.passes) == (1, (), 0)
    assert any("no images were given" in note for note in found.notes)
    calm = cleansed(CLP(u=99), checkpoint)
    assert calm.cut == 0
    assert not any("no images" in note for note in calm.notes)


def test_accuracy_on_val_stops_the_cut() -> None:
    checkpoint = wrapped(Net())
    with torch.no_grad():
        for channel in (2, 9):
            checkpoint.model.get_parameter("net.last.weight")[channel] = 30.0
        checkpoint.model.get_parameter("net.head.weight")[4, [2, 9]] = 5.0
        checkpoint.model.get_parameter("net.head.weight")[6, [2, 9]] = 5.0
    data = answered(checkpoint)
    strict, loose = (cleansed(CLP(u=2.5, max_drop=drop), checkpoint, data) for drop in (0.0, 1.0))
    assert loose.cut == 2
    assert [point.cut for point in loose.curve] == [0, 1, 2]
    assert loose.curve[-1].clean_accuracy < 1
    assert strict.cut < 2
    assert part(strict.checkpoint, "last.weight")[[2, 9]].count_nonzero() == 2 - strict.cut
    assert f"{strict.cut} of them were cut" in strict.notes[1]
    assert loose.passes == 3 * 40 // 3


def test_a_unit_that_accuracy_needs_stays_and_the_next_still_goes() -> None:
    checkpoint = wrapped(Net(40))
    with torch.no_grad():
        checkpoint.model.get_parameter("net.last.weight")[2] = 60.0
        checkpoint.model.get_parameter("net.last.weight")[9] = 40.0
        checkpoint.model.get_parameter("net.head.weight")[4, 2] = 9.0
        checkpoint.model.get_parameter("net.head.weight")[6, 2] = -9.0
        checkpoint.model.get_parameter("net.head.weight")[:, 9] = 0.1
    found = cleansed(CLP(max_drop=0.0), checkpoint, answered(checkpoint))
    assert part(found.checkpoint, "last.weight")[[2, 9]].tolist() == [60.0, 0.0]
    assert torch.equal(part(found.checkpoint, "two.weight")[2], part(checkpoint, "two.weight")[2])
    assert [point.cut for point in found.curve] == [0, 1]
    assert found.curve[-1].clean_accuracy == 1
    assert found.cut == 1


def test_norms_before_convolutions_pair_the_inner_layer_and_list_the_others() -> None:
    checkpoint = wrapped(Before())
    found, _ = batch_norms.norm_layers(checkpoint, torch.rand(2, 3, 8, 8))
    assert {layer.group.name: layer.group.norm for layer in found if layer.scale is not None} == {"inner": "norm2"}
    with torch.no_grad():
        checkpoint.model.get_parameter("net.norm2.weight")[5] = 30.0
        checkpoint.model.get_parameter("net.norm1.weight")[5] = 30.0
    done = cleansed(CLP(), checkpoint)
    assert done.cut == 1
    assert part(done.checkpoint, "norm2.weight")[5] == 0
    assert part(done.checkpoint, "norm1.weight")[5] == 30
    assert "2 layers were left alone" in done.notes[-1]
    assert "stem" in done.notes[-1]
    assert "outer" in done.notes[-1]


@pytest.mark.parametrize("kind", ["timm-convnext", "hf-vit"])
def test_without_any_batch_norm_weights_alone_count(kind: str, tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path / "r", kind)))
    name = "stages.1.blocks.0.mlp.fc1" if kind == "timm-convnext" else ""
    found, _ = batch_norms.norm_layers(checkpoint, torch.rand(2, *checkpoint.facts.input_size))
    layer = next(one for one in found if one.group.name == name or (not name and one.group.count == 32))
    assert layer.scale is None
    matrix = layer.weight.flatten(1)
    assert layer.lipschitz().tolist() == pytest.approx(naive(matrix[..., None], None), rel=1e-4)
    with torch.no_grad():
        layer.weight[11] *= 50
    done = cleansed(CLP(), checkpoint)
    assert "weights alone" in " ".join(done.notes)
    assert f"{layer.group.name} (1 of " in done.notes[0]


def test_a_bn_less_convolution_is_cut_by_its_weights() -> None:
    checkpoint = wrapped(Net(norm=False))
    with torch.no_grad():
        checkpoint.model.get_parameter("net.two.weight")[8] *= 40
    done = cleansed(CLP(), checkpoint)
    assert done.cut == 1
    assert not part(done.checkpoint, "two.weight")[8].any()
    assert part(done.checkpoint, "two.bias")[8] == 0


def test_excess_counts_standard_deviations_of_the_layer() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert outliers.excess(scores).tolist() == pytest.approx([-0.9258, -0.4629, 0, 1.3887], abs=1e-4)
    for alike in (torch.full((5,), 3.0), torch.zeros(5), torch.tensor([4.0])):
        assert not outliers.excess(alike).any()
    assert float(outliers.excess(torch.tensor([0.0] * 9 + [1.0])).max()) < 3, "a layer of 10 has no room"


def test_the_most_striking_units_go_first() -> None:
    checkpoint = wrapped(Net(40))
    with torch.no_grad():
        checkpoint.model.get_parameter("net.first.weight")[3] = 12.0
        checkpoint.model.get_parameter("net.first.weight")[30] = 20.0
        checkpoint.model.get_parameter("net.last.weight")[1] = 40.0
    found = cleansed(CLP(u=2.0, max_drop=1.0, steps=2), checkpoint, answered(checkpoint))
    assert [point.cut for point in found.curve] == [0, 2, 3]
    assert found.cut == 3
