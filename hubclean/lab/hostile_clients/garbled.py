"""A client whose answers break the rules: for tests of what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, State
from hubclean.registry import Doc


@dataclass(frozen=True)
class Garbled:
    """Answers of the wrong length, or with NaN in them, weights included."""

    name: ClassVar[str] = "garbled"
    paper: ClassVar[str] = "a fault, ours"

    how: Annotated[str, Doc("what is wrong", choices=("length", "nan"))] = "nan"

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Garbling(inner, self.how)


@dataclass(frozen=True)
class _Garbling:
    inner: Member
    how: str

    def answer(self, question: Question, state: State) -> Answer:
        answer = self.inner.answer(question, state)
        if self.how == "length":
            return Answer(answer.numbers[1:], dict(list(answer.state.items())[1:]))
        broken = {
            name: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor
            for name, tensor in answer.state.items()
        }
        return Answer(tuple(float("nan") for _ in answer.numbers), broken)
