"""BNP (Zheng et al., NeurIPS 2022): cut BatchNorm channels whose running statistics do not fit clean images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from hubclean.methods import outliers
from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.shared_options import MaxDrop
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import batch_norms
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class BatchNormPruning:
    """Compares what enters every BatchNorm on clean images with what entered it in training. Needs no labels.

    Running statistics were gathered on the poisoned training set, so that a channel that answers to the trigger had
    another mean or a larger variance then than it has on clean images. Both are taken for Gaussians, N(m, v) clean and
    N(m', v') running, and the divergence of a channel is

    ``direction=clean-running``: KL(clean || running) = (log(v' / v) + (v + (m - m')^2) / v' - 1) / 2;
    ``direction=running-clean``: KL(running || clean) = (log(v / v') + (v' + (m - m')^2) / v - 1) / 2.

    Channels above mean + ``u`` standard deviations of their norm are cut: gamma = beta = 0, exactly silent in the file.
    One pass in eval mode over all ``fit`` images. Steps, ``max_drop`` and ``val`` work as in CLP; images without labels
    are judged by agreement with the original's own answers. A net without BatchNorm comes back unchanged with a note.

    Source: abstract and benchmark code, see docs/methods/pruning.md#bnp (the paper could not be read: reconstruction);
    the half before the logarithm is that of the Gaussian divergence. Variances have eps added, as the norm does.
    """

    name: ClassVar[str] = "bnp"
    paper: ClassVar[str] = "BNP, Zheng et al., NeurIPS 2022"
    needs: ClassVar[Needs] = "images"

    u: Annotated[float, Doc("standard deviations above its norm's mean at which a channel is cut", 0.0, 100.0)] = 3.0
    direction: Annotated[str, Doc("which of the two divergences", choices=("clean-running", "running-clean"))] = (
        "clean-running"
    )
    max_drop: MaxDrop = 0.04
    steps: Annotated[int, Doc("steps in which the channels are cut", 1, 10_000)] = 20

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned checkpoint; the input is not changed.

        Raises:
            DataError: no images.
        """
        pruned = checkpoint.copy()
        pruned.model.to(session.device).eval()
        stage, kept = Stage("pruned", pruned), batch_norms.running(pruned.model)
        if not kept:
            note = "this net has no BatchNorm with running statistics: nothing was changed"
            return Cleansing((Stage("unchanged", pruned),), "unchanged", notes=(note,))
        seen = batch_norms.measured(pruned.model, data.fit, session)
        scores = [(name, self._divergence(seen[name], *kept[name])) for name in kept if name in seen]
        units = batch_norms.NormChannels(tuple((name, len(score)) for name, score in scores))
        rule = outliers.OutlierRule(self.u, self.max_drop, self.steps)
        done = outliers.prune_outliers(pruned, units, scores, rule, data, triggers, session)
        passes = done.passes + -(-len(data.fit) // 3)
        return Cleansing((stage,), "pruned", done.curve, done.notes, done.cut, passes)

    def _divergence(self, clean: batch_norms.Statistics, kept: batch_norms.Statistics, eps: float) -> Tensor:
        """Of every channel ``(c,)``."""
        pair = (clean, kept) if self.direction == "clean-running" else (kept, clean)
        return gaussian_divergence(*pair, eps)


def gaussian_divergence(one: batch_norms.Statistics, other: batch_norms.Statistics, eps: float) -> Tensor:
    """KL(one || other) of Gaussians, channel by channel, in nats ``(c,)`` float64."""
    v, w = one.variance + eps, other.variance + eps
    return (torch.log(w / v) + (v + (one.mean - other.mean) ** 2) / w - 1) / 2
