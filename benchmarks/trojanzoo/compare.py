"""Neural Cleanse and Fine-Pruning of trojanzoo against ours, on one backdoored checkpoint, in one run.

    python -m benchmarks.trojanzoo.compare --shared ../shared/data --seeds 1 --out benchmarks/results/trojanzoo.json

The checkpoint is the MNIST BadNets CNN of the shared data (other people's training); 500 fit, 500 val, 3,000 test
images of the test split. The planted trigger measures only. Each Neural Cleanse has one seed and the same images and
steps, its own rules and constants; trojanzoo besides with its default of 10 epochs over the images. Both Fine-Prunings
fine-tune 10 epochs by SGD 0.01. What of trojanzoo is its own code and what stands in: `peer.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.shared_models import load, planted
from benchmarks.trojanzoo import peer
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.nets import datasets
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.preprocessing import preprocessing
from hubclean.nets.datasets import Sizes
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import anomaly_index, attack_rates, clean_accuracy
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Trigger


def ours_detects(checkpoint: Checkpoint, data: DefenseData, seed: int) -> dict[str, Any]:
    """One seed of ours with the short schedule, all labels; nothing but the inversion and its index."""
    started = time.perf_counter()
    detector = NeuralCleanse(seeds=1, schedule="short", all_to_all=False)
    report = detector.detect(checkpoint, data, open_session("cpu", seed)).report
    smallest = min(report.scores, key=lambda score: score.norm)
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "smallest": smallest.label,
        "index": round(smallest.index, 2),
        "log_index": round(smallest.log_index, 2),
        "norm": round(smallest.norm, 1),
        "held_out_asr": round(smallest.asr.value, 4),
        "verdict": report.verdict,
        "passes": report.forward_backwards,
    }


def peer_detects(
    checkpoint: Checkpoint, data: DefenseData, session: Session, epochs: int, batches: int, size: int, seed: int
) -> dict[str, Any]:
    """trojanzoo's, and the same index over its norms."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        started = time.perf_counter()
        cleanse = peer.neural_cleanse(checkpoint.model, data.fit, epochs, batches, size)
        marks = peer.invert_all(cleanse, range(len(checkpoint.labels)))
        seconds = time.perf_counter() - started
    norms = marks[:, -1].sum((1, 2)).tolist()
    label = min(range(len(norms)), key=norms.__getitem__)
    trigger = Trigger(marks[label, -1:], marks[label, :-1], label)
    success, _ = attack_rates(checkpoint.model, data.val, trigger, len(norms), session)
    return {
        "seconds": round(seconds, 1),
        "smallest": label,
        "index": round(anomaly_index(norms)[label], 2),
        "norm": round(norms[label], 1),
        "held_out_asr": round(success.value, 4),
    }


def rates(checkpoint: Checkpoint, test: ImageSet, trigger: Trigger, session: Session) -> dict[str, float]:
    asr, _ = attack_rates(checkpoint.model, test, trigger, len(checkpoint.labels), session)
    return {
        "clean_accuracy": round(clean_accuracy(checkpoint.model, test, session).value, 4),
        "asr": round(asr.value, 4),
    }


def prunes(
    checkpoint: Checkpoint, data: DefenseData, test: ImageSet, trigger: Trigger, session: Session
) -> dict[str, Any]:
    """Both Fine-Prunings, measured on test with the planted trigger after pruning and after fine-tuning."""
    started = time.perf_counter()
    done = FinePruning(site="conv").cleanse(checkpoint, data, (), session)
    rows: dict[str, Any] = {"hubclean": {"seconds": round(time.perf_counter() - started, 1), "cut": done.cut}}
    rows["hubclean"] |= {stage.name: rates(stage.checkpoint, test, trigger, session) for stage in done.stages}
    theirs, stages = checkpoint.copy(), {}

    def tune() -> None:
        stages["pruned"] = rates(theirs, test, trigger, session)
        train(theirs.model, data.fit, Schedule(10, 0.01), session, "peer")

    def accuracy() -> float:
        return 100 * clean_accuracy(theirs.model, data.val, session).value

    started = time.perf_counter()
    pool = next(module for module in theirs.model.modules() if isinstance(module, torch.nn.AvgPool2d))
    pruning = peer.fine_pruning(theirs.model, pool, data.val, accuracy, tune)
    peer.quietly(pruning.prune)
    seconds = time.perf_counter() - started
    stages["fine-tuned"] = rates(theirs, test, trigger, session)
    cut = int((pruning.last_conv.weight_mask.flatten(1).sum(1) == 0).sum())
    return rows | {"trojanzoo": {"seconds": round(seconds, 1), "cut": cut} | stages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="badnet_mnist_patch5")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint, config = load(options.shared / "models" / options.model)
    session = open_session("cpu", 0)
    prepare = preprocessing(checkpoint.folder, checkpoint.facts)
    source = str(options.shared / "images" / config["dataset"])
    splits = datasets.load_images(source, checkpoint.labels, prepare, session, None, Sizes(500, 500, 3000))
    data, (trigger,) = splits.defense, planted(options.shared / "models" / options.model, config)
    result: dict[str, Any] = {
        "model": options.model,
        "target": trigger.target,
        "before": rates(checkpoint, splits.test, trigger, session),
        "neural_cleanse": [],
        "torch": torch.__version__,
    }
    for seed in range(options.seeds):
        result["neural_cleanse"] += [
            {"of": "hubclean, 150 steps of 8 x 16", "seed": seed} | ours_detects(checkpoint, data, seed),
            {"of": "trojanzoo, 150 epochs of 8 x 16", "seed": seed}
            | peer_detects(checkpoint, data, session, 150, 8, 16, seed),
            {"of": "trojanzoo, its default: 10 epochs of all images, 100 a batch", "seed": seed}
            | peer_detects(checkpoint, data, session, 10, 0, 100, seed),
        ]
    result["fine_pruning"] = prunes(checkpoint, data, splits.test, trigger, session)
    result["load"] = round(os.getloadavg()[0], 1)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
