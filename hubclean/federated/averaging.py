"""Federated averaging of client weights, all clients alike.

McMahan et al., AISTATS 2017, weigh clients by their numbers of images. Here every client counts the same: a number of
images is a claim that nobody can check, and tells something of its owner (ours).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hubclean.federated.questions import State


def average(start: State, updates: Sequence[State], eta: float = 1.0) -> dict[str, Tensor]:
    """G + eta / n * sum_k (X_k - G) for every floating entry of the state, BatchNorm's statistics included.

    With ``eta`` = 1 it is the mean of the X_k. Whole numbers (batches seen) are those of the first update.

    Args:
        start: G, the weights the clients began with.
        updates: X_k, the weights each of n clients sent.
        eta: the server's learning rate (Bagdasaryan et al. 2020; methods.md 3.7).
    """
    made = {}
    for name, tensor in start.items():
        if not tensor.is_floating_point():
            made[name] = updates[0][name].clone()
            continue
        total = sum((one[name].double() for one in updates), torch.zeros_like(tensor, dtype=torch.float64))
        mean = total / len(updates)
        made[name] = (tensor.double() + eta * (mean - tensor.double())).to(tensor.dtype)
    return made


@torch.no_grad()
def load(model: nn.Module, state: State, zeros: Mapping[str, Tensor]) -> None:
    """Put ``state`` into ``model`` in place, with masked entries at exactly zero.

    Whatever clients did to pruned units is undone (methods.md 3.5).

    Args:
        zeros: parameter name -> bool mask.
    """
    model.load_state_dict(dict(state))
    for name, mask in zeros.items():
        parameter = model.get_parameter(name)
        parameter.masked_fill_(mask.to(parameter.device), 0)
