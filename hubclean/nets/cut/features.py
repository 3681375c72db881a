"""Reads features at a classifier's heads and cuts channels there; ``trace.locate`` finds where that is.

A channel is cut in the head's input columns: after every norm, so that its contribution is exactly zero, and in no
residual stream, so that nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.construction.classifier import bare, prefix_of
from hubclean.nets.images import Features, Images
from hubclean.nets.trace.locate import locate as locate
from hubclean.nets.trace.recorder import tensors_in
from hubclean.records import FeatureSite, HeadSite


class Captured:
    """What entered the heads in the latest forward, one tensor a head, by head path."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}

    def take(self) -> tuple[Tensor, ...]:
        """The heads' inputs in the order of ``site.heads``, and forget them."""
        taken = tuple(self.inputs[path] for path in self._paths)
        self.inputs, self.outputs = {}, {}
        return taken


@contextmanager
def capture(model: nn.Module, site: FeatureSite) -> Iterator[Captured]:
    """Collect the heads' inputs of every forward inside the block; hooks are gone after, also after an exception."""
    net, seen, handles = bare(model), Captured(tuple(head.path for head in site.heads)), []

    def keep(path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            seen.inputs[path] = next(tensors_in((args, kwargs)))
            seen.outputs[path] = next(tensors_in(out)).clone()  # an activation in place may follow

        return hook

    try:
        for head in site.heads:
            handles.append(net.get_submodule(head.path).register_forward_hook(keep(head.path), with_kwargs=True))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def features(model: nn.Module, site: FeatureSite, images: Images) -> Features:
    """What the heads see of ``images`` ``(n, c, h, w)``: ``(n, channels)``, averaged over the positions of a channel.

    Heads of the same width share their channels and are averaged; heads of different width are put side by side.
    """
    with capture(model, site) as seen:
        model(images)
    return pooled(seen, site)


def pooled(seen: Captured, site: FeatureSite) -> Features:
    """``features`` of a forward that was captured."""
    rows = []
    for head in site.heads:
        value = seen.inputs[head.path].float()
        if head.kind == "conv":
            value = value.flatten(2).mean(2)
        elif value.ndim > 2:
            value = value.flatten(1, -2).mean(1)
        rows.append(value.reshape(len(value), -1, site.block).mean(2) if site.block > 1 else value)
    return torch.cat(rows, 1) if side_by_side(site) else torch.stack(rows).mean(0)


def side_by_side(site: FeatureSite) -> bool:
    """Whether heads own channels of their own, being of different width."""
    return len({head.in_features for head in site.heads}) > 1


def dead_mask(model: nn.Module, site: FeatureSite, dead: Tensor) -> dict[str, Tensor]:
    """For every head weight, by its name in ``model.named_parameters()``, the entries that keep channels ``dead`` off.

    Args:
        dead: channel numbers ``(m,)`` int64 in ``0..site.channels-1``.
    """
    prefix = prefix_of(model)
    masks: dict[str, Tensor] = {}
    parameters, start = dict(model.named_parameters()), 0
    block = torch.arange(site.block, device=dead.device)
    for head in site.heads:
        columns = ((dead - start).unsqueeze(1) * site.block + block).flatten()
        columns = columns[(columns >= 0) & (columns < head.in_features)]
        weight = parameters[prefix + head.weight]
        mask = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
        mask[:, columns.to(weight.device)] = True
        masks[prefix + head.weight] = masks.get(prefix + head.weight, mask) | mask
        start += head.in_features if side_by_side(site) else 0
    return masks


@torch.no_grad()
def zero_channels(model: nn.Module, site: FeatureSite, dead: Tensor) -> None:
    """Cut channels ``dead`` ``(m,)`` in place: their columns in every head become zero."""
    parameters = dict(model.named_parameters())
    for name, mask in dead_mask(model, site, dead).items():
        parameters[name].masked_fill_(mask, 0)


@torch.no_grad()
def verify_site(model: nn.Module, site: FeatureSite, images: Images, tolerance: float = 1e-5) -> float:
    """Prove the site by numbers on ``images``; the worst relative difference seen.

    The heads' inputs give the logits; a zeroed column does what a zeroed feature does; weights are as before after.

    Raises:
        ModelError: a difference above ``tolerance``.
    """
    net = bare(model)
    with capture(model, site) as seen:
        logits = model(images)
    worst = 0.0
    for head in site.heads:
        again = net.get_submodule(head.path)(seen.inputs[head.path])
        worst = max(worst, _difference(again, seen.outputs[head.path]))
        if len(site.heads) == 1 and again.flatten(1).shape == logits.shape:
            if (apart := _difference(again.flatten(1), logits)) > tolerance:
                raise ModelError(
                    f"the net gives out something else than its head {head.path!r} ({apart:.1e}): "
                    "it must return logits, with no softmax or other operator after them"
                )
            worst = max(worst, apart)
    dead = torch.topk(pooled(seen, site).abs().mean(0), min(3, site.channels)).indices
    with hooked_off(net, site, dead):
        by_hook = model(images)
    parameters = dict(model.named_parameters())
    kept = {name: parameters[name].clone() for name in dead_mask(model, site, dead)}
    try:
        zero_channels(model, site, dead)
        by_weight = model(images)
    finally:
        for name, weight in kept.items():
            parameters[name].copy_(weight)
    worst = max(worst, _difference(by_weight, by_hook))
    if worst > tolerance:
        raise ModelError(f"cutting a channel in the head does not do what cutting its feature does ({worst:.1e})")
    return worst


@contextmanager
def hooked_off(net: nn.Module, site: FeatureSite, dead: Tensor) -> Iterator[None]:
    """Channels ``dead`` are zero at the heads' inputs inside the block."""
    handles, masks = [], dead_mask(net, site, dead)

    def hide(head: HeadSite) -> Any:
        columns = masks[head.weight].flatten(1).any(0) if head.kind == "linear" else masks[head.weight][0, :, 0, 0]

        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            live = (~columns).to(args[0])
            return (args[0] * (live.view(1, -1, 1, 1) if head.kind == "conv" else live), *args[1:])

        return hook

    try:
        for head in site.heads:
            handles.append(net.get_submodule(head.path).register_forward_pre_hook(hide(head)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _difference(one: Tensor, other: Tensor) -> float:
    scale = max(float(other.abs().max()), 1e-12)
    found = float((one - other).abs().max()) / scale
    return found if found == found else float("inf")  # NaN would pass for no difference
