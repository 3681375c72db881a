"""The steps of federated pruning that its two forms share, of files and in rounds: order, cut, adjust.

Where accuracy comes from (images at hand, or clients who are asked) and how a net is tuned between cut and adjustment
is the form's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch

from hubclean.methods import weight_limits
from hubclean.methods.interface import Stage
from hubclean.methods.voting.options import JointOptions
from hubclean.methods.weight_limits import Mode
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Prunable, cut_channels


class Run(Protocol):
    """One cleansing: the stage that the next step builds on, and notes."""

    kept: Stage
    notes: list[str]

    def accuracy(self, checkpoint: Checkpoint) -> float:
        """Of the images at hand, or joined from clients."""

    def offer(self, stage: Stage, slack: float) -> None:
        """Add a stage, and build on it unless the form has reasons not to; ``slack``: accuracy that it may lose."""


def cut_first(checkpoint: Checkpoint, units: Prunable, dead: Sequence[int]) -> tuple[Stage, str]:
    """Cut units in place; the first stage, and what notes say of it."""
    cut_channels(checkpoint.model, units, torch.tensor(dead, dtype=torch.int64))
    return Stage("pruned", checkpoint), f"{len(dead)} of {units.count} units of {units.layer} cut"


def adjust_last(run: Run, options: JointOptions, words: str, before: float | None = None) -> None:
    """Adjust extreme weights of the stage that is kept: whoever could revive a backdoor by tuning came before.

    Args:
        words: what notes call the accuracy.
        before: accuracy of the stage that is kept; measured where it is not known.
    """
    copy = run.kept.checkpoint.copy()
    tensors, notes = weight_limits.limited(copy.model, weight_limits.adjusted_layers(copy))
    run.notes += notes
    if not tensors:
        return
    before = run.accuracy(copy) if before is None else before
    mode, most = cast(Mode, options.adjust_mode), options.adjust_drop
    found, told = weight_limits.narrow(copy.model, tensors, lambda: run.accuracy(copy), before, most, mode, words=words)
    run.notes += told
    if found.delta is not None:
        run.offer(Stage("adjusted", copy), most)
