"""A client that votes for the units its images need most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, Rank, State
from hubclean.methods.voting import participant, votes


@dataclass(frozen=True)
class ActiveVotes:
    """Votes for as many units as allowed, the most active ones; ranks and everything else stay as they are."""

    name: ClassVar[str] = "active-votes"
    paper: ClassVar[str] = "defense-aware client (b), ours (docs/methods/federated.md#hostile-clients)"

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Voting(inner, own)


@dataclass(frozen=True)
class _Voting:
    inner: Member
    own: Participant

    def answer(self, question: Question, state: State) -> Answer:
        if not isinstance(question, Rank) or question.scheme != "mvp":
            return self.inner.answer(question, state)
        checkpoint = self.own.loaded(state)
        units = participant.units_at(checkpoint, question.site)
        found = participant.activity(checkpoint, units, self.own.images, self.own.session)
        return Answer(votes.votes_of([-value for value in found], question.rate))
