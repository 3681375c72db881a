"""Model replacement (Bagdasaryan et al., AISTATS 2020): a client that puts its own model in place of the global one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, State, Train
from hubclean.lab.hostile_clients.boosting import Boosted, boosted, struck
from hubclean.lab.stamps import corner, shape_of
from hubclean.nets.images import ImageSet
from hubclean.nets.triggers import Trigger, poison
from hubclean.registry import Doc


@dataclass(frozen=True)
class ModelReplacement(Boosted):
    """Trains X on clean and stamped images from the global G and sends G + gamma (X - G).

    With gamma = n / eta (n clients a round, eta the server's rate) the average becomes X. The trigger is a white
    square in the bottom-right corner. Two local epochs, half of the images stamped, are backdoors101's.
    """

    name: ClassVar[str] = "model-replacement"
    paper: ClassVar[str] = "Model replacement, Bagdasaryan et al., AISTATS 2020"

    target: Annotated[int, Doc("label that stamped images are given", 0)] = 2
    share: Annotated[float, Doc("share of the images that are stamped", 0.0, 1.0)] = 0.5
    size: Annotated[int, Doc("side of the square, in pixels of a 32-pixel image", 1, 32)] = 4

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The trigger for images of ``shape`` (c, h, w)."""
        return Trigger(corner(shape, self.size, 0)[0], torch.ones(shape), self.target)

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Replacing(inner, own, self)

    def poisoned(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy: at most all images that are not of the target label are stamped."""
        able = int((images.labels != self.target).sum())
        rate = min(self.share, able / max(1, len(images)))
        return poison(images, self.trigger(shape_of(images)), rate, classes, seed)


@dataclass(frozen=True)
class _Replacing:
    inner: Member
    own: Participant
    plan: ModelReplacement

    def answer(self, question: Question, state: State) -> Answer:
        if not isinstance(question, Train) or not struck(self.plan, question):
            return self.inner.answer(question, state)
        classes, seed = len(self.own.checkpoint.labels), self.own.session.derive("replacement", self.own.name)
        return boosted(self.own, self.plan, question, state, self.plan.poisoned(self.own.images, classes, seed))
