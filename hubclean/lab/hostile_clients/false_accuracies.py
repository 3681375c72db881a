"""A client that lies about its accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Accuracy, Answer, Curve, Question, State
from hubclean.registry import Doc


@dataclass(frozen=True)
class FalseAccuracies:
    """Says 1 for the untouched model and ``value`` ever after: 0 stops all pruning, 1 lets it run to the end.

    A curve is answered without a look at the images. Whoever joins accuracies by the mean believes it.
    """

    name: ClassVar[str] = "false-accuracies"
    paper: ClassVar[str] = "defense-aware client (c), ours (docs/methods/federated.md#hostile-clients)"

    value: Annotated[float, Doc("accuracy that is claimed for every changed model", 0.0, 1.0)] = 0.0

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Lying(inner, self.value)


@dataclass(frozen=True)
class _Lying:
    inner: Member
    value: float

    def answer(self, question: Question, state: State) -> Answer:
        if isinstance(question, Curve):
            return Answer((1.0, *(self.value for _ in question.counts[1:])))
        return Answer((self.value,)) if isinstance(question, Accuracy) else self.inner.answer(question, state)
