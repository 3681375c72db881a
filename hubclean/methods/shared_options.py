"""Options that several methods have: type, range and text of each, once. A method gives its own default."""

from __future__ import annotations

from typing import Annotated

from hubclean.registry import Doc

CutSite = Annotated[
    str,
    Doc(
        "units that are cut: feature = final channels, conv = last convolution, position = single inputs of the first "
        "Linear behind a flatten",
        choices=("feature", "conv", "position"),
    ),
]
CutStep = Annotated[float, Doc("share of the units cut in one step", 0.0001, 1.0)]
MaxDrop = Annotated[float, Doc("largest loss of clean accuracy on val", 0.0, 1.0)]
MaskThreshold = Annotated[float, Doc("only units whose mask is at most this are cut", 0.0, 1.0)]
Optimizer = Annotated[
    str, Doc("auto: adamw with LayerNorm or RMSNorm alone, else sgd", choices=("auto", "sgd", "adamw"))
]
