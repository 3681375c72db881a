"""Feature-extractor tuning: a new random head is frozen, so that the features must move. A baseline of FST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.tuning import TuningOptions, cleansed, head_parameters, restart_heads, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger


@dataclass(frozen=True)
class FETuning(TuningOptions):
    """Draws the heads anew from U(-1/sqrt(d), 1/sqrt(d)), freezes them, and fine-tunes everything below.

    Of a head with a hidden layer only the last layer is drawn anew and frozen. The last epoch is kept. Departures from
    FST's code (fine_tune/ft.py): there the new head is scaled to the old head's norm after the first step in this mode
    too, although it is frozen; here it stays as drawn. The rate falls every step; images are augmented by ``shift`` and
    ``flip``.
    """

    name: ClassVar[str] = "fe-tuning"
    paper: ClassVar[str] = "Feature Shift Tuning, Min et al., NeurIPS 2023, section 3"
    needs: ClassVar[Needs] = "labels"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        restart_heads(copy, session)
        frozen = head_parameters(copy)
        body = [name for name, _ in copy.model.named_parameters() if name not in frozen]
        tuned = tune(copy, data, self.schedule(copy, len(data.fit)), session, self.name, only=body)
        return cleansed(checkpoint, tuned, data, triggers, session)
