"""What speaks for or against an inverted trigger beside its size: other seeds, other images, all labels together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import nn

from hubclean.methods.inversion.invert import LEAVE, NEXT, Inverted, invert
from hubclean.methods.inversion.label_scheduler import Setting
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import anomaly_index, attack_rates, log_anomaly_index, predictions
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.records import LabelScore, Rate

ENOUGH = 0.7  # held-out success from which an all-to-all trigger counts
FOUND = 0.9  # success it must have where it is inverted: all-to-all backdoors work on fewer images than others
_FEWEST = 3  # images of a class from which a most frequent label is read
_MOST_SUSPECTS = 5


@dataclass(frozen=True)
class SeedRun:
    """One seed: what was inverted, both anomaly indices, and the labels it flags."""

    found: dict[int, Inverted]
    index: dict[int, float]
    log_index: dict[int, float]
    flagged: frozenset[int]


def judged(
    found: dict[int, Inverted], reference: Sequence[int], threshold: float, log_threshold: float, norm_ratio: float
) -> SeedRun:
    """Flag the labels whose index or log index is above its threshold and whose norm is small against the median.

    Args:
        reference: the labels that median and MAD come from.
        norm_ratio: largest share of the median.
    """
    labels = list(found)
    norms, sample = ([found[label].norm for label in some] for some in (labels, reference))
    index = dict(zip(labels, anomaly_index(norms, sample), strict=True))
    log_index = dict(zip(labels, log_anomaly_index(norms, sample), strict=True))
    most = norm_ratio * statistics.median(sample)
    outliers = (t for t in labels if index[t] > threshold or log_index[t] > log_threshold)
    flagged = frozenset(t for t in outliers if found[t].norm <= most and found[t].invertible)
    return SeedRun(found, index, log_index, flagged)


def overlap(triggers: Sequence[Trigger]) -> float:
    """Mean over all pairs of sum min(m, m') / sum max(m, m') of their masks, in [0, 1]; 1 for a single one."""
    pairs = list(combinations([trigger.mask for trigger in triggers], 2))
    shares = [float(torch.minimum(a, b).sum() / torch.maximum(a, b).sum().clamp_min(1e-9)) for a, b in pairs]
    return sum(shares) / len(shares) if shares else 1.0


def own_labels(model: nn.Module, images: ImageSet, session: Session) -> ImageSet:
    """The same images with the labels the model itself gives them."""
    return replace(images, labels=predictions(model, images, session))


@dataclass(frozen=True)
class LabelMap:
    """Where a trigger sends the images of each class (by the model's own labels).

    Args:
        share: mean over the classes of the share that goes to the class's most frequent label.
        labels: how many different labels those are, as a share of the classes seen.
        shifted: share of the classes whose most frequent label is the next one, y+1 mod k.
    """

    share: float
    labels: float
    shifted: float


def label_map(model: nn.Module, own: ImageSet, trigger: Trigger, classes: int, session: Session) -> LabelMap | None:
    """Measure where ``trigger`` sends the images of ``own``; ``None`` when no class has three of them."""
    found = predictions(model, own, session, trigger.stamp)
    modes: dict[int, int] = {}
    shares = []
    for label in sorted(set(own.labels.tolist())):
        counts = found[own.labels == label].bincount(minlength=classes)
        if int(counts.sum()) >= _FEWEST:
            modes[label] = int(counts.argmax())
            shares.append(float(counts.max() / counts.sum()))
    if not modes:
        return None
    shifted = sum(mode == (label + 1) % classes for label, mode in modes.items())
    return LabelMap(sum(shares) / len(shares), len(set(modes.values())) / len(modes), shifted / len(modes))


@dataclass(frozen=True)
class AllToAll:
    """Two triggers that have no target: one that moves each image to the next label, one that moves it anywhere.

    Args:
        next: inverted with ``NEXT``; ``success`` is its success on held-out images.
        leave: inverted with ``LEAVE``; ``map`` is where it sends held-out images.
    """

    next: Inverted
    leave: Inverted
    success: Rate
    map: LabelMap | None
    passes: int


def all_to_all(setting: Setting, fit: ImageSet, val: ImageSet, seed: int) -> AllToAll:
    """Invert both on ``fit`` and measure them on ``val``, both with the model's own labels (``own_labels``).

    They count as found from a success of 90 %: all-to-all backdoors work on fewer images than others.
    """
    model, session, classes = setting.model, setting.session, len(setting.names)
    found, passes = invert(model, fit, [NEXT, LEAVE], replace(setting.schedule, success=FOUND), session, seed)
    hits = predictions(model, val, session, found[NEXT].trigger.stamp) == (val.labels + 1) % classes
    seen = label_map(model, val, found[LEAVE].trigger, classes, session)
    success = Rate.of(int(hits.sum()), len(val))
    return AllToAll(found[NEXT], found[LEAVE], success, seen, passes + 2 * len(val) // 3)


def spread_measures(pairs: Sequence[AllToAll], middle: float) -> dict[str, float]:
    """Medians over the seeds, by the names in Neural Cleanse's docstring; ``middle`` is the labels' median norm."""
    if not pairs:
        return {}
    size = pairs[0].next.trigger.mask.numel()
    rows = {
        "next.ratio": [pair.next.norm / max(middle, 0.01) for pair in pairs],
        "next.share": [pair.next.norm / size for pair in pairs],
        "next.success": [pair.success.value for pair in pairs],
        "leave.ratio": [pair.leave.norm / max(middle, 0.01) for pair in pairs],
    }
    maps = [pair.map for pair in pairs if pair.map]
    if maps:
        rows |= {f"leave.{name}": [getattr(one, name) for one in maps] for name in ("share", "labels", "shifted")}
    return {name: statistics.median(values) for name, values in rows.items()}


def scored(setting: Setting, label: int, runs: Sequence[SeedRun], smallest: bool) -> LabelScore:
    """One label's medians over the seeds.

    Args:
        smallest: whether its mask is some seed's smallest; only then, or where a seed flags it, is its smallest trigger
            tried on held-out images, which costs a pass over them.
    """
    norm = statistics.median(run.found[label].norm for run in runs)
    flagged, trigger = sum(label in run.flagged for run in runs), best(label, runs)
    asr = Rate.of(0, 0)
    if flagged or smallest:
        asr, _ = attack_rates(setting.model, setting.data.val, trigger, len(setting.names), setting.session)
    return LabelScore(
        label=label,
        name=setting.names[label],
        norm=norm,
        mask_share=norm / trigger.mask.numel(),
        index=statistics.median(run.index[label] for run in runs),
        log_index=statistics.median(run.log_index[label] for run in runs),
        asr=asr,
        flagged=flagged,
        invertible=2 * sum(run.found[label].invertible for run in runs) > len(runs),
    )


def best(label: int, runs: Sequence[SeedRun]) -> Trigger:
    """The smallest trigger that any seed found for a label."""
    return min((run.found[label] for run in runs), key=lambda found: found.norm).trigger


def suspect_measures(
    setting: Setting, scores: Sequence[LabelScore], runs: Sequence[SeedRun], middle: float
) -> tuple[dict[str, float], int]:
    """``ratio.T``, ``overlap.T`` and ``transfer.T`` of the flagged labels (five at most), else of the smallest.

    Returns:
        The measures, and how many images went forward and backward.
    """
    ordered = sorted(scores, key=lambda score: (-score.flagged, score.norm))
    suspects = [score for score in ordered if score.flagged][:_MOST_SUSPECTS] or ordered[:1]
    measures = {f"ratio.{score.label}": score.norm / max(middle, 0.01) for score in suspects}
    for suspect in suspects:
        made = {id(run.found[suspect.label]): run.found[suspect.label].trigger for run in runs}
        if len(made) > 1 or len(runs) == 1:  # else later seeds left this label out, and it overlaps with itself
            measures[f"overlap.{suspect.label}"] = overlap(list(made.values()))
    if not len(setting.data.val):
        return measures, 0
    session, targets = setting.session, sorted(suspect.label for suspect in suspects)
    session.progress.start("inverting once more on the other half", setting.schedule.steps * len(targets))
    found, passes = setting.invert(setting.data.val, targets, len(runs))
    session.progress.finish()
    for label in targets:
        success, _ = attack_rates(setting.model, setting.data.fit, found[label].trigger, len(setting.names), session)
        if success.n:
            measures[f"transfer.{label}"] = success.value
    return measures, passes
