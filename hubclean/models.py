"""Builds a classifier from its config alone and wraps it: pixels in [0, 1] in, logits out, whatever the library."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hubclean import configs, preprocessing
from hubclean.errors import HubcleanError, ModelError, RefusedError
from hubclean.escaping import printable
from hubclean.records import ModelFacts
from hubclean.tensors import Images, Logits

# A config can ask for any size; the largest open classifiers have 6e9 parameters in 2,000 tensors.
_MAX_TENSORS, _MAX_PARAMETERS, _MAX_BUFFERED = 50_000, 30 * 10**9, 10**9


class Classifier(nn.Module):
    """Normalises pixels and returns logits.

    Args:
        net: the library's own model; its state dict has the names that the library uses.
        mean, std: of the normalisation, one value a channel, for pixels in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        # Not persistent: the state dict is the net's alone. Never on meta: they are facts, not weights.
        self.register_buffer("mean", torch.tensor(mean, device="cpu").view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, device="cpu").view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Images) -> Logits:
        """Images ``(n, c, h, w)`` in [0, 1] to logits ``(n, k)``."""
        return logits_of(self.net((images - self.mean.to(images)) / self.std.to(images)))


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
        out = named
    if isinstance(out, Tensor) and out.ndim == 4 and out.shape[2:] == (1, 1):
        out = out.flatten(1)
    if not isinstance(out, Tensor) or out.ndim != 2:
        raise ModelError("the model returns no logits of shape (images, classes)")
    return out


def build(folder: Path, *, meta: bool = False) -> tuple[Classifier, ModelFacts]:
    """Build the classifier that ``config.json`` (and ``preprocessor_config.json``) in ``folder`` describe, in float32.

    No weights are read or fetched, no code of the repo runs. ``meta`` builds on the meta device: no memory, no time.

    Raises:
        ModelError: no config, not an image classifier, without a head, or unreasonably large.
        RefusedError: the config asks for code, downloads or an architecture that the library does not have.
    """
    config = configs.read(folder)
    make = _build_timm if isinstance(config.get("architecture"), str) and "model_type" not in config else _build_hf
    try:
        with _bounded(), _offline(), torch.device("meta" if meta else "cpu"), _default_float():
            net, facts = make(config, folder, meta)
    except HubcleanError:
        raise
    except Exception as error:  # the libraries raise anything on a config that does not fit
        raise ModelError(f"the model cannot be built from its config: {printable(str(error), 300)}") from error
    net.eval().requires_grad_(False)
    if facts.input_size[0] != len(facts.mean):
        raise ModelError(f"the model takes {facts.input_size[0]} channels but its mean has {len(facts.mean)} values")
    return Classifier(net, facts.mean, facts.std), facts


def _build_timm(config: dict[str, Any], folder: Path, meta: bool) -> tuple[nn.Module, ModelFacts]:
    import timm  # here, not above: a transformers model needs no timm

    name, pretrained, args, labels = configs.timm_parts(config)
    configs.check_sizes(pretrained, "config.json")
    if not timm.is_model(name):
        raise RefusedError(f"timm has no architecture {printable(name)!r}")
    net = timm.create_model(name, pretrained=False, pretrained_cfg=pretrained, **args)
    classes = int(getattr(net, "num_classes", 0) or 0)
    if classes < 1:
        raise ModelError(f"{printable(name)} has no classifier head: num_classes is 0")
    if classes > 100_000:
        raise ModelError(f"{printable(name)} has {classes} classes, more than 100,000")
    return net, preprocessing.timm_facts(net, name, pretrained, args, _labels(labels, classes))


def _build_hf(config: dict[str, Any], folder: Path, meta: bool) -> tuple[nn.Module, ModelFacts]:
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
    if kind == "timm_wrapper":
        configs.timm_parts(config)
    cls = getattr(transformers, wanted[0] if wanted else known[0])
    settings = cls.config_class.from_dict({**config, "dtype": "float32", "torch_dtype": None})
    net = cls._from_config(settings, dtype=torch.float32)
    count = int(settings.num_labels)
    names = tuple(str(settings.id2label.get(index, f"label {index}")) for index in range(count))
    with torch.device("cpu"):
        facts = preprocessing.hf_facts(net, folder, cls.__name__, names)
    return net, facts


def _labels(names: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    return names if names and len(names) == classes else tuple(f"label {index}" for index in range(classes))


def count_parameters(net: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in net.parameters())


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Stops the construction of a model that no weights could fill."""
    tensors = parameters = buffered = 0

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal tensors, parameters, buffered
        if tensor is None or isinstance(tensor, nn.UninitializedParameter):
            return
        tensors += 1
        if isinstance(tensor, nn.Parameter):
            parameters += tensor.numel()
        else:
            buffered += tensor.numel()
        if tensors > _MAX_TENSORS or parameters > _MAX_PARAMETERS or buffered > _MAX_BUFFERED:
            raise ModelError("the config asks for a model larger than any known classifier")

    handles = [
        nn.modules.module.register_module_parameter_registration_hook(count),
        nn.modules.module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _default_float() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Nothing that a config names is fetched while its model is built, whatever the library would do."""
    from huggingface_hub import constants

    before, variable = constants.HF_HUB_OFFLINE, os.environ.get("HF_HUB_OFFLINE")
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        assert os.environ.get("HF_HUB_OFFLINE") == variable
