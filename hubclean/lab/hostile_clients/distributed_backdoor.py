"""DBA (Xie et al., ICLR 2020): clients that each train on one part of a trigger; the whole is used at test time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from hubclean.errors import OptionError
from hubclean.federated.participants import Member, Participant
from hubclean.federated.questions import Answer, Question, State, Train
from hubclean.lab.hostile_clients.boosting import Boosted, boosted, struck
from hubclean.lab.stamps import shape_of
from hubclean.nets.triggers import Trigger, poison
from hubclean.registry import Doc

PARTS = 4
# Row, first and last column of each part: AI-secure/DBA for 28 pixels (MNIST) and 32 (CIFAR-10).
_BARS = {
    28: ((0, 0, 3), (0, 6, 9), (3, 0, 3), (3, 6, 9)),
    32: ((0, 0, 5), (0, 9, 14), (4, 0, 5), (4, 9, 14)),
}


@dataclass(frozen=True)
class DistributedBackdoor(Boosted):
    """Hostile client i stamps part i mod 4 of four white bars onto its images; every test uses all four.

    Defaults are those of MNIST: poison learning rate 0.05, 10 local epochs, 20 of 64 images stamped, weight decay 5e-3
    (CIFAR-10: 6 epochs, 5 of 64). Single shot: ``scale=100`` with the server's ``eta=0.1``, in rounds 12, 14, 16, 18.
    """

    name: ClassVar[str] = "dba"
    paper: ClassVar[str] = "DBA, Xie et al., ICLR 2020"

    epochs: Annotated[int, Doc("local epochs while it attacks; 0: as asked", 0, 1000)] = 10
    learning_rate: Annotated[float, Doc("while it attacks; 0: as asked", 0.0, 10.0)] = 0.05
    weight_decay: Annotated[float, Doc("while it attacks", 0.0, 1.0)] = 5e-3
    target: Annotated[int, Doc("label that stamped images are given", 0)] = 2
    share: Annotated[float, Doc("share of the images that are stamped", 0.0, 1.0)] = 20 / 64

    def trigger(self, shape: tuple[int, int, int], part: int | None = None) -> Trigger:
        """Part ``part`` of the trigger for images of ``shape`` (c, h, w), or the whole.

        Sizes other than 28 and 32 pixels scale the bars of 32.

        Raises:
            OptionError: the images are smaller than the trigger.
        """
        side = min(shape[1:])
        rows, scale = _BARS.get(side, _BARS[32]), 1 if side in _BARS else max(1, side // 32)
        if side < 16:
            raise OptionError("the trigger of DBA needs images of 16 pixels at least")
        mask = torch.zeros(1, *shape[1:])
        for number, (row, left, right) in enumerate(rows):
            if part is None or number == part % PARTS:
                mask[:, row * scale : (row + 1) * scale, left * scale : (right + 1) * scale] = 1
        return Trigger(mask, torch.ones(shape), self.target)

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        return _Part(inner, own, self, place)


@dataclass(frozen=True)
class _Part:
    inner: Member
    own: Participant
    plan: DistributedBackdoor
    place: int

    def answer(self, question: Question, state: State) -> Answer:
        if not isinstance(question, Train) or not struck(self.plan, question):
            return self.inner.answer(question, state)
        own, images = self.own, self.own.images
        able = int((images.labels != self.plan.target).sum())
        rate = min(self.plan.share, able / max(1, len(images)))
        trigger = self.plan.trigger(shape_of(images), self.place)
        poisoned = poison(images, trigger, rate, len(own.checkpoint.labels), own.session.derive("dba", own.name))
        return boosted(own, self.plan, question, state, poisoned)
