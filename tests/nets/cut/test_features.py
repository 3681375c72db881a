"""Where features and heads are, and that cutting a column is cutting a feature: on every kind of tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import build_classifier
from hubclean.nets.cut import features as sites
from hubclean.nets.cut.features import capture, dead_mask, features, locate, zero_channels
from support.feature_nets import Branches, Flat, hooks_of, pixels, wrapped
from support.tiny_models import KINDS, make_repo

EXPECTED = {  # layout, prefix tokens, what lies between, heads
    "timm-resnet": ("NCHW", 0, "pool", ["fc"]),
    "timm-efficientnet": ("NCHW", 0, "pool", ["classifier"]),
    "timm-mobilenetv3": ("NCHW", 0, "hidden", ["classifier"]),
    "timm-convnext": ("NCHW", 0, "norm", ["head.fc"]),
    "timm-vit": ("NLC", 1, "token", ["head"]),
    "timm-vit-gap": ("NLC", 1, "norm", ["head"]),
    "timm-swin": ("NHWC", 0, "pool", ["head.fc"]),
    "timm-deit-distilled": ("NLC", 2, "token", ["head", "head_dist"]),
    "timm-resnetv2": ("NCHW", 0, "pool", ["head.fc"]),
    "hf-vit": ("NLC", 1, "token", ["classifier"]),
    "hf-deit": ("NLC", 2, "token", ["cls_classifier", "distillation_classifier"]),
    "hf-resnet": ("NCHW", 0, "pool", ["classifier.1"]),
    "hf-swin": ("NLC", 0, "pool", ["classifier"]),
    "hf-convnext": ("NCHW", 0, "norm", ["classifier"]),
}


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Checkpoint]:
    folder = make_repo(tmp_path_factory.mktemp("repo") / request.param, request.param)
    return request.param, loading.load_checkpoint(LocalRepo(folder))


def test_the_site_is_the_one_expected(loaded: tuple[str, Checkpoint]) -> None:
    kind, checkpoint = loaded
    site = checkpoint.site
    found = (site.layout, site.prefix_tokens, site.between, [head.path for head in site.heads])
    assert found == EXPECTED[kind]
    assert site.adapter == "generic"
    assert site.block == 1
    assert site.channels == site.heads[0].in_features
    assert checkpoint.model.net.get_submodule(site.feature) is not None


def test_real_weights_and_meta_are_located_alike(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    assert checkpoint.folder is not None
    meta, facts = build_classifier(checkpoint.folder, meta=True)
    assert all(parameter.is_meta for parameter in meta.net.parameters())
    assert locate(meta, facts) == locate(checkpoint.model, facts) == checkpoint.site
    assert hooks_of(meta) == hooks_of(checkpoint.model) == 0


def test_the_head_of_the_captured_feature_is_the_logits(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    images = pixels(checkpoint)
    with capture(checkpoint.model, checkpoint.site) as seen:
        logits = checkpoint.model(images)
    inputs = seen.take()
    made = [
        checkpoint.model.net.get_submodule(head.path)(value).flatten(1)
        for head, value in zip(checkpoint.site.heads, inputs, strict=True)
    ]
    torch.testing.assert_close(torch.stack(made).mean(0), logits, rtol=1e-5, atol=1e-6)
    assert sites.verify_site(checkpoint.model, checkpoint.site, images) < 1e-5


def test_a_cut_channel_no_longer_matters_and_all_others_do(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    images, dead = pixels(checkpoint), torch.tensor([0, 3])
    cut = checkpoint.copy()
    zero_channels(cut.model, cut.site, dead)
    noise = torch.zeros(cut.site.channels)
    noise[dead] = 1e3

    def disturbed(model: nn.Module, extra: Tensor) -> Tensor:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (args[0] + (extra.view(1, -1, 1, 1) if args[0].ndim == 4 else extra),)

        paths = [head.path for head in cut.site.heads]
        handles = [model.net.get_submodule(path).register_forward_pre_hook(hook) for path in paths]  # type: ignore[union-attr, operator]
        try:
            return model(images)
        finally:
            for handle in handles:
                handle.remove()

    torch.testing.assert_close(disturbed(cut.model, noise), cut.model(images), rtol=0, atol=0)
    assert (disturbed(checkpoint.model, noise) - checkpoint.model(images)).abs().max() > 1
    assert (disturbed(cut.model, 1e3 - noise) - cut.model(images)).abs().max() > 1
    assert not torch.equal(cut.model(images), checkpoint.model(images))


def test_features_are_the_heads_inputs_averaged(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    images = pixels(checkpoint)
    with capture(checkpoint.model, checkpoint.site) as seen:
        checkpoint.model(images)
    inputs = [value.flatten(2).mean(2) if value.ndim == 4 else value for value in seen.take()]
    found = features(checkpoint.model, checkpoint.site, images)
    assert found.shape == (3, checkpoint.site.channels)
    torch.testing.assert_close(found, torch.stack(inputs).mean(0))


def test_hooks_are_gone_after_an_exception(loaded: tuple[str, Checkpoint]) -> None:
    _, checkpoint = loaded
    with pytest.raises(RuntimeError), capture(checkpoint.model, checkpoint.site):
        checkpoint.model(torch.zeros(1, 2, 3, 3))
    with capture(checkpoint.model, checkpoint.site):
        assert hooks_of(checkpoint.model) == len(checkpoint.site.heads)
    assert hooks_of(checkpoint.model) == 0


def test_verify_fails_for_a_wrong_site(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-deit-distilled")))
    half = sites.FeatureSite(
        **{f: getattr(checkpoint.site, f) for f in checkpoint.site.__slots__} | {"heads": checkpoint.site.heads[:1]}
    )
    before = {name: tensor.clone() for name, tensor in checkpoint.model.state_dict().items()}
    with pytest.raises(ModelError, match="head"):
        sites.verify_site(checkpoint.model, half, pixels(checkpoint))
    assert all(torch.equal(tensor, before[name]) for name, tensor in checkpoint.model.state_dict().items())


def test_after_a_flatten_a_channel_is_a_block_of_columns() -> None:
    checkpoint = wrapped(Flat())
    assert (checkpoint.site.between, checkpoint.site.block, checkpoint.site.channels) == ("flatten", 36, 5)
    cut = checkpoint.copy()
    zero_channels(cut.model, cut.site, torch.tensor([2]))
    by_map = checkpoint.copy()
    with torch.no_grad():  # the same through the convolution: a channel that is always zero
        by_map.model.net.conv.weight[2] = 0
        by_map.model.net.conv.bias[2] = 0
    images = pixels(checkpoint)
    torch.testing.assert_close(cut.model(images), by_map.model(images), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        maps = checkpoint.model.net.conv((images - 0.5) / 0.5).relu()
    torch.testing.assert_close(features(checkpoint.model, checkpoint.site, images), maps.mean((2, 3)))


@pytest.mark.parametrize("net", [Flat(last=True), Flat(hidden=True)], ids=["channels last", "hidden layer"])
def test_without_proof_of_blocks_every_column_is_a_channel(net: Flat) -> None:
    site = wrapped(net).site
    assert (site.block, site.channels) == (1, 180)


def test_the_mask_names_parameters_and_marks_columns_only() -> None:
    checkpoint = wrapped(Flat())
    masks = dead_mask(checkpoint.model, checkpoint.site, torch.tensor([0, 4]))
    assert list(masks) == ["net.fc.weight"]
    columns = masks["net.fc.weight"].all(0)
    assert torch.equal(columns, masks["net.fc.weight"].any(0))
    assert columns.nonzero().flatten().tolist() == [*range(36), *range(144, 180)]


def test_heads_of_different_width_own_their_channels() -> None:
    checkpoint = wrapped(Branches())
    assert checkpoint.site.channels == 10
    masks = dead_mask(checkpoint.model, checkpoint.site, torch.tensor([3, 4]))
    assert masks["net.heads.0.weight"].any(0).tolist() == [False, False, False, True]
    assert masks["net.heads.1.weight"].any(0).tolist() == [True, False, False, False, False, False]
    assert features(checkpoint.model, checkpoint.site, pixels(checkpoint)).shape == (3, 10)
    assert sites.verify_site(checkpoint.model, checkpoint.site, pixels(checkpoint)) < 1e-5


class Cosine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.proto = nn.Conv2d(3, 5, 3), nn.Parameter(torch.randn(4, 5))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(self.conv(images).mean((2, 3)), nn.functional.normalize(self.proto, dim=1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.conv(images).mean((2, 3))
        return self.fc(pooled + pooled @ self.fc.weight)


class Headless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, images: Tensor) -> Tensor:
        return (images.mean((2, 3)) * self.scale)[:, :1].expand(-1, 4)


class Broken(Headless):
    def forward(self, images: Tensor) -> Tensor:
        raise KeyError("something \x1b[31m inside")


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (Cosine(), "computed, not stored"),
        (Tied(), "also used by"),
        (Headless(), "no layer with weights leads to the logits"),
        (Broken(), "cannot be run"),
        (nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 7)), "7 outputs, not 4"),
        (nn.Conv2d(3, 4, 3), "no logits of shape"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_cut_is_refused_with_a_reason(net: nn.Module, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        wrapped(net)
    assert said in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert hooks_of(net) == 0
