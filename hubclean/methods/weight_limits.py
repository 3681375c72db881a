"""Adjusting extreme weights (AW): which tensors, their limits, and the search for the narrowest that accuracy allows.

Wu, Yang, Zhu, Mitra, ICDCS 2022 (arXiv 2011.01767), the last step of federated pruning. No full text could be read:
the rule w outside [mu - Delta sigma, mu + Delta sigma] -> 0 is recalled; the schedule of Delta, the layers of nets
without convolutions and what counts for mu and sigma are reconstructions (docs/methods/federated.md#extreme-weights).
The accuracy may come from anywhere: images of one's own, or clients that feed theirs back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from hubclean.methods.tolerance import within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare, prefix_of
from hubclean.nets.trace import locate, unit_finder, units
from hubclean.nets.trace.recorder import Trace
from hubclean.nets.trace.units import UnitGroup
from hubclean.records import FeatureSite

Mode = Literal["zero", "clip"]
# Fewer numbers have no spread worth the name (docs/methods/federated.md#which-layers).
FEWEST = 100


@dataclass(frozen=True)
class Limited:
    """One tensor as it was before any adjustment.

    Args:
        name: of the parameter, in ``model.named_parameters()``.
        original: its values; every adjustment starts from them.
        mean, sigma: of the values that are not exactly zero: cut units would narrow them. Zeros stay zeros.
    """

    name: str
    original: Tensor
    mean: float
    sigma: float

    def outside(self, delta: float) -> Tensor:
        """Values that are not zero and beyond ``delta`` sigmas from the mean; a bool tensor of the same shape."""
        far = (self.original - self.mean).abs() > delta * self.sigma
        return far & (self.original != 0)

    def values(self, delta: float, mode: Mode) -> Tensor:
        """The tensor with the values outside set to zero, or clipped to the nearer limit."""
        outside = self.outside(delta)
        if mode == "zero":
            return self.original.masked_fill(outside, 0)
        low, high = self.mean - delta * self.sigma, self.mean + delta * self.sigma
        return torch.where(outside, self.original.clamp(low, high), self.original)


@dataclass(frozen=True)
class Found:
    """What ``search`` found.

    Args:
        delta: the smallest that keeps the accuracy, ``None`` if not even the first does.
        tried: (Delta, accuracy) in the order of trial.
    """

    delta: float | None
    tried: tuple[tuple[float, float], ...]


def adjusted_layers(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The parameters that are adjusted, by name in ``model.named_parameters()``.

    The weight of the last convolution with one group (by depth in a recorded forward: no shortcut, no depthwise layer,
    no head, nothing behind the pooling). In nets whose last units are hidden units and attention heads (ViT, Swin,
    ConvNeXt), the weights that read those: the second layer of the last MLP and the last attention projection.
    """
    model = checkpoint.model
    net, prefix = bare(model), prefix_of(model)
    trace = locate.recorded(net, checkpoint.facts)
    groups = unit_finder.find_units(trace, net)
    last = units.last_units(groups, trace, checkpoint.site)
    heads = {head.weight for head in checkpoint.site.heads}
    if last and last[0].kind != "conv":
        names = [entries.tensor for group in last for entries in group.consumers]
    else:
        names = _convolution(net, groups, trace, checkpoint.site)
    stored = {name for name, parameter in net.named_parameters() if parameter.ndim >= 2}
    return tuple(prefix + name for name in dict.fromkeys(names) if name in stored and name not in heads)


def _convolution(net: nn.Module, groups: Sequence[UnitGroup], trace: Trace, site: FeatureSite) -> list[str]:
    """The deepest one up to the feature map; where that has more than one position, it has too (no squeeze layer)."""
    given = [call.given[0] for call in trace.calls if call.module == site.feature and call.given]
    end = max(given) if site.feature and given else len(trace.values)
    spread, modules = sum(size > 1 for size in site.shape) > 1, dict(net.named_modules())
    able = [
        group
        for group in groups
        if group.kind == "conv" and group.order <= end and (group.positions > 1 or not spread)
        if getattr(modules.get(_module(group)), "groups", 1) == 1
    ]
    return [f"{_module(max(able, key=lambda group: (group.depth, group.order)))}.weight"] if able else []


def _module(group: UnitGroup) -> str:
    return group.name.partition("#")[0]


