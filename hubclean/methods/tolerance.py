"""What a loss of accuracy may be, and how few images are too few: rules that several methods share. No torch."""

from __future__ import annotations

# Accuracies are shares of images, joined ones means or medians of such: two of them differ by far more than this, or
# are the same but for rounding. It keeps 0.95 - 0.91 from being more than 0.04.
_ROUNDING = 1e-9
# Training on fewer images leaves BatchNorm's running statistics as they are (methods.md, section 6; our default).
FEW_IMAGES = 200


def within(before: float, after: float, max_drop: float) -> bool:
    """Whether the loss from ``before`` to ``after`` is at most ``max_drop``, but for rounding."""
    return before - after <= max_drop + _ROUNDING


def higher(one: float, other: float) -> bool:
    """Whether one accuracy is above another by more than rounding."""
    return not within(one, other, 0.0)
