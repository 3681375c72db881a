"""Positions: the single inputs of the first Linear behind a flatten, each one channel at one position.

A backdoor with a trigger in one place answers in few of them, while its channels serve clean images elsewhere: there a
whole channel is too much to cut (docs/methods/units.md#positions).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import prefix_of
from hubclean.nets.cut import masks
from hubclean.nets.cut.activations import NOTHING, Activations, unit_activations
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace.flattened import flattened_inputs
from hubclean.nets.trace.recorder import Trace
from hubclean.nets.trace.units import UnitGroup
from hubclean.records import FeatureSite


@dataclass(frozen=True)
class PositionInputs:
    """The inputs of the first Linear behind a flatten, cut in its columns.

    Args:
        group: them as units.
        bias: name of the Linear's bias in the net, ``""`` without one.
        means: their means on clean images ``(count,)``, which a cut leaves in the bias; ``None``: a cut is a zero.
    """

    group: UnitGroup
    bias: str = ""
    means: Tensor | None = None

    @property
    def count(self) -> int:
        return self.group.count

    @property
    def layer(self) -> str:
        return f"the {self.group.name}"

    def activations(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> tuple[Activations, ...]:
        return unit_activations(checkpoint.model, (self.group,), images, session, len(checkpoint.labels))

    def activity(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
        """Spread on clean images over the norm of the column that reads the input.

        Least is an input that hardly moves on clean images and is read with large weights.
        """
        (found,) = self.activations(checkpoint, images, session)
        return found.spread / self._column_norms(checkpoint.model)

    def held(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        return self.columns(model, dead)

    def columns(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """The Linear's columns of inputs ``dead``."""
        return masks.entries_of(model, (self.group,), {self.group.name: dead})

    def at_the_head(self, site: FeatureSite) -> bool:
        """Whether the Linear is the one head, so that logits lose what its columns gave."""
        return [head.weight for head in site.heads] == [self.group.consumers[0].tensor]

    def fills(self, model: nn.Module, dead: Tensor) -> dict[str, Tensor]:
        """What goes into the bias, by its name in ``model.named_parameters()``, so that the mean stays as it was."""
        if self.means is None or not self.bias:
            return {}
        weight, dead = self._weight(model), dead.cpu()
        return {prefix_of(model) + self.bias: weight[:, dead.to(weight.device)] @ self.means[dead].to(weight)}

    def filled(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> PositionInputs:
        """The same units, with their means on clean ``images``."""
        (found,) = self.activations(checkpoint, images, session)
        return replace(self, means=found.mean)

    def _weight(self, model: nn.Module) -> Tensor:
        return model.get_parameter(prefix_of(model) + self.group.consumers[0].tensor)

    def _column_norms(self, model: nn.Module) -> Tensor:
        norms: Tensor = self._weight(model).detach().double().norm(dim=0).cpu().clamp(min=NOTHING)
        return norms


def position_inputs(checkpoint: Checkpoint, trace: Trace, images: Tensor) -> PositionInputs:
    """The units of ``site=position``, proved by numbers on ``images`` (two are enough).

    Raises:
        ModelError: no Linear of the net reads a flattened map, or zeros in its columns do not do what a hook does.
    """
    found = flattened_inputs(trace)
    if found is None:
        raise ModelError("no Linear of this net reads a flattened map, so it has no positions to cut: use site=feature")
    group, bias = found
    if masks.prove_units(checkpoint.model, (group,), images).failed:
        raise ModelError(f"cutting a column for the {group.name} does not do what cutting the input does")
    alone = sum(bias in value.parameters for value in trace.values) == 1
    return PositionInputs(group, bias if alone else "")