def limited(model: nn.Module, names: Sequence[str]) -> tuple[tuple[Limited, ...], tuple[str, ...]]:
    """Tensors ``names`` of ``model`` with their mean and spread, computed once; and why others are left alone."""
    parameters, found, notes = dict(model.named_parameters()), [], []
    for name in names:
        original = parameters[name].detach().clone()
        live = original[original != 0].cpu().double()  # MPS has no float64
        sigma = float(live.std(correction=0)) if len(live) else 0.0
        shown = name.removeprefix("net.")
        if len(live) < FEWEST:
            notes.append(f"{shown} was not adjusted: it has {len(live)} weights that are not zero, fewer than {FEWEST}")
        elif sigma <= 1e-9 * float(live.abs().max()):  # the same number everywhere, but for rounding
            notes.append(f"{shown} was not adjusted: its weights do not differ")
        else:
            found.append(Limited(name, original, float(live.mean()), sigma))
    return tuple(found), tuple(notes)


@torch.no_grad()
def adjust_weights(model: nn.Module, tensors: Sequence[Limited], delta: float | None, mode: Mode = "zero") -> int:
    """Set ``tensors`` of ``model`` in place to what Delta leaves of their originals; ``None`` puts the originals back.

    Returns:
        How many weights are outside the limits.
    """
    parameters, outside = dict(model.named_parameters()), 0
    for one in tensors:
        values = one.original if delta is None else one.values(delta, mode)
        parameters[one.name].copy_(values)
        outside += 0 if delta is None else int(one.outside(delta).sum())
    return outside


def search_limits(
    accuracy: Callable[[float], float],
    floor: float,
    first: float = 5.0,
    coarse: float = 0.5,
    fine: float = 0.1,
    least: float = 1.0,
) -> Found:
    """The smallest Delta whose accuracy is at least ``floor``, tried from ``first`` down.

    In steps of ``coarse`` until the accuracy is lost, then from the last that kept it in steps of ``fine`` until it is
    lost again: about a dozen trials (the schedule is ours; the paper's is not known).

    Args:
        accuracy: what the adjusted model reaches at a Delta, of one's own images or joined from clients.
        floor: accuracy that must be kept.
    """
    tried: list[tuple[float, float]] = []

    def kept(delta: float) -> bool:
        tried.append((delta, accuracy(delta)))
        return within(floor, tried[-1][1], 0.0)

    best: float | None = None
    for width in (coarse, fine):
        delta = first if best is None else round(best - width, 6)
        while delta >= least - 1e-9 and delta not in [one for one, _ in tried] and kept(delta):
            best, delta = delta, round(delta - width, 6)
        if best is None:
            break
    return Found(best, tuple(tried))


def narrow(
    model: nn.Module,
    tensors: Sequence[Limited],
    accuracy: Callable[[], float],
    before: float,
    max_drop: float,
    mode: Mode,
    first: float = 5.0,
    least: float = 1.0,
    words: str = "val accuracy",
) -> tuple[Found, tuple[str, ...]]:
    """Search the limits of ``tensors`` and leave the narrowest that accuracy allows in ``model``; and what reports say.

    Args:
        accuracy: of ``model`` as it is.
        before: the same before any adjustment; ``max_drop`` of it may be lost.
        words: what reports call it.
    """

    def at(delta: float) -> float:
        adjust_weights(model, tensors, delta, mode)
        return accuracy()

    found = search_limits(at, before - max_drop, first, least=least)
    outside = adjust_weights(model, tensors, found.delta, mode)
    return found, _told(tensors, found, outside, before, mode, words)


def _told(
    tensors: Sequence[Limited], found: Found, outside: int, before: float, mode: Mode, words: str
) -> tuple[str, ...]:
    """What a report says of a search: the limits, how many weights were beyond them, and every accuracy seen."""
    names = ", ".join(one.name.removeprefix("net.") for one in tensors)
    trials = ", ".join(f"{accuracy:.1%} at {delta:g}" for delta, accuracy in found.tried)
    seen = f"{words} {before:.1%} before, by Delta: {trials}"
    if found.delta is None:
        widest = found.tried[0][0]
        return (f"the weights of {names} were not adjusted: limits of {widest:g} sigmas already cost too much", seen)
    count, done = sum(one.original.numel() for one in tensors), "set to zero" if mode == "zero" else "clipped"
    return (f"{outside} of {count} weights of {names} {done}, those beyond {found.delta:g} sigmas of their mean", seen)
