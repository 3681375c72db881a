"""Builds a classifier from its config alone and wraps it: pixels in [0, 1] in, logits out, whatever the library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hubclean.errors import HubcleanError, ModelError, RefusedError
from hubclean.escaping import printable
from hubclean.nets.construction import configs, image_patches, preprocessing, processors, transformers_net
from hubclean.nets.construction.adapters import Adapter, find_adapter, load_adapters
from hubclean.nets.construction.bounds import bounded, in_time, muted, offline, steady
from hubclean.nets.images import Images, Logits
from hubclean.records import ModelFacts

_MAX_PARAMETERS = 30 * 10**9  # a config can ask for any size; the largest open classifiers have 6e9
_MAX_CHEAP = 10**9  # built with memory for every parameter


class Classifier(nn.Module):
    """Normalises pixels and returns logits.

    Args:
        net: the library's own model; its state dict has the names that the library uses.
        mean, std: of the normalisation, one value a channel, for pixels in [0, 1].
        patch: side of the patches that the net takes in place of images; 0: it takes images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], patch: int = 0) -> None:
        super().__init__()
        self.net, self.patch = net, patch
        # Not persistent: the state dict is the net's alone. Never on meta: they are facts, not weights.
        self.register_buffer("mean", torch.tensor(mean, device="cpu").view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, device="cpu").view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Images) -> Logits:
        """Images ``(n, c, h, w)`` in [0, 1] to logits ``(n, k)``."""
        return logits_of(net_output(self.net, (images - self.mean.to(images)) / self.std.to(images), self.patch))


def bare(model: nn.Module) -> nn.Module:
    """The library's own net: what a ``Classifier`` holds, or the model itself."""
    return model.net if isinstance(model, Classifier) else model


def prefix_of(model: nn.Module) -> str:
    """What stands before a name inside the bare net in ``model.named_parameters()``."""
    return "net." if isinstance(model, Classifier) else ""


def net_output(net: nn.Module, images: Tensor, patch: int = 0) -> Any:
    """What ``net`` returns for normalised images ``(n, c, h, w)``, cut first where it takes patches of that side."""
    return net(**image_patches.cut_patches(images, patch)) if patch else net(images)


def logits_of(out: Any) -> Logits:
    """The logits ``(n, k)`` in whatever a classifier returns: a tensor, a tuple or list, a dict, a ModelOutput.

    Raises:
        ModelError: there is no such tensor.
    """
    if not isinstance(out, Tensor):
        named = out.get("logits") if hasattr(out, "get") else getattr(out, "logits", None)
        if named is None and isinstance(out, (tuple, list)) and out:
            named = out[0]
        elif named is None and hasattr(out, "values"):
            named = next((value for value in out.values() if isinstance(value, Tensor) and value.ndim == 2), None)
        given, out = out, named
    else:
        given = out
    if isinstance(out, Tensor) and out.ndim == 4 and out.shape[2:] == (1, 1):
        out = out.flatten(1)
    if not isinstance(out, Tensor) or out.ndim != 2:
        raise ModelError(f"the model returns no logits of shape (images, classes) but {_described(given)}")
    return out


def _described(out: Any) -> str:
    """What a net returned, in words: a tensor by its shape, a collection by its first items."""
    if isinstance(out, Tensor):
        return f"a tensor of shape {tuple(out.shape)}"
    if isinstance(out, (tuple, list)):
        return f"a {type(out).__name__} that begins with {_described(out[0]) if out else 'nothing'}"
    if hasattr(out, "items"):
        items = [f"{printable(str(key), 40)}: {_described(item)}" for key, item in list(out.items())[:3]]
        return f"a mapping with {'; '.join(items) or 'nothing'}"
    return f"a {printable(type(out).__name__, 40)}"


def build_classifier(
    folder: Path,
    *,
    meta: bool = False,
    weights: tuple[str, ...] | None = None,
    adapters: Iterable[Adapter] | None = None,
) -> tuple[Classifier, ModelFacts]:
    """Build the classifier that ``config.json`` (and ``preprocessor_config.json``) in ``folder`` describe, in float32.

    Nothing is fetched, no code of the repo runs.

    Args:
        meta: build on the meta device: no memory, no time (a small model of an older timm is built for real).
        weights: safetensors files (and their index) in ``folder`` to load, through the library's own renaming.
        adapters: those of ``hooks/`` when ``None``; they say which nets take patches.

    Raises:
        ModelError: no config, not an image classifier, without a head, unreasonably large; weights that do not fit.
        RefusedError: the config asks for code, downloads or an architecture that the library does not have.
    """
    rows = load_adapters() if adapters is None else tuple(adapters)
    try:
        net, facts = _make(folder, weights, rows, "meta" if meta else "cpu", _MAX_PARAMETERS)
    except ModelError as error:
        if not meta or "meta tensor" not in str(error.__cause__):
            raise
        # Older timm reads values off tensors while building; such models are built for real if that is cheap.
        net, facts = _make(folder, None, rows, "cpu", _MAX_CHEAP)
    net.requires_grad_(False)
    if facts.input_size[0] != len(facts.mean):
        raise ModelError(f"the model takes {facts.input_size[0]} channels but its mean has {len(facts.mean)} values")
    return Classifier(net, facts.mean, facts.std, facts.patch).eval(), facts


