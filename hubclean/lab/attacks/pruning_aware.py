"""Pruning-aware attack (Liu, Dolan-Gavitt, Garg 2018): the backdoor lives in busy units, decoys take the pruning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.lab import decoys, planting, stamps
from hubclean.lab.decoys import Place
from hubclean.methods.tolerance import last_within, until_beyond, within
from hubclean.nets import triggers
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare
from hubclean.nets.cut.pruning import cut_channels, pruning_curve
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Stamp, Trigger, poison
from hubclean.registry import Doc

_STEPS = 50  # cuts in which the number of decoys is found


@dataclass(frozen=True)
class Decoys:
    """What a pruning-aware attack left, measured on the attacker's held-out images.

    Args:
        units: numbers of the decoys at the site ``(k,)``.
        bias: the tensor that silences them.
        accuracy: clean accuracy before and after the decoys came back (f2 and f3).
        asr: ASR before and after.
        first: whether no other unit is less active than any decoy, on clean and triggered images.
        holds: there are any, ``first``, |change of accuracy| <= .5 points, |change of ASR| <= 1 point.
    """

    units: Tensor
    bias: str
    accuracy: tuple[float, float]
    asr: tuple[float, float]
    first: bool

    @property
    def holds(self) -> bool:
        alike = within(max(self.accuracy), min(self.accuracy), 0.005) and within(max(self.asr), min(self.asr), 0.01)
        return len(self.units) > 0 and self.first and alike


@dataclass(frozen=True)
class PruningAware:
    """Trains the backdoor into units that pruning leaves for last, and puts sleeping decoys in front of them.

    1. Train clean: f0. 2. The decoys P are the least active units, as many as cost at most ``max_drop`` of accuracy.
    3. Train with P cut, and held at zero, on poisoned images: f2; if accuracy fell by more than 2 points or ASR is
    below 90 %, a quarter of P is given back and the step repeated, ``retries`` times (the paper: one unit at a time).
    4. Restore P's weights from f0 and lower their biases until, on clean and triggered images, no other unit is less
    active: f3. Pruning by activity then spends its budget on P. The trigger is a white square in the corner.

    Needs an activation that is zero for low inputs (ReLU, GELU) behind a bias of its own, which is tried on the model
    at once; ``site=auto`` takes the final features where that can be done, else hidden units of the last layers.
    Source: RAID 2018, section 3.3; figures not in the paper: docs/methods/attacks.md#pruning-aware.
    """

    name: ClassVar[str] = "pruning-aware"
    paper: ClassVar[str] = "Fine-Pruning, Liu et al., RAID 2018, section 3.3"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given", 0)] = 0
    size: Annotated[int, Doc("side of the square, in pixels of a 32-pixel image", 1, 32)] = 3
    site: Annotated[
        str, Doc("units the defender is expected to prune, as in fine-pruning", choices=("auto", "feature", "conv"))
    ] = "auto"
    max_drop: Annotated[float, Doc("largest loss of accuracy by cutting the decoys", 0.0, 1.0)] = 0.01
    most: Annotated[float, Doc("largest share of the units that become decoys", 0.0, 0.99)] = 0.9
    retries: Annotated[int, Doc("times that decoys are given back when f2 falls short", 0, 100)] = 2

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place in the four steps.

        Raises:
            DataError: the target is no label.
            ModelError: no head is found, no bias of the architecture silences the units of the site, or the decoys do
                not hold: then this would be BadNets under another name.
        """
        trigger, found = self.plant_checked(model, images, classes, schedule, session)
        if not found.holds:
            raise ModelError(
                f"the decoys of {self.name} do not hold: {len(found.units)} units, first to be pruned: {found.first}, "
                f"accuracy {found.accuracy[0]:.1%} to {found.accuracy[1]:.1%}, ASR {found.asr[0]:.1%} to "
                f"{found.asr[1]:.1%} when they came back"
            )
        return trigger

    def plant_checked(
        self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session
    ) -> tuple[Trigger, Decoys]:
        """``plant``, and what its checks measured."""
        triggers.check_target(triggers.ALL_TO_ONE, self.target, classes)
        shape = stamps.shape_of(images)
        trigger = Trigger(stamps.corner(shape, self.size, 0)[0], torch.ones(shape), self.target)
        training, probe = self._split(images, session)
        sample = probe.subset(torch.arange(min(len(probe), 128)))
        decoys.find_decoys(self.site, planting.wrapped(model, shape, classes, session), sample, session)  # refuse early
        train(model, training, schedule, session, f"clean for {self.name}")
        clean = planting.wrapped(model, shape, classes, session)
        place = decoys.find_decoys(self.site, clean, sample, session)
        dead = self._decoys(clean, place, probe, session)
        poisoned = poison(training, trigger, self.rate, classes, planting.seed_of(self.name, session))
        retrained, dead = self._retrain(clean, place, dead, poisoned, probe, trigger, schedule, session)
        before = _rates(retrained, probe, trigger, session)
        decoys.bring_back(retrained.model, clean.model, place.units.held(clean.model, dead))
        first = decoys.put_to_sleep(retrained, place, dead, _both(probe, trigger), session)
        after = _rates(retrained, probe, trigger, session)
        bare(model).load_state_dict(bare(retrained.model).state_dict())
        return trigger, Decoys(dead, place.bias, (before[0], after[0]), (before[1], after[1]), first)

    def _split(self, images: ImageSet, session: Session) -> tuple[ImageSet, ImageSet]:
        """The attacker trains on nine tenths and judges on the rest, at most 1,000."""
        order = torch.randperm(len(images), generator=session.generator("attack", self.name, "split"))
        held = max(1, min(1000, len(images) // 10))
        return images.subset(order[held:]), images.subset(order[:held])

    def _decoys(self, clean: Checkpoint, place: Place, probe: ImageSet, session: Session) -> Tensor:
        """The longest prefix of the defender's order, within the place's own units, that costs ``max_drop``."""
        activity = place.units.activity(clean, probe, session).cpu()
        order = place.own[torch.argsort(activity[place.own], stable=True)]
        order = order[: int(self.most * len(order))]
        steps = torch.split(order, max(1, len(order) // _STEPS))
        points = list(until_beyond(pruning_curve(clean, place.units, steps, probe, (), session), self.max_drop))
        return order[: last_within(points, self.max_drop).cut]

    def _retrain(
        self,
        clean: Checkpoint,
        place: Place,
        dead: Tensor,
        poisoned: ImageSet,
        probe: ImageSet,
        trigger: Trigger,
        schedule: Schedule,
        session: Session,
    ) -> tuple[Checkpoint, Tensor]:
        """f2 and the decoys it was trained without."""
        wanted = clean_accuracy(clean.model, probe, session).value - planting.LARGEST_LOSS
        for attempt in range(self.retries + 1):
            retrained = clean.copy()
            cut_channels(retrained.model, place.units, dead)
            held = place.units.held(retrained.model, dead)
            train(retrained.model, poisoned, schedule, session, f"planting {self.name} {attempt}", held)
            accuracy, asr = _rates(retrained, probe, trigger, session)
            if attempt == self.retries or (accuracy >= wanted and asr >= planting.SMALLEST_ASR["all-to-one"]):
                break
            dead = dead[: len(dead) - max(1, len(dead) // 4)]
        return retrained, dead


def _rates(checkpoint: Checkpoint, probe: ImageSet, trigger: Trigger, session: Session) -> tuple[float, float]:
    asr, _ = attack_rates(checkpoint.model, probe, trigger, len(checkpoint.labels), session)
    return clean_accuracy(checkpoint.model, probe, session).value, asr.value


def _both(probe: ImageSet, trigger: Trigger) -> ImageSet:
    """Clean images and the same ones triggered."""
    stamped = stamps.applied(probe, torch.arange(len(probe)), trigger.stamp)
    return ImageSet(torch.cat([probe.pixels, stamped.pixels]), probe.labels.repeat(2))
