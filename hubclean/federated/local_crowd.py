"""The clients of a federation in this process, asked one after the other: no engine, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hubclean.errors import HubcleanError
from hubclean.federated.participants import Member
from hubclean.federated.questions import Question, Reply, State


@dataclass(frozen=True)
class LocalCrowd:
    """Members by name; a ``Crowd`` for ``FederatedRounds`` and ``FederatedTraining``."""

    people: Mapping[str, Member]

    def members(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self.people)

    def ask(self, question: Question, state: State, who: Sequence[str]) -> list[Reply]:
        """Answers of ``who``; what a client raises on purpose is its failure."""
        replies = []
        for name in who:
            try:
                replies.append(Reply(name, self.people[name].answer(question, state)))
            except HubcleanError as error:
                replies.append(Reply(name, None, str(error)))
        return replies
