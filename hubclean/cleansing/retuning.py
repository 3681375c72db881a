"""The retuning check: does a backdoor come back when a cleansed model is fine-tuned on a few triggered images?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from hubclean.methods.tolerance import FEW_IMAGES
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, suited, train
from hubclean.nets.triggers import Stamp, relabelled, source_of, takes
from hubclean.records import Rate, Retuning

_ALIKE = 0.5  # ASR of the turned trigger on the original from which it is no control


@dataclass(frozen=True)
class RetuningOptions:
    """How the check trains; the numbers of the FST authors' code, where 2 % of the images are clean ones.

    Args:
        images: at most so many clean images.
        triggered: so many stamped copies, labelled as the attacker wants.
        rate: 0 for the optimiser's own: 0.01 with SGD, 1e-4 with AdamW for nets with LayerNorm alone.
    """

    images: int = 500
    triggered: int = 5
    epochs: int = 5
    rate: float = 0.0
    batch_size: int = 128


def check_retuning(
    checkpoint: Checkpoint,
    original: Checkpoint,
    stamps: Sequence[tuple[Literal["planted", "recovered"], Stamp]],
    clean: ImageSet,
    test: ImageSet,
    session: Session,
    options: RetuningOptions | None = None,
) -> tuple[Retuning, ...]:
    """Retune a copy of the cleansed ``checkpoint`` for every stamp and measure its ASR on ``test`` before and after.

    A backdoor that was only unplugged from the head comes back at once; one whose features are gone has to be learnt
    anew. Five images can teach some of it to a clean net too, so the ASR after alone proves nothing: ``control`` is the
    ASR that the same training reaches with the same trigger turned by 180 degrees, which the model was never trained
    on. What works before is still there, also where clean images wear it down in the same training; of the rest only
    what stands above ``control`` was. A trigger that works on ``original`` when turned as well (a sine wave; the same
    square in four corners) has no such control: then it has no trials, n = 0. A model that never had the backdoor can
    be checked the same way, as a reference.

    Source: the retuning attack in the code of Feature Shift Tuning (NeurIPS 2023): 5 epochs at 0.01, 5 triggered
    images among 1,000 (here as many as there are, up to 500). The control, AdamW, the falling rate and one copy a stamp
    are ours.

    Args:
        original: the checkpoint before cleansing.
        stamps: triggers and how they are known. Measuring only: the result must not choose a defense.
        clean: labelled clean images to train on (``fit``); triggered ones are stamped copies of images among them that
            were not drawn, or of drawn ones if there are no others.
        test: images that nobody tuned on.

    Returns:
        One record a stamp, in order. ``triggered`` is smaller than asked for where too few images have another label
        than the target. ``checkpoint`` is not changed.
    """
    options = options or RetuningOptions()
    return tuple(_one(checkpoint, original, kind, stamp, clean, test, session, options) for kind, stamp in stamps)


class Turned:
    """A stamp turned by 180 degrees: stamps the turned image and turns it back."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp

    @property
    def target(self) -> int | None:
        return self._stamp.target

    @property
    def source(self) -> int | None:
        return source_of(self._stamp)

    def stamp(self, images: torch.Tensor) -> torch.Tensor:
        return self._stamp.stamp(images.flip(2, 3)).flip(2, 3)


def _one(
    checkpoint: Checkpoint,
    original: Checkpoint,
    kind: Literal["planted", "recovered"],
    stamp: Stamp,
    clean: ImageSet,
    test: ImageSet,
    session: Session,
    options: RetuningOptions,
) -> Retuning:
    classes, images = len(checkpoint.labels), min(options.images, len(clean))
    optimizer, rate = suited(checkpoint.model)
    schedule = Schedule(options.epochs, options.rate or rate, optimizer, batch_size=options.batch_size)
    schedule = replace(schedule, freeze_statistics=images < FEW_IMAGES)
    before, _ = attack_rates(checkpoint.model, test, stamp, classes, session)
    turned, found = Turned(stamp), []
    original.model.to(session.device).eval()
    alike = attack_rates(original.model, test, turned, classes, session)[0].value >= _ALIKE
    for shown in (stamp,) if alike else (stamp, turned):
        training = mixed(clean, shown, classes, images, options.triggered, session)
        copy = checkpoint.copy()
        train(copy.model, training, schedule, session, "retuning")
        after, _ = attack_rates(copy.model, test, shown, classes, session)
        found.append((after, clean_accuracy(copy.model, test, session), len(training) - images))
    after, accuracy, triggered = found[0]
    control = Rate.of(0, 0) if alike else found[1][0]
    return Retuning(
        kind,
        stamp.target,
        before,
        after,
        accuracy,
        images,
        triggered,
        options.epochs,
        schedule.rate,
        control,
        source_of(stamp),
    )


def mixed(clean: ImageSet, stamp: Stamp, classes: int, images: int, triggered: int, session: Session) -> ImageSet:
    """``images`` drawn clean images, then at most ``triggered`` stamped copies with the attacker's label."""
    order = torch.randperm(len(clean), generator=session.generator("retuning", len(clean)))
    drawn, others = order[:images], torch.cat([order[images:], order[:images]])
    able = others[takes(stamp, clean.labels[others])]
    rows = able[:triggered]
    if not len(rows):
        return clean.subset(drawn)
    stamped = (stamp.stamp(clean.images(rows)) * 255).round().to(torch.uint8)
    wanted = relabelled(clean.labels[rows], stamp.target, classes)
    return ImageSet(torch.cat([clean.pixels[drawn], stamped]), torch.cat([clean.labels[drawn], wanted]))
