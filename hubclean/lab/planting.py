"""Plants backdoors: what every attack offers, how a poisoned set becomes a model, and the check that it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import nn

from hubclean.lab import stamps
from hubclean.measurements import Rate
from hubclean.methods.tolerance import within
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import Classifier
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Stamp

# What an attack must reach before it is a test of a defense: docs/methods/attacks.md#what-counts-as-planted.
LARGEST_LOSS = 0.02
SMALLEST_ASR = {"all-to-one": 0.9, "all-to-all": 0.8}


class Attack(Protocol):
    """Plants a backdoor while a model is trained: for tests, the demo, benchmarks and red teams.

    An attack with stamps of its own kind also has ``restored(tensors, facts, target) -> Stamp``, a static method that
    reads what the stamp's ``stored()`` gave; ``Trigger`` and the kinds of ``hubclean.lab.stamps`` need none.
    """

    name: ClassVar[str]
    paper: ClassVar[str]

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place, from the weights it has, on clean ``images`` made poisonous.

        Gradients are off and the model is in eval mode after; global random generators are left alone.

        Args:
            model: takes pixels ``(n, c, h, w)`` in [0, 1], gives logits ``(n, classes)``.
            images: clean training images; not changed.
            schedule: how a clean twin would be trained.

        Returns:
            What the attacker does to an image at test time.
        """


class DataAttack(Protocol):
    """An attack that needs no more than a changed training set."""

    name: ClassVar[str]

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Stamp:
        """The stamp for images of ``shape`` (c, h, w)."""

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A poisoned copy of a training set, with the trigger of the same seed."""


def seed_of(name: str, session: Session) -> int:
    """The seed of an attack's trigger and of its choice of images."""
    return session.derive("attack", name)


def plant_by_data(
    attack: DataAttack, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session
) -> Stamp:
    """Train ``model`` in place on a poisoned copy of ``images``; the attack's stamp."""
    seed = seed_of(attack.name, session)
    trigger = attack.trigger(stamps.shape_of(images), seed)
    train(model, attack.poison(images, classes, seed), schedule, session, f"planting {attack.name}")
    return trigger


def wrapped(model: nn.Module, shape: tuple[int, int, int], classes: int, session: Session) -> Checkpoint:
    """A checkpoint around a copy of a net that takes pixels in [0, 1], for attacks that look inside.

    Raises:
        ModelError: no head can be found.
    """
    net, mean, std = model, (0.0,) * shape[0], (1.0,) * shape[0]
    if isinstance(model, Classifier):
        net, mean, std = model.net, tuple(model.mean.flatten().tolist()), tuple(model.std.flatten().tolist())
    labels = tuple(f"label {index}" for index in range(classes))
    name = type(net).__name__
    checkpoint = loading.wrap(net, mean=mean, std=std, input_size=shape, labels=labels, name=name)
    checkpoint.model.to(session.device)
    return checkpoint


@dataclass(frozen=True)
class Planted:
    """Whether a backdoor is one: accuracy beside a clean twin's, and success of the trigger, on the images given.

    Args:
        twin: clean accuracy of a twin trained alike on clean images.
        took: within 2 points of the twin's accuracy, ASR at least 90 % (all-to-all 80 %).
        reason: in words.
    """

    clean_accuracy: Rate
    asr: Rate
    twin: float
    took: bool
    reason: str


def verify_planted(
    model: nn.Module, stamp: Stamp, images: ImageSet, classes: int, twin: float, session: Session
) -> Planted:
    """Measure on held-out ``images`` what a planted model must show before it tests a defense.

    The bounds are those of docs/methods/attacks.md#what-counts-as-planted.

    Args:
        twin: clean accuracy of a clean twin on the same images.
    """
    accuracy = clean_accuracy(model, images, session)
    asr, _ = attack_rates(model, images, stamp, classes, session)
    least = SMALLEST_ASR["all-to-all" if stamp.target is None else "all-to-one"]
    wrong = []
    if not within(twin, accuracy.value, LARGEST_LOSS):
        wrong.append(f"clean accuracy {accuracy.value:.1%} is more than 2 points below the twin's {twin:.1%}")
    if asr.n == 0:
        wrong.append("no image could try the trigger")
    elif asr.value < least:
        wrong.append(f"the trigger works on {asr.value:.1%} of the images, less than {least:.0%}")
    reason = "; ".join(wrong) or f"clean accuracy {accuracy.value:.1%} (twin {twin:.1%}), ASR {asr.value:.1%}"
    return Planted(accuracy, asr, twin, not wrong, reason)


def drawn(expected: float, generator: torch.Generator) -> int:
    """A whole number whose mean is ``expected``: shares of a batch hold on average, also in small batches."""
    return int(expected + float(torch.rand(1, generator=generator)))
