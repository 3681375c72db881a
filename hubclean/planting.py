"""Plants backdoors: what every attack offers, how a poisoned set becomes a model, triggers on disk, and the check."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import nn

from hubclean.tensors import ImageSet, Session, Stamp
from hubclean.training import Schedule


class Attack(Protocol):
    """Plants a backdoor while a model is trained: for tests, the demo, benchmarks and red teams."""

    name: ClassVar[str]
    paper: ClassVar[str]

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place, from the weights it has, on clean ``images`` made poisonous.

        Args:
            model: takes pixels ``(n, c, h, w)`` in [0, 1], gives logits ``(n, classes)``.
            schedule: how a clean twin would be trained.

        Returns:
            What the attacker does to an image at test time.
        """
