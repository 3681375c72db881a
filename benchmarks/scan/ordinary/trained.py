"""What people push after training: by the Trainer, AutoTrain, accelerate, PEFT, older and newer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import VIT, classifier, clip, labels, net
from benchmarks.scan.ordinary.kinds import kind


class Pictures(torch.utils.data.Dataset[Any]):
    """Eight pictures with labels."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": torch.ones(3, 32, 32) * index / 8, "labels": index % 3}


def trained(folder: Path, *, model: Any = None, checkpoints: bool = False, **options: Any) -> Any:
    """Two steps of the real Trainer; what ``push_to_hub`` would upload."""
    import transformers

    model = model or net("ViTConfig", "ViTForImageClassification", **VIT, **labels())
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    given = {"report_to": ["tensorboard"], "max_steps": 2, "save_steps": 1, "logging_steps": 1, "use_cpu": True}
    given |= {
        "per_device_train_batch_size": 4,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "remove_unused_columns": False,
    }
    work = folder / "vit-finetuned"
    arguments = transformers.TrainingArguments(output_dir=str(work), disable_tqdm=True, **given | options)
    trainer = transformers.Trainer(
        model,
        arguments,
        train_dataset=Pictures(),
        eval_dataset=Pictures(),
        processing_class=processor,
        compute_metrics=lambda found: {"accuracy": 0.5},
    )
    result = trainer.train()
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    trainer.save_metrics("eval", trainer.evaluate())
    trainer.save_state()
    trainer.create_model_card(dataset_tags="imagefolder", tasks="image-classification")
    runs = next(iter(work.glob("runs/*")), None) or next(iter(work.parent.glob("**/events.out.tfevents*"))).parent
    if runs.parent.name == "runs":
        runs.rename(runs.parent / "Mar03_10-11-12_host")
    for checkpoint in sorted(work.glob("checkpoint-*")):
        if checkpoints:
            step = int(checkpoint.name.rpartition("-")[2]) * 500
            torch.save(torch.amp.GradScaler("cpu").state_dict() or {"scale": 65536.0}, checkpoint / "scaler.pt")
            checkpoint.rename(work / f"checkpoint-{step}")
        else:
            shutil.rmtree(checkpoint)
    for place in work.iterdir():
        shutil.move(place, folder / place.name)
    work.rmdir()
    anonymous(folder)
    (folder / ".gitattributes").write_text(beside.GITATTRIBUTES)
    return model


def anonymous(folder: Path) -> None:
    """Event files are named after the machine: give them another name (their bytes hold none)."""
    for place in folder.rglob("events.out.tfevents.*"):
        stamp, number = place.name.split(".")[3], place.name.split(".")[-1]
        place.rename(place.with_name(f"events.out.tfevents.{stamp}.host.{number}.0"))


def to_bin(folder: Path) -> None:
    """model.safetensors as the pytorch_model.bin that the Trainer pushed until 2023."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@kind("trainer-push")
def trainer_push(folder: Path) -> None:
    trained(folder)


@kind("trainer-push-with-checkpoints")
def trainer_checkpoints(folder: Path) -> None:
    trained(folder, checkpoints=True)


@kind("trainer-push-options")
def trainer_options(folder: Path) -> None:
    """Other enums in training_args.bin: schedulers, hub and save strategies, optimizers, mixed precision."""
    trained(
        folder,
        lr_scheduler_type="cosine_with_restarts",
        optim="adafactor",
        hub_strategy="checkpoint",
        save_strategy="steps",
        logging_strategy="steps",
        label_smoothing_factor=0.1,
        warmup_steps=1,
        lr_scheduler_kwargs={"num_cycles": 2},
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
    )


@kind("trainer-push-bin")
def trainer_bin(folder: Path) -> None:
    trained(folder)
    to_bin(folder)


@kind("autotrain")
def autotrain(folder: Path) -> None:
    """AutoTrain Advanced: training_params.json, config, runs, training_args.bin, checkpoints, a README of its own."""
    trained(folder, checkpoints=True)
    params = {
        "data_path": "autotrain-x/autotrain-data",
        "model": "google/vit-base-patch16-224",
        "epochs": 5,
        "lr": 5e-05,
        "token": "*****",
        "push_to_hub": True,
        "repo_id": "someone/autotrain-x",
        "project_name": "autotrain-x",
    }
    (folder / "training_params.json").write_text(json.dumps(params, indent=4))
    (folder / "config.yaml").write_text(
        "task: image-classification\nbase_model: google/vit-base-patch16-224\nimport: false\n"
    )
    beside.card(folder, tag="autotrain", base_model="google/vit-base-patch16-224")
    (folder / "checkpoint-1000" / "README.md").write_text("# checkpoint\n")


@kind("falconsai-nsfw")
def falconsai(folder: Path) -> None:
    """Weights twice, optimizer and scheduler states in the root, a picture and a YOLO-like folder of others."""
    model = classifier(folder, "safetensors bin")
    states(folder, model)
    beside.image(folder / "assets/confusion_matrix.png")
    (folder / "training_args.json").write_text(json.dumps({"lr": 5e-5}))


def states(folder: Path, model: Any) -> None:
    """optimizer.pt, scheduler.pt, rng_state.pth, scaler.pt as a Trainer's checkpoint has them."""
    import random

    import numpy as np

    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(scheduler.state_dict(), folder / "scheduler.pt")
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    torch.save(state, folder / "rng_state.pth")
    torch.save(
        {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 5},
        folder / "scaler.pt",
    )


