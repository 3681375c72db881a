"""A recorded call, and what torch operators do to channels, by the name under which a recorded forward shows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ref:
    """In a recorded call, the place of a recorded value."""

    index: int


@dataclass(frozen=True, slots=True)
class Other:
    """In a recorded call, the place of a tensor that does not descend from the images; ``name`` if it is stored."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """A call as it was made; tensors among the arguments are ``Ref`` or ``Other``."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def operand(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by place or by name, whichever way it was given."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name, default)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Mix channels by a weight; one whose weight descends from no parameter (attention) mixes none.
MIXING = _names(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul __matmul__ __rmatmul__ mm "
    "mv bmm addmm addmv addbmm baddbmm inner einsum tensordot bilinear lstm gru rnn_tanh rnn_relu "
    "multi_head_attention_forward opaque"
)
# On the meta device their result is an empty tensor like the first operand; torch takes milliseconds to find that out.
ALIKE = _names("batch_norm layer_norm group_norm rms_norm gelu silu relu hardswish")
# Of other operands than the first only shape or type counts.
SHAPED = _names("reshape_as view_as expand_as type_as to")
# Of all operands only shape and type count.
BLANK = _names("zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty")
# Give a tensor's numbers to Python, where they are not seen.
OUTWARDS = _names("item tolist numpy __bool__ __float__ __int__ __index__")
# Write into their first operand, if that is what they return.
IN_PLACE = re.compile("__i[a-z]+__|.*[a-z0-9]_|__setitem__")
# Of a weight: a row of zeros stays one, and changes no other.
ROW_BY_ROW = _names(
    "view reshape view_as reshape_as flatten contiguous clone detach batch_norm mul __mul__ __rmul__ to float half "
    "bfloat16"
)
# Only move entries: the same can be done to channel numbers.
MOVES = _names(
    "view reshape permute transpose flatten unflatten squeeze unsqueeze expand expand_as broadcast_to chunk split "
    "split_with_sizes unbind tensor_split __getitem__ narrow select index_select repeat repeat_interleave stack roll "
    "flip movedim swapaxes swapdims t __get__ view_as reshape_as pixel_shuffle pixel_unshuffle channel_shuffle cat "
    "concat pad"
)
# Work entry by entry and leave a zero at zero.
KEEP_ZERO = _names(
    "relu relu_ relu6 gelu silu silu_ mish hardswish leaky_relu leaky_relu_ elu elu_ celu selu tanh tanh_ prelu "
    "softsign dropout dropout_ dropout2d feature_dropout alpha_dropout contiguous clone to float half "
    "bfloat16 double type type_as abs neg __neg__ sqrt square erf sign detach"
)
# Work entry by entry and make something of a zero.
LOSE_ZERO = _names("sigmoid sigmoid_ hardsigmoid exp softplus cos logsigmoid rsqrt reciprocal")
TIMES = _names("mul mul_ __mul__ __imul__ __rmul__ multiply")
OVER = _names("div div_ __truediv__ __itruediv__ true_divide")
PLUS = _names("add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __isub__ __rsub__ rsub")
POWER = _names("pow __pow__ pow_")
CLAMP = _names("hardtanh hardtanh_ clamp clamp_ clip clamp_min clamp_max clamp_min_")
REDUCE = _names("mean sum amax amin max logsumexp")
# Mix the pixels of each channel.
SPATIAL = _names(
    "avg_pool1d max_pool1d adaptive_avg_pool1d adaptive_max_pool1d avg_pool2d max_pool2d adaptive_avg_pool2d "
    "adaptive_max_pool2d lp_pool2d max_pool2d_with_indices adaptive_max_pool2d_with_indices interpolate upsample"
)
SOFTMAX = _names("softmax log_softmax")
MATMUL = _names("matmul __matmul__ bmm")
CHANNEL_NORMS = _names("batch_norm instance_norm")
STATISTIC_NORMS = _names("layer_norm group_norm rms_norm normalize local_response_norm")
# Norms with a weight and a bias a channel, and where these stand among the arguments.
AFFINE = {"batch_norm": (3, 4), "instance_norm": (3, 4), "layer_norm": (2, 3), "group_norm": (2, 3), "rms_norm": (2, 3)}
