"""Options that federated pruning has in both forms: files or shards at once (a defense), and rounds with clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hubclean.methods.shared_options import CutStep
from hubclean.registry import Doc


@dataclass(frozen=True, kw_only=True)
class JointOptions:
    """Which units, in whose order, how many, and the adjustment at the end (docs/methods/federated.md)."""

    site: Annotated[
        str,
        Doc(
            "units that are cut: final channels, last convolution, or single inputs of the first Linear behind a "
            "flatten; ballot files say theirs",
            choices=("feature", "conv", "position"),
        ),
    ] = "feature"
    scheme: Annotated[str, Doc("ranks or votes; ballot files say theirs", choices=("rap", "mvp"))] = "rap"
    rate: Annotated[float, Doc("share of the units that a client votes for; ballot files say theirs", 0.0001, 1.0)] = (
        0.5
    )
    joining: Annotated[str, Doc("how ranks are joined", choices=("mean", "median", "trimmed"))] = "mean"
    agree: Annotated[
        str,
        Doc("accuracies fed back: median of each one's loss, or of all, or mean", choices=("losses", "median", "mean")),
    ] = "losses"
    step: CutStep = 0.01
    max_drop: Annotated[float, Doc("largest loss of clean accuracy by pruning", 0.0, 1.0)] = 0.04
    adjust: Annotated[bool, Doc("adjust extreme weights last")] = True
    adjust_mode: Annotated[str, Doc("what extreme weights become: zero or the limit", choices=("zero", "clip"))] = (
        "zero"
    )
    adjust_drop: Annotated[float, Doc("largest loss of clean accuracy by the adjustment", 0.0, 1.0)] = 0.01
