"""What the tuning defenses share: their options, heads that start anew, and fine-tuning a copy that stays finite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from hubclean.methods.interface import Cleansing, Stage
from hubclean.methods.shared_options import Optimizer
from hubclean.methods.tolerance import FEW_IMAGES, within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import prefix_of
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Loss, Schedule, cross_entropy, suited, train
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc

# AdamW moves a weight by its rate a step: 1e-4 would leave a new head as it was drawn.
NEW_HEAD_RATE = 1e-3


@dataclass(frozen=True)
class TuningOptions:
    """The options that all tuning defenses have; SGD has momentum 0.9, no weight decay, the rate falls by cosine."""

    epochs: Annotated[int, Doc("epochs of fine-tuning", 1, 10_000)] = 10
    optimizer: Optimizer = "auto"
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 1e-4 for adamw", 0.0, 10.0)] = 0.0
    batch_size: Annotated[int, Doc("images a training step; 0 = 128, but eight steps an epoch at least", 0, 65536)] = 0
    shift: Annotated[int, Doc("largest random translation while tuning, in pixels", 0, 64)] = 0
    flip: Annotated[bool, Doc("mirror images by chance while tuning (wrong for digits, letters and signs)")] = False

    def schedule(self, checkpoint: Checkpoint, images: int, sharpness: float = 0.0) -> Schedule:
        """The schedule for ``images`` training images; see ``Schedule`` for ``sharpness``."""
        optimizer, rate = suited(checkpoint.model, self.optimizer)
        # 128 of the 1000 images of the FST paper are eight steps: with fewer images a new head would not get there.
        batch = self.batch_size or min(128, -(-images // 8))
        return Schedule(
            self.epochs,
            self.learning_rate or rate,
            optimizer,
            batch_size=max(2, batch),
            shift=self.shift,
            freeze_statistics=images < FEW_IMAGES,
            flip=self.flip,
            sharpness=sharpness,
        )


def head_weights(checkpoint: Checkpoint) -> dict[str, int]:
    """The heads' weights by name in ``model.named_parameters()``, with their number of inputs; a shared one once."""
    prefix = prefix_of(checkpoint.model)
    return {prefix + head.weight: head.in_features for head in checkpoint.site.heads}


def head_parameters(checkpoint: Checkpoint) -> dict[str, int]:
    """``head_weights`` and the biases beside them. Of a head with a hidden layer it is the last layer alone."""
    prefix, names = prefix_of(checkpoint.model), dict(checkpoint.model.named_parameters())
    biases = {f"{prefix}{head.path}.bias": head.in_features for head in checkpoint.site.heads}
    return head_weights(checkpoint) | {name: width for name, width in biases.items() if name in names}


@torch.no_grad()
def restart_heads(checkpoint: Checkpoint, session: Session) -> None:
    """Draw weights and biases of all heads anew in place: U(-1/sqrt(d), 1/sqrt(d)), d the head's inputs.

    PyTorch's own start of a ``Linear``; FST (NeurIPS 2023) and its baselines begin there. Drawn from the session's seed
    and the tensor's name, so that every defense begins at the same head.
    """
    for name, width in head_parameters(checkpoint).items():
        tensor = checkpoint.model.get_parameter(name)
        drawn = torch.rand(tensor.shape, generator=session.generator("new head", name))
        tensor.copy_((2 * drawn - 1) / width**0.5)


