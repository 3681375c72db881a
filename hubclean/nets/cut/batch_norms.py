"""BatchNorm by the recorded forward: which layer it belongs to, what it makes of the weights, and its statistics.

Layer and norm are paired when the norm alone reads the layer's output, whatever the order in which modules are
declared: a net with norms before its convolutions pairs the convolutions whose output goes straight into the next norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from hubclean.errors import DataError
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare, prefix_of
from hubclean.nets.cut import masks
from hubclean.nets.images import Images, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace import locate, unit_finder
from hubclean.nets.trace.recorder import Trace
from hubclean.nets.trace.units import UnitGroup


@dataclass(frozen=True)
class Layer:
    """A layer with weights whose units can be cut where they are made.

    Args:
        group: its units.
        weight: ``(out, in / groups, *kernel)``, a view of the stored tensor.
        owner: unit number of every output channel ``(out,)``.
        scale: gamma / sqrt(var + eps) of the BatchNorm behind it ``(out,)``, ``None`` without one.
    """

    group: UnitGroup
    weight: Tensor
    owner: Tensor
    scale: Tensor | None

    @torch.no_grad()
    def lipschitz(self) -> Tensor:
        """Upper bound of each unit's Lipschitz constant ``(units,)`` float32 on the CPU (CLP, ECCV 2022, UCLC).

        sigma_max of the channel's weights, reshaped to (in / groups, kernel), times |scale|; a unit of several
        channels has the largest of theirs.
        """
        rows = self.weight.detach().float().cpu().flatten(2) if self.weight.ndim > 2 else self.weight.float().cpu()
        found = rows.norm(dim=1) if rows.ndim == 2 else torch.linalg.matrix_norm(rows, ord=2)
        if self.scale is not None:
            found = found * self.scale.float().cpu().abs()
        own = self.owner >= 0
        largest: Tensor = found.new_zeros(self.group.count).scatter_reduce(0, self.owner[own], found[own], "amax")
        return largest


@torch.no_grad()
def norm_layers(checkpoint: Checkpoint, images: Images) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """All layers whose units can be cut where they are made, proved on ``images`` (two are enough), and the others.

    Returns:
        The layers in order of computation, and the reason by name for every other one, attention heads included.

    Raises:
        ModelError: the net cannot be run on the images.
    """
    net = bare(checkpoint.model)
    trace = locate.recorded(net, checkpoint.facts)
    groups = unit_finder.find_units(trace, net)
    failed = masks.prove_units(checkpoint.model, groups, images).failed
    found, others = [], dict[str, str]()
    for group in groups:
        made = _layer(group, trace, net) if group.name not in failed else "zeros in the file do not do what a hook does"
        if isinstance(made, str):
            others[group.name] = made
        else:
            found.append(made)
    return tuple(found), others


def _layer(group: UnitGroup, trace: Trace, net: nn.Module) -> Layer | str:
    """The layer of a group, or why it has no weights of its own to look at."""
    name = trace.values[group.order].weight
    if group.kind in ("attention", "gate"):
        return "attention heads" if group.kind == "attention" else "gated units"
    if group.cut == "none" or not group.producer or not name:
        return group.why or "its units cannot be cut where they are made"
    weight: Tensor = dict(net.named_parameters())[name]
    if trace.values[group.order].op == "conv_transpose2d":
        weight = weight.transpose(0, 1)
    owners = {entries.tensor: entries.owner.flatten() for entries in group.producer}
    after = [owner for tensor, owner in owners.items() if group.norm and tensor.startswith(f"{group.norm}.")]
    owner = owners.get(name, after[0] if after else torch.empty(0))
    if len(owner) != len(weight):
        return "its rows are not its units"
    scale = _scale(net.get_submodule(group.norm)) if group.norm else None
    if scale is not None and not all(torch.equal(one, owner) for one in after):
        return "its norm has its channels in another order"
    return Layer(group, weight, owner, scale)


def _scale(module: nn.Module) -> Tensor | None:
    """What a BatchNorm multiplies its input with ``(c,)``; ``None`` for a norm without running statistics."""
    if not _is_batch_norm(module):
        return None
    norm = cast(nn.BatchNorm2d, module)
    scale = (norm.running_var + norm.eps).rsqrt() if norm.running_var is not None else None
    return scale if scale is None or norm.weight is None else norm.weight.detach() * scale


def _is_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps a running mean and variance of its channels, whatever its class is called."""
    kept = [getattr(module, name, None) for name in ("running_mean", "running_var")]
    return all(isinstance(one, Tensor) and one.ndim == 1 for one in kept)


