"""Neural Cleanse's unlearning (S&P 2019, section VI-C): train on recovered triggers with the true labels kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.shared_options import MaxDrop, Optimizer
from hubclean.methods.tolerance import FEW_IMAGES, within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import clean_accuracy, success_rates
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, suited, train
from hubclean.nets.triggers import StampedSet, Trigger, takes
from hubclean.registry import Doc

_OF_A_CLASS = 0.5  # of a source class's images that are stamped; a fifth of a tenth would be a handful
_ALIKE = 0.02  # success rates this close are not told apart; then clean accuracy decides


@dataclass(frozen=True)
class EpochState:
    """The weights after an epoch, with accuracy and the strongest trigger's ASR (``None``: not tried) on ``val``."""

    epoch: int
    accuracy: float
    asr: float | None
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class NeuralCleanseUnlearning:
    """Fine-tunes on clean images of which a share carries recovered triggers, every one with its true label.

    A ``share`` of ``fit``, drawn once, is stamped with A(x) = (1 - m) x + m d; with several triggers (several flagged
    labels) each of these images carries one of them, drawn at random. A trigger with a source class is stamped on half
    of that class's images alone (or ``share``, if that is more). Stamps come before augmentation and normalisation, in
    float. The loss is cross-entropy.

    The paper trains 1 epoch on 10 % of the training data, 20 % of it stamped: 28 to 47 steps of 128 images on its
    MNIST and GTSRB. One epoch over a few hundred images is a handful of steps, so ``epochs`` is raised until there
    are at least ``steps`` of them (``steps=1`` for one epoch whatever it holds).

    After every epoch clean accuracy and the success of the recovered triggers are taken on ``val``. Of the epochs that
    lose at most ``max_drop``, and are within 0.02 of the lowest success of the strongest trigger among those, the one
    with the best accuracy is kept; where every epoch loses more, the original is.

    Source: section VI-C as docs/methods/triggers.md#nc-unlearn restates it (shares, rate 0.01, momentum 0.9, 1 epoch);
    ``steps``, AdamW for nets with LayerNorm alone, the tolerance and the choice among epochs are ours.
    """

    name: ClassVar[str] = "nc-unlearn"
    paper: ClassVar[str] = "Neural Cleanse, Wang et al., IEEE S&P 2019"
    needs: ClassVar[Needs] = "labels"

    share: Annotated[float, Doc("share of the images that is stamped", 0.0, 1.0)] = 0.2
    epochs: Annotated[int, Doc("epochs over fit, at least", 1, 10_000)] = 1
    steps: Annotated[int, Doc("training steps, at least: epochs are added until there are so many", 1, 1_000_000)] = 50
    max_drop: MaxDrop = 0.04
    optimizer: Optimizer = "auto"
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 1e-4 for adamw", 0.0, 10.0)] = 0.0
    batch_size: Annotated[int, Doc("images a training step", 2, 65536)] = 128
    shift: Annotated[int, Doc("largest random translation while training, in pixels", 0, 64)] = 0

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the unlearned checkpoint; an unchanged copy without triggers. The input is not changed."""
        tuned = checkpoint.copy()
        if not triggers:
            note = "no trigger was recovered, so there is nothing to unlearn: the checkpoint is unchanged"
            return Cleansing((Stage("unchanged", tuned),), "unchanged", notes=(note,))
        tuned.model.to(session.device)
        images, schedule = self.poisoned(data.fit, triggers, session), self._schedule(tuned, len(data.fit))
        first, able = self._state(0, tuned, data.val, triggers, session), list[EpochState]()

        def watch(epoch: int) -> None:
            state = self._state(epoch, tuned, data.val, triggers, session)
            finite = all(bool(value.isfinite().all()) for value in state.weights.values())
            if finite and within(first.accuracy, state.accuracy, self.max_drop):
                able[:] = self.best_states([*able, state])

        train(tuned.model, images, schedule, session, self.name, None, watch)
        kept = able[-1] if able else first
        tuned.model.load_state_dict(kept.weights)
        name = "unlearned" if able else "unchanged"
        looks = len(data.val) * (1 + len(triggers)) * (schedule.epochs + 1)
        return Cleansing(
            (Stage(name, tuned),),
            name,
            notes=self._notes(first, kept, schedule, images),
            passes=schedule.epochs * len(data.fit) + round(looks / 3),
        )

    def poisoned(self, images: ImageSet, triggers: tuple[Trigger, ...], session: Session) -> StampedSet:
        """``images`` with their true labels, ``share`` of them stamped with one random trigger each."""
        generator = session.generator(self.name, "stamps")
        which = torch.full((len(images),), -1, dtype=torch.int64)
        whole = torch.tensor([i for i, one in enumerate(triggers) if one.source is None], dtype=torch.int64)
        if len(whole):
            rows = torch.randperm(len(images), generator=generator)[: max(1, round(self.share * len(images)))]
            which[rows] = whole[torch.randint(len(whole), (len(rows),), generator=generator)]
        for number, trigger in enumerate(triggers):
            if trigger.source is not None:
                rows = takes(trigger, images.labels).nonzero().flatten()
                count = round(max(self.share, _OF_A_CLASS) * len(rows))
                which[rows[torch.randperm(len(rows), generator=generator)[:count]]] = number
        return StampedSet(images.pixels, images.labels, triggers, which)

    def _schedule(self, tuned: Checkpoint, images: int) -> Schedule:
        optimizer, rate = suited(tuned.model, self.optimizer)
        epochs = max(self.epochs, -(-self.steps // max(1, -(-images // self.batch_size))))
        return Schedule(
            epochs,
            self.learning_rate or rate,
            optimizer,
            batch_size=self.batch_size,
            shift=self.shift,
            freeze_statistics=images < FEW_IMAGES,
        )

    @staticmethod
    def _state(
        epoch: int, tuned: Checkpoint, val: ImageSet, triggers: tuple[Trigger, ...], session: Session
    ) -> EpochState:
        rates = success_rates(tuned.model, val, triggers, len(tuned.labels), session)
        return EpochState(
            epoch,
            clean_accuracy(tuned.model, val, session).value,
            max((rate.value for rate in rates if rate.n), default=None),
            {name: value.clone() for name, value in tuned.model.state_dict().items()},
        )

    @staticmethod
    def best_states(states: list[EpochState]) -> list[EpochState]:
        """Those that may still win when more come, the winner last; nobody needs the weights of the others."""
        lowest, front = min((state.asr or 0.0 for state in states), default=0.0), list[EpochState]()
        for state in sorted(states, key=lambda state: (state.asr or 0.0, -state.accuracy, state.epoch)):
            if (state.asr or 0.0) <= lowest + _ALIKE and (not front or state.accuracy > front[-1].accuracy):
                front.append(state)
        return front

    def _notes(self, first: EpochState, kept: EpochState, schedule: Schedule, images: StampedSet) -> tuple[str, ...]:
        stamped = int((images.which >= 0).sum())
        steps = max(1, -(-len(images) // schedule.batch_size))
        trained = (
            f"{schedule.epochs} epoch(s) of {steps} step(s) on {len(images)} images, {stamped} of them stamped with "
            f"recovered triggers ({schedule.optimizer}, rate {schedule.rate:g}); the paper: 1 epoch on 10 % of the "
            "training data"
        )
        if not kept.epoch:
            return trained, f"every epoch cost more than {self.max_drop:.1%} of clean accuracy: the original is kept"
        asr = "not tried" if kept.asr is None else f"{first.asr:.1%} before, {kept.asr:.1%} after"
        return trained, (
            f"epoch {kept.epoch} is kept: val accuracy {first.accuracy:.1%} before, {kept.accuracy:.1%} after; "
            f"ASR of the strongest recovered trigger on val {asr}"
        )
