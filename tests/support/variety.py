"""Repos, pictures and the whole way through hubclean, for the odd shapes of real classifiers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets as hf
import torch
import transformers as t
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import nn

import hubclean
from hubclean.cli.main import main
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.cut import features
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.records import Audit
from support.image_sets import class_folders, image_set
from support.tiny_models import shake

Shape = tuple[int, int, int]
SMALL = {"height": 32, "width": 32}


def timm_repo(
    folder: Path,
    architecture: str,
    args: dict[str, Any] | None = None,
    shape: Shape = (3, 32, 32),
    classes: int = 4,
    dtype: torch.dtype = torch.float32,
    names: bool = True,
    **more: Any,
) -> Path:
    """A timm repo with random weights; ``shape`` goes into ``input_size``, ``more`` into ``pretrained_cfg``."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = timm.create_model(architecture, num_classes=classes, **(args or {}))
        shake(net)
    config = {
        "architecture": architecture,
        "num_classes": classes,
        "num_features": net.num_features,
        **({"label_names": [f"thing {index}" for index in range(classes)]} if names else {}),
        "model_args": args or {},
        "pretrained_cfg": {
            "input_size": list(shape),
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "mean": [0.5, 0.4, 0.3],
            "std": [0.5, 0.25, 0.2],
            "num_classes": classes,
            "first_conv": net.pretrained_cfg.get("first_conv"),
            "classifier": net.pretrained_cfg.get("classifier"),
            **more,
        },
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    stored = {name: t.to(dtype) if t.is_floating_point() else t for name, t in net.state_dict().items()}
    save_file(stored, folder / "model.safetensors")
    return folder


def hf_repo(
    folder: Path,
    make: Callable[[], nn.Module],
    size: dict[str, int],
    dtype: torch.dtype = torch.float32,
    **processor: Any,
) -> Path:
    """A transformers repo with random weights, and an image processor that resizes to ``size``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make()
        shake(net)
    net.to(dtype).save_pretrained(folder)  # type: ignore[operator]
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": size,
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.5, 0.25, 0.2],
        **processor,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def names_of(count: int = 4) -> dict[str, Any]:
    names = {index: f"thing {index}" for index in range(count)}
    return {"id2label": names, "label2id": {name: index for index, name in names.items()}}


def vit(**config: Any) -> nn.Module:
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    given = {"image_size": 32, "patch_size": 8, **small, **(names_of() if "num_labels" not in config else {}), **config}
    return t.ViTForImageClassification(t.ViTConfig(**given))


def resnet(**config: Any) -> nn.Module:
    small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return t.ResNetForImageClassification(t.ResNetConfig(**{**small, **names_of(), **config}))


def levit(**config: Any) -> nn.Module:
    small = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1], "key_dim": [8, 8, 8]}
    return t.LevitForImageClassificationWithTeacher(t.LevitConfig(image_size=32, **small, **names_of(), **config))


def regnet() -> nn.Module:
    small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 4}
    return t.RegNetForImageClassification(t.RegNetConfig(**small, **names_of()))


def wrapper() -> nn.Module:
    config = t.TimmWrapperConfig(architecture="test_resnet", num_labels=4, model_args={"in_chans": 1})
    return t.TimmWrapperForImageClassification(config)


def of_timm(architecture: str, args: dict[str, Any] | None = None, **given: Any) -> Callable[[Path], Path]:
    return lambda folder: timm_repo(folder, architecture, args, **given)


def of_hf(make: Callable[..., nn.Module], size: dict[str, int] = SMALL, **given: Any) -> Callable[[Path], Path]:
    own = {key: given.pop(key) for key in list(given) if key in ("dtype",) or key.startswith(("image_", "do_", "crop"))}
    return lambda folder: hf_repo(folder, lambda: make(**given), size, **own)


def pictures(folder: Path, shape: Shape = (3, 32, 32), classes: int = 4, count: int = 32) -> Path:
    """Class folders ``thing N`` of PNG files: grey, RGB or (4 channels) RGBA."""
    return class_folders(folder, image_set(count, classes, shape))


def cleaned(target: Any, data: Path, out: Path, **options: Any) -> Audit:
    """``clean`` with fine-pruning and without a detector, as briefly as it goes."""
    options = {
        "detectors": ("skip",),
        "defense": "fine-pruning",
        "given": ("epochs=1", "step=0.25", "max_drop=1"),
        "sizes": Sizes(12, 8, 8),
        "accept_accuracy": True,  # random weights
        **options,
    }
    return hubclean.clean(target, data, out, session=open_session("cpu", seed=1, batch_size=16), **options).audit


def shown(target: Path) -> str:
    """What ``hubclean site`` prints."""
    result = CliRunner().invoke(main, ["site", str(target)])
    assert result.exit_code == 0, result.output
    return result.output


def whole_way(folder: Path, data: Path, out: Path, **options: Any) -> Audit:
    """Show, load, verify, clean, and reload with the plain library; what must hold for every classifier is asserted."""
    printed = shown(folder)
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    c, h, w = checkpoint.facts.input_size
    assert f"{c} x {h} x {w}" in printed
    assert f"{len(checkpoint.labels)}: " in printed
    images = torch.rand(3, c, h, w, generator=torch.Generator().manual_seed(3))
    assert features.verify_site(checkpoint.model, checkpoint.site, images) < 1e-5
    assert loading.same_logits(checkpoint, folder, images) < 1e-5
    audit = cleaned(str(folder), data, out, **options)
    cut = loading.load_checkpoint(LocalRepo(out))
    assert loading.same_logits(cut, out, images) < 1e-5
    before, after = load_file(folder / "model.safetensors"), load_file(out / "model.safetensors")
    assert {name: tensor.dtype for name, tensor in before.items()} == {n: value.dtype for n, value in after.items()}
    assert (
        set(audit.cleansing.changed) == {name for name in before if not torch.equal(before[name], after[name])} != set()
    )
    assert audit.cleansing.cut > 0
    for head in cut.site.heads:
        zero = (cut.model.net.get_parameter(head.weight).flatten(1) == 0).all(0)  # type: ignore[operator, union-attr]
        assert int(zero.sum()) == audit.cleansing.cut * cut.site.block
    return audit


def arrays(file: Path, shape: Shape, classes: int = 4, last: bool = False, dtype: str = "uint8") -> Path:
    """A parquet file with images as arrays, for channel counts that pictures cannot have."""
    images = image_set(32, classes, shape)
    pixels = images.pixels.permute(0, 2, 3, 1) if last else images.pixels
    kind = hf.Features(
        {
            "pixels": hf.Array3D(shape=tuple(pixels.shape[1:]), dtype=dtype),
            "label": hf.ClassLabel(names=[f"thing {index}" for index in range(classes)]),
        }
    )
    values = list(pixels.numpy().astype(dtype))
    hf.Dataset.from_dict({"pixels": values, "label": images.labels.tolist()}, features=kind).to_parquet(file)
    return file
