"""Federations without a network: participants in this process, asked one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hubclean.errors import HubcleanError
from hubclean.federated.participants import Member
from hubclean.federated.questions import Question, Reply, State


@dataclass
class Here:
    """A ``Crowd`` of members by name; ``asked`` keeps every question with those it went to."""

    people: Mapping[str, Member]
    asked: list[tuple[Question, tuple[str, ...]]] = field(default_factory=list)

    def members(self) -> tuple[str, ...]:
        return tuple(self.people)

    def ask(self, question: Question, state: State, who: Sequence[str]) -> list[Reply]:
        self.asked.append((question, tuple(who)))
        replies = []
        for name in who:
            try:
                replies.append(Reply(name, self.people[name].answer(question, state)))
            except HubcleanError as error:
                replies.append(Reply(name, None, str(error)))
        return replies
