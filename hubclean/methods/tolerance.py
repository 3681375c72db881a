"""What a loss of accuracy may be, how far a curve is followed, how few images or labels are too few. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

from hubclean.measurements import CurvePoint

# Accuracies are shares of images, joined ones means or medians of such: two of them differ by far more than this, or
# are the same but for rounding. It keeps 0.95 - 0.91 from being more than 0.04.
_ROUNDING = 1e-9
# Training on fewer images leaves BatchNorm's running statistics as they are (docs/methods/index.md#few-images; ours).
FEW_IMAGES = 200
# An anomaly index over fewer labels means nothing; over two it is a constant.
FEWEST_LABELS = 6


def within(before: float, after: float, max_drop: float) -> bool:
    """Whether the loss from ``before`` to ``after`` is at most ``max_drop``, but for rounding."""
    return before - after <= max_drop + _ROUNDING


def higher(one: float, other: float) -> bool:
    """Whether one accuracy is above another by more than rounding."""
    return not within(one, other, 0.0)


def until_beyond(points: Iterable[CurvePoint], max_drop: float) -> Iterator[CurvePoint]:
    """Points of a pruning curve, made as they are asked for, up to the first that is beyond the tolerance, with it."""
    first = None
    for point in points:
        first = point if first is None else first
        yield point
        if not within(first.clean_accuracy, point.clean_accuracy, max_drop):
            return


def last_within(points: Sequence[CurvePoint], max_drop: float) -> CurvePoint:
    """The last of the points that ``until_beyond`` gave which is within the tolerance."""
    whole = within(points[0].clean_accuracy, points[-1].clean_accuracy, max_drop)
    return points[-1 if whole or len(points) == 1 else -2]


def step_width(share: float, units: int) -> int:
    """Units that go in one step: ceil(share * units), exact for shares written in decimals; one at least."""
    return max(1, ceil(round(share * units, 6)))
