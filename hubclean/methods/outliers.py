"""Cuts the units that stand out in their layer, the most striking first, as far as clean accuracy allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hubclean.escaping import printable
from hubclean.methods.tolerance import within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Cuttable, curve_point, cut_channels
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import clean_accuracy, success_rates, triable
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.records import CurvePoint

_NAMED = 12  # layers listed one by one


@dataclass(frozen=True)
class OutlierRule:
    """Units above mean + ``u`` standard deviations of their layer are cut in up to ``steps`` steps.

    Args:
        max_drop: largest loss of clean accuracy on val; a step beyond it is undone, and the next one is tried.
    """

    u: float
    max_drop: float
    steps: int


@dataclass(frozen=True)
class Outcome:
    """What was cut and how it was judged: units cut, the curve on val (empty without images), notes, passes."""

    cut: int
    curve: tuple[CurvePoint, ...]
    notes: tuple[str, ...]
    passes: int


def excess(scores: Tensor) -> Tensor:
    """Standard deviations of each unit above the mean of its layer ``(n,)``; zeros where all are alike.

    The standard deviation has n - 1 degrees of freedom, so that of n units none is further than (n - 1) / sqrt(n).
    """
    scores = scores.double()
    if len(scores) < 2 or not float(scores.std()) > 1e-9 * float(scores.abs().max()):
        return torch.zeros_like(scores)
    found: Tensor = (scores - scores.mean()) / scores.std()
    return found


def prune_outliers(
    checkpoint: Checkpoint,
    units: Cuttable,
    layers: Sequence[tuple[str, Tensor]],
    rule: OutlierRule,
    data: DefenseData,
    triggers: tuple[Trigger, ...],
    session: Session,
) -> Outcome:
    """Cut the outliers of ``layers`` in place; without val images all of them, unmeasured.

    Args:
        units: the units of all layers side by side, in the order of ``layers``.
        layers: name and score of every unit, ``(n,)`` each.
    """
    height = torch.cat([excess(scores) for _, scores in layers])
    order = torch.argsort(height, descending=True, stable=True)
    order = order[height[order] > rule.u]
    notes = [_found(order, layers, rule)]
    if not len(order):
        return Outcome(0, (), tuple(notes), 0)
    if not len(data.val):
        notes.append(
            "no images were given: neither what cutting them costs in accuracy nor what it does to a backdoor is known"
        )
        cut_channels(checkpoint.model, units, order)
        return Outcome(len(order), (), tuple(notes), 0)
    width = -(-len(order) // rule.steps)
    steps = [order[start : start + width] for start in range(0, len(order), width)]
    able = triable(triggers, data.val)
    points = _within(checkpoint, units, steps, rule.max_drop, data.val, able, session)
    gone = points[-1].cut
    if gone < len(order):
        notes.append(f"{gone} of them were cut: the others would cost over {rule.max_drop:.1%} of accuracy on val")
    forwards = len(data.val) * (1 + len(steps) + len(points) * len(able))
    return Outcome(gone, tuple(points), tuple(notes), -(-forwards // 3))


@torch.no_grad()
def _within(
    checkpoint: Checkpoint,
    units: Cuttable,
    steps: Sequence[Tensor],
    most: float,
    val: ImageSet,
    triggers: tuple[Trigger, ...],
    session: Session,
) -> list[CurvePoint]:
    """Cut in place, step by step, and undo what costs too much; a point before any cut and after every step kept."""
    model, classes = checkpoint.model, len(checkpoint.labels)
    parameters = dict(model.named_parameters())

    def point(gone: int, accuracy: float) -> CurvePoint:
        rates = success_rates(model, val, triggers, classes, session)
        return curve_point(gone, accuracy, [rate.value for rate in rates])

    session.progress.start("cutting outliers", len(steps))
    points = [point(0, clean_accuracy(model, val, session).value)]
    for step in steps:
        before = {name: parameters[name].clone() for name in units.held(model, step)}
        cut_channels(model, units, step)
        accuracy = clean_accuracy(model, val, session).value
        if not within(points[0].clean_accuracy, accuracy, most):
            for name, values in before.items():
                parameters[name].copy_(values)
        else:
            points.append(point(points[-1].cut + len(step), accuracy))
        session.progress.advance()
    session.progress.finish()
    return points


def _found(order: Tensor, layers: Sequence[tuple[str, Tensor]], rule: OutlierRule) -> str:
    """How many outliers there are, and in which layers."""
    ends = torch.tensor([len(scores) for _, scores in layers]).cumsum(0)
    places = torch.bincount(torch.searchsorted(ends, order.cpu(), right=True), minlength=len(layers)).tolist()
    rows = [(count, name, len(scores)) for count, (name, scores) in zip(places, layers, strict=True) if count]
    said = f"{len(order)} of {int(ends[-1])} units in {len(rows)} of {len(layers)} layers lie more than "
    said += f"{rule.u:g} standard deviations above the mean of their layer"
    named = [f"{printable(name, 80)} ({count} of {width})" for count, name, width in rows[:_NAMED]]
    named += [f"{len(rows) - _NAMED} more layers"] if len(rows) > _NAMED else []
    small = sum((len(scores) - 1) / len(scores) ** 0.5 <= rule.u for _, scores in layers)
    hint = f"; {small} of the layers have too few units for any to lie so far out" if small else ""
    return said + (f": {', '.join(named)}" if named else "") + hint


def left_alone(others: dict[str, str]) -> str:
    """Layers that were not looked at, counted by reason, each with some of its layers."""
    reasons: dict[str, list[str]] = {}
    for name, why in others.items():
        reasons.setdefault(why, []).append(printable(name, 80))
    parts = [
        f"{why}: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for why, names in reasons.items()
    ]
    return f"{len(others)} layers were left alone ({'; '.join(parts)})"
