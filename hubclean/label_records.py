"""Records of labels: how classes were matched, whether they fit, what a cleansing left of the answers. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.measurements import Rate

# Loss of clean accuracy that a defense without an option for it may cost.
TOLERANCE = 0.04
FEWEST_MEASURED = 20  # test images below which a loss cannot be told from none
_ROUNDING = 1e-9  # as in ``methods.tolerance``
_SURE = 1.645  # standard errors: 95 % on one side
_MOST_GAINED = 0.15  # more than that, and the images taught labels that the model did not have before


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """One class of the images: its name, and the number of the label it went to; ``None``: left out by the user."""

    name: str
    label: int | None


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """What the original answers on the images before anything was tuned.

    Args:
        accuracy: share answered with their label.
        balanced: mean over the classes of the share answered right.
        chance: accuracy of answers as frequent as the model's that know nothing of the images.
        majority: accuracy of always answering the most frequent label.
        doubt: why labels and answers do not seem to belong together; empty if they do. The user then wanted to go on.
    """

    accuracy: Rate
    balanced: float
    chance: float
    majority: float
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What of the original's answers the written model keeps, on test; on ``val`` where the images have no labels.

    Args:
        agreement: share of images that both answer alike.
        tolerance: loss of accuracy that was allowed, as a fraction.
        labels: how many the model has; ``covered``: how many of them the images have.
        balanced_loss: what the mean accuracy of a class fell by; ``None`` without labels.
        error: its standard error.
    """

    agreement: Rate
    tolerance: float
    labels: int
    covered: int
    balanced_loss: float | None = None
    error: float = 0.0


def lost(before: Rate, after: Rate, kept: Fidelity, check: LabelCheck | None) -> str:
    """Why it is not known that a cleansing kept the model's accuracy within the tolerance; empty if it is."""
    changed = 1 - kept.agreement.value
    if not kept.agreement.n:
        return "what it costs in accuracy was not measured: there were no images"
    if not after.n and changed > kept.tolerance + _ROUNDING:
        return f"it answers {changed:.1%} of the images otherwise than the original, and they have no labels"
    if after.n and (why := _measured_loss(before, after, kept, check)):
        return why
    if kept.agreement.n < FEWEST_MEASURED:
        return f"{kept.agreement.n} images to measure it on are too few to tell what it costs in accuracy"
    fell = max(before.value - after.value, 0.0) if after.n else changed
    if fell + 1 - kept.covered / max(kept.labels, 1) > kept.tolerance + _ROUNDING:
        return f"{kept.labels - kept.covered} of {kept.labels} labels have no image: what it costs them is not known"
    return ""


def _measured_loss(before: Rate, after: Rate, kept: Fidelity, check: LabelCheck | None) -> str:
    fell, allowed = before.value - after.value, kept.tolerance + _ROUNDING
    if fell > allowed:
        return f"clean accuracy fell from {before.value:.1%} to {after.value:.1%}, by more than {kept.tolerance:.1%}"
    if kept.balanced_loss is not None and kept.balanced_loss - _SURE * kept.error > allowed:
        return (
            f"the mean accuracy of a class fell by {kept.balanced_loss:.1%}, more than {kept.tolerance:.1%}: what is "
            "frequent among the images hides it"
        )
    changed = 1 - kept.agreement.value
    if check and check.doubt and changed > allowed:
        return f"the labels are in doubt, and it answers {changed:.1%} of the images otherwise than the original"
    if -fell > _MOST_GAINED and changed > allowed:
        return (
            f"clean accuracy rose from {before.value:.1%} to {after.value:.1%}: the images taught it labels that the "
            "original did not have"
        )
    return ""
