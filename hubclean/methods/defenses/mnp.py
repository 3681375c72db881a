"""MNP, magnitude-based neuron pruning (Li, Jiang, Yi, arXiv 2405.17750, 2024): expose, eliminate, preserve, prune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.masking.options import MaskOptions, Searchable
from hubclean.methods.masking.search import Masks, Recovery, recover
from hubclean.methods.masking.suppression import Ascent, expose
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc

_SMALL = 2000  # units; a ResNet-18 has 4,800


@dataclass(frozen=True)
class Mnp(MaskOptions):
    """Suppresses clean accuracy, learns which units to mask to get it back, and prunes those from the original weights.

    A reconstruction: of the paper only the abstract and reviews could be read. They name three objectives (clean
    suppression, weight penalty, clean preserving); how they are joined, the exact l1 term and every number are ours
    or RNP's. No result of the paper can be compared.

    Expose: theta^ = argmax CE(F(x; theta), y) - mu ||theta||^2 on ``fit``, until clean accuracy there is
    ``suppress_to``. Eliminate and preserve: masks M = (m_i), one a unit, on the unit's output after its
    norm, from 1, by projected SGD in [0, 1] on

        J(M) = (1 - a) CE(F_M(x; theta^), y) + a CE(F_M(x; theta), y) + lambda sum_i m_i n~_i

    with a = ``preserve``, lambda = ``penalty`` and n~_i the weight magnitude of unit i (L1 norm of its row, BatchNorm
    folded in) over the mean of its layer. BatchNorm uses batch statistics, its running ones do not move. With more
    ``rounds`` the masked model is suppressed again and the same masks are learned on. Prune: units in order of rising
    mask (ties: larger n~_i first) become zeros in the original weights while clean accuracy on ``val`` stays within
    ``max_drop``; a unit that alone breaks it is left in, 50 of them at most; of every layer ``layer_share`` at most.
    ``preserve=0 penalty=0`` is RNP. Units are those of the whole net: convolutions with their norm, hidden units,
    attention heads.

    Do not expect it to work on tiny nets or against triggers that cover the image: docs/methods/masks.md#mnp.
    """

    name: ClassVar[str] = "mnp"
    paper: ClassVar[str] = "MNP, Li, Jiang, Yi, arXiv 2405.17750, 2024 (reconstruction)"
    needs: ClassVar[Needs] = "labels"

    suppress_to: Annotated[
        float, Doc("accuracy on fit at which exposing stops, 0 = 0.5 below 2,000 units, else 0.2", 0.0, 1.0)
    ] = 0.0
    suppress_rate: Annotated[
        float, Doc("learning rate of exposing, 0 = 0.001 below 2,000 units, else 0.01", 0.0, 10.0)
    ] = 0.0
    decay: Annotated[float, Doc("weight decay of exposing, 2 mu", 0.0, 1.0)] = 5e-4
    steps: Annotated[int, Doc("most steps of exposing", 1, 100_000)] = 200
    rate: Annotated[float, Doc("learning rate of the masks", 0.0, 100.0)] = 0.05
    epochs: Annotated[int, Doc("epochs of learning the masks, a round", 1, 10_000)] = 20
    rounds: Annotated[int, Doc("times that exposing and masking alternate", 1, 100)] = 1
    preserve: Annotated[float, Doc("a, weight of the original model's loss against the exposed one's", 0.0, 1.0)] = 0.5
    penalty: Annotated[float, Doc("lambda, weight of the magnitude penalty", 0.0, 100.0)] = 1e-3
    positions: Annotated[bool, Doc("mask single inputs of the first Linear behind a flatten too (ours)")] = False

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned checkpoint; the input is not changed.

        Raises:
            ModelError: no unit of the net can be cut exactly; tried on two images.
        """
        net = Searchable.of(checkpoint, data.fit, session, self.positions)
        small = sum(group.count for group in net.groups) < _SMALL
        ascent = Ascent(
            rho=self.suppress_to or (0.5 if small else 0.2),
            rate=self.suppress_rate or (1e-3 if small else 1e-2),
            decay=self.decay,
            steps=self.steps,
            batch_size=self.batch_size,
        )
        recovery = Recovery(self.rate, self.epochs, self.penalty, batch_size=self.batch_size)
        notes = ["a reconstruction from the abstract and reviews: its objective and numbers are not the paper's own"]
        found, passes = Masks.ones(net.groups, session.device), 0
        for turn in range(self.rounds):
            terms: list[tuple[float, torch.nn.Module]] = [(self.preserve, net.checkpoint.model)]
            if self.preserve < 1:
                classes, under = len(checkpoint.labels), found if turn else None
                exposure = expose(net.checkpoint.model, data.fit, classes, ascent, session, f"mnp {turn}", under)
                terms.append((1 - self.preserve, exposure.model))
                notes.append(exposure.note(checkpoint.labels))
                passes += exposure.passes
            found, count = recover(terms, found, net.sizes, recovery, data.fit, session, f"mnp {turn}")
            passes += count
        return self.cleansed(net, found, data, triggers, session, tuple(notes), passes)
