"""Linear probing: fine-tunes the head alone, a baseline of FST."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.tuning import TuningOptions, cleansed, head_parameters, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger


@dataclass(frozen=True)
class LinearProbe(TuningOptions):
    """Fine-tunes weight and bias of the heads, as they are; features stay, and with them the backdoor's.

    Of a head with a hidden layer only the last layer trains. The last epoch is kept. Departures from FST's code
    (fine_tune/ft.py, mode LP): BatchNorm's running statistics stay, so that nothing but the head changes (there they
    move); the norm of the head is free (there it is scaled back after every step); the rate falls every step.
    """

    name: ClassVar[str] = "linear-probe"
    paper: ClassVar[str] = "baseline of Feature Shift Tuning, Min et al., NeurIPS 2023"
    needs: ClassVar[Needs] = "labels"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        schedule = replace(self.schedule(copy, len(data.fit)), freeze_statistics=True)
        tuned = tune(copy, data, schedule, session, self.name, only=head_parameters(copy))
        return cleansed(checkpoint, tuned, data, triggers, session)
