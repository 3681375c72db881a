"""The units that mask methods search: those of the whole network that can be cut exactly, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare
from hubclean.nets.cut import masks
from hubclean.nets.images import Images
from hubclean.nets.trace import locate, unit_finder
from hubclean.nets.trace.units import Entries, UnitGroup


def of_network(checkpoint: Checkpoint, images: Images) -> tuple[UnitGroup, ...]:
    """Every layer whose units a mask may silence: convolutions with their norm, hidden units, attention heads.

    Left out: dimensions of a residual stream that LayerNorms read (silencing one changes all others), depthwise
    convolutions (their pointwise neighbour stands for them), gates, layers of one unit, and whatever a hook and zeros
    in the file do not silence alike.

    Args:
        images: ``(n, c, h, w)`` on the model's device to prove the cut on; two are enough.

    Raises:
        ModelError: nothing is left.
    """
    model = checkpoint.model
    net = bare(model)
    groups = unit_finder.find_units(locate.recorded(net, checkpoint.facts), net)
    able = [group for group in groups if group.cut != "none" and group.count > 1 and _free(group)]
    failed = masks.prove_units(model, able, images).failed
    proved = tuple(group for group in able if group.name not in failed)
    if not proved:
        raise ModelError("no layer of this net has units that can be cut exactly, so there is nothing to mask")
    return proved


def _free(group: UnitGroup) -> bool:
    if group.kind == "depthwise":
        return False
    return bool(group.consumers) or not group.residual or (group.kind == "conv" and bool(group.norm))


@torch.no_grad()
def magnitudes(model: nn.Module, groups: Sequence[UnitGroup]) -> tuple[Tensor, ...]:
    """Weight magnitude n_i of every unit, one tensor ``(count,)`` a group, on the device of the weights.

    n_i is the L1 norm of the unit's row with the norm behind it folded in: times |gamma_i| / sqrt(var_i + eps) for
    BatchNorm, |gamma_i| for others. A hidden unit of a linear layer: times the L1 norm of its columns in the next
    layer. An attention head: Frobenius norm of its value rows times that of its projection columns (of
    all its rows where queries, keys and values lie in another order than one after the other). A layer whose weight
    cannot be told apart by units counts 1 a unit before the norm.

    Reconstruction: the reviews of MNP (arXiv 2405.17750) only speak of "the l1 norm of the neuron weights".
    """
    net = bare(model)
    parameters = dict(net.named_parameters())
    return tuple(_magnitude(net, parameters, group) for group in groups)


def relative(sizes: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Magnitudes divided by the mean of their layer (n~_i), so that layers compare; all 1 where that mean is 0."""
    means = [one.mean() for one in sizes]
    return tuple(
        one / mean if float(mean) > 0 else torch.ones_like(one) for one, mean in zip(sizes, means, strict=True)
    )


def _magnitude(net: nn.Module, parameters: dict[str, nn.Parameter], group: UnitGroup) -> Tensor:
    power = 2 if group.kind == "attention" else 1
    rows, owner = _rows(net, parameters, group, power)
    folded = _folding(net, group)
    if folded is not None and len(folded) == len(rows):
        rows = rows * folded**power
    size = _gathered(rows, owner, group.count)
    if group.kind in ("linear", "attention") and not group.norm and group.consumers:
        read = [_by_unit(parameters[entries.tensor], entries, group.count, power) for entries in group.consumers]
        size = size * torch.stack(read).sum(0)
    return size ** (1 / power)


def _rows(net: nn.Module, parameters: dict[str, nn.Parameter], group: UnitGroup, power: int) -> tuple[Tensor, Tensor]:
    """Sum of |w|^power over every row of the layer's weight, and the unit that owns each row."""
    for entries in group.producer:
        weight = parameters[entries.tensor]
        places = [axis for axis, size in enumerate(entries.owner.shape) if size > 1]
        if weight.ndim > 1 and len(places) == 1:
            rows = weight.abs().pow(power).transpose(0, places[0]).flatten(1).sum(1)
            return rows, _values(group, entries.owner.flatten()).to(rows.device)
    line = torch.arange(group.count, device=next(iter(parameters.values())).device)
    name = group.name.partition("#")[0]
    layer = dict(net.named_modules()).get(name)
    own = getattr(layer, "weight", None)
    place = 1 if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d)) else 0
    if not isinstance(own, Tensor) or own.ndim < 2 or own.shape[place] != group.count:
        return torch.ones_like(line, dtype=torch.float32), line
    return own.abs().pow(power).transpose(0, place).flatten(1).sum(1), line


def _values(group: UnitGroup, owner: Tensor) -> Tensor:
    """The owners of an attention layer's rows with queries and keys left out, where one layer makes all three."""
    if group.kind != "attention" or not group.consumers:
        return owner
    columns = group.consumers[0].owner.flatten()
    if not torch.equal(owner, columns.repeat(3)):
        return owner
    return torch.cat([torch.full((2 * len(columns),), -1, dtype=owner.dtype), columns])


def _folding(net: nn.Module, group: UnitGroup) -> Tensor | None:
    """What the norm behind a layer multiplies its channels by ``(c,)``, in eval mode for BatchNorm."""
    if not group.norm:
        return None
    norm = net.get_submodule(group.norm)
    gamma = getattr(norm, "weight", None)
    if not isinstance(gamma, Tensor) or gamma.ndim != 1:
        return None
    variance, eps = getattr(norm, "running_var", None), getattr(norm, "eps", 0.0)
    return gamma.abs() / torch.sqrt(variance + eps) if isinstance(variance, Tensor) else gamma.abs()


def _by_unit(weight: Tensor, entries: Entries, count: int, power: int) -> Tensor:
    """Sum of |w|^power over the numbers of one tensor that every unit owns ``(count,)``."""
    owner = entries.owner.to(weight.device)
    over = [axis for axis in range(weight.ndim) if owner.shape[axis] == 1]
    sums = weight.abs().pow(power)
    sums = sums.sum(over, keepdim=True) if over else sums
    return _gathered(sums.flatten(), owner.expand(sums.shape).flatten(), count)


def _gathered(values: Tensor, owner: Tensor, count: int) -> Tensor:
    own = owner >= 0
    return torch.zeros(count, device=values.device).index_add_(0, owner[own], values[own].float())
