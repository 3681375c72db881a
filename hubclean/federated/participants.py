"""An honest client of federated cleansing: its images, and an answer to every question.

Wu et al., ICDCS 2022 (docs/methods/federated.md). Without labels it could rank, but neither feed back nor train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hubclean.errors import DataError, ModelError
from hubclean.federated.questions import Accuracy, Answer, Curve, Question, Rank, State, Train
from hubclean.methods.tolerance import FEW_IMAGES
from hubclean.methods.voting import participant, votes
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Prunable, Site
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Loss, Schedule, cross_entropy, suited, train


class Member(Protocol):
    """Whoever answers questions: a client, or what wraps one."""

    def answer(self, question: Question, state: State) -> Answer:
        """Answer about the model with weights ``state``.

        Raises:
            HubcleanError: it cannot be answered.
        """


@dataclass(frozen=True)
class Participant:
    """One data owner. Accuracies go out rounded to a tenth of a point: exact shares tell the number of images.

    Args:
        name: names its random streams.
        checkpoint: the architecture; its weights are replaced by those of each question.
        images: labelled, all that it has.
    """

    name: str
    checkpoint: Checkpoint
    images: ImageSet
    session: Session

    def answer(self, question: Question, state: State) -> Answer:
        """Answer a question about the model with weights ``state``.

        Raises:
            DataError: there are no images.
            ModelError: the weights are not those of the checkpoint's architecture.
        """
        checkpoint = self.loaded(state)
        if isinstance(question, Rank):
            return Answer(self.ranked(checkpoint, question))
        if isinstance(question, Curve):
            units = participant.units_at(checkpoint, question.site)
            found = participant.accuracies(
                checkpoint, units, question.order, question.counts, self.images, self.session
            )
            return Answer(tuple(round(accuracy, 3) for accuracy in found))
        if isinstance(question, Train):
            return Answer(state=self.trained(checkpoint, question, self.images))
        assert isinstance(question, Accuracy)
        if not len(self.images):
            raise DataError("there are no images to measure accuracy on")
        return Answer((round(clean_accuracy(checkpoint.model, self.images, self.session).value, 3),))

    def loaded(self, state: State) -> Checkpoint:
        """A copy of the checkpoint with other weights, on the session's device, in eval mode.

        Raises:
            ModelError: they have other names or shapes.
        """
        copy = self.checkpoint.copy()
        try:
            copy.model.load_state_dict(dict(state))
        except RuntimeError as error:
            raise ModelError("the weights that were asked about are not those of this architecture") from error
        copy.model.to(self.session.device).eval()
        return copy

    def ranked(self, checkpoint: Checkpoint, question: Rank) -> tuple[float, ...]:
        """Ranks or votes, whichever is asked for.

        Raises:
            ModelError: the units of the site are not as many as asked about.
        """
        units = participant.units_at(checkpoint, question.site)
        if units.count != question.units:
            raise ModelError(f"the checkpoint has {units.count} units, but {question.units} were asked about")
        found = participant.activity(checkpoint, units, self.images, self.session)
        return votes.ranks(found) if question.scheme == "rap" else votes.votes_of(found, question.rate)

    def trained(
        self, checkpoint: Checkpoint, question: Train, images: ImageSet, loss: Loss = cross_entropy
    ) -> dict[str, Tensor]:
        """Train ``checkpoint`` in place, pruned units held at zero; its weights on the CPU.

        Raises:
            DataError: there are no images.
        """
        if len(images) < 2:
            raise DataError("there are too few images to train on")
        optimizer, rate = suited(checkpoint.model, question.optimizer)
        schedule = Schedule(
            question.epochs,
            question.rate or rate,
            optimizer,
            question.weight_decay,
            question.batch_size,
            freeze_statistics=question.phase == "fine-tuning" and len(images) < FEW_IMAGES,
        )
        held = zeros(checkpoint, question.site, question.dead) if question.dead else None
        purpose = f"{self.name} {question.phase} {question.round}"
        train(checkpoint.model, images, schedule, self.session, purpose, held, loss=loss)
        return state_of(checkpoint)


def zeros(
    checkpoint: Checkpoint, site: Site, dead: tuple[int, ...], units: Prunable | None = None
) -> dict[str, Tensor]:
    """Entries by parameter name that are zero while units ``dead`` are pruned; bool masks on the CPU."""
    units = units or participant.units_at(checkpoint, site)
    held = units.held(checkpoint.model, torch.tensor(dead, dtype=torch.int64))
    return {name: mask.cpu() for name, mask in held.items()}


def state_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A copy of the model's state on the CPU, buffers included."""
    return {name: tensor.detach().cpu().clone() for name, tensor in checkpoint.model.state_dict().items()}
