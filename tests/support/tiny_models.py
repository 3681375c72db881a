"""Tiny but real repos on disk, made by the libraries themselves: ``make_repo(folder, kind)``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

_TIMM: dict[str, tuple[str, dict[str, Any], int]] = {
    "timm-resnet": ("test_resnet", {}, 32),
    "timm-efficientnet": ("test_efficientnet", {}, 32),
    "timm-mobilenetv3": ("mobilenetv3_small_050", {}, 32),
    "timm-convnext": ("test_convnext", {}, 32),
    "timm-vit": ("test_vit", {"img_size": 32}, 32),
    "timm-vit-gap": ("test_vit2", {"img_size": 32}, 32),
    "timm-swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]},
        32,
    ),
    "timm-deit-distilled": (
        "deit_tiny_distilled_patch16_224",
        {"img_size": 32, "embed_dim": 24, "depth": 2, "num_heads": 2},
        32,
    ),
    "timm-resnetv2": ("resnetv2_50", {"layers": [1, 1], "channels": [16, 32], "stem_chs": 8}, 32),  # 1x1 conv head
}
KINDS = (*_TIMM, "hf-vit", "hf-deit", "hf-resnet", "hf-swin", "hf-convnext")


def make_repo(
    folder: Path,
    kind: str,
    classes: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    shard: str | None = None,
) -> Path:
    """Write a repo of ``kind`` with random weights and return ``folder``.

    Args:
        shard: largest shard, e.g. ``20KB`` (transformers kinds); one file when ``None``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind in _TIMM:
            _make_timm(folder, *_TIMM[kind], classes, dtype)
        else:
            _make_hf(folder, kind, classes, dtype, shard)
    (folder / "LICENSE").write_text("Apache License 2.0\n")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# tiny\n")
    return folder


def shake(net: torch.nn.Module) -> None:
    """Random values for what initialisers leave equal, so that no test passes on zeros and ones."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape) * 0.1
                tensor.copy_(1 + noise.abs() if "running_var" in name else tensor + noise)


def _make_timm(folder: Path, name: str, args: dict[str, Any], size: int, classes: int, dtype: torch.dtype) -> None:
    import timm
    from safetensors.torch import save_file

    net = timm.create_model(name, num_classes=classes, **args)
    shake(net)
    state = {
        key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in net.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    config = {
        "architecture": name,
        "num_classes": classes,
        "num_features": net.num_features,
        "label_names": [f"thing {index}" for index in range(classes)],
        "model_args": args,
        "pretrained_cfg": {
            "tag": "tiny",
            "custom_load": False,
            "input_size": [3, size, size],
            "fixed_input_size": "img_size" in args,
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "crop_mode": "center",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "num_classes": classes,
            "pool_size": None,
            "first_conv": net.pretrained_cfg.get("first_conv"),
            "classifier": net.pretrained_cfg.get("classifier"),
            "license": "apache-2.0",
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def _make_hf(folder: Path, kind: str, classes: int, dtype: torch.dtype, shard: str | None) -> None:
    import transformers as t

    names = {index: f"thing {index}" for index in range(classes)}
    labels = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    vit = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    made: dict[str, Any] = {
        "hf-vit": lambda: t.ViTForImageClassification(t.ViTConfig(image_size=32, patch_size=8, **vit, **labels)),
        "hf-deit": lambda: t.DeiTForImageClassificationWithTeacher(
            t.DeiTConfig(image_size=32, patch_size=8, **vit, **labels)
        ),
        "hf-resnet": lambda: t.ResNetForImageClassification(
            t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **labels)
        ),
        "hf-swin": lambda: t.SwinForImageClassification(
            t.SwinConfig(image_size=32, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, **labels)
        ),
        "hf-convnext": lambda: t.ConvNextForImageClassification(
            t.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], **labels)
        ),
    }
    net = made[kind]()
    shake(net)
    net.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    size = {"shortest_edge": 32} if kind == "hf-convnext" else {"height": 32, "width": 32}
    extra = {"crop_pct": 0.875} if kind == "hf-convnext" else {}
    processor = {
        "image_processor_type": "ConvNextImageProcessor" if kind == "hf-convnext" else "ViTImageProcessor",
        "do_resize": True,
        "size": size,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.5, 0.25, 0.2],
        **extra,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))


def edit(folder: Path, name: str = "config.json", **values: Any) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | values))


def only_configs(source: Path, target: Path) -> Path:
    for file in source.glob("*.json"):
        (target / file.name).write_bytes(file.read_bytes())
    return target
