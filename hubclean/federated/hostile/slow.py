"""A client that answers late: for tests of the time limit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, State
from hubclean.registry import Doc


@dataclass(frozen=True)
class Slow:
    """Waits before every answer."""

    name: ClassVar[str] = "slow"
    paper: ClassVar[str] = "a fault, ours"

    seconds: Annotated[float, Doc("how long it waits, in seconds", 0.0, 86_400.0)] = 60.0

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Waiting(inner, self.seconds)


@dataclass(frozen=True)
class _Waiting:
    inner: Member
    seconds: float

    def answer(self, question: Question, state: State) -> Answer:
        time.sleep(self.seconds)
        return self.inner.answer(question, state)