def _make(
    folder: Path, weights: tuple[str, ...] | None, rows: tuple[Adapter, ...], device: str, limit: int
) -> tuple[nn.Module, ModelFacts]:
    config = configs.read_configs(folder)
    # No device context on the CPU: transformers would take it for a device map.
    place = torch.device(device) if device == "meta" else contextlib.nullcontext()
    try:
        with bounded(limit), in_time(weights is None), offline(), steady(), place:
            return build_timm(config, folder, weights) if is_timm(config) else _build_hf(config, folder, weights, rows)
    except HubcleanError:
        raise
    except Exception as error:  # the libraries raise anything on a config that does not fit
        what = "built from its config" if weights is None else "filled with its weights"
        raise ModelError(f"the model cannot be {what}: {printable(str(error) or repr(error), 500)}") from error


def build_timm(config: dict[str, Any], folder: Path, weights: tuple[str, ...] | None) -> tuple[nn.Module, ModelFacts]:
    """A timm net from its config, with weights from ``folder`` unless ``weights`` is ``None``, and its facts."""
    name, pretrained, args, labels = configs.timm_parts(config)
    configs.check_sizes(pretrained, "config.json")
    net = timm_net(config, None if weights is None else read_weights(folder, weights))
    classes = int(getattr(net, "num_classes", 0) or 0)
    if classes < 1:
        raise ModelError(f"{printable(name)} has no classifier head: num_classes is 0")
    if classes != pretrained.get("num_classes", classes):
        raise ModelError(f"config.json says {pretrained['num_classes']} classes, but its model_args make {classes}")
    if not labels or len(labels) != classes:
        labels = tuple(f"label {index}" for index in range(classes))
    return net, preprocessing.timm_facts(net, name, pretrained, args, labels)


def timm_net(config: dict[str, Any], state: dict[str, Tensor] | None) -> nn.Module:
    """A timm model from its checked config; ``state`` (tensors by their name on disk) is loaded as timm would load it.

    Raises:
        RefusedError: timm does not have the architecture.
    """
    import timm  # here, not above: a transformers model needs no timm

    name, pretrained, args, _ = configs.timm_parts(config)
    if not timm.is_model(name):
        raise RefusedError(f"timm has no architecture {printable(name)!r}")
    source = {} if state is None else {"state_dict": state}
    with muted():
        net: nn.Module = timm.create_model(
            name, pretrained=state is not None, pretrained_cfg={**pretrained, **source}, **args
        )
    for owner in ("pretrained_cfg", "default_cfg"):
        getattr(net, owner, {}).pop("state_dict", None)
    return net


def read_weights(folder: Path, files: tuple[str, ...]) -> dict[str, Tensor]:
    """All tensors of safetensors files by their name on disk, in the dtype on disk."""
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for file in files:
        if file.endswith(".safetensors"):
            state.update(load_file(folder / file))
    return state


def _build_hf(
    config: dict[str, Any], folder: Path, weights: tuple[str, ...] | None, rows: tuple[Adapter, ...]
) -> tuple[nn.Module, ModelFacts]:
    cls = transformers_net.model_class(config)
    adapter = find_adapter(rows, "transformers", cls.__name__)
    if adapter and adapter.refuse:  # before its processor is asked for what it does not make
        raise ModelError(f"{cls.__name__}: {adapter.refuse}")
    net, settings = transformers_net.filled(cls, config, folder, weights)
    count = int(settings.num_labels)
    names = tuple(str(settings.id2label.get(index, f"label {index}")) for index in range(count))
    if wraps_timm(config) and not processors.has_processor(folder):
        # It saves none: transformers reads the picture's resize from ``pretrained_cfg``, as timm does.
        name, pretrained, args, _ = configs.timm_parts(config)
        with torch.device("cpu"):
            return net, preprocessing.wrapper_facts(net, cls.__name__, name, pretrained, args, names)
    patch = patch_size(settings, cls.__name__, rows)
    with torch.device("cpu"):
        facts = preprocessing.hf_facts(net, folder, cls.__name__, names, transformers_net.channels(settings), patch)
    return net, facts


def wraps_timm(config: dict[str, Any]) -> bool:
    """Whether transformers builds a timm net from this config."""
    return config.get("model_type") == "timm_wrapper"


def bare_net(folder: Path, weights: tuple[str, ...] | None = None, limit: int = _MAX_PARAMETERS) -> nn.Module:
    """The library's own net alone, without what says how pictures come in; on meta unless ``weights`` are loaded.

    Raises:
        ModelError, RefusedError: as ``build_classifier``.
    """
    config = configs.read_configs(folder)
    place = torch.device("meta") if weights is None else contextlib.nullcontext()
    try:
        with bounded(limit), in_time(weights is None), offline(), steady(), place:
            if is_timm(config):
                return timm_net(config, None if weights is None else read_weights(folder, weights))
            return transformers_net.filled(transformers_net.model_class(config), config, folder, weights)[0]
    except HubcleanError:
        raise
    except Exception as error:
        raise ModelError(printable(str(error) or repr(error), 500)) from error


def is_timm(config: dict[str, Any]) -> bool:
    """Whether a config is timm's own."""
    return isinstance(config.get("architecture"), str) and "model_type" not in config


def patch_size(settings: Any, name: str, rows: Iterable[Adapter]) -> int:
    """Side of the patches that a transformers class takes in place of images, from its config; 0: it takes images.

    Raises:
        ModelError: an adapter says that it takes patches, but the config has no patch size, or one that is not square.
    """
    adapter = find_adapter(rows, "transformers", name)
    if adapter is None or adapter.input != "patches":
        return 0
    said = getattr(getattr(settings, "vision_config", settings), "patch_size", None)
    sides = set(said) if isinstance(said, (list, tuple)) else {said}
    side = sides.pop() if len(sides) == 1 else None
    if type(side) is not int or side < 1:
        raise ModelError(f"config.json has the patch_size {printable(repr(said))}, which is no side of a square patch")
    return side


def count_parameters(net: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in net.parameters())
