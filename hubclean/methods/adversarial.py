"""What the defenses share that train on perturbed images: their options, one run of them, gradients at the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from torch import Tensor, nn

from hubclean.methods.interface import Cleansing
from hubclean.methods.shared_options import MaxDrop, Optimizer
from hubclean.methods.tolerance import within
from hubclean.methods.tuning import TuningOptions, cleansed, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Images, Labels
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


class Adversary(Protocol):
    """Perturbs the images of one run of tuning, and says what is minimised on them."""

    passes: float  # images that went forward and backward on this process beside one a row of each training step

    def before_epoch(self, epoch: int) -> None:
        """Called before each epoch with the number of those finished."""
        ...

    def loss(self, model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
        """What a step minimises; see ``training.Loss``."""
        ...

    def told(self) -> str:
        """What the perturbations did, for the notes."""
        ...


@dataclass(frozen=True)
class AdversarialOptions(TuningOptions):
    """The options of tuning on perturbed images: Adam and a net in eval mode throughout, as in both papers.

    Their rate is 1e-4, for ten times as many steps as a few hundred images give.
    """

    optimizer: Optimizer = "adamw"
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 1e-4 for adamw", 0.0, 10.0)] = 1e-3
    mode: Annotated[
        str,
        Doc(
            "eval: no dropout, BatchNorm's statistics stay; train: as other tuning defenses", choices=("eval", "train")
        ),
    ] = "eval"
    keep: Annotated[
        str, Doc("which epoch: last = the last within max_drop, best = by val accuracy", choices=("last", "best"))
    ] = "last"
    max_drop: MaxDrop = 0.04

    def tuned_against(
        self,
        adversary: Adversary,
        checkpoint: Checkpoint,
        copy: Checkpoint,
        data: DefenseData,
        triggers: tuple[Trigger, ...],
        session: Session,
        purpose: str,
    ) -> Cleansing:
        """Tune ``copy`` of ``checkpoint`` on the adversary's loss, and tell of it.

        Kept is the last epoch that loses at most ``max_drop`` on ``data.val`` (``keep="best"``: the first of the best
        accuracy); where none does, the first of the best accuracy, and a note says so.
        """
        before = clean_accuracy(checkpoint.model, data.val, session).value
        tuned = tune(
            copy,
            data,
            self._schedule(copy, len(data.fit)),
            session,
            purpose,
            "last" if self.keep == "last" else "best",
            loss=adversary.loss,
            before_epoch=adversary.before_epoch,
            floor=before - self.max_drop,
        )
        notes = [adversary.told()]
        if tuned.epoch and not within(before, tuned.accuracy, self.max_drop):
            notes.append(f"no epoch stayed within {self.max_drop:.1%} of clean accuracy on val: the best one is kept")
        aside = len(data.val) // 3 + round(adversary.passes * session.accelerator.num_processes)
        return cleansed(checkpoint, replace(tuned, passes=tuned.passes + aside), data, triggers, session, tuple(notes))

    def _schedule(self, checkpoint: Checkpoint, images: int) -> Schedule:
        schedule = self.schedule(checkpoint, images)
        if self.mode == "eval":
            return replace(schedule, freeze_statistics=True, freeze_dropout=True)
        return schedule


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, every module is in eval mode; after, each is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def averaged(values: Tensor, session: Session) -> Tensor:
    """The mean of ``values`` over all processes, without a graph."""
    if session.accelerator.num_processes == 1:
        return values.detach()
    mean: Tensor = session.accelerator.reduce(values.detach().clone(), "mean")
    return mean
