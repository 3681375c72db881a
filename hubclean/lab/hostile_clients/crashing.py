"""A client that fails: for tests of the quorum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.errors import DataError
from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, State
from hubclean.registry import Doc


@dataclass(frozen=True)
class Crashing:
    """Raises in place of answers of one kind, or of all."""

    name: ClassVar[str] = "crashing"
    paper: ClassVar[str] = "a fault, ours"

    kind: Annotated[str, Doc("questions it fails at", choices=("all", "rank", "curve", "train", "accuracy"))] = "all"

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Crash(inner, self.kind)


@dataclass(frozen=True)
class _Crash:
    inner: Member
    kind: str

    def answer(self, question: Question, state: State) -> Answer:
        if self.kind in ("all", question.kind):
            raise DataError("this client fails on purpose")
        return self.inner.answer(question, state)
