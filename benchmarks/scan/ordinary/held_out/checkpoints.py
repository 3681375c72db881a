"""Torch files of research code."""

from __future__ import annotations

import argparse
import json
import pickle
import zipfile
from collections import Counter, OrderedDict
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import classifier
from benchmarks.scan.ordinary.held_out.stand_ins import filled, stand_in
from benchmarks.scan.ordinary.kinds import kind
from benchmarks.scan.ordinary.torch_files import timm_net


@kind("timm-train-output-alone", "torch")
def timm_alone(folder: Path) -> None:
    """The output folder of timm's train.py and nothing else: last.pth.tar, model_best.pth.tar, args.yaml."""
    model = timm_net()
    optimizer = torch.optim.AdamW(model.parameters())
    saved = {
        "epoch": 1,
        "arch": "test_resnet",
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "version": 2,
        "args": argparse.Namespace(model="test_resnet", opt_betas=None, mean=(0.5, 0.5), aug_splits=0, local_rank=0),
        "amp_scaler": {"scale": 65536.0},
        "state_dict_ema": OrderedDict(model.state_dict()),
        "metric": np.float64(91.2),
    }
    for name in ("last.pth.tar", "model_best.pth.tar", "checkpoint-1.pth.tar", "recovery-0-99.pth.tar"):
        torch.save(saved, folder / name)
    (folder / "args.yaml").write_text("aa: null\nbatch_size: 128\nmean: !!python/tuple [0.5, 0.5, 0.5]\n")
    (folder / "summary.csv").write_text("epoch,train_loss\n0,6.9\n")


@kind("open-clip-bin-only", "open_clip")
def open_clip_bin(folder: Path) -> None:
    """LAION's of 2022: open_clip_pytorch_model.bin, open_clip_config.json, and transformers' config beside."""
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 600, "width": 32, "heads": 2, "layers": 2}
    import open_clip

    model = open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {"mean": [0.5]}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    beside.clip_tokenizer(folder)
    beside.card(folder, "zero-shot-image-classification", "open_clip")


