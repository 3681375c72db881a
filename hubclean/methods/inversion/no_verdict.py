"""Where inverted masks decide nothing: too few labels, labels that need no trigger, lone outliers; in words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hubclean.escaping import printable
from hubclean.methods.inversion.label_scheduler import Setting
from hubclean.methods.inversion.screening import ScreeningPlan
from hubclean.nets.metrics import predictions
from hubclean.records import DetectionReport, LabelScore
from hubclean.registry import chosen_options

_OFTEN = 0.5  # share of clean images that a net calls one label from which their number says something
_BEYOND = 0.3  # share beyond what the labels say, from which it calls most of the others so, too
_NOTHING = 0.5  # norm of a mask, in pixels, that changes nothing
_MOST_SHOWN = 4


def undecided(detector: Any, started: float, **found: Any) -> DetectionReport:
    """A detector's report that has not decided, but for what was ``found``.

    Args:
        started: ``time.monotonic()`` when it began.
    """
    open_: dict[str, Any] = {
        "options": chosen_options(detector),
        "statistic": "anomaly index of mask L1 norms",
        "scores": (),
        "norms_by_seed": (),
        "targets": (),
        "verdict": "undecided",
        "seeds": (),
        "forward_backwards": 0,
    }
    own = {"detector": detector.name, "paper": detector.paper, "threshold": detector.threshold}
    return DetectionReport(**own, **(open_ | found), seconds=time.monotonic() - started)


def answers(setting: Setting) -> tuple[dict[int, float], dict[int, float]]:
    """The shares of the clean images that the net answers with each label, and that have it."""
    said: Counter[int] = Counter()
    true: Counter[int] = Counter()
    for images in (setting.data.fit, setting.data.val):
        if len(images):
            said.update(predictions(setting.model, images, setting.session).tolist())
            true.update(images.labels.tolist())
    total = max(sum(said.values()), 1)
    return {t: n / total for t, n in said.items()}, {t: n / total for t, n in true.items()}


def needless(setting: Setting, scores: Sequence[LabelScore]) -> dict[int, float]:
    """Labels that need no trigger, as the net gives them to most clean images: their share of its answers.

    Such a mask is as small as it can be and succeeds, and says nothing of a backdoor. Costs a pass over the images
    only where a label is flagged, or its mask changes nothing.
    """
    suspects = [score for score in scores if score.flagged or score.norm < _NOTHING]
    if not suspects:
        return {}
    said, true = answers(setting)
    return {
        score.label: said[score.label]
        for score in suspects
        if said.get(score.label, 0.0) >= _OFTEN
        and (score.norm < _NOTHING or said[score.label] - true.get(score.label, 0.0) >= _BEYOND)
    }


def needs_none(found: dict[int, float], names: Sequence[str]) -> str:
    """Why labels that need no trigger are no backdoor's targets."""
    label, share = max(found.items(), key=lambda row: row[1])
    return (
        f"no trigger: the net says {label} ({printable(names[label], 40)!r}) for {share:.1%} of the clean images, so "
        "that a mask of nothing leads there"
    )


def too_few(setting: Setting) -> str:
    """Why no trigger was inverted for a net of a few labels, and what can be said of it instead."""
    count = len(setting.names)
    why = "is a constant and decides nothing" if count <= 2 else "says nothing"
    numbers = ",".join(map(str, range(count)))
    said, _ = answers(setting)
    rows = sorted(said.items(), key=lambda row: -row[1])[:_MOST_SHOWN]
    shown = ", ".join(f"{label} ({printable(setting.names[label], 40)!r}) for {share:.1%}" for label, share in rows)
    return (
        f"an anomaly index over {count} labels {why}, so no trigger was inverted; of the clean images the net says "
        f"{shown} (-o labels={numbers} inverts all the same, for defenses that take a trigger)"
    )


def few_examined(scores: Sequence[LabelScore], middle: float) -> str:
    """The same where the user named the labels to invert."""
    ratio = min((score.norm for score in scores), default=middle) / max(middle, 0.01)
    return (
        f"{len(scores)} labels are too few for an anomaly index, which decides nothing over them; smallest / median "
        f"norm = {ratio:.2f}"
    )


def outlier(weak: LabelScore, middle: float) -> str:
    """An outlier without second evidence."""
    asr = f"{weak.asr.value:.1%}" if weak.asr.n else "not measured (no image of another class)"
    evidence = f"its mask covers {weak.mask_share:.1%}, {weak.norm / max(middle, 0.01):.2f} of the median"
    return f"label {weak.label} is an outlier without second evidence: {evidence}, held-out ASR {asr}"


def screened(labels: ScreeningPlan) -> str:
    """What is said of labels that a cheap phase screened out."""
    if not labels.out:
        return ""
    return f"; {labels.out} labels were screened out by a cheap phase ({labels.scheduler}) and have no index"
