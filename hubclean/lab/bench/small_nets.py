"""The nets of the bench: small classifiers of many kinds, trained from scratch, stored as their own library would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from hubclean.errors import OptionError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import Classifier
from hubclean.nets.training import Schedule

Shape = tuple[int, int, int]
_CONVOLUTIONAL = Schedule(10, 0.05, "sgd", 5e-4, shift=1)
_ATTENTIVE = Schedule(12, 2e-3, "adamw", 0.05, shift=1)
_PLAIN = Schedule(8, 1e-3, "adamw", 0.0)


@dataclass(frozen=True)
class Net:
    """One architecture.

    Args:
        library: who loads its folder again: timm, transformers, or this module.
        build: an untrained net for images ``shape`` and a number of classes, and timm's ``model_args``.
        schedule: how a clean twin is trained.
    """

    name: str
    library: Literal["timm", "transformers", "module"]
    build: Callable[[Shape, int], tuple[nn.Module, dict[str, Any]]]
    schedule: Schedule


def _papers_cnn(shape: Shape, classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """Two convolutions and two dense layers, no norm: the MNIST net of BadNets and Neural Cleanse."""
    side = [((size - 4) // 2 - 4) // 2 for size in shape[1:]]
    features = [
        nn.Conv2d(shape[0], 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    hidden = [nn.Flatten(), nn.Linear(32 * side[0] * side[1], 512), nn.ReLU(), nn.Linear(512, classes)]
    return nn.Sequential(*features, *hidden), {}


def _signs_cnn(shape: Shape, classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """Six convolutions in pairs with pooling and dropout, two dense layers: Neural Cleanse's GTSRB net."""
    layers: list[nn.Module] = []
    before = shape[0]
    for width in (32, 64, 128):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Dropout(0.2)]
        before = width
    flat = 128 * (shape[1] // 8) * (shape[2] // 8)
    head = [nn.Flatten(), nn.Linear(flat, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, classes)]
    return nn.Sequential(*layers, *head), {}


def _cifar_resnet18(shape: Shape, classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """timm's ResNet-18 with the 3x3 stem and no pooling that 32-pixel images get; no timm argument says so."""
    import timm

    net = timm.create_model("resnet18", num_classes=classes, in_chans=shape[0])
    net.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net, {}


def _timm(name: str, **args: Any) -> Callable[[Shape, int], tuple[nn.Module, dict[str, Any]]]:
    def build(shape: Shape, classes: int) -> tuple[nn.Module, dict[str, Any]]:
        import timm

        sized = {"img_size": shape[1]} if args.get("img_size") == 0 else {}
        given = {**args, **sized, "in_chans": shape[0]}
        return timm.create_model(name, num_classes=classes, **given), given

    return build


def _transformers_resnet(shape: Shape, classes: int) -> tuple[nn.Module, dict[str, Any]]:
    import transformers

    size: dict[str, Any] = {"embedding_size": 24, "hidden_sizes": [24, 48, 96, 192], "depths": [1, 1, 1, 1]}
    config = transformers.ResNetConfig(**size, layer_type="basic", num_channels=shape[0], num_labels=classes)
    return transformers.ResNetForImageClassification(config), {}


def _transformers_vit(shape: Shape, classes: int) -> tuple[nn.Module, dict[str, Any]]:
    import transformers

    size: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2, "patch_size": 4}
    config = transformers.ViTConfig(
        **size, intermediate_size=256, image_size=shape[1], num_channels=shape[0], num_labels=classes
    )
    return transformers.ViTForImageClassification(config), {}


NETS = {
    net.name: net
    for net in (
        Net("papers-cnn", "module", _papers_cnn, _PLAIN),
        Net("signs-cnn", "module", _signs_cnn, Schedule(15, 1e-3, "adamw", 0.0)),
        Net("resnet18", "module", _cifar_resnet18, Schedule(20, 0.05, "sgd", 5e-4, shift=4)),
        Net("resnet18-slim", "timm", _timm("resnet18", channels=[16, 32, 64, 128], output_stride=16), _CONVOLUTIONAL),
        Net("mobilenetv3-small", "timm", _timm("mobilenetv3_small_050"), _CONVOLUTIONAL),
        Net("convnext-atto", "timm", _timm("convnext_atto", patch_size=2), _ATTENTIVE),
        Net("vit-tiny", "timm", _timm("vit_tiny_patch16_224", img_size=0, patch_size=4), _ATTENTIVE),
        Net(
            "vit-slim",
            "timm",
            _timm("vit_tiny_patch16_224", img_size=0, patch_size=4, embed_dim=64, depth=4, num_heads=2),
            _ATTENTIVE,
        ),
        Net(
            "swin-slim",
            "timm",
            _timm("swin_tiny_patch4_window7_224", img_size=0, window_size=4, patch_size=2, embed_dim=24,
                  depths=[2, 2], num_heads=[2, 4]),
            _ATTENTIVE,
        ),
        Net("hf-resnet", "transformers", _transformers_resnet, _CONVOLUTIONAL),
        Net("hf-vit", "transformers", _transformers_vit, _ATTENTIVE),
    )
}  # fmt: skip


def net_names() -> tuple[str, ...]:
    return tuple(NETS)


def find_net(name: str) -> Net:
    """The net called ``name``, or ``timm/NAME`` for any of timm's at its own arguments.

    Raises:
        OptionError: there is no such net.
    """
    if name.startswith("timm/"):
        import timm

        if timm.is_model(name[5:]):
            return Net(name, "timm", _timm(name[5:]), _CONVOLUTIONAL)
    if name not in NETS:
        raise OptionError(f"no net named {name!r}; there are: {', '.join(NETS)}, or timm/NAME")
    return NETS[name]


def fresh_net(net: Net, shape: Shape, classes: int) -> tuple[Classifier, dict[str, Any]]:
    """An untrained classifier that takes pixels in [0, 1]; the caller seeds the global generator."""
    built, args = net.build(shape, classes)
    half = (0.5,) * shape[0]
    return Classifier(built, half, half), args


def store_net(
    net: Net, model: Classifier, args: dict[str, Any], labels: tuple[str, ...], shape: Shape, into: Path
) -> None:
    """Write a folder that ``restore``, and the net's own library, loads."""
    into.mkdir(parents=True, exist_ok=True)
    half = (0.5,) * shape[0]
    inner: Any = model.net
    if net.library == "timm":
        from timm.models import save_for_hf

        facts = {"input_size": shape, "mean": half, "std": half, "crop_pct": 1.0, "interpolation": "bicubic"}
        inner.pretrained_cfg = {**inner.pretrained_cfg, **facts, "num_classes": len(labels)}
        save_for_hf(
            inner, into, {"label_names": list(labels)}, {"num_classes": len(labels), **args}, safe_serialization=True
        )
    elif net.library == "transformers":
        import transformers

        inner.config.id2label = dict(enumerate(labels))
        inner.config.label2id = {label: index for index, label in enumerate(labels)}
        inner.save_pretrained(into)
        size = {"height": shape[1], "width": shape[2]}
        transformers.ViTImageProcessor(size=size, image_mean=list(half), image_std=list(half)).save_pretrained(into)
    else:
        from safetensors.torch import save_file

        save_file(
            {name: tensor.contiguous() for name, tensor in inner.state_dict().items()}, into / "model.safetensors"
        )
        (into / "net.json").write_text(json.dumps({"net": net.name, "labels": labels, "shape": shape}))


def restore_net(net: Net, labels: tuple[str, ...], shape: Shape, folder: Path) -> Checkpoint:
    """What ``store`` wrote, loaded the way ``hubclean clean`` loads a repo."""
    if net.library != "module":
        return loading.load_checkpoint(LocalRepo(folder))
    from safetensors.torch import load_file

    with torch.random.fork_rng(devices=[]):
        inner, _ = net.build(shape, len(labels))
    inner.load_state_dict(load_file(folder / "model.safetensors"))
    half = (0.5,) * shape[0]
    return loading.wrap(inner, mean=half, std=half, input_size=shape, labels=labels, name=net.name, folder=folder)
