"""Backdoored models that other people trained, and a clean one, through the Python API; one JSON line a model.

    python -m benchmarks.shared_models --shared ../shared/data --out benchmarks/results/shared_models.jsonl \
        --models badnet_mnist_patch5 ibau_cifar10_badnets

The nets are no timm or transformers models, so `checkpoints.wrap` takes them, built by the shared folder's `archs.py`.
They have seen their train split: everything here uses the test split, in disjoint parts. `trigger.npz` measures only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.end_to_end import row
from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.pipeline import clean
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Additive, Trigger


def load(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """The net with its published weights, wrapped, and its config."""
    place = folder.parent / "archs.py"
    spec = importlib.util.spec_from_file_location("archs", place)
    assert spec is not None
    assert spec.loader is not None
    archs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(archs)
    net, config = archs.load(folder)
    facts = {key: tuple(config[key]) for key in ("mean", "std", "input_size")}
    labels = tuple(f"class {index}" for index in range(config["num_classes"]))
    return loading.wrap(net, labels=labels, name=folder.name, folder=folder, **facts), config


def planted(folder: Path, config: dict[str, Any]) -> tuple[Trigger | Additive, ...]:
    """The attacker's trigger, with its source class where it has one; its file holds mask and mask * pattern, or no
    mask and what is added."""
    if "backdoor" not in config:
        return ()
    arrays = numpy.load(folder / "trigger.npz")
    mask, pattern = (torch.from_numpy(arrays[key].astype("float32")) for key in ("mask", "pattern"))
    target, sources = config["backdoor"]["target"], config["backdoor"].get("sources", [])
    if not mask.any():
        return (Additive(pattern, target),)
    return (Trigger(mask[:1], pattern, target, sources[0] if len(sources) == 1 else None),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", dest="given", action="append", default=[])
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name in options.models:
        started, folder = time.monotonic(), options.shared / "models" / name
        checkpoint, config = load(folder)
        triggers = planted(folder, config)
        facts = {"architecture": name, "kind": "badnets" if triggers else "clean", "seed": options.seed}
        if triggers:
            facts["target"] = triggers[0].target
        settings = CleanOptions(
            given=tuple(options.given), labels_by="position", sizes=Sizes(500, 500, 3000), planted=triggers
        )
        images = str(options.shared / "images" / config["dataset"])
        with tempfile.TemporaryDirectory() as work:
            result = clean(checkpoint, images, Path(work) / "out", open_session("cpu", options.seed), settings)
        line = row(result.audit, facts, time.monotonic() - started) | {"options": options.given}
        with options.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(name, line["verdict"], line["targets"], flush=True)


if __name__ == "__main__":
    main()
