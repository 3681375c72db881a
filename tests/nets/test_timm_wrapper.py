"""timm nets saved by transformers, without a processor; other repos that do not say how pictures come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.construction import preprocessing
from hubclean.nets.construction.classifier import build_classifier
from hubclean.scanning.engine import scan
from support.edited import pruned
from support.tiny_models import edit, make_repo, shake

CFG = {"input_size": [3, 48, 48], "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2], "crop_pct": 0.8}


def wrapped(folder: Path, architecture: str = "test_resnet", labels: int = 4, **config: Any) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = transformers.TimmWrapperConfig(architecture=architecture, num_labels=labels, **config)
        net = transformers.TimmWrapperForImageClassification(made)
        shake(net)
    net.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("architecture", "config", "shape"),
    [
        ("test_resnet", {"pretrained_cfg": {**CFG, "interpolation": "bilinear"}}, (3, 48, 48)),
        ("test_vit", {"pretrained_cfg": {**CFG, "crop_mode": "squash"}, "model_args": {"img_size": 48}}, (3, 48, 48)),
        ("test_convnext", {"pretrained_cfg": {"input_size": [3, 64, 64]}}, (3, 64, 64)),
    ],
)
def test_pictures_come_in_as_transformers_reads_the_config(
    architecture: str, config: dict[str, Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    folder = wrapped(tmp_path / "repo", architecture, **config)
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    assert checkpoint.facts.input_size == shape
    assert checkpoint.facts.library == "transformers"
    picture = Image.effect_noise((90, 70), 80).convert("RGB")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    theirs = processor(picture, return_tensors="pt")["pixel_values"]
    ours = preprocessing.preprocessing(folder, checkpoint.facts)(picture)[None] / 255
    plain = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        assert torch.allclose(checkpoint.model(ours), plain(theirs).logits, atol=1e-4)


def test_it_is_written_back_as_it_was_and_scanned_for_transformers(tmp_path: Path) -> None:
    folder = wrapped(tmp_path / "repo", pretrained_cfg=CFG)
    report = scan(folder)
    assert (report.load_set.loader, report.exit_code) == ("transformers", 0)
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    edited = pruned(checkpoint)
    (tmp_path / "out").mkdir()
    changed = loading.write_checkpoint(checkpoint, edited, tmp_path / "out")
    assert changed
    assert all(name.startswith("timm_model.") for name in changed)
    assert (tmp_path / "out" / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == load_file(folder / "model.safetensors").keys()
    assert loading.same_logits(edited, tmp_path / "out", torch.rand(2, *checkpoint.facts.input_size)) < 1e-5


def test_a_config_without_any_takes_what_timm_has_for_the_architecture_and_says_so(tmp_path: Path) -> None:
    _, facts = build_classifier(wrapped(tmp_path / "repo"), meta=True)
    known = timm.get_pretrained_cfg("test_resnet")
    assert (facts.input_size, facts.mean, facts.crop) == (known.input_size, known.mean, known.crop_pct)
    assert facts.assumed == ("input_size, mean, std: not in config.json, taken: timm's for test_resnet",)
    _, part = build_classifier(wrapped(tmp_path / "part", pretrained_cfg={"input_size": [3, 64, 64]}), meta=True)
    assert part.mean == timm.data.IMAGENET_DEFAULT_MEAN
    assert part.assumed == ("mean, std: not in config.json, as transformers takes them: ImageNet's",)


def test_grey_pictures_two_labels_and_labels_of_its_own(tmp_path: Path) -> None:
    config = {
        "pretrained_cfg": {"input_size": [1, 32, 32], "mean": [0.5], "std": [0.25]},
        "model_args": {"in_chans": 1},
    }
    folder = wrapped(tmp_path / "repo", labels=2, **config)
    edit(folder, label_names=["good", "bad"])
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    assert checkpoint.labels == ("good", "bad")
    assert (checkpoint.facts.input_size, checkpoint.facts.mean, checkpoint.facts.std) == ((1, 32, 32), (0.5,), (0.25,))
    assert loading.same_logits(checkpoint, folder, torch.rand(2, 1, 32, 32)) < 1e-5


@pytest.mark.parametrize("kind", ["hf-vit", "hf-convnext", "hf-resnet"])
def test_a_repo_of_transformers_without_processor_takes_that_of_its_kind(kind: str, tmp_path: Path) -> None:
    folder = make_repo(tmp_path / "repo", kind)
    (folder / "preprocessor_config.json").unlink()
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    assert "preprocessor_config.json is missing" in checkpoint.facts.assumed[0]
    assert preprocessing.preprocessing(folder, checkpoint.facts)(Image.new("RGB", (50, 40))).dtype == torch.uint8


def test_timm_repos_without_label_names_or_number_of_classes(tmp_path: Path) -> None:
    folder = make_repo(tmp_path / "repo", "timm-resnet", classes=7)
    config = json.loads((folder / "config.json").read_text())
    del config["label_names"]
    (folder / "config.json").write_text(json.dumps(config))
    assert loading.load_checkpoint(LocalRepo(folder)).labels == tuple(f"label {index}" for index in range(7))
    del config["num_classes"], config["pretrained_cfg"]["num_classes"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"size mismatch for fc\.weight"):
        loading.load_checkpoint(LocalRepo(folder))
