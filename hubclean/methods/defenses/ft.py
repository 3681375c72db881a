"""Plain fine-tuning on clean images: the baseline that every tuning defense must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.tuning import TuningOptions, cleansed, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger


@dataclass(frozen=True)
class FT(TuningOptions):
    """Fine-tunes all weights by cross-entropy; the head is kept as it is.

    Often it leaves the backdoor where it was: clean images do not ask for the trigger's features. A baseline of
    Fine-Pruning (section 4.2) and FST (section 3). The last epoch is kept. Departures from FST's code
    (fine_tune/ft.py): there the head's weight is scaled back to its old norm after every step in this mode too, which
    its objective does not ask for; the rate falls once an epoch (here every step); images are augmented (here:
    ``shift``, ``flip``).
    """

    name: ClassVar[str] = "ft"
    paper: ClassVar[str] = "baseline of Feature Shift Tuning, Min et al., NeurIPS 2023"
    needs: ClassVar[Needs] = "labels"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        tuned = tune(copy, data, self.schedule(copy, len(data.fit)), session, self.name)
        return cleansed(checkpoint, tuned, data, triggers, session)