def new_head_rates(checkpoint: Checkpoint, schedule: Schedule) -> dict[str, float]:
    """Learning rates by parameter for heads that ``restart_heads`` drew: with AdamW at least 1e-3 (ours)."""
    if schedule.optimizer != "adamw":
        return {}
    return dict.fromkeys(head_parameters(checkpoint), max(schedule.rate, NEW_HEAD_RATE))


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned checkpoint: ``accuracy`` on ``val``, the ``epoch`` it is of (0: none was finite), and its cost.

    After divergence the checkpoint is as it was before training, and ``accuracy`` is -1.

    Args:
        passes: images that went forward and backward; ``looked`` of them went to find the accuracy of epochs.
    """

    checkpoint: Checkpoint
    accuracy: float
    epoch: int
    passes: int
    looked: int = 0


def tune(
    checkpoint: Checkpoint,
    data: DefenseData,
    schedule: Schedule,
    session: Session,
    purpose: str,
    keep: Literal["last", "best"] = "last",
    *,
    held: dict[str, Tensor] | None = None,
    loss: Loss = cross_entropy,
    after_step: Callable[[], None] | None = None,
    only: Collection[str] | None = None,
    rates: Mapping[str, float] | None = None,
    before_epoch: Callable[[int], None] | None = None,
    floor: float | None = None,
) -> Tuned:
    """Fine-tune ``checkpoint`` in place on ``data.fit``; see ``train`` for ``purpose`` and what follows ``keep``.

    Args:
        keep: the last epoch, or the first one with the highest accuracy on ``data.val``.
        floor: with ``keep="last"``: the last epoch whose accuracy on ``data.val`` is at least this; if none has it, the
            first one with the highest.
    """
    model = checkpoint.model
    kept, able = (-1.0, 0, _state(checkpoint)), False
    looks = 0

    def look(epoch: int) -> None:
        nonlocal kept, able, looks
        if keep == "last" and floor is None and epoch < schedule.epochs:
            return
        state = model.state_dict()
        if not all(bool(value.isfinite().all()) for value in state.values()):
            return
        accuracy, looks = clean_accuracy(model, data.val, session).value, looks + 1
        reached = keep == "last" and floor is not None and within(floor, accuracy, 0.0)
        if reached or (not able and accuracy > kept[0]):
            kept, able = (accuracy, epoch, _state(checkpoint)), reached

    passes = train(
        model,
        data.fit,
        schedule,
        session,
        purpose,
        held,
        look,
        loss=loss,
        after_step=after_step,
        only=only,
        rates=rates,
        before_epoch=before_epoch,
    )
    accuracy, epoch, state = kept
    model.load_state_dict(state)
    looked = looks * len(data.val) // 3
    return Tuned(checkpoint, accuracy, epoch, passes + looked, looked)


def cleansed(
    original: Checkpoint,
    tuned: Tuned,
    data: DefenseData,
    triggers: tuple[Trigger, ...],
    session: Session,
    notes: tuple[str, ...] = (),
) -> Cleansing:
    """The cleansing of one tuned stage, with accuracy and the recovered triggers' ASR on ``val`` in its notes.

    If no epoch left finite weights, the stage is an unchanged copy and the notes say so.
    """
    size, classes = len(data.val), len(original.labels)
    passes = tuned.passes + (size + 2 * size * len(triggers)) // 3
    if not tuned.epoch:
        lost = "fine-tuning diverged and was dropped: the checkpoint is unchanged; a smaller learning rate may help"
        return Cleansing((Stage("unchanged", original.copy()),), "unchanged", notes=(*notes, lost), passes=passes)
    before = clean_accuracy(original.model, data.val, session).value
    lines = [*notes, f"val accuracy {before:.1%} before, {tuned.accuracy:.1%} after {tuned.epoch} epochs"]
    for trigger in triggers:
        (old, _), (new, _) = (
            attack_rates(one.model, data.val, trigger, classes, session) for one in (original, tuned.checkpoint)
        )
        of = "all labels" if trigger.target is None else f"label {trigger.target}"
        of += "" if trigger.source is None else f" for images of {trigger.source}"
        if old.n:
            lines.append(f"recovered trigger of {of}: ASR on val {old.value:.1%} before, {new.value:.1%} after")
    return Cleansing((Stage("tuned", tuned.checkpoint),), "tuned", notes=tuple(lines), passes=passes)


def _state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
