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
from hubclean.nets.construction import configs, image_patches, preprocessing
from hubclean.nets.construction.adapters import Adapter, find_adapter, load_adapters
from hubclean.nets.construction.bounds import bounded, in_time, muted, offline, quiet, steady
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
    is_timm = isinstance(config.get("architecture"), str) and "model_type" not in config
    # No device context on the CPU: transformers would take it for a device map.
    place = torch.device(device) if device == "meta" else contextlib.nullcontext()
    try:
        with bounded(limit), in_time(weights is None), offline(), steady(), place:
            return build_timm(config, folder, weights) if is_timm else _build_hf(config, folder, weights, rows)
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
    cls = _hf_class(config)
    adapter = find_adapter(rows, "transformers", cls.__name__)
    if adapter and adapter.refuse:  # before its processor is asked for what it does not make
        raise ModelError(f"{cls.__name__}: {adapter.refuse}")
    # Some classes cannot run as tuples, whatever their config says.
    settings = cls.config_class.from_dict({**config, "dtype": "float32", "return_dict": True})
    if weights is None:
        net = cls._from_config(settings, dtype=torch.float32)
    else:
        net = _hf_load(cls, settings, config, folder, weights)
    count = int(settings.num_labels)
    names = tuple(str(settings.id2label.get(index, f"label {index}")) for index in range(count))
    patch = patch_size(settings, cls.__name__, rows)
    with torch.device("cpu"):
        facts = preprocessing.hf_facts(net, folder, cls.__name__, names, _hf_channels(settings), patch)
    return net, facts


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


def _hf_channels(settings: Any) -> int:
    """Channels of the pixels, by the names that the configs of image models have for them; RGB where none is there."""
    args = getattr(settings, "model_args", None)
    said = [args.get("in_chans")] if isinstance(args, dict) else []
    said += [getattr(part, "num_channels", None) for part in (settings, getattr(settings, "vision_config", None))]
    return next((count for count in said if type(count) is int and count > 0), 3)


def _hf_class(config: dict[str, Any]) -> Any:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as mapping

    kind, wanted = config.get("model_type"), config.get("architectures") or []
    known = mapping.get(kind, ()) if isinstance(kind, str) else ()
    known = (known,) if isinstance(known, str) else tuple(known)
    if not known:
        raise RefusedError(f"transformers has no image classifier of model_type {printable(str(kind))!r}")
    if not isinstance(wanted, list) or (wanted and wanted[0] not in known):
        raise ModelError(f"{printable(str(wanted))} has no classifier head: known for {kind} are {', '.join(known)}")
    if "quantization_config" in config:
        raise ModelError("the weights are quantized; only float16, bfloat16 and float32 can be cleansed")
    if config.get("problem_type") not in (None, "single_label_classification"):
        raise ModelError("the model gives an image several labels or a number, not one label, so it cannot be cleansed")
    if kind == "timm_wrapper":
        configs.timm_parts(config)
    return getattr(transformers, wanted[0] if wanted else known[0])


def _hf_load(cls: Any, settings: Any, config: dict[str, Any], folder: Path, weights: tuple[str, ...]) -> nn.Module:
    with preprocessing.clean_room(folder, weights, {"config.json": config}) as room, quiet():
        net, report = cls.from_pretrained(
            room,
            config=settings,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they come back in the report, by name
            dtype=torch.float32,
        )
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        if report.get(what):
            names = ", ".join(sorted(str(row[0] if isinstance(row, tuple) else row) for row in report[what]))
            raise ModelError(f"the weights do not fit the model: {what.replace('_', ' ')} {printable(names, 500)}")
    loaded: nn.Module = net
    return loaded


def count_parameters(net: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in net.parameters())
