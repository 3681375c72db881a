"""Perceivers and nets that take patches go the whole way like others; patches are the processor's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as t
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

from benchmarks.tiny_configs import TINY
from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.construction import classifier, image_patches
from hubclean.nets.construction.adapters import Adapter
from hubclean.nets.construction.adapters import load_adapters as load_adapters
from hubclean.nets.construction.preprocessing import preprocessing
from support.tiny_models import edit
from support.variety import hf_repo, names_of, pictures, shown, whole_way

PERCEIVERS = ("Learned", "Fourier", "ConvProcessing")


def perceiver(kind: str) -> nn.Module:
    made: nn.Module = getattr(t, f"PerceiverForImageClassification{kind}")(
        t.PerceiverConfig(**TINY["perceiver"], num_blocks=2, **names_of())
    )
    return made


def siglip2() -> nn.Module:
    return t.Siglip2ForImageClassification(t.Siglip2Config(**TINY["siglip2"], **names_of()))


def perceiver_repo(folder: Path, kind: str) -> Path:
    crop = {"image_processor_type": "PerceiverImageProcessor", "crop_size": {"height": 36, "width": 36}}
    return hf_repo(folder, lambda: perceiver(kind), {"height": 32, "width": 32}, **crop)


def siglip2_repo(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    # 18 patches of 8 pixels at most: a square of 4 x 4, and two that stay empty.
    own = {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "max_num_patches": 18}
    return hf_repo(folder, siglip2, {"height": 32, "width": 32}, dtype, **own)


@pytest.mark.filterwarnings("ignore:.*token_id must be")
@pytest.mark.parametrize("kind", [*PERCEIVERS, "siglip2"])
def test_the_whole_way_from_a_repo_to_a_cleansed_one(kind: str, tmp_path: Path) -> None:
    folder = siglip2_repo(tmp_path / "repo") if kind == "siglip2" else perceiver_repo(tmp_path / "repo", kind)
    audit = whole_way(folder, pictures(tmp_path / "data"), tmp_path / "out")
    assert audit.model.input_size == (3, 32, 32)
    assert (audit.model.patch, audit.model.crop_mode) == ((8, "squash") if kind == "siglip2" else (0, "center"))
    assert len(audit.site.heads) == 1
    assert ("made square, in patches of 8" in shown(folder)) == (kind == "siglip2")


def test_half_precision_is_rounded_alike_for_a_net_whose_adapter_is_the_users(tmp_path: Path) -> None:
    folder, mine = (
        siglip2_repo(tmp_path / "repo", dtype=torch.bfloat16),
        Adapter("my:own", "transformers", "Siglip2*", "r", "e", input="patches"),
    )
    given = loading.load_checkpoint(LocalRepo(folder), adapters=(mine,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "load_adapters", lambda: ())
        again = loading.as_written(given, given)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert again.model is not given.model
    assert torch.equal(again.model(images), given.model(images))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
def test_patches_are_cut_as_the_library_does(patch: int, rows: int, columns: int, channels: int, count: int) -> None:
    draw = torch.Generator().manual_seed(patch)
    images = torch.rand(count, channels, rows * patch, columns * patch, generator=draw)
    found = image_patches.cut_patches(images, patch)
    assert torch.equal(found["pixel_values"], torch.stack([convert_image_to_patches(one, patch) for one in images]))
    assert found["pixel_attention_mask"].tolist() == [[1] * rows * columns] * count
    assert found["spatial_shapes"].tolist() == [[rows, columns]] * count


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return siglip2_repo(tmp_path_factory.mktemp("siglip2") / "repo")


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def theirs(repo: Path, picture: Image.Image) -> Tensor:
    """Logits of a picture by the plain library alone, padding and mask included."""
    processor = t.AutoImageProcessor.from_pretrained(repo)
    net = t.AutoModelForImageClassification.from_pretrained(repo)
    with torch.no_grad():
        found: Tensor = net(**processor(picture, return_tensors="pt")).logits
    return found


def ours(repo: Path, picture: Image.Image) -> Tensor:
    checkpoint = loading.load_checkpoint(LocalRepo(repo))
    found: Tensor = checkpoint.model(preprocessing(repo, checkpoint.facts)(picture)[None] / 255)
    return found


@pytest.mark.parametrize(("side", "off"), [(32, 1e-5), (47, 0.02)])  # 47: PIL and torchvision round a resize apart
def test_logits_of_a_square_picture_are_those_of_processor_and_net(repo: Path, side: int, off: float) -> None:
    expected = theirs(repo, noise(side, side))
    assert expected.std() > 0.05
    torch.testing.assert_close(ours(repo, noise(side, side)), expected, rtol=off, atol=off)


def test_a_long_picture_is_made_square(repo: Path) -> None:
    picture = noise(90, 30)
    stretched = picture.resize((32, 32), Image.Resampling.BILINEAR)
    assert torch.equal(ours(repo, picture), ours(repo, stretched))
    assert not torch.allclose(ours(repo, picture), theirs(repo, picture), atol=1e-3)  # the processor keeps 3 : 1


def test_gradients_reach_the_pixels(repo: Path) -> None:
    model, known = classifier.build_classifier(repo)
    images = torch.rand(2, *known.input_size, requires_grad=True)
    model(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum(1) > 0).all()


def test_a_refused_class_is_told_its_reason(tmp_path: Path) -> None:
    tokens = t.ImageGPTForImageClassification(t.ImageGPTConfig(**TINY["imagegpt"], **names_of()))
    own = {"image_processor_type": "ImageGPTImageProcessor", "clusters": [[0.0] * 3, [1.0] * 3]}
    folder = hf_repo(tmp_path / "repo", lambda: tokens, {"height": 8, "width": 8}, **own)
    for adapters, said in ((None, "ImageGPTForImageClassification: it takes colour tokens"), ((), "cannot be built")):
        with pytest.raises(ModelError, match=said):
            classifier.build_classifier(folder, meta=True, adapters=adapters)


def _swapped(
    images: Tensor, patch: int, cut: Callable[..., dict[str, Tensor]] = image_patches.cut_patches
) -> dict[str, Tensor]:
    return cut(images.transpose(2, 3), patch)


def _edited(**values: object) -> Callable[[Path, pytest.MonkeyPatch], None]:
    return lambda folder, monkeypatch: edit(folder, "preprocessor_config.json", **values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_edited(patch_size=16), "does not cut images into the patches of 8 pixels"),
        (_edited(max_num_patches=10**9), "max_num_patches 1000000000"),
        (_edited(max_num_patches="many"), "max_num_patches 'many'|makes no image processor"),
        (_edited(image_processor_type="ViTImageProcessor"), "makes other patches"),
        (
            lambda folder, monkeypatch: monkeypatch.setattr(image_patches, "cut_patches", _swapped),
            "makes other patches",
        ),
    ],
)
def test_a_processor_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, pytest.MonkeyPatch], None], said: str
) -> None:
    folder = siglip2_repo(tmp_path / "repo")
    change(folder, monkeypatch)
    with pytest.raises(ModelError, match=said):
        classifier.build_classifier(folder, meta=True)


def test_an_adapter_says_which_net_takes_patches(repo: Path) -> None:
    with pytest.raises(ModelError, match=r"makes no images but values of shape \(18, 192\).*input = .patches"):
        classifier.build_classifier(repo, meta=True, adapters=())
    mine = Adapter("my:own", "transformers", "Siglip2*", "r", "e", input="patches")
    assert (
        classifier.build_classifier(repo, meta=True, adapters=(mine,))[1]
        == classifier.build_classifier(repo, meta=True)[1]
    )
    config = t.ResNetConfig()
    assert classifier.patch_size(config, "ResNetForImageClassification", load_adapters()) == 0
    wrong = Adapter("my:own", "transformers", "ResNet*", "r", "e", input="patches")
    with pytest.raises(ModelError, match="patch_size None"):
        classifier.patch_size(config, "ResNetForImageClassification", (wrong,))
