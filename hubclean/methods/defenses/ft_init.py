"""Fine-tuning from a new random head: a baseline of FST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.tuning import TuningOptions, cleansed, new_head_rates, restart_heads, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger


@dataclass(frozen=True)
class FTInit(TuningOptions):
    """Draws the heads anew from U(-1/sqrt(d), 1/sqrt(d)) and fine-tunes all weights by cross-entropy.

    Of a head with a hidden layer only the last layer is drawn anew. The last epoch is kept. Departures from FST's code
    (fine_tune/ft.py): there the head's weight is scaled to the old head's norm after every step in this mode too; here
    its norm is free, and AdamW takes it at 1e-3 or more. The rate falls every step; images are augmented by ``shift``
    and ``flip``.
    """

    name: ClassVar[str] = "ft-init"
    paper: ClassVar[str] = "Feature Shift Tuning, Min et al., NeurIPS 2023, section 3"
    needs: ClassVar[Needs] = "labels"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        restart_heads(copy, session)
        schedule = self.schedule(copy, len(data.fit))
        tuned = tune(copy, data, schedule, session, self.name, rates=new_head_rates(copy, schedule))
        return cleansed(checkpoint, tuned, data, triggers, session)
