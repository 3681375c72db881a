"""What torch operators do to channels, by the name under which a recorded forward shows them."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


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
    "softsign hardtanh dropout dropout_ dropout2d feature_dropout alpha_dropout contiguous clone to float half "
    "bfloat16 double type type_as abs neg __neg__ sqrt square erf sign detach"
)
# Work entry by entry and make something of a zero.
LOSE_ZERO = _names("sigmoid sigmoid_ hardsigmoid exp softplus cos logsigmoid rsqrt reciprocal")
TIMES = _names("mul mul_ __mul__ __imul__ __rmul__ multiply")
OVER = _names("div div_ __truediv__ __itruediv__ true_divide")
PLUS = _names("add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __isub__ __rsub__ rsub")
POWER = _names("pow __pow__ pow_")
CLAMP = _names("clamp clamp_ clip clamp_min clamp_max clamp_min_")
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
