"""The arithmetic of LoRA: which weights of a net an adapter changes, and what they become.

Done here and not by ``peft``: a config of an adapter can name modules for it to import, and it does not find the parts
of nets that transformers 5 renamed (``query``, now ``q_proj``), to which the adapters published before belong.
Sources: Hu et al. 2021 (LoRA), Kalajdzievski 2023 (rsLoRA), Liu et al. 2024 (DoRA), as ``peft/tuners/lora/layer.py``
(0.17 to 0.21) computes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError, RefusedError
from hubclean.escaping import printable
from hubclean.nets.construction.bounds import in_time

_BEFORE = "base_model.model."
_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(?:\.default)?(?:\.(?P<what>weight|bias))?"
)
# What a config may say without changing what is computed from the tensors in the file.
_NEUTRAL = frozenset(
    [
        *("auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "peft_version", "peft_type"),
        *("task_type", "layers_pattern", "layers_to_transform", "exclude_modules", "modules_to_save", "target_modules"),
        *("megatron_core", "qalora_group_size", "ensure_weight_tying", "runtime_config", "fan_in_fan_out", "r"),
        *("lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias", "bias"),
        # How a training began; those that change the base for it are told by ``init_lora_weights``.
        *("init_lora_weights", "eva_config", "corda_config", "loftq_config", "lora_ga_config"),
    ]
)
# Ways to begin a training that take something out of the base, which is then another one.
_OF_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_NO_WEIGHTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT")
_LONGEST, _MOST = 200, 2000


@dataclass
class _Change:
    """What the file holds for one module."""

    tensors: dict[tuple[str, str], Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Lora:
    """A LoRA adapter, read.

    Args:
        changes: module name (as in the file) to its tensors by part and what they are.
        saved: other tensors by name: they take the place of the base's.
        config: the checked config.
    """

    changes: Mapping[str, _Change]
    saved: Mapping[str, Tensor]
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """``LoRA``, ``rsLoRA`` or ``DoRA``."""
        return "DoRA" if self.config.get("use_dora") else "rsLoRA" if self.config.get("use_rslora") else "LoRA"

    @property
    def modules_to_save(self) -> tuple[str, ...]:
        """Ends of the names of modules that the adapter replaces whole."""
        return tuple(self.config.get("modules_to_save") or ())


def check_config(config: Mapping[str, Any]) -> None:
    """Whether an adapter of this config can be merged.

    Raises:
        RefusedError: it is no LoRA, or does more than the arithmetic here knows; says what.
    """
    kind = str(config.get("peft_type", "")).upper()
    if kind in _NO_WEIGHTS:
        raise RefusedError(f"the adapter is of the kind {kind}: it adds inputs and has nothing to merge into weights")
    if kind != "LORA":
        raise RefusedError(
            f"the adapter is of the kind {printable(kind, 40)!r}; only LoRA, rsLoRA and DoRA are merged: merge it with "
            "peft (merge_and_unload, save_pretrained), and give that folder"
        )
    start = str(config.get("init_lora_weights", "")).lower()
    if start.startswith(_OF_BASE):
        raise RefusedError(
            f"the adapter was begun with {printable(start, 40)!r}, which takes its start out of the base: convert it "
            "to a plain LoRA with peft (path_initial_model_for_weight_conversion), or merge it there"
        )
    if odd := sorted(key for key, value in config.items() if value and key not in _NEUTRAL):
        raise RefusedError(f"the adapter's config has {printable(', '.join(odd), 200)}, which is not merged here")
    if not isinstance(config.get("r"), int) or not _number(config.get("lora_alpha")):
        raise ModelError("adapter_config.json has no rank r and lora_alpha that are numbers")
    for key in ("rank_pattern", "alpha_pattern"):
        rows = config.get(key) or {}
        if not isinstance(rows, dict) or len(rows) > _MOST or not all(map(_number, rows.values())):
            raise ModelError(f"{key} in adapter_config.json is no object of numbers, or has more than {_MOST} rows")
    saved = config.get("modules_to_save") or []
    if not isinstance(saved, list) or not all(isinstance(name, str) for name in saved):
        raise ModelError("modules_to_save in adapter_config.json is no list of names")


def read_lora(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Lora:
    """Sort the tensors of an adapter's file.

    Raises:
        RefusedError: as ``check_config``. ModelError: a tensor is none that LoRA has.
    """
    check_config(config)
    changes: dict[str, _Change] = {}
    saved: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix(_BEFORE)
        if found := _PART.fullmatch(name):
            row = changes.setdefault(found["module"], _Change())
            row.tensors[found["part"], found["what"] or "weight"] = tensor.float()
        elif "lora_" in name:
            raise ModelError(f"the adapter's tensor {printable(key, 200)!r} is none that is merged here")
        elif ".original_module." not in name:
            plain = name.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".")
            saved[plain.replace(".base_layer.bias", ".bias")] = tensor
    if not changes and not saved:
        raise ModelError("the adapter holds no tensors")
    return Lora(changes, saved, config)


@torch.no_grad()
def merge(net: nn.Module, lora: Lora, places: Mapping[str, str]) -> tuple[str, ...]:
    """Change the weights of ``net`` in place, in float32.

    Args:
        places: names of tensors as the adapter may write them, to names in ``net.state_dict()``.

    Returns:
        The names in memory of what changed, sorted.

    Raises:
        ModelError: the adapter does not fit the net; names what. The net is then of no use.
    """
    state = net.state_dict(keep_vars=True)
    touched: set[str] = set()
    with in_time(True):  # patterns of the config are a stranger's regular expressions
        scales = {module: _scale(module, row, lora.config) for module, row in lora.changes.items()}
    for key, tensor in lora.saved.items():  # before the changes: a bias can have both
        name = _place(key, places)
        if not _may_replace(key, lora):
            raise ModelError(f"the adapter holds {printable(key, 200)!r}, which its config does not name as saved")
        _fits(key, tensor, state[name])
        state[name].copy_(tensor)
        touched.add(name)
    for module, row in lora.changes.items():
        name = _place(f"{module}.weight", places)
        weight = state[name]
        owner = net.get_submodule(name.rpartition(".")[0])
        weight.copy_(_changed(module, row, weight.float(), scales[module], type(owner).__name__ == "Conv1D"))
        touched.add(name)
        if (extra := row.tensors.get(("lora_B", "bias"))) is not None:
            bias = _place(f"{module}.bias", places)
            _fits(f"{module}.lora_B.bias", extra, state[bias])
            state[bias].add_(scales[module] * extra)
            touched.add(bias)
    return tuple(sorted(touched))


def _may_replace(key: str, lora: Lora) -> bool:
    module = key.rpartition(".")[0]
    if key.endswith(".bias") and lora.config.get("bias") in ("all", "lora_only"):
        return True
    return any(module == end or f".{module}.".find(f".{end}.") >= 0 for end in lora.modules_to_save)


def _changed(module: str, row: _Change, weight: Tensor, scale: float, turned: bool) -> Tensor:
    down, up = row.tensors[("lora_A", "weight")], row.tensors[("lora_B", "weight")]
    if down.ndim != up.ndim or down.ndim not in (2, 4) or up.shape[1] != down.shape[0]:
        raise ModelError(f"lora_A and lora_B of {printable(module, 200)!r} do not go together")
    if up.ndim == 4:
        if up.shape[2:] != (1, 1):
            raise ModelError(f"lora_B of {printable(module, 200)!r} is no convolution of 1 x 1")
        delta = torch.einsum("or,rihw->oihw", up[:, :, 0, 0], down)
    else:
        delta = up @ down
    delta = scale * (delta.T if turned else delta)
    _fits(module, delta, weight)
    size = row.tensors.get(("lora_magnitude_vector", "weight"))
    if size is None:
        return weight + delta
    whole = (weight + delta).T if turned else weight + delta
    norm = whole.flatten(1).norm(dim=1)
    if size.numel() != norm.numel():
        raise ModelError(f"the magnitudes of {printable(module, 200)!r} do not fit")
    scaled: Tensor = whole * (size.reshape(-1) / norm).reshape(-1, *[1] * (whole.ndim - 1))
    return scaled.T if turned else scaled


def _scale(module: str, row: _Change, config: Mapping[str, Any]) -> float:
    if not {("lora_A", "weight"), ("lora_B", "weight")} <= row.tensors.keys():
        raise ModelError(f"the adapter has only one of lora_A and lora_B for {printable(module, 200)!r}")
    if config.get("use_dora") and ("lora_magnitude_vector", "weight") not in row.tensors:
        raise ModelError(f"the adapter has no magnitudes for {printable(module, 200)!r}, although it is a DoRA")
    rank = row.tensors["lora_A", "weight"].shape[0]
    if rank != _of_pattern(config.get("rank_pattern"), module, config["r"]):
        raise ModelError(f"lora_A of {printable(module, 200)!r} has the rank {rank}, its config says another")
    alpha = _of_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of_pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that fits the end of a module's name, as ``peft.utils.get_pattern_key``."""
    for pattern, value in (patterns or {}).items():
        if module == pattern or module.endswith(f".{pattern}"):
            return value
        if len(pattern) > _LONGEST:
            raise ModelError("a pattern in adapter_config.json is longer than any name")
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except re.error as error:
            raise ModelError(f"{printable(pattern, 60)!r} in adapter_config.json is no pattern: {error}") from error
    return default


def _place(name: str, places: Mapping[str, str]) -> str:
    if name not in places:
        raise ModelError(
            f"the adapter changes {printable(name, 200)!r}, which the base does not have: it belongs to another base, "
            "or to a version of its library that names its parts otherwise"
        )
    return places[name]


def _fits(name: str, tensor: Tensor, weight: Tensor) -> None:
    if tensor.shape != weight.shape:
        shapes = f"{tuple(tensor.shape)}, the base's {tuple(weight.shape)}"
        raise ModelError(f"the adapter's {printable(name, 200)!r} has the shape {shapes}: it belongs to another base")
    if not torch.isfinite(tensor).all():
        raise ModelError(f"the adapter's {printable(name, 200)!r} holds NaN or infinity")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
