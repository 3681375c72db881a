"""Torch files that transformers did not write: timm, open_clip, Lightning, fastai, whole models, TorchScript."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import classifier
from benchmarks.scan.ordinary.kinds import kind


def timm_net(name: str = "test_resnet", classes: int = 3) -> Any:
    import timm

    return timm.create_model(name, num_classes=classes)


def timm_files(folder: Path, name: str = "test_resnet", both: bool | str = "both") -> Any:
    """What ``timm.models.push_to_hf_hub`` writes."""
    from timm.models._hub import save_for_hf

    model = timm_net(name)
    options = {"label_names": ["cat", "dog", "import os"], "notes": "trained on x"}
    save_for_hf(model, str(folder), model_config=options, safe_serialization=both)
    beside.card(folder, library="timm")
    return model


@kind("timm-push-to-hub", "timm")
def timm_push(folder: Path) -> None:
    timm_files(folder)


@kind("timm-safetensors-vit", "timm")
def timm_vit(folder: Path) -> None:
    timm_files(folder, "test_vit", True)


@kind("timm-bin-only", "timm")
def timm_bin(folder: Path) -> None:
    timm_files(folder, both=False)


@kind("timm-training-output", "timm")
def timm_training(folder: Path) -> None:
    """timm's train.py: model_best.pth.tar with Namespace, EMA, optimizer; args.yaml, summary.csv beside."""
    model = timm_files(folder)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    given = argparse.Namespace(model="test_resnet", opt="sgd", lr=0.1, mean=[0.5, 0.5, 0.5], amp=False)
    saved = {
        "epoch": 9,
        "arch": "test_resnet",
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "version": 2,
        "args": given,
        "state_dict_ema": model.state_dict(),
        "metric": 91.2,
    }
    torch.save(saved, folder / "model_best.pth.tar")
    torch.save(saved, folder / "checkpoint-9.pth.tar")
    (folder / "args.yaml").write_text("aa: rand-m9-mstd0.5-inc1\nimg_size: 224\nimport: none\nopt: sgd\n")
    (folder / "summary.csv").write_text("epoch,train_loss,eval_loss,eval_top1\n0,6.9,6.8,0.1\n")


@kind("open-clip", "open_clip")
def open_clip(folder: Path) -> None:
    """``open_clip.push_to_hf_hub``: open_clip_config.json, weights twice, tokenizer files."""
    import open_clip
    from open_clip.push_to_hf_hub import save_config_for_hf
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 600, "width": 32, "heads": 2, "layers": 2}
    model = open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text)
    model.visual.image_mean, model.visual.image_std = (0.48, 0.45, 0.4), (0.26, 0.26, 0.27)
    model.visual.preprocess_cfg = {"interpolation": "bicubic", "resize_mode": "shortest"}
    save_config_for_hf(
        model, folder / "open_clip_config.json", {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    )
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    beside.clip_tokenizer(folder)
    beside.card(folder, "zero-shot-image-classification", "open_clip")


@kind("state-dict-folder", "torch")
def state_dicts(folder: Path) -> None:
    """Files as on torch.hub: NAME-HASH.pth, one of the older format, one nested under 'model'; a card."""
    model = timm_net()
    torch.save(model.state_dict(), folder / "resnet_tiny-0676ba61.pth")
    torch.save({"model": model.state_dict()}, folder / "dino_deitsmall8_pretrain.pth")
    torch.save(model.state_dict(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, folder / "data_parallel.pth")
    beside.card(folder, library="pytorch")


@kind("half-precision-state-dict", "torch")
def half(folder: Path) -> None:
    """bfloat16, half, int8, bool and parameters instead of tensors, with numpy scalars for metrics."""
    import numpy as np

    model = timm_net()
    state = {
        key: torch.nn.Parameter(value.bfloat16()) if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    torch.save(
        {"state_dict": state, "epoch": 3, "accuracy": np.float64(0.93), "mask": torch.ones(4, dtype=torch.bool)},
        folder / "model.pth",
    )
    beside.card(folder, library="pytorch")


@kind("lightning-checkpoint", "torch")
def lightning(folder: Path) -> None:
    """Two epochs of a real LightningModule: epoch=1-step=2.ckpt, hparams.yaml, metrics.csv."""
    import lightning as light

    class Module(light.LightningModule):
        def __init__(self, lr: float = 0.1, backbone: str = "tiny") -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.net(batch[0]).sum()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), self.hparams.lr)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 3, 2, 2)), batch_size=4)
    best = light.pytorch.callbacks.ModelCheckpoint(dirpath=folder, monitor="loss", save_last=True)
    logger = light.pytorch.loggers.CSVLogger(folder, name="", version="")
    trainer = light.Trainer(
        max_epochs=2,
        logger=logger,
        callbacks=[best],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(Module(), data)
    beside.card(folder, library="pytorch-lightning")


@kind("torchscript-beside", by_hand=())
def torchscript_beside(folder: Path) -> None:
    """A classifier of transformers with a traced and a scripted copy."""
    classifier(folder, "safetensors")
    scripts(folder)


def scripts(folder: Path) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    ).eval()
    torch.jit.trace(net, torch.ones(1, 3, 8, 8)).save(str(folder / "model_traced.pt"))
    torch.jit.script(net).save(str(folder / "model_scripted.pt"))