@kind("open-clip-training-run", "torch")
def open_clip_run(folder: Path) -> None:
    """checkpoints/epoch_32.pt with optimizer and scaler, params.txt, out.log, tensorboard/."""
    (folder / "checkpoints").mkdir()
    net = torch.nn.Linear(4, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    saved = {"epoch": 32, "name": "ViT-B-32", "state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}
    torch.save(saved | {"optimizer": optimizer.state_dict(), "scaler": {}}, folder / "checkpoints/epoch_32.pt")
    (folder / "params.txt").write_text("accum_freq: 1\naug_cfg: {}\nimport: x\n")
    (folder / "out.log").write_text("2023-01-01,00:00:00 | INFO | Running\n")


@kind("openai-clip-jit", "-", (0, 2))
def clip_jit(folder: Path) -> None:
    """ViT-B-32.pt as OpenAI gave it out: a TorchScript archive."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = torch.nn.Conv2d(3, 4, 3)
            self.register_buffer("input_resolution", torch.tensor(224))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found = self.visual(image).flatten(1)
            return found / found.norm(p=2, dim=1, keepdim=True)

    torch.jit.script(Net().eval().half()).save(str(folder / "ViT-B-32.pt"))
    (folder / "bpe_simple_vocab_16e6.txt.gz").write_bytes(__import__("gzip").compress(b"i m\nt h\na n\n", mtime=0))
    beside.card(folder, library="clip")


@kind("detectron2-pkl", "torch", (0,))
def detectron2(folder: Path) -> None:
    """model_final_f10217.pkl: a plain pickle of numpy arrays; YAML with ``_BASE_``; metrics.json by lines."""
    weights = {"backbone.stem.conv1.weight": np.ones((4, 3, 3, 3), "float32"), "roi_heads.bias": np.zeros(2, "float32")}
    with (folder / "model_final_f10217.pkl").open("wb") as file:
        pickle.dump({"model": weights, "__author__": "Detectron2 Model Zoo"}, file, protocol=2)
    torch.save({"model": {key: torch.from_numpy(value) for key, value in weights.items()}}, folder / "model_final.pth")
    (folder / "config.yaml").write_text('_BASE_: "../Base-RCNN-FPN.yaml"\nMODEL:\n  WEIGHTS: "detectron2://x.pkl"\n')
    (folder / "metrics.json").write_text('{"iteration": 19, "loss": 1.2}\n{"iteration": 39, "loss": 1.1}\n')
    (folder / "last_checkpoint").write_text("model_final.pth")
    beside.card(folder, "object-detection", "detectron2")


@kind("mmpretrain-checkpoint", "torch", (1,))
def mmpretrain(folder: Path) -> None:
    """OpenMMLab with its message hub: classes of mmengine, so a finding by policy."""
    with ExitStack() as stack:
        history = stack.enter_context(stand_in("mmengine.logging.history_buffer.HistoryBuffer"))
        hub = {"log_scalars": {"train/loss": filled(history, _log_history=np.ones(3), _max_length=1000000)}}
        meta = {"cfg": "model = dict(type='ImageClassifier')\n", "epoch": 1, "time": "20240101", "iter": 10}
        net = torch.nn.Linear(4, 2)
        torch.save({"meta": meta, "state_dict": net.state_dict(), "message_hub": hub}, folder / "epoch_1.pth")
    (folder / "vit_base.py").write_text("_base_ = ['../_base_/models/vit.py']\nmodel = dict(type='ImageClassifier')\n")
    beside.card(folder, library="mmpretrain")


@kind("mmpretrain-published", "torch")
def mm_published(folder: Path) -> None:
    """The same published: state_dict and meta alone, name with a hash."""
    net = torch.nn.Linear(4, 2)
    meta = {"cfg": "model = dict(type='X')\n", "mmcls_version": "0.1", "CLASSES": ("cat", "dog"), "hook_msgs": {}}
    torch.save({"meta": meta, "state_dict": net.state_dict()}, folder / "resnet18_8xb32_in1k_20210831-fbbb1da6.pth")
    (folder / "resnet18.py").write_text("_base_ = ['../_base_/default_runtime.py']\nimport os\n")
    (folder / "metafile.yml").write_text("Collections:\n  - Name: ResNet\n    Metadata:\n      Training Data: X\n")


@kind("model-pt-and-yaml", "torch")
def pt_and_yaml(folder: Path) -> None:
    """model.pt, config.yaml with ``_target_``, labels.txt, norm.npz, a Namespace in a JSON config."""
    torch.save({"weights": timm_net().state_dict(), "seen": Counter({"cat": 3}), "when": None}, folder / "model.pt")
    (folder / "config.yaml").write_text("model:\n  _target_: src.models.Net\n  classes: 3\ndata:\n  root: ../data\n")
    (folder / "labels.txt").write_text("cat\ndog\nimport os\n")
    np.savez(folder / "norm.npz", mean=np.ones(3), std=np.ones(3))
    (folder / "config.json").write_text(json.dumps({"net": "resnet", "_target_": "src.models.Net", "img_size": 224}))
    beside.card(folder, library="pytorch")


@kind("monai-bundle", "torch")
def monai(folder: Path) -> None:
    """configs/ with ``_target_`` and ``$`` expressions, models/model.pt and model.ts, docs/, LICENSE."""
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir()
    torch.save(timm_net().state_dict(), folder / "models/model.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "models/model.ts"))
    text = {
        "imports": ["$import glob", "$import os"],
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": "DenseNet121", "spatial_dims": 2},
        "checkpoint": "$@bundle_root + '/models/model.pt'",
        "run": ["$@evaluator.run()"],
    }
    (folder / "configs/inference.json").write_text(json.dumps(text, indent=2))
    (folder / "configs/metadata.json").write_text(json.dumps({"monai_version": "1.3", "network_data_format": {}}))
    (folder / "configs/logging.conf").write_text("[loggers]\nkeys=root\n[handler_x]\nargs=(sys.stdout,)\n")
    (folder / "docs" / "README.md").write_text("# Bundle\n")
    (folder / "LICENSE").write_text("Apache License\n")


@kind("skorch-and-ignite", "torch")
def skorch(folder: Path) -> None:
    """params.pt, optimizer.pt, criterion.pt, history.json; best_model_1_accuracy=0.9000.pt; fold weights."""
    net = timm_net()
    torch.save(net.state_dict(), folder / "params.pt")
    torch.save(torch.optim.SGD(net.parameters(), 0.1).state_dict(), folder / "optimizer.pt")
    torch.save(OrderedDict(), folder / "criterion.pt")
    (folder / "history.json").write_text('[{"epoch": 1, "train_loss": 0.5, "batches": []}]')
    torch.save(net.state_dict(), folder / "best_model_1_accuracy=0.9000.pt")
    for fold in range(3):
        torch.save({"model": net.state_dict(), "preds": np.ones((2, 3)), "best_score": 0.9}, folder / f"f{fold}.pth")
    (folder / "oof_df.csv").write_text("id,pred\n1,0.5\n")


@kind("quantized-and-sparse-tensors", "torch")
def odd_tensors(folder: Path) -> None:
    """Quantized, sparse, complex and float8 tensors, sizes, dtypes, devices, generators' states."""
    state = {
        "q": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8),
        "qc": torch.quantize_per_channel(torch.ones(4, 2), torch.ones(4), torch.zeros(4), 0, torch.quint8),
        "sparse": torch.eye(3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "complex": torch.ones(2, dtype=torch.complex64),
        "f8": torch.ones(2).to(torch.float8_e4m3fn),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "buffer": torch.nn.Buffer(torch.ones(2)),
    }
    other = {"size": torch.Size([1, 2]), "dtype": torch.float16, "device": torch.device("cuda:1"), "seen": {1, 2}}
    other |= {"layout": torch.strided, "mean": np.float32(0.5), "array": np.arange(3), "bytes": b"x", "z": 1j}
    torch.save({"state_dict": state, **other}, folder / "model.pt")
    beside.card(folder, library="pytorch")


@kind("lightning-1-checkpoint", "torch")
def lightning_one(folder: Path) -> None:
    """pytorch-lightning 1.x: callbacks keyed by classes, AttributeDict of hyper parameters; v1-inference.yaml."""
    with ExitStack() as stack:
        saver = stack.enter_context(stand_in("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"))
        given = stack.enter_context(stand_in("pytorch_lightning.utilities.parsing.AttributeDict", dict))
        saved = {
            "epoch": 3,
            "global_step": 100,
            "pytorch-lightning_version": "1.4.2",
            "state_dict": timm_net().state_dict(),
            "callbacks": {saver: {"monitor": "val/loss", "best_model_score": torch.tensor(0.1)}},
            "optimizer_states": [{"state": {}, "param_groups": []}],
            "lr_schedulers": [{"last_epoch": 1, "lr_lambdas": [None]}],
            "hyper_parameters": given(lr=0.1, model="resnet"),
        }
        torch.save(saved, folder / "epoch=3-val_acc=0.91.ckpt")
        torch.save(saved, folder / "last.ckpt", _use_new_zipfile_serialization=False)


@kind("weights-inside-zips")
def zipped(folder: Path) -> None:
    """A classifier, and craft_mlt_25k.zip as EasyOCR gives it out: a .pth inside a zip; model.tar.gz of SageMaker."""
    import io
    import tarfile

    classifier(folder, "safetensors")
    body = io.BytesIO()
    torch.save(timm_net().state_dict(), body)
    with zipfile.ZipFile(folder / "craft_mlt_25k.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("craft_mlt_25k.pth", body.getvalue())
        archive.writestr(
            "__MACOSX/._craft_mlt_25k.pth", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(82)
        )
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name, data in (
            ("./pytorch_model.bin", body.getvalue()),
            ("./code/inference.py", b"import os\nimport torch\n"),
            ("./code/requirements.txt", b"torch\n"),
            ("./config.json", b"{}"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@kind("fastai-learn-save", "torch")
def fastai_weights(folder: Path) -> None:
    """``learn.save(..., with_opt=False)``: models/stage-1.pth, a state dict; a CSV of history; a notebook."""
    (folder / "models").mkdir()
    torch.save(timm_net().state_dict(), folder / "models/stage-1.pth")
    (folder / "history.csv").write_text("epoch,train_loss,valid_loss,time\n0,0.5,0.4,00:10\n")
    (folder / "vocab.txt").write_text("cat\ndog\n")
    (folder / "train.ipynb").write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@kind("export-archive", "-", (0, 2))
def pt2(folder: Path) -> None:
    """model.pt2 of torch.export, by torch itself."""
    program = torch.export.export(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (torch.ones(1, 4),))
    torch.export.save(program, str(folder / "model.pt2"))
    beside.card(folder, library="pytorch")


@kind("export-archive-beside")
def pt2_beside(folder: Path) -> None:
    classifier(folder, "safetensors")
    program = torch.export.export(torch.nn.Conv2d(3, 4, 3), (torch.ones(1, 3, 8, 8),))
    torch.export.save(program, str(folder / "model.pt2"))
    torch.jit.script(torch.nn.Linear(4, 2))._save_for_lite_interpreter(str(folder / "model.ptl"))
