"""Which units of a net masks may silence, and how large they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import searchable_units
from support.masked_nets import CLASSES, Plain, WithNorms, small, units_of
from support.tiny_models import make_repo


@pytest.fixture(scope="module")
def normed() -> Checkpoint:
    return small(WithNorms)


@pytest.fixture(scope="module")
def plain() -> Checkpoint:
    return small(Plain)


@pytest.mark.parametrize(
    ("kind", "kept", "left_out"),
    [
        ("timm-vit", ["blocks.0.attn.qkv", "blocks.0.mlp.fc1"], ["patch_embed.proj", "blocks.0.mlp.fc2", "head"]),
        ("timm-convnext", ["stages.0.blocks.0.mlp.fc1"], ["stages.0.blocks.0.conv_dw", "stages.0.blocks.0.mlp.fc2"]),
        ("timm-resnet", ["conv1.0", "layer1.0.conv1", "layer4.0.conv2"], ["fc"]),
    ],
)
def test_residual_dimensions_depthwise_layers_and_heads_are_no_units(
    kind: str, kept: list[str], left_out: list[str], tmp_path: Path
) -> None:
    names = [group.name for group in units_of(loading.load_checkpoint(LocalRepo(make_repo(tmp_path, kind))))]
    assert set(kept) <= set(names)
    assert not set(left_out) & set(names)


def test_a_net_without_units_is_refused() -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, CLASSES))
    one = loading.wrap(head, mean=(0, 0, 0), std=(1, 1, 1), input_size=(3, 16, 16), labels=tuple("abcd"), name="head")
    with pytest.raises(ModelError, match="nothing to mask"):
        units_of(one)


def test_magnitude_is_the_l1_norm_of_the_row_with_its_norm_folded_in(normed: Checkpoint, plain: Checkpoint) -> None:
    net = normed.model.net
    found = searchable_units.magnitudes(normed.model, units_of(normed))
    for size, conv, norm in zip(found, (net.conv1, net.conv2), (net.bn1, net.bn2), strict=True):
        for unit in range(len(size)):
            scale = abs(float(norm.weight[unit])) / (float(norm.running_var[unit]) + norm.eps) ** 0.5
            assert float(size[unit]) == pytest.approx(float(conv.weight[unit].abs().sum()) * scale, rel=1e-4)
    net = plain.model.net
    conv, hidden = searchable_units.magnitudes(plain.model, units_of(plain))
    torch.testing.assert_close(conv, net.conv.weight.abs().sum((1, 2, 3)))
    torch.testing.assert_close(hidden, net.hidden.weight.abs().sum(1) * net.fc.weight.abs().sum(0))


def test_magnitude_of_heads_and_hidden_units_of_a_vit(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-vit")))
    groups = units_of(checkpoint)
    found = dict(
        zip([group.name for group in groups], searchable_units.magnitudes(checkpoint.model, groups), strict=True)
    )
    block = checkpoint.model.net.blocks[0]
    heads, values = len(found["blocks.0.attn.qkv"]), block.attn.qkv.weight.chunk(3)[2]
    wide = block.attn.proj.weight.shape[1] // heads
    for head in range(heads):
        rows = slice(head * wide, (head + 1) * wide)
        expected = values[rows].norm() * block.attn.proj.weight[:, rows].norm()
        assert float(found["blocks.0.attn.qkv"][head]) == pytest.approx(float(expected), rel=1e-4)
    expected = block.mlp.fc1.weight.abs().sum(1) * block.mlp.fc2.weight.abs().sum(0)
    torch.testing.assert_close(found["blocks.0.mlp.fc1"], expected)


def test_relative_magnitudes_have_mean_one_in_every_layer() -> None:
    one, other = searchable_units.relative([torch.tensor([1.0, 3.0]), torch.zeros(3)])
    assert one.tolist() == [0.5, 1.5]
    assert other.tolist() == [1, 1, 1]
