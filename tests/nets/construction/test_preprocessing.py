"""Pixels reach the net as the library itself would send them, from pictures of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hubclean.errors import HubcleanError
from hubclean.nets.construction.classifier import build_classifier
from hubclean.nets.construction.preprocessing import preprocessing
from support.tiny_models import edit, only_configs

KINDS = ("timm-resnet", "timm-vit", "timm-resnetv2", "hf-vit", "hf-convnext")


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("kind", ["timm-resnet", "timm-vit", "timm-resnetv2"])
@pytest.mark.parametrize("size", [(40, 29), (20, 31), (32, 32), (5, 80)])
def test_timm_pixels_are_those_of_its_own_transform(kind: str, size: tuple[int, int], repos: dict[str, Path]) -> None:
    import timm
    from timm.data import create_transform, resolve_data_config

    model, facts = build_classifier(repos[kind])
    net = timm.create_model(f"local-dir:{repos[kind]}", pretrained=True).eval()
    model.net.load_state_dict(net.state_dict())
    transform = create_transform(**resolve_data_config({}, model=net), is_training=False)
    image = picture(*size)
    pixels = preprocessing(repos[kind], facts)(image)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(pixels[None] / 255), net(transform(image)[None]), rtol=1e-4, atol=1e-4)


ODD = {
    "plain": {},
    "no rescale": {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 40.0]},
    "no normalize": {"do_normalize": False},
    "offset": {"image_processor_type": "EfficientNetImageProcessor", "rescale_offset": True, "rescale_factor": 2 / 255},
    "include top": {"image_processor_type": "EfficientNetImageProcessor", "include_top": True, "do_normalize": True},
    "center crop": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 36},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
}


@pytest.mark.parametrize(
    ("kind", "odd"), [*(("hf-vit", odd) for odd in ODD), ("hf-convnext", "plain"), ("hf-convnext", "no normalize")]
)
def test_transformers_pixels_are_those_of_its_own_processor(
    kind: str, odd: str, repos: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoImageProcessor

    folder = only_configs(repos[kind], tmp_path)
    edit(folder, "preprocessor_config.json", **ODD[odd])
    model, facts = build_classifier(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    for size in ((40, 29), (20, 31)):
        image = picture(*size)
        theirs = processor(image, return_tensors="pt")["pixel_values"].float()
        ours = preprocessing(folder, facts)(image)[None] / 255
        normalised = (ours - model.mean) / model.std
        scale = float(theirs.max() - theirs.min())
        # both round to whole pixel values after resizing
        torch.testing.assert_close(normalised / scale, theirs / scale, rtol=0, atol=2e-5)
        with torch.no_grad():
            torch.testing.assert_close(model(ours), model.net(theirs).logits, rtol=1e-3, atol=1e-3)


def variants() -> dict[str, Image.Image]:
    base = picture(48, 40)
    turned = picture(48, 40)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.info["exif"] = exif.tobytes()
    grey16 = Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257)
    palette = base.convert("P")
    palette.info["transparency"] = 0
    return {
        "L": base.convert("L"),
        "LA": base.convert("LA"),
        "RGBA": base.convert("RGBA"),
        "P": palette,
        "1": base.convert("1"),
        "CMYK": base.convert("CMYK"),
        "I;16": grey16,
        "F": base.convert("F"),
        "exif": turned,
        "tiny": base.resize((1, 1)),
        "narrow": base.resize((2, 60)),
    }


@pytest.mark.parametrize("kind", ["timm-resnet", "hf-vit"])
@pytest.mark.parametrize("name", variants())
def test_any_picture_becomes_pixels_of_the_models_size(kind: str, name: str, repos: dict[str, Path]) -> None:
    _, facts = build_classifier(repos[kind], meta=True)
    prepare = preprocessing(repos[kind], facts)
    pixels = prepare(variants()[name])
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == torch.uint8
    if name in ("I;16", "F"):
        torch.testing.assert_close(pixels.float(), prepare(variants()["L"]).float(), rtol=0, atol=1.5)
    if name == "RGBA":
        assert torch.equal(pixels, prepare(picture(48, 40)))


def test_exif_orientation_turns_the_picture(repos: dict[str, Path], tmp_path: Path) -> None:
    image = picture(48, 40)
    exif = Image.Exif()
    exif[0x0112] = 3
    image.save(tmp_path / "turned.png", exif=exif)
    _, facts = build_classifier(repos["timm-resnet"], meta=True)
    prepare = preprocessing(repos["timm-resnet"], facts)
    turned = prepare(image.rotate(180))
    with Image.open(tmp_path / "turned.png") as opened:
        assert torch.equal(prepare(opened), turned)


def test_a_grey_model_takes_grey_pictures(repos: dict[str, Path], tmp_path: Path) -> None:
    folder = only_configs(repos["timm-resnet"], tmp_path)
    edit(folder, model_args={"in_chans": 1})
    model, facts = build_classifier(folder)
    assert facts.input_size == (1, 32, 32)
    assert len(facts.mean) == len(facts.std) == 1
    pixels = preprocessing(folder, facts)(picture(40, 40))
    assert pixels.shape == (1, 32, 32)
    assert model(pixels[None] / 255).shape == (1, 10)


@pytest.mark.parametrize(
    "values",
    [
        {"auto_map": {"AutoImageProcessor": "x.Y"}},
        {"size": {"height": 10**7, "width": 10**7}},
        {"size": {"shortest_edge": 10**7}},
        {"size": {"shortest_edge": 36}, "image_processor_type": "CLIPImageProcessor", "do_center_crop": False},
        {"image_processor_type": "NoSuchProcessor"},
        {"image_std": [0.0, 0.0, 0.0]},
        {"crop_pct": 1e-8},
    ],
)
def test_what_a_processor_may_not_ask_for(values: dict[str, Any], repos: dict[str, Path], tmp_path: Path) -> None:
    folder = only_configs(repos["hf-vit"], tmp_path)
    edit(folder, "preprocessor_config.json", **values)
    with pytest.raises(HubcleanError):
        build_classifier(folder, meta=True)


def test_a_picture_that_would_fill_the_memory_is_refused(repos: dict[str, Path]) -> None:
    _, facts = build_classifier(repos["timm-resnet"], meta=True)
    with pytest.raises(ValueError, match="60000 x 1 pixels is too long"):
        preprocessing(repos["timm-resnet"], facts)(Image.new("RGB", (60_000, 1)))
