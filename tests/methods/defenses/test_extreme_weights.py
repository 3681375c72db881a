"""Adjusting extreme weights: which tensors, against a naive reference, the search by accuracy, limits of the inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import hubclean
from hubclean.errors import DataError, ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.methods import runtime_filter, weight_limits
from hubclean.methods.defenses.extreme_weights import ExtremeWeights
from hubclean.methods.interface import InputRange
from hubclean.methods.weight_limits import Limited
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Sizes
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from support.image_sets import defense_data, image_set
from support.small_nets import CLASSES, Small, made, trained
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=32)
CONVS = {
    "timm-resnet": ["layer4.0.conv2.weight"],
    "timm-efficientnet": ["conv_head.weight"],
    "timm-mobilenetv3": ["blocks.5.0.conv.weight"],
    "hf-resnet": ["resnet.encoder.stages.1.layers.0.layer.1.convolution.weight"],
    "timm-vit": ["blocks.5.attn.proj.weight", "blocks.5.mlp.fc2.weight"],
    "timm-swin": ["layers.1.blocks.0.attn.proj.weight", "layers.1.blocks.0.mlp.fc2.weight"],
    "timm-convnext": ["stages.3.blocks.1.mlp.fc2.weight"],
}


@pytest.fixture(scope="module")
def open_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    return lambda kind: loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), kind)))


@pytest.fixture(scope="module")
def resnet(open_kind: Callable[[str], Checkpoint]) -> Checkpoint:
    return open_kind("timm-resnet")


@pytest.mark.parametrize("kind", list(CONVS))
def test_the_layers_are_the_last_convolution_or_what_reads_the_last_units(
    kind: str, open_kind: Callable[[str], Checkpoint]
) -> None:
    assert list(weight_limits.adjusted_layers(open_kind(kind))) == [f"net.{name}" for name in CONVS[kind]]


class Shortcut(nn.Module):
    """The shortcut runs after the block's last convolution, a grouped one comes last of all."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.shortcut, self.deep = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.head = nn.Linear(12, 10)

    def forward(self, images: Tensor) -> Tensor:
        branch = self.two(self.one(images).relu())
        joined = (branch + self.shortcut(images)).relu()
        return self.head(self.deep(joined).relu().mean((2, 3)))


