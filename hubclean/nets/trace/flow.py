"""What becomes of the channels of one layer: who reads them, which of them make one unit, which are lost, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Read:
    """Columns of a stored weight that read the channels.

    Args:
        value: index of the value that the reading layer makes.
        source: index of the value it reads.
        weight: parameter name.
        owner: channel numbers, broadcastable to the weight; -1 where an entry reads none.
        zero: whether what is read is zero when the channel is.
    """

    value: int
    source: int
    weight: str
    owner: Tensor
    zero: bool


@dataclass(slots=True)
class Flow:
    """Where the channels of one producer go.

    Args:
        reads: columns of later layers.
        lost: channel number -> why it cannot be followed to its end.
        residual: whether a branch is added to other values: then the branch can be silenced, not the sum.
        lifted: whether they pass an operator that makes something of a zero (sigmoid).
        gate: whether they scale other values after that, or pass a softmax.
        attention: whether the channels of an attention head were made one unit.
        shifted: whether a zero is lost by adding a constant, as an affine norm does.
        joined: whether channels were united.
        parent: union-find of channels that only make sense together.
    """

    count: int
    reads: list[Read] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    residual: bool = False
    lifted: bool = False
    gate: bool = False
    attention: bool = False
    shifted: bool = False
    joined: bool = False
    parent: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    def __post_init__(self) -> None:
        self.parent = torch.arange(self.count)

    def lose(self, numbers: Iterable[int], why: str) -> None:
        for number in numbers:
            self.lost.setdefault(int(number), why)

    def unite(self, one: Tensor, other: Tensor) -> None:
        """Channels at the same place of two arrays, broadcast to each other, become one unit."""
        shape = (one + other).shape
        one, other = one.expand(shape), other.expand(shape)
        both = (one >= 0) & (other >= 0)
        one, other = one[both], other[both]
        while True:  # labels sink to the smallest of their unit, a few rounds at most
            a, b = self.parent[one], self.parent[other]
            if torch.equal(a, b):
                return
            lower = torch.arange(self.count).scatter_reduce_(0, torch.maximum(a, b), torch.minimum(a, b), "amin")
            self.parent = lower[self.parent]
            self.joined = True

    def united(self, numbers: Tensor) -> Tensor:
        """Numbers with every channel replaced by the first of its unit."""
        return torch.where(numbers >= 0, self.parent[numbers.clamp(min=0)], -1)
