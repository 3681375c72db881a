"""What MNP, RNP and ANP share around their searches: options, the units they may mask, from masks to a cleansing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from torch import Tensor

from hubclean.methods.interface import Cleansing
from hubclean.methods.masking.prune import Budget, cleansed
from hubclean.methods.masking.search import Masks
from hubclean.methods.shared_options import MaskThreshold
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare
from hubclean.nets.cut import searchable_units
from hubclean.nets.cut.positions import position_inputs
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace import locate
from hubclean.nets.trace.units import UnitGroup
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class Searchable:
    """A copy of a checkpoint on the session's device, its units that can be cut exactly, and how large they are.

    Args:
        sizes: relative magnitudes n~_i, ``(count,)`` by group.
    """

    checkpoint: Checkpoint
    groups: tuple[UnitGroup, ...]
    sizes: tuple[Tensor, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint, images: ImageSet, session: Session, positions: bool = False) -> Searchable:
        """Find the units, proved on two of ``images``.

        Args:
            positions: take the single inputs of the first Linear behind a flatten too.

        Raises:
            ModelError: no unit of the net can be cut exactly, or there are no positions where they were asked for.
        """
        copy = checkpoint.copy()
        copy.model.to(session.device).eval()
        two = images.images(slice(0, 2), session.device)
        groups = searchable_units.of_network(copy, two)
        if positions:
            groups = (*groups, position_inputs(copy, locate.recorded(bare(copy.model), copy.facts), two).group)
        return cls(copy, groups, searchable_units.relative(searchable_units.magnitudes(copy.model, groups)))


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """The options of pruning by masks, which follow the search for them."""

    name: ClassVar[str]

    batch_size: Annotated[int, Doc("images a step", 2, 65536)] = 128
    max_drop: Annotated[float, Doc("largest loss of clean accuracy on val, 1 = the threshold decides", 0.0, 1.0)] = 0.03
    threshold: MaskThreshold = 1.0
    layer_share: Annotated[float, Doc("largest share of a layer's units that is cut, at least one", 0.0, 1.0)] = 0.2
    finetune: Annotated[bool, Doc("fine-tune after pruning; can bring the backdoor back")] = False
    tune_epochs: Annotated[int, Doc("epochs of fine-tuning", 1, 10_000)] = 5

    def cleansed(
        self,
        net: Searchable,
        found: Masks,
        data: DefenseData,
        triggers: tuple[Trigger, ...],
        session: Session,
        notes: tuple[str, ...],
        passes: int,
    ) -> Cleansing:
        """Prune by finished masks, and fine-tune if asked for.

        Args:
            notes, passes: of the search, which come before those of pruning.
        """
        epochs = self.tune_epochs if self.finetune else 0
        budget = Budget(self.max_drop, self.threshold, self.layer_share, tune_epochs=epochs)
        done = cleansed(net.checkpoint, found, net.sizes, budget, data, triggers, session, self.name)
        return replace(done, notes=(*notes, *done.notes), passes=done.passes + passes)
