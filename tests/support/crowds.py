"""A federation without a network that remembers what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hubclean.federated.local_crowd import LocalCrowd
from hubclean.federated.questions import Question, Reply, State


@dataclass(frozen=True)
class Here(LocalCrowd):
    """``asked`` keeps every question with those it went to."""

    asked: list[tuple[Question, tuple[str, ...]]] = field(default_factory=list)

    def ask(self, question: Question, state: State, who: Sequence[str]) -> list[Reply]:
        self.asked.append((question, tuple(who)))
        return super().ask(question, state, who)
