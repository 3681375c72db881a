"""The state of trigger inversion, one row a label: parameters, Adam's moments, weights and counters, movable by rows.

A row carries all that its label needs, its number of updates too, so that a subset of labels can be paused in the
host's memory, resumed beside others, or dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_EDGE = 2 - 1e-7  # keeps atanh finite at 0 and 1, as the authors do
_BETAS, _EPS = (0.5, 0.9), 1e-8


class LabelStates:
    """Labels being inverted; every tensor's first axis are the labels.

    Args:
        targets: labels, or aims below 0.
        shape: of an image, (c, h, w).
        scale: the mask is kept at 1/scale of the resolution.
        draws: one CPU generator a label, for its start.

    Attributes:
        mask, pattern: theta of the mask ``(b, 1, h/scale, w/scale)`` and of the pattern ``(b, c, h, w)``.
        steps: steps taken; ``stopped``: by the schedule's own rule.
        best: smallest step-average norm that reached the success asked for, with its mask and pattern.
    """

    def __init__(
        self, targets: list[int], shape: tuple[int, int, int], scale: int, draws: Sequence[torch.Generator]
    ) -> None:
        _, height, width = shape
        count, size = len(targets), (1, -(-height // scale), -(-width // scale))
        starts = [(torch.rand(size, generator=draw), torch.rand(shape, generator=draw)) for draw in draws]
        self.mask = torch.atanh((torch.stack([mask for mask, _ in starts]) - 0.5) * _EDGE)
        self.pattern = torch.atanh((torch.stack([pattern for _, pattern in starts]) - 0.5) * _EDGE)
        self.mask_first, self.mask_second = torch.zeros_like(self.mask), torch.zeros_like(self.mask)
        self.pattern_first, self.pattern_second = torch.zeros_like(self.pattern), torch.zeros_like(self.pattern)
        self.updates, self.weight = torch.zeros(2, count)
        self.best, self.stalled_at = torch.full((2, count), torch.inf)
        self.best_mask, self.best_pattern = torch.ones_like(self.mask), torch.zeros_like(self.pattern)
        self.targets = torch.tensor(targets, dtype=torch.int64)
        self.steps, self.first, self.up, self.down, self.stalled = torch.zeros(5, count, dtype=torch.int64)
        self.went_up, self.went_down, self.stopped = torch.zeros(3, count, dtype=torch.bool)
        self.shape, self.scale = shape, scale

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | str) -> LabelStates:
        """A copy on ``device``."""
        other = copy.copy(self)
        for name, value in self._tensors().items():
            setattr(other, name, value.to(device, copy=True))
        return other

    def select(self, rows: Tensor) -> LabelStates:
        """A copy of some rows (numbers or bools)."""
        other = copy.copy(self)
        for name, value in self._tensors().items():
            setattr(other, name, value[rows])
        return other

    def put(self, rows: Tensor, other: LabelStates) -> None:
        """Write ``other`` back into the rows it was selected from."""
        for name, value in self._tensors().items():
            value[rows] = getattr(other, name).to(value.device)

    def grown(self, mask: Tensor) -> Tensor:
        """A mask ``(b, 1, h/scale, w/scale)`` at full resolution."""
        if self.scale == 1:
            return mask
        _, height, width = self.shape
        return functional.interpolate(mask, scale_factor=self.scale)[..., :height, :width]

    def shown(self) -> tuple[Tensor, Tensor]:
        """Masks ``(b, 1, h, w)`` and patterns ``(b, c, h, w)`` in [0, 1]."""
        return self.grown(torch.tanh(self.mask) / _EDGE + 0.5), torch.tanh(self.pattern) / _EDGE + 0.5

    def keep(self, better: Tensor) -> None:
        """Remember mask and pattern of the rows ``better`` (bool) as the best so far."""
        if better.any():
            self.best_mask[better] = torch.tanh(self.mask[better]) / _EDGE + 0.5
            self.best_pattern[better] = torch.tanh(self.pattern[better]) / _EDGE + 0.5

    @torch.no_grad()
    def descend(self, gradient: Tensor, batch: Tensor, rate: float) -> None:
        """One Adam update from the loss's gradient by the stamped images, plus lambda * sum(m).

        With x' = x + m (d - x): dL/dd = m * sum_n g and dL/dm = sum_c (d * sum_n g) - sum_{n,c} g x + lambda.

        Args:
            gradient: ``(b, n, c, h, w)``.
            batch: the images stamped, ``(n, c, h, w)``, or each row's own, ``(b, n, c, h, w)``.
        """
        tanh_mask, tanh_pattern = torch.tanh(self.mask), torch.tanh(self.pattern)
        mask, pattern = self.grown(tanh_mask / _EDGE + 0.5), tanh_pattern / _EDGE + 0.5
        summed = gradient.sum(1)
        by_mask = (summed * pattern).sum(1, keepdim=True) - (gradient * batch).sum((1, 2))[:, None]
        by_mask = self._gathered(by_mask + self.weight[:, None, None, None]) * (1 - tanh_mask**2) / _EDGE
        by_pattern = summed * mask * (1 - tanh_pattern**2) / _EDGE
        self.updates += 1
        self._adam(self.mask, self.mask_first, self.mask_second, by_mask, rate)
        self._adam(self.pattern, self.pattern_first, self.pattern_second, by_pattern, rate)

    def _gathered(self, by_mask: Tensor) -> Tensor:
        """The gradient of the coarse mask from that of the full one: sums over its cells."""
        if self.scale == 1:
            return by_mask
        _, height, width = self.shape
        rows, columns = self.mask.shape[2:]
        padded = functional.pad(by_mask, (0, columns * self.scale - width, 0, rows * self.scale - height))
        return padded.view(-1, 1, rows, self.scale, columns, self.scale).sum((3, 5))

    def _adam(self, theta: Tensor, first: Tensor, second: Tensor, gradient: Tensor, rate: float) -> None:
        """Adam (Kingma & Ba 2015) with each row's own number of updates; torch's counts one for all rows."""
        updates = self.updates[:, None, None, None]
        first.lerp_(gradient, 1 - _BETAS[0])
        second.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        spread = (second / (1 - _BETAS[1] ** updates)).sqrt_().add_(_EPS)
        theta.sub_(first / spread * (rate / (1 - _BETAS[0] ** updates)))
