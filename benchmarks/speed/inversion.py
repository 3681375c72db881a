"""Seconds a label of trigger inversion: ours, one label at a time, trojanzoo's; and growth with the number of labels.

    python -m benchmarks.speed.inversion --out benchmarks/results/inversion_speed.json

Same net, same images, same number of optimisation steps, one thread, interleaved repeats in one run; ratios are medians
over the repeats. Weights and images are random: neither changes the work of a step. `floor` is the bare forward and
backward pass to the images, in batches of the same size. trojanzoo runs where it is installed (`trojanzoo/peer.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.trojanzoo import peer
from hubclean.methods.inversion.invert import InversionSchedule
from hubclean.methods.inversion.label_scheduler import Setting, labels_that_fit
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import open_session


def cnn(labels: int) -> nn.Module:
    """BadNets' net for 28 x 28 grey images: two convolutions, two dense layers."""
    layers = [nn.Conv2d(1, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, labels))


def vgg(labels: int) -> nn.Module:
    """A small VGG for 32 x 32 colour images: three pairs of convolutions with BatchNorm."""
    layers: list[nn.Module] = []
    before = 3
    for width in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, labels))


NETS: dict[str, tuple[Callable[[int], nn.Module], tuple[int, int, int]]] = {
    "cnn": (cnn, (1, 28, 28)),
    "vgg": (vgg, (3, 32, 32)),
}


def setting(name: str, labels: int, schedule: InversionSchedule, at_once: int = 0) -> Setting:
    """A net of random weights with random images."""
    make, shape = NETS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make(labels).eval().requires_grad_(False)
        pixels = torch.randint(0, 256, (200, *shape), dtype=torch.uint8)
    images, session = ImageSet(pixels, torch.zeros(200, dtype=torch.int64)), open_session("cpu")
    size = at_once or labels_that_fit(model, images, schedule, session)
    names = tuple(str(label) for label in range(labels))
    return Setting(model, DefenseData(images, images), names, schedule, session, size)


def one_at_a_time(model: nn.Module, images: ImageSet, label: int, schedule: InversionSchedule) -> Tensor:
    """The loop most code has: autograd through mask and pattern, torch's Adam, averages read back at every batch."""
    shape = images.pixels.shape[1:]
    mask, pattern = torch.randn(1, *shape[1:], requires_grad=True), torch.randn(shape, requires_grad=True)
    adam = torch.optim.Adam([mask, pattern], lr=schedule.rate, betas=(0.5, 0.9))
    wanted, cost, up, down, best = torch.full((schedule.batch_size,), label), 0.0, 0, 0, float("inf")
    kept = torch.ones(shape[1:])
    for _ in range(schedule.steps):
        hits = norms = 0.0
        for _ in range(schedule.batches):
            batch = images.images(torch.randperm(len(images))[: schedule.batch_size])
            m, d = torch.tanh(mask) / 2 + 0.5, torch.tanh(pattern) / 2 + 0.5
            logits = model((1 - m) * batch + m * d)
            loss = functional.cross_entropy(logits, wanted) + cost * m.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            hits += (logits.argmax(1) == wanted).float().mean().item() / schedule.batches
            norms += m.sum().item() / schedule.batches
        good = hits >= schedule.success
        if good and norms < best:
            best, kept = norms, m.detach().clone()
        up, down = (up + 1, 0) if good else (0, down + 1)
        if up >= schedule.patience:
            cost, up = (cost * schedule.factor) or schedule.first_lambda, 0
        elif down >= schedule.patience:
            cost, down = cost / schedule.factor**1.5, 0
    return kept


def floor(work: Setting, labels: int) -> None:
    """Forward and backward passes alone, as many and in the same batches."""
    shape, schedule = work.data.fit.pixels.shape[1:], work.schedule
    for start in range(0, labels, work.at_once):
        count = min(work.at_once, labels - start)
        batch = torch.rand(count * schedule.batch_size, *shape).contiguous(memory_format=torch.channels_last)
        for _ in range(schedule.steps * schedule.batches):
            batch.requires_grad_()
            torch.autograd.grad(work.model(batch).sum(), batch)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, labels: int, schedule: InversionSchedule, repeats: int) -> dict[str, Any]:
    """Seconds a label of each way, and how many times slower than ours it is (median of the repeats, and range)."""
    work, missing = setting(name, labels, schedule), peer.available()
    images = work.data.fit
    ways: dict[str, Callable[[], Any]] = {
        "hubclean": lambda: work.invert(images, list(range(labels)), 0),
        "floor": lambda: floor(work, labels),
        "one label at a time": lambda: [one_at_a_time(work.model, images, t, schedule) for t in range(labels)],
    }
    if not missing:
        cleanse = peer.neural_cleanse(work.model, images, schedule.steps, schedule.batches, schedule.batch_size)
        ways["trojanzoo"] = lambda: peer.invert_all(cleanse, range(labels))
    rows: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats):
        order = list(ways) if repeat % 2 == 0 else list(reversed(ways))
        for way in order:
            rows[way].append(_seconds(ways[way]) / labels)
    ratios = {way: [one / ours for one, ours in zip(rows[way], rows["hubclean"], strict=True)] for way in ways}
    return {
        "net": name,
        "labels": labels,
        "at_once": work.at_once,
        "seconds_a_label": {way: round(statistics.median(values), 4) for way, values in rows.items()},
        "times_ours": {way: [round(f(values), 2) for f in (min, statistics.median, max)]
                       for way, values in ratios.items()},
        "trojanzoo_missing": missing,
    }  # fmt: skip


def growth(counts: list[int], schedule: InversionSchedule, repeats: int) -> list[dict[str, Any]]:
    """Seconds a label for nets with so many outputs, and the floor's share of it."""
    works = {count: setting("cnn", count, schedule) for count in counts}
    rows: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in range(repeats):
        for count, work in works.items():
            ours = _seconds(lambda work=work, count=count: work.invert(work.data.fit, list(range(count)), 0))
            bare = _seconds(lambda work=work, count=count: floor(work, count))
            rows[count].append((ours / count, bare / ours))
    return [
        {
            "labels": count,
            "at_once": works[count].at_once,
            "seconds_a_label": round(statistics.median(one for one, _ in rows[count]), 5),
            "floor_share": round(statistics.median(share for _, share in rows[count]), 3),
        }
        for count in counts
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 43, 100, 1000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    schedule = InversionSchedule(options.steps, options.batches, options.batch_size)
    few = InversionSchedule(2, 2, options.batch_size)
    result = {
        "schedule": {"steps": options.steps, "batches": options.batches, "batch_size": options.batch_size},
        "compare": [compare("cnn", 10, schedule, options.repeats), compare("vgg", 6, few, options.repeats)],
        "growth": growth(options.labels, few, max(2, options.repeats // 2)),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
