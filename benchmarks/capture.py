"""What activation statistics cost on top of the forward passes that they ride on.

OMP_NUM_THREADS=1 python -m benchmarks.capture --json benchmarks/results/capture.json

Models have random weights; nothing is downloaded. A repeat runs plain forward passes over the images and the same
passes with statistics, right after each other, in turn the one and the other first; overhead is the median over
repeats of their ratio, less 1. ``clock`` is of the wall clock, ``cpu`` of the process's own processor seconds, which
other work on the machine disturbs less. ``noise`` is the same median with plain passes in both places: below it,
nothing was measured. One batch is the worst case: hooks and the final division are paid once a pass.

* features: ``feature_activations``, at the heads' inputs.
* last units: ``unit_activations`` of ``units.last_units``: the last convolution's channels, or hidden units and heads.
* all units: ``unit_activations`` of every group that can be seen, all of them in one pass.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from torch import nn

from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import Classifier, logits_of
from hubclean.nets.cut.activations import feature_activations, unit_activations
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session
from hubclean.nets.trace import recorder, unit_finder, units

IMAGES, CLASSES, SIZE = 16, 10, (3, 224, 224)
TIMM = ("resnet18", "vit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224")
Taken = tuple[float, float]  # seconds of the wall clock, of the processor


def hf_resnet() -> nn.Module:
    """A ResNet of transformers, a fifth of ResNet-18 in width."""
    config = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 2, 2], layer_type="basic", num_labels=CLASSES
    )
    return transformers.ResNetForImageClassification(config)


def made(name: str) -> Checkpoint:
    """The model ``name`` in a checkpoint."""
    torch.manual_seed(0)
    net = hf_resnet() if name == "hf resnet tiny" else timm.create_model(name, num_classes=CLASSES)
    half, labels = (0.5, 0.5, 0.5), tuple(map(str, range(CLASSES)))
    return loading.wrap(
        net.eval(), mean=half, std=half, input_size=SIZE, labels=labels, name=name.split()[0], adapters=()
    )


def groups_of(checkpoint: Checkpoint) -> tuple[tuple[units.UnitGroup, ...], list[units.UnitGroup]]:
    """The last units, and every group that can be seen."""
    assert isinstance(checkpoint.model, Classifier)
    net = checkpoint.model.net
    trace = recorder.record_forward(net, torch.rand(2, *SIZE), logits_of)
    found = unit_finder.find_units(trace, net)
    return units.last_units(found, trace, checkpoint.site), [group for group in found if group.watch or group.point]


@torch.no_grad()
def plain(model: nn.Module, images: ImageSet, session: Session) -> None:
    """The forward passes alone."""
    for batch, _ in images.batches(session.batch_size, session.device):
        model(batch)


def seconds(work: Callable[[], Any]) -> Taken:
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def overhead(base: Callable[[], Any], work: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median of ``work``'s time in ``base``'s, less 1, by both clocks."""
    ratios = []
    for repeat in range(repeats):
        order = (base, work) if repeat % 2 == 0 else (work, base)
        taken = [seconds(part) for part in order]
        before, after = taken if repeat % 2 == 0 else reversed(taken)
        ratios.append([late / early for early, late in zip(before, after, strict=True)])
    clock, cpu = (statistics.median(part) - 1 for part in zip(*ratios, strict=True))
    return {"clock": round(clock, 4), "cpu": round(cpu, 4)}


def measure(name: str, session: Session, images: ImageSet, repeats: int) -> dict[str, Any]:
    """The overheads of one model."""
    checkpoint = made(name)
    (last, groups), model = groups_of(checkpoint), checkpoint.model

    def forward() -> None:
        plain(model, images, session)

    def of(chosen: Any) -> Callable[[], Any]:
        return lambda: unit_activations(model, chosen, images, session, CLASSES)

    cases: dict[str, Callable[[], Any]] = {
        "noise": forward,
        "features": lambda: feature_activations(checkpoint, images, session),
        "last units": of(last),
        "all units": of(groups),
    }
    for work in cases.values():
        work()
    return {
        "forward_seconds": round(statistics.median(seconds(forward)[1] for _ in range(3)), 4),
        "features": checkpoint.site.channels,
        "last": {group.name: group.count for group in last},
        "groups": len(groups),
        "units": sum(group.count for group in groups),
        "overhead": {case: overhead(forward, work, repeats) for case, work in cases.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--models", nargs="*", default=[*TIMM, "hf resnet tiny"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    session = open_session("cpu", batch_size=IMAGES)
    pixels = torch.randint(0, 256, (IMAGES, *SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images, rows = ImageSet(pixels, torch.arange(IMAGES) % CLASSES), {}
    for name in options.models:
        rows[name] = measure(name, session, images, options.repeats)
        print(name, json.dumps(rows[name]), flush=True)
    result = {
        "models": rows,
        "images": IMAGES,
        "batch": IMAGES,
        "size": SIZE,
        "repeats": options.repeats,
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("torch", "timm", "transformers")},
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[2], 1),
        },
        "date": datetime.now(UTC).date().isoformat(),
        "command": "OMP_NUM_THREADS=1 python -m benchmarks.capture --json benchmarks/results/capture.json",
    }
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
