"""Records of a model: what its config says, where its feature layer and heads are, which units can be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class HeadSite:
    """One classifier head. ``path`` is the module's name, ``weight`` its tensor in memory, ``kind`` its operator."""

    path: str
    weight: str
    kind: Literal["linear", "conv"]
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class FeatureSite:
    """Where the last feature layer and the heads are, and which head columns make one channel dead.

    Channel ``k`` owns the head input columns ``k*block .. (k+1)*block-1``: ``block`` is 1 after pooling and
    H*W after a flatten.

    Args:
        adapter: the adapter in ``hooks/`` that was used, or ``generic``.
        feature: module whose output is the last feature map or token sequence (``""`` if there is none).
        layout: axis order of that output: ``NCHW``, ``NHWC``, ``NLC`` or ``NC``.
        shape: that output's shape without the batch axis.
        prefix_tokens: class and register tokens before the patch tokens (``NLC`` only).
        between: what lies between feature and head: ``pool``, ``norm``, ``hidden``, ``flatten`` or ``token``.
        channels: number of prunable channels at the head's input.
        block: head columns per channel.
        heads: the classifier heads (more than one in distilled nets).
    """

    adapter: str
    feature: str
    layout: str
    shape: tuple[int, ...]
    prefix_tokens: int
    between: str
    channels: int
    block: int
    heads: tuple[HeadSite, ...]


@dataclass(frozen=True, slots=True)
class UnitSummary:
    """Prunable units of one layer.

    Args:
        layer: the module that makes them.
        kind: ``conv``, ``depthwise``, ``linear``, ``attention`` (heads), or ``gate`` (not prunable).
        count: number of units.
        cut: sides on which a unit can be cut in the file: ``both``, ``producer``, ``consumer`` or ``none``.
        residual: the layer's output is added to other values: its branch can be silenced, not the sum.
        tensors: stored tensors of which a cut zeroes entries.
        why: why it cannot be cut, or not on both sides (``""`` if it can).
    """

    layer: str
    kind: Literal["conv", "depthwise", "linear", "attention", "gate"]
    count: int
    cut: Literal["both", "producer", "consumer", "none"]
    residual: bool
    tensors: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the config alone says of a model (``hubclean site``)."""

    library: Literal["timm", "transformers", "module"]
    architecture: str
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop: float
    labels: tuple[str, ...]
    parameters: int
    crop_mode: str = "center"
    patch: int = 0  # side in pixels of the patches that the net takes in place of images; 0: it takes images
    assumed: tuple[str, ...] = ()  # what its configs do not say of how pictures come in, and what is taken in its place
