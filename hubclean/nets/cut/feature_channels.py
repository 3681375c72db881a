"""The channels at the heads' inputs as units: cut in the heads' columns, and where they are made if they can be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import prefix_of
from hubclean.nets.cut import features, masks
from hubclean.nets.cut.activations import (
    NOTHING,
    Activations,
    feature_activations,
    head_input_means,
    head_points,
    ranking,
)
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace.units import UnitGroup
from hubclean.records import FeatureSite


@dataclass(frozen=True)
class FeatureChannels:
    """The channels at the heads' inputs; with the units that make them, where nothing but the heads reads those.

    Args:
        makers: units read by the heads alone: cut there as well, so that fine-tuning sees no gradient.
        means: of every head's inputs on clean images, which a cut leaves in its bias; none: a cut is a zero.
    """

    checkpoint: Checkpoint
    makers: tuple[UnitGroup, ...] = ()
    means: tuple[Tensor, ...] = ()

    @property
    def count(self) -> int:
        return self.checkpoint.site.channels

    @property
    def layer(self) -> str:
        return "the last feature layer"

    def activations(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> tuple[Activations, ...]:
        return (feature_activations(checkpoint, images, session),)

    def activity(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
        (found,) = self.activations(checkpoint, images, session)
        return ranking(found)

    def steadiness(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
        """Spread on clean images over the norm of the heads' columns ``(count,)``, as ``PositionInputs.activity``."""
        (found,), site = self.activations(checkpoint, images, session), checkpoint.site
        squares, prefix = torch.zeros_like(found.spread), prefix_of(checkpoint.model)
        for head, point in zip(site.heads, head_points(site), strict=True):
            weight = checkpoint.model.get_parameter(prefix + head.weight).detach().double().cpu()
            squares.index_add_(0, point.owner, weight.flatten(1).square().sum(0))
        return found.spread / squares.sqrt().clamp(min=NOTHING)

    def held(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        columns = self.columns(model, dead)
        return columns | masks.entries_of(model, self.makers, self._silent(columns, prefix_of(model)), ("producer",))

    def columns(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """The heads' input columns of channels ``dead``: with them alone the channels are silent."""
        return features.dead_mask(model, self.checkpoint.site, dead)

    def at_the_head(self, site: FeatureSite) -> bool:
        """Whether there is one head, so that logits lose what its columns gave."""
        return len(site.heads) == 1

    def fills(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """What goes into the heads' biases, so that the mean of the logits on clean images stays as it was."""
        parameters, columns = dict(model.named_parameters()), self.columns(model, dead)
        found = {}
        for head, means in zip(self.checkpoint.site.heads if self.means else (), self.means, strict=True):
            weight, bias = (f"{prefix_of(model)}{name}" for name in (head.weight, f"{head.path}.bias"))
            if bias in parameters and weight in parameters:
                lost = parameters[weight] * columns[weight]
                found[bias] = lost.flatten(1) @ means.to(lost)
        return found

    def filled(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> FeatureChannels:
        """The same units, with the means of the heads' inputs on clean ``images``."""
        return replace(self, means=head_input_means(checkpoint, images, session))

    def _silent(self, columns: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
        """Units that dead columns read, and no others."""
        silent = {}
        for group in self.makers:
            read, unread = torch.zeros(2, group.count, dtype=torch.bool)
            for entries in group.consumers:
                dead = columns[prefix + entries.tensor].cpu()
                owner = entries.owner.expand(dead.shape)
                read[owner[~dead & (owner >= 0)]] = True
                unread[owner[dead & (owner >= 0)]] = True
            silent[group.name] = (unread & ~read).nonzero().flatten()
        return silent
