"""Stages of a defense that build on each other: each is judged on val, and built upon only if it is no loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hubclean.methods.interface import Stage
from hubclean.methods.tolerance import within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import clean_accuracy, success_rates
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger

# ASR of a recovered trigger on val that a later stage may gain on the one before.
REVIVED = 0.05


def revived(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether a stage brought a recovered trigger back, of its success rates in the stage before and in this one."""
    return any(now > then + REVIVED for then, now in zip(before, after, strict=True))


def recovered_success(
    checkpoint: Checkpoint, val: ImageSet, triggers: Iterable[Trigger], session: Session
) -> tuple[float, ...]:
    """ASR of every recovered trigger on ``val``; 0 of one that no image can try."""
    rates = success_rates(checkpoint.model, val, triggers, len(checkpoint.labels), session)
    return tuple(rate.value for rate in rates)


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
        self._before, self._max_drop, self._triggers = before, max_drop, triggers

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
        if not within(self._before, new, self._max_drop) and not within(old, new, slack):
            why = f"left {new:.1%} on val, beyond the tolerance"
        elif revived(self.rates(self.kept), self.rates(stage)):
            why = "raised the ASR of a recovered trigger on val"
        else:
            self.notes.append(f"{stage.name}: val accuracy {old:.1%} -> {new:.1%}")
            self.kept = stage
            return
        self.notes.append(f"the stage {stage.name} {why}: the stage {self.kept.name} is kept")

    def rates(self, stage: Stage) -> tuple[float, ...]:
        """The ASR of each recovered trigger on ``val``, after a stage."""
        self.passes += len(self._triggers) * len(self.data.val) // 3
        return recovered_success(stage.checkpoint, self.data.val, self._triggers, self.session)
