"""MNP's detection statistic (Li, Jiang, Yi, arXiv 2405.17750, 2024): large weights that clean images hardly use."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.methods.interface import Detection, Needs
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import searchable_units
from hubclean.nets.cut.masks import masked
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace.units import UnitGroup
from hubclean.records import DetectionReport
from hubclean.registry import Doc, chosen_options


@dataclass(frozen=True)
class MagnitudeSaliency:
    """Correlates, layer by layer, how large the weights of a unit are with how much clean images need it.

    Magnitude n_i: L1 norm of unit i's row, its norm folded in. Saliency s_i = |m_i dCE/dm_i| at m = 1: to first order,
    what removing unit i changes of the mean clean loss over ``fit``, in eval mode. In clean nets large units are
    salient; units of a backdoor are large and idle on clean images. Reported: Spearman's correlation of n and s in
    every layer, and how many units have a rank difference d_i = rank(n_i) - rank(s_i) whose robust z within the layer,
    (d_i - median) / (1.4826 MAD), is above ``outlier``.

    The verdict is always ``undecided``: no calibrated cut-off is known, correlations mean something only against
    reference models of the same architecture. A reconstruction: the abstract names the correlation, not its form
    (docs/methods/hints.md#magnitude-and-saliency).
    """

    name: ClassVar[str] = "magnitude-saliency"
    paper: ClassVar[str] = "MNP, Li, Jiang, Yi, arXiv 2405.17750, 2024 (reconstruction)"
    needs: ClassVar[Needs] = "labels"

    outlier: Annotated[float, Doc("robust z of the rank difference above which a unit counts", 0.0)] = 3.0

    def detect(self, checkpoint: Checkpoint, data: DefenseData, session: Session) -> Detection:
        """Correlate every layer of a copy of the checkpoint, with the labelled images of ``data.fit``.

        Raises:
            ModelError: no unit of the net can be told apart and cut exactly.
        """
        started = time.monotonic()
        model = checkpoint.copy()
        model.model.to(session.device).eval()
        groups = searchable_units.of_network(model, data.fit.images(slice(0, 2), session.device))
        sizes = searchable_units.magnitudes(model.model, groups)
        uses = saliency(model.model, groups, data.fit, session)
        measures, odd = {}, 0
        for group, size, use in zip(groups, sizes, uses, strict=True):
            correlation = spearman(size, use)
            if correlation is not None:
                measures[f"correlation {group.name}"] = correlation
            odd += int((deviations(size, use) > self.outlier).sum())
        found = list(measures.values())
        middle = f"{statistics.median(found):.2f}" if found else "undefined"
        total = sum(group.count for group in groups)
        report = DetectionReport(
            detector=self.name,
            paper=self.paper,
            options=chosen_options(self),
            statistic="robust z of rank(magnitude) - rank(saliency) of a unit within its layer",
            threshold=self.outlier,
            scores=(),
            norms_by_seed=(),
            targets=(),
            verdict="undecided",
            decides=False,
            reason=f"{odd} of {total} units are large for their use, and the median correlation over {len(found)} "
            f"layers is {middle}; no calibrated cut-off is known, so this is no verdict",
            seeds=(),
            forward_backwards=len(data.fit),
            seconds=time.monotonic() - started,
            measures={**measures, "outliers": float(odd), "units": float(total)},
        )
        return Detection(report)


def saliency(model: nn.Module, groups: Sequence[UnitGroup], images: ImageSet, session: Session) -> tuple[Tensor, ...]:
    """|dCE/dm_i| at m = 1 of the mean loss over all images, ``(count,)`` by group; the model runs in eval mode."""
    values = [torch.ones(group.count, device=session.device, requires_grad=True) for group in groups]
    session.progress.start("measuring saliency", len(images))
    with masked(model, groups, values):
        for pixels, labels in images.batches(session.batch_size, session.device):
            with session.accelerator.autocast():
                loss = functional.cross_entropy(model(pixels).float(), labels, reduction="sum")
            torch.autograd.backward(loss / len(images))
            session.progress.advance(len(labels))
    session.progress.finish()
    return tuple(torch.zeros_like(value) if value.grad is None else value.grad.abs() for value in values)


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1 ``(n,)`` float64; equal values share their mean rank."""
    _, place, counts = torch.unique(values.cpu(), return_inverse=True, return_counts=True)
    found: Tensor = (counts.cumsum(0) - (counts - 1) / 2).double()[place]
    return found


def spearman(one: Tensor, other: Tensor) -> float | None:
    """Spearman's rank correlation in [-1, 1]; ``None`` where one side is constant or there are fewer than 3 values."""
    left, right = (found - found.mean() for found in (ranks(one), ranks(other)))
    scale = float(left.norm() * right.norm())
    return float(left @ right) / scale if len(one) > 2 and scale > 0 else None


def deviations(sizes: Tensor, uses: Tensor) -> Tensor:
    """Robust z ``(n,)`` of rank(size) - rank(use); mean absolute deviation where MAD is 0, and 0 where that is too."""
    apart = ranks(sizes) - ranks(uses)
    off = apart - apart.quantile(0.5)
    spread = float(1.4826 * off.abs().quantile(0.5)) or float(1.2533 * off.abs().mean())
    return off / spread if spread > 0 else torch.zeros_like(off)
