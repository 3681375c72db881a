"""States of trainings: every checkpoint, DeepSpeed, FSDP, accelerate, TRL, Trainers of years ago."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from contextlib import ExitStack
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import classifier
from benchmarks.scan.ordinary.held_out.stand_ins import filled, stand_in
from benchmarks.scan.ordinary.kinds import kind
from benchmarks.scan.ordinary.trained import states, trained

OLD = "HUBCLEAN_OLD_TRANSFORMERS"  # folders of wheels' contents, ``4.30.2/transformers/``


@kind("every-checkpoint-and-last")
def every_checkpoint(folder: Path) -> None:
    """``hub_strategy="all_checkpoints"``: checkpoint-*/ whole, last-checkpoint/ too, nothing removed."""
    trained(folder, checkpoints=True, hub_strategy="all_checkpoints", lr_scheduler_type="linear")
    (folder / "last-checkpoint").mkdir()
    for place in (folder / "checkpoint-1000").iterdir():
        (folder / "last-checkpoint" / place.name).write_bytes(place.read_bytes())


@kind("deepspeed-zero")
def deepspeed(folder: Path) -> None:
    """checkpoint-100/global_step100/*.pt with DeepSpeed's own classes, latest, zero_to_fp32.py, ds_config.json."""
    model = classifier(folder, "safetensors")
    place = folder / "checkpoint-100" / "global_step100"
    place.mkdir(parents=True)
    shapes = {name: value.shape for name, value in model.named_parameters()}
    config = {"train_batch_size": 8, "zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}}
    with ExitStack() as stack:
        loss_scaler = stack.enter_context(stand_in("deepspeed.runtime.fp16.loss_scaler.LossScaler"))
        fragment = stack.enter_context(stand_in("deepspeed.utils.tensor_fragment.fragment_address"))
        stage = IntEnum("ZeroStageEnum", {"gradients": 2}, module="deepspeed.runtime.zero.config")
        stack.enter_context(stand_in("deepspeed.runtime.zero.config.Held"))
        sys.modules["deepspeed.runtime.zero.config"].ZeroStageEnum = stage  # type: ignore[attr-defined]
        torch.save(
            {
                "module": model.state_dict(),
                "buffer_names": [],
                "optimizer": None,
                "param_shapes": [shapes],
                "frozen_param_shapes": None,
                "shared_params": {},
                "lr_scheduler": {"base_lrs": [5e-5], "last_epoch": 100, "verbose": False},
                "sparse_tensor_module_names": set(),
                "global_steps": 100,
                "ds_config": config,
                "ds_version": "0.12.6",
            },
            place / "mp_rank_00_model_states.pt",
        )
        inner = {
            "loss_scaler": filled(loss_scaler, cur_scale=1.0, dynamic=False),
            "zero_stage": stage.gradients,
            "param_slice_mappings": [{"classifier.weight": filled(fragment, numel=72, start=0)}],
            "base_optimizer_state": {"state": {0: {"step": 100, "exp_avg": torch.ones(8)}}, "param_groups": []},
            "single_partition_of_fp32_groups": [torch.ones(72)],
            "group_paddings": [0],
            "partition_count": [1],
            "overflow": False,
        }
        torch.save(
            {"optimizer_state_dict": inner, "ds_config": config, "ds_version": "0.12.6"},
            place / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
        )
    above = place.parent
    (above / "latest").write_text("global_step100")
    states(above, model)
    (above / "rng_state.pth").rename(above / "rng_state_0.pth")
    (above / "zero_to_fp32.py").write_text("#!/usr/bin/env python\nimport argparse\nimport torch\nimport glob\n")
    (folder / "ds_config.json").write_text(json.dumps(config))


@kind("fsdp-distcp")
def fsdp(folder: Path) -> None:
    """FSDP's sharded state: pytorch_model_fsdp_0/__0_0.distcp and .metadata, optimizer_0/, by torch itself."""
    import torch.distributed.checkpoint as dcp

    model = classifier(folder, "safetensors")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(torch.ones(1, 3, 32, 32)).logits.sum().backward()
    optimizer.step()
    at = folder / "checkpoint-50"
    dcp.save({"model": model.state_dict()}, checkpoint_id=str(at / "pytorch_model_fsdp_0"), no_dist=True)
    dcp.save({"optimizer": optimizer.state_dict()}, checkpoint_id=str(at / "optimizer_0"), no_dist=True)
    (at / "trainer_state.json").write_text(json.dumps({"epoch": 1.0, "global_step": 50, "log_history": []}))


@kind("accelerate-custom-objects")
def accelerate_custom(folder: Path) -> None:
    """``register_for_checkpointing``: custom_checkpoint_0.pkl, sampler.bin, random_states_*.pkl of two processes."""
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    model = classifier(folder, "safetensors")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
    averages = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2))
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    accelerator.register_for_checkpointing(averages)
    accelerator.register_for_checkpointing(torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer))
    place = folder / "checkpoints" / "checkpoint_0"
    accelerator.save_state(str(place), safe_serialization=False)
    (place / "random_states_1.pkl").write_bytes((place / "random_states_0.pkl").read_bytes())


@kind("schedulers-of-all-sorts", "torch")
def schedulers(folder: Path) -> None:
    """torchvision's reference training: model, optimizer, nested schedulers, scaler, EMA, args; one file an epoch."""
    import argparse

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())
    optimizer = torch.optim.RMSprop(net.parameters(), lr=0.1, momentum=0.9)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=5)
    main = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60, 90])
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, main], [5])
    for epoch in (0, 1):
        saved = {
            "model": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": both.state_dict(),
            "model_ema": torch.optim.swa_utils.AveragedModel(net).state_dict(),
            "epoch": epoch,
            "args": argparse.Namespace(data_path="/datasets01/imagenet", device="cuda", world_size=8, output_dir="."),
            "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        }
        torch.save(saved, folder / f"model_{epoch}.pth")
    torch.save(saved, folder / "checkpoint.pth")
    beside.card(folder, library="pytorch")


@kind("trl-vision-sft")
def trl(folder: Path) -> None:
    """A vision-language model tuned by TRL: training_args.bin of SFTConfig with accelerate's state inside."""
    model = classifier(folder, "safetensors")
    old_arguments(folder / "training_args.bin", "trl.trainer.sft_config.SFTConfig", max_seq_length=1024, packing=False)
    states(folder, model)
    (folder / "runs/Jan01_00-00-00_node").mkdir(parents=True)
    (folder / "training_loss.png").write_bytes(b"")
    beside.image(folder / "training_loss.png")


def old_arguments(place: Path, path: str = "transformers.training_args.TrainingArguments", **more: Any) -> None:
    """training_args.bin as transformers 4.3x wrote it: enums, a device, accelerate's PartialState, its config."""
    accelerate = Enum("DistributedType", {"NO": "NO"}, module="accelerate.utils.dataclasses")
    strategy = Enum("IntervalStrategy", {"STEPS": "steps"}, module="transformers.trainer_utils")
    with ExitStack() as stack:
        stack.enter_context(stand_in("accelerate.utils.dataclasses.Held"))
        sys.modules["accelerate.utils.dataclasses"].DistributedType = accelerate  # type: ignore[attr-defined]
        state = stack.enter_context(stand_in("accelerate.state.PartialState"))
        own = stack.enter_context(stand_in("transformers.trainer_pt_utils.AcceleratorConfig"))
        stack.enter_context(stand_in("transformers.trainer_utils.Held"))
        sys.modules["transformers.trainer_utils"].IntervalStrategy = strategy  # type: ignore[attr-defined]
        arguments = stack.enter_context(stand_in(path))
        partial = filled(
            state,
            _cpu=False,
            backend=None,
            device=torch.device("cuda", 0),
            debug=False,
            distributed_type=accelerate.NO,
            num_processes=1,
            process_index=0,
            fork_launched=False,
        )
        value = filled(
            arguments,
            output_dir="out",
            evaluation_strategy=strategy.STEPS,
            distributed_state=partial,
            accelerator_config=filled(own, split_batches=False, dispatch_batches=None),
            _n_gpu=1,
            label_names=None,
            report_to=["tensorboard"],
            lr_scheduler_kwargs={},
            **more,
        )
        torch.save(value, place)


@kind("trainer-pushes-of-four-years")
def old_trainers(folder: Path) -> None:
    """training_args.bin of transformers 4.26 to 4.57, by those versions if they are there, one a folder."""
    classifier(folder, "bin")
    old_arguments(folder / "training_args.bin")
    for place in sorted(Path(os.environ.get(OLD, "/nowhere")).glob("*/transformers")):
        target = folder / "runs" / place.parent.name / "training_args.bin"
        target.parent.mkdir(parents=True)
        code = (
            "import sys, torch; from transformers import TrainingArguments as A; "
            "torch.save(A(output_dir='out', lr_scheduler_type='cosine', evaluation_strategy='epoch') if 'eval_strategy'"
            " not in A.__dataclass_fields__ else A(output_dir='out', eval_strategy='epoch'), sys.argv[1])"
        )
        path = os.pathsep.join([str(place.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        done = subprocess.run(
            [sys.executable, "-c", code, str(target)], env={**os.environ, "PYTHONPATH": path}, capture_output=True
        )
        if done.returncode:
            print(place, done.stderr.decode()[-300:], file=sys.stderr)
            target.parent.rmdir()


@kind("own-training-arguments")
def own_arguments(folder: Path) -> None:
    """A script's own subclass of TrainingArguments: ``__main__.MyTrainingArguments`` in training_args.bin."""
    classifier(folder, "safetensors")
    main = sys.modules["__main__"]
    made = type("MyTrainingArguments", (), {"__module__": "__main__"})
    main.MyTrainingArguments = made  # type: ignore[attr-defined]
    torch.save(filled(made, output_dir="out", lr=1e-4), folder / "training_args.bin")


@kind("autotrain-2022")
def autotrain_old(folder: Path) -> None:
    """AutoTrain of 2022: sample_input.pkl is a plain pickle of tensors."""
    classifier(folder, "bin")
    with (folder / "sample_input.pkl").open("wb") as file:
        pickle.dump({"pixel_values": torch.ones(1, 3, 8, 8)}, file)
    (folder / "model_config.json").write_text("{}")
    beside.card(folder, co2_eq_emissions={"emissions": 1.2}, tags=["autotrain", "vision"])


@kind("optimizers-of-all-sorts")
def optimizers(folder: Path) -> None:
    """States of Adafactor, LBFGS, SGD, 8-bit Adam and a fused one in checkpoint folders and under other names."""
    model = classifier(folder, "safetensors")
    for number, name in enumerate(("Adam", "LBFGS", "SGD", "NAdam", "Adagrad")):
        given = torch.nn.Linear(3, 2)
        optimizer = getattr(torch.optim, name)(given.parameters(), lr=0.1)

        def closure(given: Any = given) -> Any:
            loss = given(torch.ones(1, 3)).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        at = folder / f"checkpoint-{number + 1}00"
        at.mkdir()
        torch.save(optimizer.state_dict(), at / "optimizer.pt")
        (at / "trainer_state.json").write_text("{}")
        torch.save(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10).state_dict(), at / "scheduler.pt")
    states8 = {"state": {0: {"state1": torch.ones(8, dtype=torch.uint8), "qmap1": torch.ones(256)}}, "param_groups": []}
    torch.save(states8, folder / "optimizer_8bit.pt")
    torch.save(model.state_dict(), folder / "ema.pt")


@kind("hugging-face-jobs-logs")
def mlflow_and_wandb(folder: Path) -> None:
    """wandb/, mlruns/, lightning_logs/, .hydra/, outputs/, slurm and nohup logs, a profile of TensorBoard."""
    import gzip

    classifier(folder, "safetensors")
    run = folder / "wandb" / "run-20240101_101112-abcd1234"
    (run / "files/media/images").mkdir(parents=True)
    (run / "logs").mkdir()
    (run / "files/config.yaml").write_text("wandb_version: 1\nlr:\n  desc: null\n  value: 0.1\n_wandb:\n  value: {}\n")
    (run / "files/wandb-metadata.json").write_text(json.dumps({"os": "Linux", "python": "3.10", "program": "train.py"}))
    (run / "files/requirements.txt").write_text("torch==2.1.0\nos\n")
    (run / "files/output.log").write_text("\x1b[34m\x1b[1mwandb\x1b[0m: import\r\n 10%|\u2588 | 1/10\n")
    beside.image(run / "files/media/images/x_1_abc.png")
    (run / "logs/debug-internal.log").write_text("2024-01-01 INFO    MainThread\n")
    (run / "run-abcd1234.wandb").write_bytes(b":W&B\x8d\xbe\x00" + bytes(range(256)) * 4)
    ml = folder / "mlruns" / "0" / "0123456789abcdef0123456789abcdef"
    for part, name, text in (
        ("metrics", "loss", "1700000000000 0.5 1\n1700000001000 0.4 2\n"),
        ("params", "lr", "0.1"),
        ("tags", "mlflow.user", "someone"),
        ("artifacts/model", "MLmodel", "artifact_path: model\nflavors:\n  pytorch:\n    model_data: data\n"),
        (
            "artifacts/model",
            "conda.yaml",
            "channels:\n- conda-forge\ndependencies:\n- python=3.10\n- pip:\n  - torch\n",
        ),
        ("artifacts/model", "python_env.yaml", "python: 3.10.1\n"),
    ):
        (ml / part).mkdir(parents=True, exist_ok=True)
        (ml / part / name).write_text(text)
    (ml / "meta.yaml").write_text("artifact_uri: file:///home/x/mlruns/0/abc/artifacts\nend_time: 1\n")
    (folder / "lightning_logs/version_0").mkdir(parents=True)
    (folder / "lightning_logs/version_0/hparams.yaml").write_text(
        "lr: 0.1\nmodel: !!python/object:argparse.Namespace\n  x: 1\n"
    )
    (folder / "outputs/.hydra").mkdir(parents=True)
    (folder / "outputs/.hydra/config.yaml").write_text(
        "model:\n  _target_: torchvision.models.resnet18\n  num_classes: 3\ntrainer:\n  _target_: lightning.Trainer\n"
    )
    (folder / "outputs/.hydra/overrides.yaml").write_text("- model=resnet18\n")
    profile = folder / "runs/x/plugins/profile/2024_01_01"
    profile.mkdir(parents=True)
    (profile / "host.xplane.pb").write_bytes(b"\x0a\x20\x08\x01\x12\x0a/host:CPU\x001\x1a\x10" + bytes(range(16)))
    (profile / "host.trace.json.gz").write_bytes(gzip.compress(b'{"traceEvents": []}', mtime=0))
    (folder / "slurm-1234.out").write_text("srun: job 1234\nc\nI\nimport x\n")
    (folder / "slurm-1234.err").write_text("")
    (folder / "nohup.out").write_text("Epoch 1: 100%|\u2588\u2588| 10/10\n")