@kind("torchscript-only", "-", (0, 2))
def torchscript(folder: Path) -> None:
    scripts(folder)
    beside.card(folder, library="pytorch")


@kind("whole-model-pickle", "torch", (1,))
def whole(folder: Path) -> None:
    """``torch.save(model)``: by policy a finding, for loading runs what its names say."""
    torch.save(timm_net(), folder / "model.pth")
    beside.card(folder, library="pytorch")


@kind("yolo-whole-model", "torch", (1,), by_hand=("best.pt",))
def yolo(folder: Path) -> None:
    """best.pt as ultralytics saves it: a whole model of a class of that library; args.yaml, results.csv."""
    import sys
    import types

    module = types.ModuleType("ultralytics.nn.tasks")
    detection = type("DetectionModel", (torch.nn.Module,), {"__module__": "ultralytics.nn.tasks"})
    module.DetectionModel = detection  # type: ignore[attr-defined]
    names = ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks")
    sys.modules |= dict.fromkeys(names, module)
    try:
        made = detection()
        made.model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.SiLU())
        (folder / "weights").mkdir()
        saved = {
            "epoch": -1,
            "best_fitness": None,
            "model": made.half(),
            "ema": None,
            "updates": None,
            "optimizer": None,
            "train_args": {"task": "detect", "imgsz": 640},
            "date": "2024-01-01T00:00:00",
            "version": "8.1.0",
        }
        torch.save(saved, folder / "weights/best.pt")
    finally:
        for name in names:
            del sys.modules[name]
    (folder / "args.yaml").write_text("task: detect\nmode: train\nmodel: yolov8n.pt\nimgsz: 640\n")
    (folder / "results.csv").write_text("epoch,train/box_loss\n1,1.2\n")
    beside.image(folder / "results.png")
    beside.image(folder / "train_batch0.jpg")
    beside.card(folder, "object-detection", "ultralytics")


@kind("fastai-export", "torch", (1,), by_hand=("model.pkl",))
def fastai(folder: Path) -> None:
    """``push_to_hub_fastai``: a pickled Learner (fastai's class names on a torch module), pyproject.toml."""
    import sys
    import types

    module = types.ModuleType("fastai.learner")
    learner = type("Learner", (), {"__module__": "fastai.learner"})
    module.Learner = learner  # type: ignore[attr-defined]
    sys.modules |= {"fastai": module, "fastai.learner": module}
    try:
        made = learner()
        made.model = torch.nn.Linear(4, 2)
        torch.save(made, folder / "model.pkl")
    finally:
        for name in ("fastai", "fastai.learner"):
            del sys.modules[name]
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=40.8.0", "wheel", "python=3.9", "fastai=2.7"]\n'
    )
    beside.card(folder, library="fastai")


@kind("custom-modeling-code", "transformers", (1,))
def custom(folder: Path) -> None:
    """A model that needs trust_remote_code: auto_map and modeling_x.py; by policy a finding."""
    classifier(folder, "safetensors")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "tinyvit",
        "auto_map": {
            "AutoConfig": "configuration_tinyvit.TinyViTConfig",
            "AutoModelForImageClassification": "modeling_tinyvit.TinyViT",
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "configuration_tinyvit.py").write_text(
        "from transformers import ViTConfig\n\n\nclass TinyViTConfig(ViTConfig):\n    model_type = 'tinyvit'\n"
    )
    (folder / "modeling_tinyvit.py").write_text(
        "from transformers import ViTForImageClassification\n\n\nclass TinyViT(ViTForImageClassification):\n    pass\n"
    )
