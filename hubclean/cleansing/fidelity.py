"""What of the original's answers a cleansed model keeps, image by image and class by class."""

from __future__ import annotations

import torch
from torch import Tensor

from hubclean.label_records import TOLERANCE, Fidelity
from hubclean.records import DataReport, Rate


def tolerance_of(defense: object) -> float:
    """The loss of accuracy that a defense may cost: its own ``max_drop``, and what its filter may reject."""
    allowed = getattr(defense, "max_drop", TOLERANCE)
    return float(allowed) + float(getattr(defense, "false_alarms", 0.0))


def fidelity(
    before: Tensor, after: Tensor, labels: Tensor | None, tolerance: float, classes: int, data: DataReport
) -> Fidelity:
    """Compare answers ``(n,)`` of the original and of what is written on the same images.

    Args:
        labels: of the images ``(n,)``; ``None`` where they have none: then the answers tell which labels are covered.
        classes: how many labels the model has.
    """
    same = Rate.of(int((before == after).sum()), len(before))
    if labels is None:
        return Fidelity(same, tolerance, classes, len(set(before.tolist())))
    loss, error = _balanced_loss((before == labels).float() - (after == labels).float(), labels)
    return Fidelity(same, tolerance, classes, data.covered, loss, error)


def _balanced_loss(lost: Tensor, labels: Tensor) -> tuple[float | None, float]:
    """The mean over the classes of what each lost, and its standard error; ``lost`` is 1, 0 or -1 an image.

    An image that lost nothing is added to each class for the error: one flipped image of two is no proof.
    """
    rows = [lost[labels == label] for label in sorted(set(labels.tolist()))]
    if not rows:
        return None, 0.0
    loss = sum(float(row.mean()) for row in rows) / len(rows)
    padded = [torch.cat([row, row.new_zeros(1)]) for row in rows]
    return loss, sum(float(row.var()) / len(row) for row in padded) ** 0.5 / len(rows)
