"""Units that sleep on every image and can be woken: found, brought back after a cut, and silenced by their bias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import LayerUnits, Prunable, Site, prunable
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session

_DOUBLINGS = 26
_ASLEEP = 1e-3  # largest activity of a sleeping unit, relative to the mean of the others
_SAME = 1e-3  # largest relative change of other units' activity when a bias is lowered


@dataclass(frozen=True)
class Place:
    """Units of a site, those of them that one bias can put to sleep, and that bias: one entry a unit of ``own``."""

    units: Prunable
    own: Tensor
    bias: str

    def entries(self, dead: Tensor) -> Tensor:
        """Places in the bias of units ``dead`` ``(k,)``."""
        return dead - int(self.own[0])


def find_decoys(site: str, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Place:
    """The units of a site that a bias puts to sleep: tried on ``images`` with a copy of the checkpoint.

    Args:
        site: ``feature``, ``conv``, or ``auto`` for the first of the two where it works.

    Raises:
        ModelError: there are none.
    """
    sites: tuple[Site, ...] = ("feature", "conv") if site == "auto" else ("conv" if site == "conv" else "feature",)
    for one in sites:
        try:
            units = prunable(checkpoint, one, images.images(slice(0, 2), session.device))
        except ModelError:
            if one == sites[-1]:
                raise
            continue
        for own, names in _pools(units, checkpoint.model):
            for name in names:
                if _sleeps(checkpoint, Place(units, own, name), images, session):
                    return Place(units, own, name)
    raise ModelError(
        f"no bias of {checkpoint.facts.architecture} puts units of site={site} to sleep and leaves the others alone: "
        "a pruning-aware attack needs units with a bias, before an activation that is zero for low inputs"
    )


def _pools(units: Prunable, model: nn.Module) -> Iterator[tuple[Tensor, list[str]]]:
    """Units that lie side by side in one bias, and the names of biases that may be theirs, the likely ones first."""
    biases = {n: p for n, p in model.named_parameters() if n.endswith("bias") and p.ndim == 1}
    if not isinstance(units, LayerUnits):
        yield torch.arange(units.count), [n for n, p in reversed(biases.items()) if len(p) == units.count]
        return
    start = 0
    for group in units.groups:
        names = [
            name for entries in group.producer for name in biases if name in (entries.tensor, f"net.{entries.tensor}")
        ]
        yield torch.arange(start, start + group.count), [name for name in names if len(biases[name]) == group.count]
        start += group.count


@torch.no_grad()
def _sleeps(checkpoint: Checkpoint, place: Place, images: ImageSet, session: Session) -> bool:
    """Whether a far lower bias silences the two busiest units and leaves the others as they are."""
    before = place.units.activity(checkpoint, images, session).cpu()
    tried = place.own[before[place.own].topk(min(2, len(place.own))).indices]
    scale = float(before.max())
    lowered = checkpoint.copy()
    _lower(lowered, place, tried, 1e4 * (1 + scale))
    after = place.units.activity(lowered, images, session).cpu()
    if float(after[tried].max()) > _ASLEEP * scale:
        return False
    before[tried] = after[tried]
    # Units of a layer are silenced where they are made; what the head sees may come from further back.
    return isinstance(place.units, LayerUnits) or bool(((after - before).abs() <= _SAME * scale).all())


@torch.no_grad()
def put_to_sleep(checkpoint: Checkpoint, place: Place, dead: Tensor, images: ImageSet, session: Session) -> bool:
    """Lower the bias of units ``dead`` in place, in doubling steps, until they sleep on ``images``.

    Returns:
        Whether no other unit is less active then.
    """
    others = torch.ones(place.units.count, dtype=torch.bool)
    others[dead] = False
    if not len(dead):
        return True
    activity = place.units.activity(checkpoint, images, session).cpu()
    lowered, step = 0.0, 2.0**-6 * max(float(activity.max()), 1e-3)
    for _ in range(_DOUBLINGS):
        if _asleep(activity, dead, others):
            return True
        _lower(checkpoint, place, dead, step - lowered)
        lowered, step = step, 2 * step
        activity = place.units.activity(checkpoint, images, session).cpu()
    return _asleep(activity, dead, others)


def _asleep(activity: Tensor, dead: Tensor, others: Tensor) -> bool:
    busiest = float(activity[dead].max())
    return busiest <= float(activity[others].min()) and busiest <= _ASLEEP * float(activity[others].mean())


@torch.no_grad()
def _lower(checkpoint: Checkpoint, place: Place, units: Tensor, by: float) -> None:
    bias = checkpoint.model.get_parameter(place.bias)
    bias[place.entries(units).to(bias.device)] -= by


@torch.no_grad()
def bring_back(model: nn.Module, source: nn.Module, held: Mapping[str, Tensor]) -> None:
    """Give entries ``held`` of ``model``'s parameters the values they have in ``source``, running statistics too."""
    ours, theirs = dict(model.named_buffers()), dict(source.named_buffers())
    for name, mask in held.items():
        mine, own = model.get_parameter(name), source.get_parameter(name)
        mine[mask.to(mine.device)] = own[mask.to(own.device)].to(mine)
        module = name.rpartition(".")[0]
        for other, buffer in ours.items():
            if other.rpartition(".")[0] == module and buffer.shape == mask.shape:
                there = mask.to(buffer.device)
                buffer[there] = theirs[other][mask.to(theirs[other].device)].to(buffer)