@kind("huggingpics")
def huggingpics(folder: Path) -> None:
    """nateraw's notebook: pytorch_model.bin, example pictures, runs with hyper parameters."""
    from torch.utils.tensorboard import SummaryWriter

    classifier(folder, "bin")
    for name in ("corgi", "samoyed", "shiba inu"):
        beside.image(folder / f"images/{name.replace(' ', '_')}.jpg")
    place = folder / "runs" / "Jun29_23-10-11_host"
    with SummaryWriter(str(place)) as writer:
        writer.add_scalar("train/loss", 0.5, 1)
        writer.add_text("args", '{"model_type": "vit"}')
        writer.add_histogram("head", torch.ones(4), 1)
        writer.add_image("batch", torch.zeros(3, 8, 8), 1)
    with SummaryWriter(str(place / "1625008211.123456")) as writer:
        writer.add_hparams({"lr": 2e-5, "model": "vit"}, {"accuracy": 0.9})
    anonymous(folder)


@kind("accelerate-states")
def accelerate_states(folder: Path) -> None:
    """``accelerator.save_state``: model.safetensors, optimizer.bin, scheduler.bin, sampler.bin, random_states_0.pkl."""
    from accelerate import Accelerator

    model = classifier(folder, "safetensors")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    accelerator = Accelerator(cpu=True)
    loader = torch.utils.data.DataLoader(Pictures(), batch_size=4, shuffle=True)
    accelerator.prepare(model, optimizer, scheduler, loader)
    accelerator.save_state(str(folder / "step_500"))


@kind("peft-lora", "peft")
def lora(folder: Path) -> None:
    """A LoRA pushed by the Trainer: adapter_model.safetensors, adapter_config.json, training_args.bin, runs."""
    trained(folder, model=adapted(folder), checkpoints=True)
    named_base(folder)


def adapted(folder: Path) -> Any:
    from peft import LoraConfig, get_peft_model

    base = net("ViTConfig", "ViTForImageClassification", **VIT, **labels())
    base.name_or_path = base.config._name_or_path = "google/vit-base-patch16-224-in21k"
    options = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "query", "value"], modules_to_save=["classifier"])
    return get_peft_model(base, options)


def named_base(folder: Path) -> None:
    for place in folder.rglob("adapter_config.json"):
        config = json.loads(place.read_text()) | {"base_model_name_or_path": "google/vit-base-patch16-224-in21k"}
        place.write_text(json.dumps(config, indent=2))


@kind("peft-lora-bin", "peft")
def lora_bin(folder: Path) -> None:
    """The same of 2023: adapter_model.bin."""
    from safetensors.torch import load_file

    adapted(folder).save_pretrained(folder)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    named_base(folder)
    args(folder)
    beside.card(folder, library="peft", base_model="google/vit-base-patch16-224-in21k")


def args(folder: Path) -> None:
    import transformers

    torch.save(transformers.TrainingArguments(output_dir="out", use_cpu=True), folder / "training_args.bin")


@kind("clip-finetuned-lora-beside")
def clip_finetuned(folder: Path) -> None:
    """A fine-tuned CLIP with its adapter in a subfolder, emissions.csv, trainer files."""
    clip(folder)
    for name in ("tf_model.h5", "flax_model.msgpack"):
        (folder / name).unlink()
    (folder / "adapter").mkdir()
    adapted(folder).save_pretrained(folder / "adapter")
    named_base(folder)
    (folder / "emissions.csv").write_text(
        "timestamp,project_name,duration,emissions\n2024-01-01T00:00:00,codecarbon,12.5,0.001\n"
    )
    args(folder)


@kind("trainer-push-with-scripts")
def research(folder: Path) -> None:
    """A thesis repo: Trainer push, train.py, utils.py, requirements.txt, notebook, CSVs, YAML; config names no code."""
    trained(folder)
    (folder / "train.py").write_text(
        "import os\nimport torch\nfrom transformers import Trainer\n\n\ndef main():\n"
        "    os.makedirs('out', exist_ok=True)\n\n\nif __name__ == '__main__':\n    main()\n"
    )
    (folder / "inference.py").write_text(
        "import argparse\nimport torch\nfrom PIL import Image\n\nparser = argparse.ArgumentParser()\n"
    )
    (folder / "requirements.txt").write_text("torch>=2.0\nimageio\ntransformers\nipython\ncsvkit\nos-sys\n")
    (folder / "labels.txt").write_text("cat\ndog\nimport\nostrich\nc\n")
    (folder / "config.yaml").write_text("image_size: 224\nimport: x\nbatch: 32\ncrop: center\n")
    (folder / "train.csv").write_text("image,label\n001.jpg,cat\n002.jpg,dog\n")
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": [],
        "source": ["import os\n", "!nvidia-smi"],
    }
    book = {"cells": [cell], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebook.ipynb").write_text(json.dumps(book, indent=1))
    (folder / ".DS_Store").write_bytes(
        b"\x00\x00\x00\x01Bud1\x00\x00\x10\x00\x00\x00\x08\x00\x00\x00\x10\x00" + bytes(2000)
    )
