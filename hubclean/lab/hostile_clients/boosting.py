"""What clients that train poisoned models share: when they strike, how they train, and scaling of the update."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor, nn

from hubclean.federated.participants import Participant
from hubclean.federated.questions import Answer, State, Train
from hubclean.methods import weight_limits
from hubclean.nets.images import Images, ImageSet, Labels
from hubclean.nets.training import Loss, cross_entropy
from hubclean.registry import Doc


@dataclass(frozen=True)
class Boosted:
    """Options of poisoned training; as ``rounds`` says a client attacks in some rounds and is honest in the others."""

    scale: Annotated[float, Doc("gamma: the update is multiplied by it (1: no scaling)", 0.0, 1e6)] = 1.0
    rounds: Annotated[str, Doc("rounds it attacks in, with commas; empty: all")] = ""
    first: Annotated[int, Doc("the first round it attacks in", 1, 1_000_000)] = 1
    tuning: Annotated[bool, Doc("attack federated fine-tuning too, not only training")] = False
    epochs: Annotated[int, Doc("local epochs while it attacks; 0: as asked", 0, 1000)] = 2
    learning_rate: Annotated[float, Doc("while it attacks; 0: as asked", 0.0, 10.0)] = 0.0
    weight_decay: Annotated[float, Doc("while it attacks", 0.0, 1.0)] = 0.0
    flatness: Annotated[
        float, Doc("penalty on the largest |w| of the layers whose extreme weights are adjusted", 0.0, 1e6)
    ] = 0.0


def struck(plan: Boosted, question: Train) -> bool:
    """Whether a client of this plan attacks in the round that is asked for."""
    if question.phase == "fine-tuning":
        return plan.tuning
    named = [int(word) for word in plan.rounds.replace(" ", "").split(",") if word]
    return question.round in named if named else question.round >= plan.first


def boosted(own: Participant, plan: Boosted, question: Train, state: State, poisoned: ImageSet) -> Answer:
    """Train X on ``poisoned`` from G = ``state`` and answer G + gamma (X - G), for every floating entry of the state.

    Pruned units are not held at zero: an attacker would use them. ``flatness`` trains against the adjustment of
    extreme weights (defense-aware client (d), ours: docs/methods/federated.md#hostile-clients).
    """
    asked = replace(
        question,
        dead=(),
        epochs=plan.epochs or question.epochs,
        rate=plan.learning_rate or question.rate,
        weight_decay=plan.weight_decay,
    )
    checkpoint = own.loaded(state)
    loss = _flat(weight_limits.adjusted_layers(checkpoint), plan.flatness) if plan.flatness else cross_entropy
    trained = own.trained(checkpoint, asked, poisoned, loss)
    return Answer(
        state={
            name: (state[name] + plan.scale * (tensor - state[name])).to(tensor.dtype)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in trained.items()
        }
    )


def _flat(names: tuple[str, ...], strength: float) -> Loss:
    """Cross-entropy plus ``strength`` times the sum over tensors ``names`` of their largest absolute weight."""

    def loss(model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
        largest = torch.stack([model.get_parameter(name).abs().max() for name in names]).sum()
        return cross_entropy(model, pixels, labels) + strength * largest

    return loss
