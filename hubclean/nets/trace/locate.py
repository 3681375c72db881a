"""Finds the last feature layer and the heads of a classifier from one recorded forward; names no family."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from hubclean.errors import HubcleanError, ModelError
from hubclean.escaping import printable
from hubclean.nets.construction.adapters import Adapter, find_adapter, load_adapters
from hubclean.nets.construction.bounds import in_time
from hubclean.nets.construction.classifier import bare, count_parameters, logits_of, net_output
from hubclean.nets.trace.meta_values import Constants
from hubclean.nets.trace.recorder import Trace, record_forward
from hubclean.records import FeatureSite, HeadSite, ModelFacts

MAX_MADE_UP = 10**9  # parameters, 4 GB
_NORMS = frozenset(
    ["layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm", "rsqrt"]
)
_POOLS = frozenset(
    [
        "mean",
        "sum",
        "amax",
        "max",
        "logsumexp",
        "avg_pool1d",
        "avg_pool2d",
        "max_pool2d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "lp_pool2d",
        "scaled_dot_product_attention",
    ]
)


def locate(
    model: nn.Module, facts: ModelFacts, adapters: Iterable[Adapter] | None = None, trace: Trace | None = None
) -> FeatureSite:
    """Find feature layer and heads by one recorded forward of two images; works on meta and on real weights.

    Args:
        model: a ``Classifier`` or the net inside one. Modes and hooks are as before afterwards.
        adapters: those of ``hooks/`` when ``None``.
        trace: what ``recorded`` gave for the same model, to save a forward.

    Raises:
        ModelError: no head can be found, or its columns are not free to be cut; the message says what is missing.
    """
    net = bare(model)
    rows = load_adapters() if adapters is None else tuple(adapters)
    adapter = find_adapter(rows, facts.library, facts.architecture)
    if adapter and adapter.refuse:
        raise ModelError(f"{printable(facts.architecture)}: {adapter.refuse}")
    trace = recorded(net, facts) if trace is None else trace
    heads, inputs = _heads(net, trace, adapter, len(facts.labels), facts)
    feature = _feature(trace, inputs, adapter)
    if len({head.in_features for head in heads}) > 1:  # branches of different width: every head owns its channels
        channels, block = sum(head.in_features for head in heads), 1
    else:
        channels, block = heads[0].in_features, 1
    if feature is None:
        return FeatureSite(
            adapter.name if adapter else "generic", "", "NC", (channels,), 0, "hidden", channels, block, heads
        )
    name, index = feature
    shape = trace.values[index].shape[1:]
    after = [i for i in trace.ancestors(inputs) if i > index]
    between, block = _between(trace, after, shape, heads)
    layout = adapter.layout if adapter and adapter.layout else _layout(trace, index, channels)
    prefix = _prefix(net, trace, index, adapter) if layout == "NLC" else 0
    block = block if layout == "NCHW" else 1
    return FeatureSite(
        adapter=adapter.name if adapter else "generic",
        feature=name,
        layout=layout,
        shape=tuple(shape),
        prefix_tokens=prefix,
        between=between,
        channels=channels // block,
        block=block,
        heads=heads,
    )


def recorded(net: nn.Module, facts: ModelFacts) -> Trace:
    """One recorded forward of two random images of the model's input size, on the device of its weights.

    Raises:
        ModelError: the model cannot be run on them.
    """
    device = next(net.parameters()).device
    # Noise, not zeros: on real weights the verification below runs on values a model might see.
    images = torch.rand(2, *facts.input_size, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        return record_forward(net, images, logits_of, partial(net_output, patch=facts.patch))
    except HubcleanError:
        raise
    except Exception as error:  # a stranger's net can raise anything
        if device.type == "meta" and (isinstance(error, NotImplementedError) or "meta" in str(error)):
            return _with_values(net, facts, images)
        said = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
        raise ModelError(
            f"{printable(facts.architecture)} cannot be run on two images of {facts.input_size}: {said}"
        ) from error


def _with_values(net: nn.Module, facts: ModelFacts, images: Tensor) -> Trace:
    """The same for a net on meta whose forward reads values, which meta has none of."""
    try:
        with torch.random.fork_rng(devices=[]), Constants():
            return record_forward(net, images, logits_of, partial(net_output, patch=facts.patch))
    except HubcleanError:
        raise
    except Exception:  # it reads what depends on images or weights, or what only a real device can compute
        with in_time(True):
            return recorded(_made_up(net, facts), facts)


def _made_up(net: nn.Module, facts: ModelFacts) -> nn.Module:
    """A copy of a net on meta with small random parameters on the CPU; what is shared stays shared."""
    if (count := count_parameters(net)) > MAX_MADE_UP:
        raise ModelError(
            f"{printable(facts.architecture)} reads values in its forward, so it is recorded on made-up ones; "
            f"its {count:,} parameters are too many for that (at most {MAX_MADE_UP:,})"
        )
    draw = torch.Generator().manual_seed(0)
    memo: dict[int, Tensor] = {}
    for parameter in net.parameters():
        values = torch.zeros_like(parameter, device="cpu")
        memo[id(parameter)] = nn.Parameter(values, requires_grad=False)
        if values.is_floating_point():
            values.normal_(std=0.02, generator=draw)
    memo.update((id(buffer), torch.zeros_like(buffer, device="cpu")) for buffer in net.buffers() if buffer.is_meta)
    return copy.deepcopy(net, memo)


def _heads(
    net: nn.Module, trace: Trace, adapter: Adapter | None, classes: int, facts: ModelFacts
) -> tuple[tuple[HeadSite, ...], tuple[int, ...]]:
    """The heads and the values that enter them."""
    where = "a folder of your own" if facts.library == "module" else f"hooks/{facts.library}.toml"
    advice = f"; an adapter in {where} can name its heads (see hooks/README.md)"
    name = printable(facts.architecture)
    if adapter and adapter.heads:
        calls = {call.module: call for call in trace.calls}
        if missing := [path for path in adapter.heads if path not in calls]:
            raise ModelError(f"adapter {adapter.name} names {missing}, which {name} does not run")
        found = [calls[path].given[0] for path in adapter.heads if calls[path].given]
    else:
        ignored = adapter.ignore_heads if adapter else ()
        found = [index for index in trace.heads() if trace.values[index].module not in ignored]
    if not found:
        raise ModelError(f"{name}: no layer with weights leads to the logits{advice}")
    heads: dict[str, HeadSite] = {}
    inputs = []
    for index in found:
        value = trace.values[index]
        call = next((call for call in trace.calls if call.module == value.module and index in call.given), None)
        weight = dict(net.named_parameters()).get(value.weight)
        if value.op not in ("linear", "conv2d") or weight is None or weight.ndim not in (2, 4):
            raise ModelError(
                f"{name}: the logits come from {value.op} in {value.module or type(net).__name__!r}, whose weight is "
                f"computed, not stored; only a Linear or 1x1 convolution has columns to cut{advice}"
            )
        if weight.shape[2:] not in ((), (1, 1)):
            kernel = " x ".join(map(str, weight.shape[2:]))
            raise ModelError(
                f"{name}: the last layer with weights, {value.module!r}, is a {kernel} convolution; a head is a Linear "
                f"or a 1 x 1 convolution (does the net return logits first?){advice}"
            )
        if call is None or call.taken[:1] != value.inputs[:1]:
            raise ModelError(f"{name}: {value.module!r} does more than one matrix product{advice}")
        if weight.shape[0] != classes:
            raise ModelError(f"{name}: {value.module!r} has {weight.shape[0]} outputs, not {classes} classes{advice}")
        _only_heads_use(trace, value.weight, found, name)
        columns, rows = int(weight.shape[1]), int(weight.shape[0])
        heads[value.module] = HeadSite(
            value.module, value.weight, "linear" if weight.ndim == 2 else "conv", columns, rows
        )
        inputs.append(value.inputs[0])
    return tuple(heads.values()), tuple(inputs)


def _only_heads_use(trace: Trace, weight: str, heads: list[int], name: str) -> None:
    for index, value in enumerate(trace.values):
        if weight in value.parameters and index not in heads and value.op != "opaque":
            raise ModelError(
                f"{name}: {weight!r} is also used by {value.module!r}, so its columns are not free to be cut"
            )


def _feature(trace: Trace, inputs: tuple[int, ...], adapter: Adapter | None) -> tuple[str, int] | None:
    """Module and value of the last feature map: the latest value all paths to the heads share that has positions."""
    if adapter and adapter.feature:
        calls = [call for call in trace.calls if call.module == adapter.feature and call.given]
        if not calls:
            raise ModelError(f"adapter {adapter.name} names {adapter.feature!r}, which the model does not run")
        return adapter.feature, calls[-1].given[0]
    batch = trace.values[0].shape[0]
    given = {index: call.module for call in trace.calls for index in call.given[:1] if call.module}
    cuts = trace.cuts(inputs)
    # A small image leaves a map of one position, which looks like its pooled self: it is a map only before the pool.
    pool = next((i for i in cuts if trace.values[i].op in _POOLS and not _spread(trace.values[i].shape)), 0)
    # One position left of many by a layer with weights is a hidden layer (VGG); a stride leaves one of four.
    maps = [i for i in cuts if len(trace.values[i].shape) in (3, 4) and _spread(trace.values[i].shape)]
    few = not maps or math.prod(trace.values[maps[-1]].shape[2:]) <= 4
    for index in reversed(cuts):
        shape = trace.values[index].shape
        is_map = index in maps or (len(shape) == 4 and index < pool and few)
        if index in given and shape[0] == batch and is_map:
            return given[index], index  # the last module to give it out is the outermost
    return None


def _spread(shape: tuple[int, ...]) -> bool:
    """Whether there is more than one position beside the channels."""
    return sum(size > 1 for size in shape[1:]) >= 2


def _between(trace: Trace, after: list[int], shape: tuple[int, ...], heads: tuple[HeadSite, ...]) -> tuple[str, int]:
    """What happens from feature map to head, and how many head columns one channel owns."""
    values = [trace.values[index] for index in after]
    ops = {value.op for value in values}
    if any(value.mixes for value in values):
        return "hidden", 1
    size = 1
    for axis in shape:
        size *= axis
    flat = all(head.in_features == size and head.kind == "linear" for head in heads)
    # Channel-major order only if nothing moved the axes on the way.
    if flat and _spread((0, *shape)) and not ops & {"permute", "transpose", "movedim", "swapaxes"}:
        return "flatten", size // shape[0]
    if ops & _NORMS:
        return "norm", 1
    return ("pool" if ops & _POOLS or not values else "token"), 1


def _layout(trace: Trace, index: int, channels: int) -> str:
    """Axis order of a value: from the layer that made it, else from the axis that is as long as the head is wide."""
    shape = trace.values[index].shape
    first, last = ("NCHW", "NHWC") if len(shape) == 4 else ("NCL", "NLC")
    todo, seen = [index], set()
    while todo:
        at = todo.pop(0)
        value = trace.values[at]
        if at in seen or value.shape != shape:
            continue
        seen.add(at)
        if value.op in ("conv2d", "conv1d", "batch_norm", "group_norm"):
            return first if len(shape) == 4 else "NLC"
        if value.op in ("linear", "layer_norm", "rms_norm"):
            return last
        todo.extend(value.inputs)
    return last if shape[-1] == channels and shape[1] != channels else first if len(shape) == 4 else "NLC"


def _prefix(net: nn.Module, trace: Trace, index: int, adapter: Adapter | None) -> int:
    """Tokens before the patches: as said by adapter or model, else the length left over by the last feature grid."""
    if adapter and adapter.prefix_tokens is not None:
        return adapter.prefix_tokens
    said = getattr(net, "num_prefix_tokens", None)
    if isinstance(said, int):
        return said
    length = trace.values[index].shape[1]
    for at in reversed(trace.ancestors((index,))):
        shape = trace.values[at].shape
        if trace.values[at].op == "conv2d" and len(shape) == 4:
            return max(0, length - shape[2] * shape[3]) if length - shape[2] * shape[3] <= 16 else 0
    return 0
