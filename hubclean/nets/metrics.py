"""Clean accuracy, attack success rate, robust accuracy, and the anomaly index. Every rate comes with n and interval."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from math import log

import torch
from torch import Tensor, nn

from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.triggers import Stamp, Trigger, relabelled, takes
from hubclean.records import Metrics, Rate


@torch.no_grad()
def predictions(
    model: nn.Module, images: ImageSet, session: Session, stamp: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Predicted labels ``(n,)`` on the CPU, after ``stamp`` where given; batches are shared among the processes."""
    accelerator, device = session.accelerator, session.device
    model.to(device).eval()
    found = torch.full((len(images),), -1, dtype=torch.int64, device=device)
    size, world, rank = session.batch_size, accelerator.num_processes, accelerator.process_index
    for start in range(rank * size, len(images), size * world):
        rows = slice(start, start + size)
        pixels = images.images(rows, device)
        with accelerator.autocast():
            logits = model(pixels if stamp is None else stamp(pixels))
        found[rows] = logits.float().argmax(1)
    if world > 1:
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return found.cpu()


def clean_accuracy(model: nn.Module, images: ImageSet, session: Session) -> Rate:
    """Top-1 accuracy on clean images."""
    hits = predictions(model, images, session) == images.labels
    return Rate.of(int(hits.sum()), len(images))


def attack_rates(
    model: nn.Module, images: ImageSet, trigger: Stamp, classes: int, session: Session
) -> tuple[Rate, Rate]:
    """Attack success rate and robust accuracy of one trigger; without trials (n = 0) they say nothing.

    All-to-one: images whose true label is the target are dropped. All-to-all: success is label y+1 mod ``classes``.
    A trigger with a source class is tried on images of that class alone.

    Returns:
        ASR, and the share of the same triggered images classified as their true label.
    """
    kept = images.subset(takes(trigger, images.labels))
    found = predictions(model, kept, session, trigger.stamp)
    wanted = relabelled(kept.labels, trigger.target, classes)
    return Rate.of(int((found == wanted).sum()), len(kept)), Rate.of(int((found == kept.labels).sum()), len(kept))


def triable(triggers: Iterable[Trigger], images: ImageSet) -> tuple[Trigger, ...]:
    """The triggers that some image can try: one with the target's label says nothing of success."""
    return tuple(trigger for trigger in triggers if bool(takes(trigger, images.labels).any()))


def success_rates(
    model: nn.Module, images: ImageSet, triggers: Iterable[Stamp], classes: int, session: Session
) -> list[Rate]:
    """Attack success rate of every trigger; without trials (n = 0) where no image can try it."""
    return [attack_rates(model, images, trigger, classes, session)[0] for trigger in triggers]


def mean_success(values: Sequence[float]) -> float | None:
    """The mean success of triggers; ``None`` where there are none."""
    return sum(values) / len(values) if values else None


def measure(
    model: nn.Module,
    images: ImageSet,
    classes: int,
    session: Session,
    planted: Iterable[Stamp] = (),
    recovered: Iterable[Stamp] = (),
    answers: Tensor | None = None,
) -> tuple[Metrics, ...]:
    """One ``Metrics`` a trigger, planted ones first; a single one without ASR when there is no trigger.

    Args:
        answers: the model's ``predictions`` on ``images``, where they are known.
    """
    answers = predictions(model, images, session) if answers is None else answers
    accuracy = Rate.of(int((answers == images.labels).sum()), len(images))
    rows = [
        Metrics(accuracy, asr, "planted", robust)
        for asr, robust in (attack_rates(model, images, trigger, classes, session) for trigger in planted)
    ]
    rows += [
        Metrics(accuracy, asr, "recovered", robust)
        for asr, robust in (attack_rates(model, images, trigger, classes, session) for trigger in recovered)
    ]
    return tuple(rows) or (Metrics(accuracy),)


def anomaly_index(norms: Sequence[float], sample: Sequence[float] | None = None) -> list[float]:
    """Signed MAD anomaly index of each norm: positive when smaller than the median (S&P 2019, section IV-B).

    ``(median - L) / (1.4826 * MAD)``; with MAD = 0 the mean absolute deviation times 1.2533 stands in, and if that
    is 0 too every index is 0. Median and MAD are those of ``sample``, of the norms themselves without one.
    """
    sample = norms if sample is None else sample
    middle = statistics.median(sample)
    spread = 1.4826 * statistics.median(abs(norm - middle) for norm in sample)
    if spread == 0:
        spread = 1.2533 * statistics.fmean(abs(norm - middle) for norm in sample)
    return [(middle - norm) / spread if spread > 0 else 0.0 for norm in norms]


def log_anomaly_index(norms: Sequence[float], sample: Sequence[float] | None = None) -> list[float]:
    """The same index on log norms, floored at 1/100 pixel: clean norms spread by factors, not by differences."""
    logs, others = (
        [log(max(norm, 0.01)) for norm in values] for values in (norms, norms if sample is None else sample)
    )
    return anomaly_index(logs, others)
