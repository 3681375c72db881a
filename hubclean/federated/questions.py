"""What a server of federated cleansing asks, what a client answers, and the rules an answer must keep.

Wu et al., ICDCS 2022 (docs/methods/federated.md): ranks or votes, accuracies, weights of a local training. No
activation and no image is ever part of an answer. Nothing here knows how questions travel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, Protocol

import torch
from torch import Tensor

from hubclean.methods.voting import votes
from hubclean.methods.voting.votes import Scheme
from hubclean.nets.cut.pruning import Site

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rank:
    """Which units are asleep: ranks (``rap``), or votes for the ceil(``rate`` * ``units``) least active (``mvp``)."""

    site: Site
    scheme: Scheme
    rate: float
    units: int

    kind = "rank"

    def fault(self, answer: Answer) -> str:
        """Why the answer is refused; empty if it is not."""
        if len(answer.numbers) != self.units:
            return f"it has {len(answer.numbers)} entries for {self.units} units"
        if not _whole(answer.numbers):
            return "an entry is no whole number"
        found = [int(value) for value in answer.numbers]
        if self.scheme == "rap":
            return "" if votes.is_permutation(found) else f"it is no order of the ranks 1 to {self.units}"
        wanted = votes.vote_count(self.rate, self.units)
        if not set(found) <= {0, 1} or sum(found) != wanted:
            return f"it does not vote for exactly {wanted} units, once each"
        return ""


@dataclass(frozen=True)
class Curve:
    """The accuracy when ``order[:n]`` is pruned, for every n of ``counts`` (which start with 0)."""

    site: Site
    order: tuple[int, ...]
    counts: tuple[int, ...]

    kind = "curve"

    def fault(self, answer: Answer) -> str:
        """Why the answer is refused; empty if it is not."""
        return _accuracies(answer.numbers, len(self.counts))


@dataclass(frozen=True)
class Train:
    """Train the model on local images and send its weights.

    Args:
        round: its number, from 1.
        phase: ``training`` of a model, or ``fine-tuning`` of a pruned one.
        dead: units of ``site`` that are pruned and stay so; none = empty.
        rate: learning rate, 0 = 0.01 for SGD, 1e-4 for AdamW; the rate falls by cosine within the round.
    """

    round: int
    phase: Literal["training", "fine-tuning"]
    site: Site
    dead: tuple[int, ...]
    epochs: int
    rate: float
    optimizer: str
    batch_size: int
    weight_decay: float

    kind = "train"

    def fault(self, answer: Answer) -> str:
        """Why the answer is refused, without its weights (see ``state_fault``)."""
        return "" if answer.state else "it has no weights"


@dataclass(frozen=True)
class Accuracy:
    """The share of the local images that the model gets right."""

    kind = "accuracy"

    def fault(self, answer: Answer) -> str:
        """Why the answer is refused; empty if it is not."""
        return _accuracies(answer.numbers, 1)


Question = Rank | Curve | Train | Accuracy
KINDS: dict[str, type[Question]] = {one.kind: one for one in (Rank, Curve, Train, Accuracy)}


@dataclass(frozen=True)
class Answer:
    """What a client sends back: numbers, or the weights of its training."""

    numbers: tuple[float, ...] = ()
    state: State = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What became of a question to one client: an answer, or why there is none."""

    who: str
    answer: Answer | None = None
    failure: str = ""


class Crowd(Protocol):
    """The clients of a federation, however they are reached."""

    def members(self) -> tuple[str, ...]:
        """Who can be asked now."""

    def ask(self, question: Question, state: State, who: Sequence[str]) -> list[Reply]:
        """Ask clients ``who`` about the model with weights ``state``; a reply for each, in any order."""


def refused(question: Question, answer: Answer, state: State) -> str:
    """Why an answer cannot be counted, as a sentence about "it"; empty if it can.

    Args:
        state: the weights that were asked about.
    """
    return question.fault(answer) or (state_fault(answer.state, state) if answer.state else "")


def state_fault(given: State, wanted: State) -> str:
    """Why weights do not fit those they are to be averaged with; empty if they do."""
    if set(given) != set(wanted):
        return "its weights have other names than the model's"
    for name, tensor in wanted.items():
        if given[name].shape != tensor.shape or given[name].dtype != tensor.dtype:
            return "its weights have another shape or type than the model's"
        if tensor.is_floating_point() and not bool(torch.isfinite(given[name]).all()):
            return "its weights hold NaN or infinity"
    return ""


def _accuracies(numbers: Sequence[float], points: int) -> str:
    if len(numbers) != points:
        return f"it has {len(numbers)} accuracies where {points} were asked for"
    return "" if all(0 <= value <= 1 for value in numbers) else "an accuracy is no share between 0 and 1"


def _whole(numbers: Sequence[float]) -> bool:
    return all(isfinite(value) and value == int(value) for value in numbers)
