"""Takes units away in a given order: which units a site offers, how active they are, accuracy while they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare
from hubclean.nets.cut import features, masks
from hubclean.nets.cut.activations import Activations, ranking, unit_activations
from hubclean.nets.cut.feature_channels import FeatureChannels as FeatureChannels
from hubclean.nets.cut.positions import PositionInputs, position_inputs
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import mean_success, triable
from hubclean.nets.session import Session
from hubclean.nets.trace import locate, unit_finder, units
from hubclean.nets.trace.units import UnitGroup
from hubclean.nets.triggers import Trigger, relabelled, takes
from hubclean.records import CurvePoint, FeatureSite

Site = Literal["feature", "conv", "position"]


class Cuttable(Protocol):
    """Units of a checkpoint, numbered from 0, that zeros in stored tensors silence."""

    def held(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """Entries, by name in ``model.named_parameters()``, that must stay zero for units ``dead`` to stay silent."""


@runtime_checkable
class Filling(Cuttable, Protocol):
    """Units whose cut can leave their clean mean where they are read, so that what reads them sees no jump."""

    def fills(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """What is added to biases, by name in ``model.named_parameters()``; nothing where no mean is known."""


class Prunable(Cuttable, Protocol):
    """Units of one site of a checkpoint."""

    @property
    def count(self) -> int:
        """Number of units."""

    @property
    def layer(self) -> str:
        """Where they are, in words for a report."""

    def activations(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> tuple[Activations, ...]:
        """Statistics of the units on images, one a layer; their units side by side are those of the site."""

    def activity(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
        """How active every unit is on images ``(count,)`` float64: what is pruned first is least."""


@dataclass(frozen=True)
class LayerUnits:
    """The units of some layers side by side, in the order of ``groups``."""

    groups: tuple[UnitGroup, ...]

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def layer(self) -> str:
        return ", ".join(group.name for group in self.groups)

    def activations(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> tuple[Activations, ...]:
        return unit_activations(checkpoint.model, self.groups, images, session, len(checkpoint.labels))

    def activity(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
        """Relative to the mean of the layer: layers differ in scale."""
        found = [ranking(one) for one in self.activations(checkpoint, images, session)]
        if len(found) == 1:
            return found[0]
        return torch.cat([one / one.abs().mean().clamp(min=1e-12) for one in found])

    def held(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        start, by_group = 0, {}
        for group in self.groups:
            inside = (dead >= start) & (dead < start + group.count)
            by_group[group.name] = dead[inside] - start
            start += group.count
        return masks.entries_of(model, self.groups, by_group)


def prunable(checkpoint: Checkpoint, site: Site, images: Tensor) -> Prunable:
    """The units of a site, proved by numbers on ``images`` (two are enough).

    Args:
        site: ``feature`` for the final feature channels; ``conv`` for the last convolution's output channels, or
            hidden units and attention heads of the last block where there is none (see ``units.last_units``);
            ``position`` for the single inputs of the first Linear behind a flatten.

    Raises:
        ModelError: zeros in stored tensors do not do what a hook does, or there is no such layer.
    """
    model = checkpoint.model
    net = bare(model)
    trace = locate.recorded(net, checkpoint.facts)
    if site == "position":
        return position_inputs(checkpoint, trace, images)
    groups = unit_finder.find_units(trace, net)
    if site == "feature":
        features.verify_site(model, checkpoint.site, images)
        heads = {head.weight for head in checkpoint.site.heads}
        makers = [g for g in groups if g.cut == "both" and {entries.tensor for entries in g.consumers} <= heads]
        return FeatureChannels(checkpoint, _proved(model, makers, images))
    able = _proved(model, units.last_units(groups, trace, checkpoint.site), images)
    if not able:
        raise ModelError("no convolution, hidden units or attention heads of this net can be cut: use site=feature")
    return LayerUnits(able)


def _proved(model: nn.Module, groups: Sequence[UnitGroup], images: Tensor) -> tuple[UnitGroup, ...]:
    failed = masks.prove_units(model, groups, images).failed
    return tuple(group for group in groups if group.name not in failed)


def with_means(units_of: Prunable, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Prunable:
    """The same units, whose cut leaves their mean on clean ``images`` in a bias where there is one to take it.

    Positions and final channels can; of others (and where a head has no bias) a cut stays a zero.
    """
    if isinstance(units_of, (FeatureChannels, PositionInputs)):
        return units_of.filled(checkpoint, images, session)
    return units_of


def at_once(units_of: Prunable, site: FeatureSite) -> bool:
    """Whether a curve of such units costs one forward pass, however many steps it has."""
    return isinstance(units_of, (FeatureChannels, PositionInputs)) and units_of.at_the_head(site)


@torch.no_grad()
def cut_channels(model: nn.Module, units_of: Cuttable, dead: Tensor) -> None:
    """Silence units ``dead`` ``(m,)`` in place, in the stored tensors; their means go where ``fills`` says."""
    parameters = dict(model.named_parameters())
    for name, more in (units_of.fills(model, dead) if isinstance(units_of, Filling) else {}).items():
        parameters[name].add_(more)
    for name, mask in units_of.held(model, dead).items():
        parameters[name].masked_fill_(mask, 0)


def pruning_curve(
    checkpoint: Checkpoint,
    units_of: Prunable,
    steps: Sequence[Tensor],
    val: ImageSet,
    triggers: tuple[Trigger, ...],
    session: Session,
    worst: bool = False,
) -> Iterator[CurvePoint]:
    """Accuracy on ``val``, and mean ASR of triggers, before any cut and after every step; made as they are asked for.

    Inputs of the one head cost one forward pass in all: the logits lose the contribution of the columns just cut. Other
    units cost one a step.

    Args:
        steps: units cut together.
        worst: give the largest ASR of the triggers in place of their mean.
    """
    clean = Trial(checkpoint, units_of, val, None, session)
    stamped = [Trial(checkpoint, units_of, val, trigger, session) for trigger in triable(triggers, val)]
    gone = 0
    yield curve_point(0, clean.accuracy(), [one.success() for one in stamped], worst)
    for step in steps:
        for one in (clean, *stamped):
            one.remove(step)
        gone += len(step)
        yield curve_point(gone, clean.accuracy(), [one.success() for one in stamped], worst)


def curve_point(gone: int, accuracy: float, success: Sequence[float], worst: bool = False) -> CurvePoint:
    """Accuracy with ``gone`` units cut, and the mean success of recovered triggers, with ``worst`` the largest.

    Args:
        success: of the triggers that could be tried; none = nothing is said of them.
    """
    return CurvePoint(gone, accuracy, max(success, default=None) if worst else mean_success(success))


class Trial:
    """Logits of val images (stamped or not) while units are taken away."""

    @torch.no_grad()
    def __init__(
        self, checkpoint: Checkpoint, units_of: Prunable, images: ImageSet, trigger: Trigger | None, session: Session
    ) -> None:
        if trigger is not None:
            images = images.subset(takes(trigger, images.labels))
        self._images, self._trigger, self._session = images, trigger, session
        self._labels = images.labels.to(session.device)
        self._checkpoint, self._units = checkpoint, units_of
        self._model, self._site = checkpoint.model, checkpoint.site
        self.logits, self._inputs = self._forward()

    def _forward(self) -> tuple[Tensor, Tensor | None]:
        """Logits ``(n, k)``, and the head's input columns ``(n, d)`` if the head alone makes the logits of them."""
        logits, inputs = [], []
        direct, head = at_once(self._units, self._site), self._site.heads[0].path
        with features.capture(self._model, self._site) as seen:
            for pixels, _ in self._images.batches(self._session.batch_size, self._session.device):
                logits.append(self._model(pixels if self._trigger is None else self._trigger.stamp(pixels)))
                direct = direct and torch.equal(seen.outputs[head].flatten(1), logits[-1])
                if direct:
                    inputs.append(seen.inputs[head].flatten(1))
        return torch.cat(logits), torch.cat(inputs) if direct else None

    @torch.no_grad()
    def remove(self, gone: Tensor) -> None:
        if self._inputs is None:
            if self._model is self._checkpoint.model:
                self._model = self._checkpoint.copy().model
            cut_channels(self._model, self._units, gone)
            self.logits, _ = self._forward()
            return
        assert isinstance(self._units, (FeatureChannels, PositionInputs))
        ((name, mask),) = self._units.columns(self._model, gone).items()
        columns = mask.flatten(1).any(0)
        weight = self._model.get_parameter(name).flatten(1)
        self.logits = self.logits - self._inputs[:, columns] @ weight[:, columns].T
        for more in self._units.fills(self._model, gone).values():
            self.logits = self.logits + more

    def accuracy(self) -> float:
        return int((self.logits.argmax(1) == self._labels).sum()) / len(self._labels)

    def success(self) -> float:
        assert self._trigger is not None
        wanted = relabelled(self._labels, self._trigger.target, self.logits.shape[1])
        return int((self.logits.argmax(1) == wanted).sum()) / len(self._labels)