@dataclass(frozen=True)
class NormChannels:
    """The channels of some BatchNorms side by side, as units that ``pruning`` can take away: gamma = beta = 0.

    Args:
        norms: their names inside the net, and their widths.
    """

    norms: tuple[tuple[str, int], ...]

    def held(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """Entries of gamma and beta, by name in ``model.named_parameters()``, that are zero for channels ``dead``."""
        parameters, prefix = dict(model.named_parameters()), prefix_of(model)
        start, found = 0, {}
        for name, width in self.norms:
            inside = dead[(dead >= start) & (dead < start + width)] - start
            for part in ("weight", "bias"):
                if (parameter := parameters.get(f"{prefix}{name}.{part}")) is not None:
                    mask = torch.zeros(width, dtype=torch.bool, device=parameter.device)
                    mask[inside.to(parameter.device)] = True
                    found[f"{prefix}{name}.{part}"] = mask
            start += width
        return found


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of every channel that enters a norm, float64 on the CPU ``(c,)``, over ``n`` values each."""

    mean: Tensor
    variance: Tensor
    n: int


def running(model: nn.Module) -> dict[str, tuple[Statistics, float]]:
    """The running statistics and eps of every BatchNorm whose gamma is stored, by name inside the net."""
    found = {}
    for name, module in bare(model).named_modules():
        if _is_batch_norm(module) and isinstance(getattr(module, "weight", None), nn.Parameter):
            norm = cast(nn.BatchNorm2d, module)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            kept = Statistics(norm.running_mean.cpu().double(), norm.running_var.cpu().double(), 0)
            found[name] = (kept, float(norm.eps))
    return found


@torch.no_grad()
def measured(model: nn.Module, images: ImageSet, session: Session) -> dict[str, Statistics]:
    """What enters every BatchNorm that runs on ``images``, in eval mode and one pass; variances without bias.

    Raises:
        DataError: no images.
    """
    if not len(images):
        raise DataError("there are no images to measure the norms' inputs on")
    model.to(session.device).eval()
    sums: dict[str, list[Any]] = {}
    with _watching(bare(model), list(running(model)), sums):
        for pixels, _ in images.batches(session.batch_size, session.device):
            model(pixels)
    found = {}
    for name, (n, total, squares) in sums.items():
        mean = total / n
        found[name] = Statistics(mean, (squares / n - mean**2).clamp(min=0) * n / max(1, n - 1), n)
    return found


@contextmanager
def _watching(net: nn.Module, names: list[str], sums: dict[str, list[Any]]) -> Iterator[None]:
    """Adds up count, values and squares of what enters the norms inside the block; hooks are gone after."""

    def hook(name: str) -> Any:
        def add(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            value = args[0].float()
            places = [axis for axis in range(value.ndim) if axis != 1]
            variance, mean = (one.cpu().double() for one in torch.var_mean(value, places, correction=0))
            n = value.numel() // value.shape[1]
            row = sums.setdefault(name, [0, torch.zeros_like(mean), torch.zeros_like(mean)])
            row[0] += n
            row[1] += n * mean
            row[2] += n * (variance + mean**2)

        return add

    handles = [net.get_submodule(name).register_forward_pre_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