def test_neither_a_shortcut_nor_a_depthwise_layer_is_the_last_convolution() -> None:
    own = loading.wrap(
        Shortcut(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=(3, 16, 16), labels=tuple("abcdefghij"), name="own"
    )
    assert weight_limits.adjusted_layers(own) == ("net.two.weight",)


def naive(values: list[float], delta: float, mode: str) -> list[float]:
    live = [value for value in values if value != 0]
    mean = math.fsum(live) / len(live)
    sigma = math.sqrt(math.fsum((value - mean) ** 2 for value in live) / len(live))
    low, high = mean - delta * sigma, mean + delta * sigma
    kept = []
    for value in values:
        inside = low <= value <= high or value == 0
        kept.append(value if inside else 0.0 if mode == "zero" else min(max(value, low), high))
    return kept


def tensor_of(values: list[float]) -> nn.ParameterDict:
    return nn.ParameterDict({"weight": nn.Parameter(torch.tensor(values, dtype=torch.float64).view(-1, 2))})


@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 2.5]), st.sampled_from(["zero", "clip"]), st.booleans())
def test_an_adjustment_is_what_the_formula_says(seed: int, delta: float, mode: weight_limits.Mode, cut: bool) -> None:
    values = (torch.randn(240, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1.5).tolist()
    values[: 80 * cut] = [0.0] * (80 * cut)  # units that were cut before
    model = tensor_of(values)
    (one,), notes = weight_limits.limited(model, ["weight"])
    outside = weight_limits.adjust_weights(model, [one], delta, mode)
    expected = naive(values, delta, mode)
    assert notes == ()
    assert model["weight"].flatten().tolist() == pytest.approx(expected, abs=1e-12)
    assert outside == sum(before != after for before, after in zip(values, expected, strict=True))
    assert not model["weight"].flatten()[: 80 * cut].any()


def test_every_adjustment_starts_from_the_original() -> None:
    values = torch.randn(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    model = tensor_of(values)
    (one,), _ = weight_limits.limited(model, ["weight"])
    for delta in (1.0, 0.1, 4.0, 2.0):
        weight_limits.adjust_weights(model, [one], delta)
        assert model["weight"].flatten().tolist() == pytest.approx(naive(values, delta, "zero"))
    assert weight_limits.adjust_weights(model, [one], None) == 0
    assert model["weight"].flatten().tolist() == values


@pytest.mark.parametrize(
    ("values", "why"),
    [([0.5] * 200, "do not differ"), ([0.5, -0.5] * 49, "98 weights"), ([0.0] * 200 + [1.0, 2.0] * 20, "40 weights")],
)
def test_what_has_no_spread_or_too_few_weights_is_skipped_with_a_note(values: list[float], why: str) -> None:
    tensors, (note,) = weight_limits.limited(tensor_of(values), ["weight"])
    assert tensors == ()
    assert why in note


@given(st.integers(0, 50))
def test_the_search_finds_the_smallest_delta_on_its_grid(lost_below: int) -> None:
    """Accuracy is kept from ``lost_below`` tenths on."""
    found = weight_limits.search_limits(lambda delta: 0.9 if round(delta * 10) >= lost_below else 0.5, 0.89)
    assert found.delta == max(10, lost_below) / 10
    assert len({delta for delta, _ in found.tried}) == len(found.tried) <= 13
    assert all(1 <= delta <= 5 for delta, _ in found.tried)


def test_the_search_gives_up_when_the_widest_limits_cost_too_much() -> None:
    found = weight_limits.search_limits(lambda _: 0.5, 0.9)
    assert (found.delta, found.tried) == (None, ((5.0, 0.5),))
    assert weight_limits.search_limits(lambda _: math.nan, 0.0).delta is None


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    """A trained net whose only convolution holds two huge weights."""
    net = trained(made(Small), image_set(128, CLASSES, (1, 16, 16), 9), 4, SESSION)
    with torch.no_grad():
        weight = net.get_parameter("conv.weight")
        weight[0, 0, 0, 0], weight[5, 0, 4, 4] = 8 * weight.std(), -8 * weight.std()
    return loading.wrap(net, mean=(0.0,), std=(1.0,), input_size=(1, 16, 16), labels=tuple("abcd"), name="small")


GREY = defense_data(CLASSES, (1, 16, 16))


@pytest.mark.parametrize("mode", ["zero", "clip"])
def test_the_defense_keeps_the_narrowest_limits_that_val_allows(mode: weight_limits.Mode, small: Checkpoint) -> None:
    name, drop = "net.conv.weight", 0.1
    found = ExtremeWeights(mode=mode, max_drop=drop, inputs="none").cleanse(small, GREY, (), SESSION)
    values = small.model.get_parameter(name).double().flatten().tolist()
    copy = small.copy()

    def accuracy(delta: float) -> float:
        weights = copy.model.get_parameter(name)
        weights.copy_(torch.tensor(naive(values, delta, mode)).view_as(weights))
        return clean_accuracy(copy.model, GREY.val, SESSION).value

    before = clean_accuracy(small.model, GREY.val, SESSION).value
    expected = weight_limits.search_limits(accuracy, before - drop)
    assert before > 0.7
    assert expected.delta is not None
    assert expected.delta < 5
    after = found.checkpoint.model.get_parameter(name)
    assert after.flatten().tolist() == pytest.approx(naive(values, expected.delta, mode), abs=1e-6)
    assert clean_accuracy(found.checkpoint.model, GREY.val, SESSION).value >= before - drop - 1e-9
    state = found.checkpoint.model.state_dict()
    changed = [key for key, value in small.model.state_dict().items() if not torch.equal(value, state[key])]
    assert changed == [name]
    assert any(f"at {expected.delta:g}" in note for note in found.notes)
    assert found.passes == (len(expected.tried) + 1) * len(GREY.val) // 3


def test_nothing_is_changed_where_no_delta_will_do(small: Checkpoint) -> None:
    found = ExtremeWeights(max_drop=0.0, first=0.1, least=0.05, inputs="none").cleanse(small, GREY, (), SESSION)
    assert any("not adjusted" in note for note in found.notes)
    for name, value in small.model.state_dict().items():
        assert torch.equal(value, found.checkpoint.model.state_dict()[name])


def dim(count: int, seed: int) -> ImageSet:
    """Images that use part of [0, 1] only, another one in each channel."""
    images = image_set(count, seed=seed)
    scale = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    return ImageSet((images.pixels * scale + 20).to(torch.uint8), images.labels)


def test_the_range_of_inputs_is_that_of_the_images() -> None:
    images = dim(40, 1)
    floats = images.images(slice(None)).double()
    found = runtime_filter.input_range(images)
    assert found.low == pytest.approx(floats.amin((0, 2, 3)).tolist())
    assert found.high == pytest.approx(floats.amax((0, 2, 3)).tolist())
    spread = runtime_filter.input_range(images, 3.0)
    mean, std = floats.mean((0, 2, 3)), floats.permute(1, 0, 2, 3).flatten(1).std(1, correction=0)
    assert spread.low == pytest.approx((mean - 3 * std).clamp(0, 1).tolist())
    assert spread.high == pytest.approx((mean + 3 * std).clamp(0, 1).tolist())
    assert torch.equal(found.limit(images.images(slice(None))), images.images(slice(None)))
    loud = found.limit(torch.ones(2, 3, 4, 4))
    assert torch.allclose(loud[1, :, 0, 0], torch.tensor(found.high))
    empty = ImageSet(torch.zeros(0, 3, 4, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    assert not runtime_filter.input_range(empty).excludes


def test_limited_inputs_are_a_stage_of_their_own_and_hold_what_goes_in(resnet: Checkpoint) -> None:
    data = DefenseData(dim(10, 1), dim(10, 2))
    found = ExtremeWeights(max_drop=0.9).cleanse(resnet, data, (), SESSION)
    assert [stage.name for stage in found.stages] == ["adjusted", "limited"]
    assert found.kept == "limited"
    adjusted, limited = found.stages
    assert adjusted.filters == ()
    (front,) = limited.filters
    assert isinstance(front, InputRange)
    model = runtime_filter.filtered(limited.checkpoint, limited.filters)
    loud = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answer = model.answer(loud)
    assert torch.equal(answer.logits, adjusted.checkpoint.model(front.limit(loud)))
    assert not torch.equal(answer.logits, adjusted.checkpoint.model(loud))
    assert not answer.rejected.any()
    assert torch.equal(model(loud).argmax(1), answer.logits.argmax(1))


def test_nothing_stands_in_front_where_images_use_all_values(resnet: Checkpoint) -> None:
    pixels = image_set(8).pixels
    pixels[0, :, 0, 0], pixels[0, :, 0, 1] = 0, 255
    data = DefenseData(ImageSet(pixels, image_set(8).labels), image_set(8))
    found = ExtremeWeights().cleanse(resnet, data, (), SESSION)
    assert [stage.name for stage in found.stages] == ["adjusted"]
    assert any("would change nothing" in note for note in found.notes)


def test_clean_writes_the_limits_and_load_guarded_applies_them(tmp_path: Path, resnet: Checkpoint) -> None:
    front = (InputRange((0.1, 0.2, 0.1), (0.6, 0.7, 0.5)), InputRange((0.0, 0.0, 0.0), (0.5, 1.0, 1.0)))
    place = make_repo(tmp_path / "repo", "timm-resnet")
    path = runtime_filter.save_filters(front, resnet.site, place)
    assert runtime_filter.load_filters(place, resnet) == front
    model = hubclean.load_guarded(place)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    both = front[1].limit(front[0].limit(images))
    assert torch.equal(model.answer(images).logits, resnet.model(both))
    (place / path).write_bytes((place / path).read_bytes().replace(b"0.7", b"1.7"))
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        runtime_filter.load_filters(place, resnet)
    with pytest.raises(ModelError, match="3 channels"):
        runtime_filter.filtered(resnet, (InputRange((0.0,), (1.0,)),))


@pytest.mark.slow
def test_clean_delivers_the_kept_limits(tmp_path: Path) -> None:
    from PIL import Image

    for index, (pixels, label) in enumerate(zip(dim(80, 4).pixels, dim(80, 4).labels, strict=True)):
        folder = tmp_path / "images" / f"thing {int(label)}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    result = hubclean.clean(
        repo, tmp_path / "images", tmp_path / "out", detectors=("skip",), defense="extreme-weights",
        given=("max_drop=0.9",), sizes=Sizes(30, 20, 30), session=SESSION, accept_accuracy=True,
    )  # fmt: skip
    assert result.audit.cleansing.guard == runtime_filter.PATH
    assert hubclean.load_guarded(result.folder).ranges[0].excludes
    assert "runtime" in (result.folder / "README.md").read_text()


def test_a_limited_tensor_tells_what_is_outside() -> None:
    one = Limited("weight", torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]), 0.0, 1.0)
    assert one.outside(2).tolist() == [True, False, False, False, True]
    assert one.values(2, "zero").tolist() == [0, -1, 0, 1, 0]
    assert one.values(2, "clip").tolist() == [-2, -1, 0, 1, 2]
