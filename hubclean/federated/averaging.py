"""Joining the weights that clients send back, all clients alike: mean, median, trimmed mean, updates limited or not.

McMahan et al., AISTATS 2017, weigh clients by their numbers of images. Here every client counts the same: a number of
images is a claim that nobody can check, and tells something of its owner (ours).

Against clients that attack: the norm of an update is limited (Sun, Kairouz, Suresh, McMahan, arXiv 1911.07963), by the
median norm of the round as FLAME does (Nguyen et al., USENIX Security 2022); coordinate-wise median and trimmed mean
are those of Yin, Chen, Ramchandran, Bartlett, ICML 2018.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import Tensor, nn

from hubclean.federated.questions import State
from hubclean.methods.voting.votes import TRIMMED

Merging = Literal["mean", "median", "trimmed"]
Clipping = Literal["none", "median", "given"]


@dataclass(frozen=True)
class Averaging:
    """How the updates of one round become one.

    Args:
        merging: ``mean``; ``median`` of every coordinate; ``trimmed``: mean of every coordinate without the
            ceil(0.2 n) smallest and largest.
        clipping: an update longer than the limit is scaled down to it: ``median``, the median L2 norm of the round's
            updates (of an even number the smaller of the middle two); ``given``, ``norm``.
        norm: the limit with ``given``.
        eta: the server's learning rate (Bagdasaryan et al. 2020; docs/methods/federated.md#federated-training).
    """

    merging: Merging = "mean"
    clipping: Clipping = "none"
    norm: float = 1.0
    eta: float = 1.0


def average(
    start: State, updates: Sequence[State], how: Averaging | None = None, trained: Collection[str] | None = None
) -> dict[str, Tensor]:
    """G + eta * joined(X_k - G) for every floating entry of the state; the mean of the X_k by default.

    What does not train (BatchNorm's statistics) has another scale than weights: it is no part of a norm, and where
    updates are limited it is joined by the median, as no limit of weights says anything of it. Whole numbers (batches
    seen) are those of the first update.

    Args:
        start: G, the weights the clients began with.
        updates: X_k, the weights each of n clients sent.
        trained: names of the parameters; all floating entries without.
    """
    how = how or Averaging()
    floating = [name for name, tensor in start.items() if tensor.is_floating_point()]
    weights = [name for name in floating if trained is None or name in trained]
    scales = torch.tensor(_scales(norms(start, updates, weights), how), dtype=torch.float64)
    made = {}
    for name, tensor in start.items():
        if name not in floating:
            made[name] = updates[0][name].clone()
            continue
        begin, limited = tensor.double(), how.clipping != "none"
        moves = torch.stack([one[name].double() - begin for one in updates])
        if name in weights:
            moves *= scales.view(-1, *(1,) * begin.ndim)
        merging: Merging = "median" if limited and name not in weights and how.merging == "mean" else how.merging
        made[name] = (begin + how.eta * _merged(moves, merging)).to(tensor.dtype)
    return made


def norms(start: State, updates: Sequence[State], names: Collection[str]) -> list[float]:
    """L2 norm of every client's update X_k - G over the entries ``names``."""
    squares = (
        sum(float((one[name].double() - start[name].double()).square().sum()) for name in names) for one in updates
    )
    return [square**0.5 for square in squares]


def _scales(lengths: Sequence[float], how: Averaging) -> list[float]:
    """What each update is multiplied by."""
    if how.clipping == "none":
        return [1.0] * len(lengths)
    limit = statistics.median_low(lengths) if how.clipping == "median" else how.norm
    return [limit / length if length > limit else 1.0 for length in lengths]


def _merged(moves: Tensor, merging: Merging) -> Tensor:
    """One tensor of ``moves`` ``(n, ...)``; the median of an even number is the mean of the middle two."""
    if merging == "mean":
        return moves.mean(0)
    count = len(moves)
    gone = (count - 1) // 2 if merging == "median" else min(ceil(TRIMMED * count), (count - 1) // 2)
    return moves.sort(0).values[gone : count - gone].mean(0)


@torch.no_grad()
def put_state(model: nn.Module, state: State, zeros: Mapping[str, Tensor]) -> None:
    """Put ``state`` into ``model`` in place, with masked entries at exactly zero.

    Whatever clients did to pruned units is undone (docs/methods/federated.md#fine-tuning).

    Args:
        zeros: parameter name -> bool mask.
    """
    model.load_state_dict(dict(state))
    for name, mask in zeros.items():
        parameter = model.get_parameter(name)
        parameter.masked_fill_(mask.to(parameter.device), 0)
