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
    """Waits before answers of one kind, or of all."""

    name: ClassVar[str] = "slow"
    paper: ClassVar[str] = "a fault, ours"

    seconds: Annotated[float, Doc("how long it waits, in seconds", 0.0, 86_400.0)] = 60.0
    kind: Annotated[str, Doc("questions it is slow at", choices=("all", "rank", "curve", "train", "accuracy"))] = "all"

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Waiting(inner, self.seconds, self.kind)


@dataclass(frozen=True)
class _Waiting:
    inner: Member
    seconds: float
    kind: str

    def answer(self, question: Question, state: State) -> Answer:
        if self.kind in ("all", question.kind):
            time.sleep(self.seconds)
        return self.inner.answer(question, state)
