"""Stages of a defense that build on each other: each is judged on val, and built upon only if it is no loss."""

from __future__ import annotations

from hubclean.methods.interface import Stage
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger

# ASR of a recovered trigger on val that a later stage may gain on the one before.
REVIVED = 0.05


class Chain:
    """The stages so far, the one that is kept, notes, and what all of it cost.

    Args:
        first: the stage that is kept until a better one is offered.
        before: accuracy on ``val`` of the original.
        max_drop: loss of it that is within the tolerance.
        triggers: recovered ones; the planted one is never seen.
    """

    def __init__(
        self,
        first: Stage,
        before: float,
        max_drop: float,
        data: DefenseData,
        triggers: tuple[Trigger, ...],
        session: Session,
    ) -> None:
        self.stages, self.kept = [first], first
        self.data, self.session = data, session
        self.notes: list[str] = []
        self.passes = 0
        self._floor, self._triggers = before - max_drop, triggers

    def accuracy(self, checkpoint: Checkpoint) -> float:
        """Clean accuracy on ``val``; 0 without images."""
        self.passes += len(self.data.val) // 3
        return clean_accuracy(checkpoint.model, self.data.val, self.session).value

    def offer(self, stage: Stage, slack: float) -> None:
        """Add a stage, and keep it unless it loses accuracy or revives a trigger on ``val``.

        Args:
            slack: accuracy it may lose against the stage kept so far, where it is beyond the tolerance.
        """
        self.stages.append(stage)
        old, new = (self.accuracy(one.checkpoint) for one in (self.kept, stage))
        if new < self._floor - 1e-9 and new < old - slack - 1e-9:
            why = f"left {new:.1%} on val, beyond the tolerance"
        elif any(b > a + REVIVED for a, b in zip(self.rates(self.kept), self.rates(stage), strict=True)):
            why = "raised the ASR of a recovered trigger on val"
        else:
            self.notes.append(f"{stage.name}: val accuracy {old:.1%} -> {new:.1%}")
            self.kept = stage
            return
        self.notes.append(f"the stage {stage.name} {why}: the stage {self.kept.name} is kept")

    def rates(self, stage: Stage) -> list[float]:
        """The ASR of each recovered trigger on ``val``, after a stage."""
        model, classes = stage.checkpoint.model, len(stage.checkpoint.labels)
        self.passes += len(self._triggers) * len(self.data.val) // 3
        rates = (attack_rates(model, self.data.val, one, classes, self.session)[0] for one in self._triggers)
        return [rate.value for rate in rates]
