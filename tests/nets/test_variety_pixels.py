"""Pixels of models that are not square or not RGB, from pictures and from arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hubclean.errors import DataError
from hubclean.nets.construction import classifier
from hubclean.nets.construction.preprocessing import preprocessing
from support.variety import arrays, cleaned, hf_repo, of_hf, of_timm, pictures, resnet, timm_repo, vit


def _stripes(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows % 256, columns % 256, (rows + columns) % 256], -1).astype(np.uint8))


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_pixels_that_are_not_square_are_those_of_timm(mode: str, tmp_path: Path) -> None:
    import timm
    from timm.data import create_transform, resolve_data_config

    folder = timm_repo(tmp_path / "repo", "test_vit", {"img_size": [32, 48]}, shape=(3, 32, 48), crop_mode=mode)
    model, facts = classifier.build_classifier(folder)
    net = timm.create_model(f"local-dir:{folder}", pretrained=True)
    transform = create_transform(**resolve_data_config({}, model=net), is_training=False)
    picture = _stripes(90, 100)
    ours = (preprocessing(folder, facts)(picture)[None] / 255 - model.mean) / model.std
    torch.testing.assert_close(ours[0], transform(picture), rtol=0, atol=1e-4)


def test_borders_are_filled_with_the_mean_of_each_channel(tmp_path: Path) -> None:
    means = [0.2, 0.4, 0.6, 0.8]
    given = {"crop_mode": "border", "mean": means, "std": [0.5] * 4}
    folder = timm_repo(tmp_path / "repo", "test_resnet", {"in_chans": 4}, (4, 32, 32), **given)
    pixels = preprocessing(folder, classifier.build_classifier(folder, meta=True)[1])(_stripes(20, 90).convert("RGBA"))
    assert pixels[:, 0, 16].tolist() == [51, 102, 153, 204]


def test_pixels_that_are_not_square_are_those_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    folder = hf_repo(tmp_path / "repo", lambda: vit(image_size=(32, 48)), {"height": 32, "width": 48})
    model, facts = classifier.build_classifier(folder)
    theirs = AutoImageProcessor.from_pretrained(folder)(_stripes(90, 100), return_tensors="pt")["pixel_values"]
    ours = (preprocessing(folder, facts)(_stripes(90, 100))[None] / 255 - model.mean) / model.std
    torch.testing.assert_close(ours, theirs.float(), rtol=0, atol=5e-3)  # whole pixel values


def test_a_grey_model_with_an_rgb_mean_takes_their_average(tmp_path: Path) -> None:
    for number, make in enumerate((of_timm("test_resnet", {"in_chans": 1}), of_hf(resnet, num_channels=1))):
        facts = classifier.build_classifier(make(tmp_path / str(number)), meta=True)[1]
        assert facts.mean == pytest.approx((0.4,), abs=1e-5)
        assert facts.std == pytest.approx((0.95 / 3,), abs=1e-5)


def test_every_channel_keeps_its_own_mean(tmp_path: Path) -> None:
    means, stds = [0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]
    one = of_hf(resnet, num_channels=5, image_mean=means, image_std=stds)(tmp_path / "hf")
    other = timm_repo(tmp_path / "timm", "test_resnet", {"in_chans": 5}, (5, 32, 32), mean=means, std=stds)
    for folder in (one, other):
        facts = classifier.build_classifier(folder, meta=True)[1]
        assert facts.mean == pytest.approx(means, abs=1e-5)
        assert facts.std == pytest.approx(stds, abs=1e-5)


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_every_channel_of_an_array_is_resized_like_a_picture(kind: str, tmp_path: Path) -> None:
    make = of_timm("test_resnet", {"in_chans": 6}) if kind == "timm" else of_hf(resnet, num_channels=6)
    of_three = of_timm("test_resnet") if kind == "timm" else of_hf(resnet)
    folder, plain = make(tmp_path / "six"), of_three(tmp_path / "three")
    colours = preprocessing(plain, classifier.build_classifier(plain, meta=True)[1])(_stripes(50, 60))
    prepare = preprocessing(folder, classifier.build_classifier(folder, meta=True)[1])
    array = np.concatenate([np.asarray(_stripes(50, 60))] * 2, -1)
    whole = np.asarray(_stripes(50, 60)).transpose(2, 0, 1)
    assert torch.equal(preprocessing(plain, classifier.build_classifier(plain, meta=True)[1])(whole), colours)
    for given in (array, array.transpose(2, 0, 1)):
        assert torch.equal(prepare(given), torch.cat([colours, colours]))


def test_data_without_the_models_channels_is_refused(tmp_path: Path) -> None:
    folder = timm_repo(tmp_path / "repo", "test_resnet", {"in_chans": 6})
    with pytest.raises(DataError, match=r"takes 6 channels, but a picture has 3 \(RGB\); give an Array3D column"):
        cleaned(str(folder), pictures(tmp_path / "rgb"), tmp_path / "out")
    with pytest.raises(DataError, match=r"takes 6 channels, but an image is an array of shape \(5, 8, 8\)"):
        cleaned(str(folder), arrays(tmp_path / "5.parquet", (5, 8, 8)), tmp_path / "out")
    with pytest.raises(DataError, match="holds float32; images as arrays must be uint8"):
        cleaned(str(folder), arrays(tmp_path / "f.parquet", (6, 8, 8), dtype="float32"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_rgb_model_takes_arrays_with_the_channels_last(tmp_path: Path) -> None:
    folder = timm_repo(tmp_path / "repo", "test_resnet")
    audit = cleaned(str(folder), arrays(tmp_path / "a.parquet", (3, 20, 24), last=True), tmp_path / "out")
    assert audit.data.matched_by == "name"


@pytest.mark.parametrize("channels", [1, 5])
def test_a_detector_and_its_pictures_take_any_number_of_channels(channels: int, tmp_path: Path) -> None:
    folder = timm_repo(tmp_path / "repo", "test_resnet", {"in_chans": channels})
    brief = (
        "steps=2",
        "batches=1",
        "neural-cleanse.batch_size=4",
        "seeds=1",
        "finetune=false",
        "step=0.5",
        "labels=0,1,2,3",
    )
    data = pictures(tmp_path / "data", (1, 32, 32)) if channels == 1 else arrays(tmp_path / "a.parquet", (5, 32, 32))
    audit = cleaned(str(folder), data, tmp_path / "out", detectors=("neural-cleanse",), given=brief)
    assert len(audit.detections[0].scores) == 4
    assert "hubclean/neural-cleanse-norms.png" in {file.path for file in audit.outputs}
