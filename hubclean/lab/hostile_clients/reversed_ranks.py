"""A client that turns its ranks around, so that what its images need most is pruned first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, Rank, State


@dataclass(frozen=True)
class ReversedRanks:
    """Answers P + 1 - r where an honest client answers r; votes and everything else stay as they are."""

    name: ClassVar[str] = "reversed-ranks"
    paper: ClassVar[str] = "defense-aware client (a), ours (docs/methods/federated.md#hostile-clients)"

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Reversing(inner)


@dataclass(frozen=True)
class _Reversing:
    inner: Member

    def answer(self, question: Question, state: State) -> Answer:
        answer = self.inner.answer(question, state)
        if not isinstance(question, Rank) or question.scheme != "rap":
            return answer
        return Answer(tuple(question.units + 1 - rank for rank in answer.numbers))
