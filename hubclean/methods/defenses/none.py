"""The control: nothing is changed, everything is measured and written as for any other defense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger


@dataclass(frozen=True)
class NoDefense:
    """Hands back a copy of the checkpoint. What it writes must equal what was read, byte for byte."""

    name: ClassVar[str] = "none"
    paper: ClassVar[str] = "control, no paper"
    needs: ClassVar[Needs] = "nothing"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """A copy, unchanged."""
        return Cleansing((Stage("unchanged", checkpoint.copy()),), "unchanged")
