"""An image classifier of transformers: its class by its config, its weights loaded through the library's renaming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from hubclean.errors import ModelError, RefusedError
from hubclean.escaping import printable
from hubclean.nets.construction import configs, processors
from hubclean.nets.construction.bounds import quiet


def model_class(config: dict[str, Any]) -> Any:
    """The class that a checked config asks for.

    Raises:
        RefusedError: transformers has no image classifier of that kind.
        ModelError: it has no head, is quantized, or gives an image several labels.
    """
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


def filled(
    cls: Any,
    config: dict[str, Any],
    folder: Path,
    weights: tuple[str, ...] | None,
    may_lack: frozenset[str] = frozenset(),
) -> tuple[nn.Module, Any]:
    """A net of a class with weights from ``folder``, none with ``None``, and its settings.

    Args:
        may_lack: modules whose weights need not be in the files, or may have another shape there.

    Raises:
        ModelError: weights are missing or do not fit; the message names them.
    """
    # Some classes cannot run as tuples, whatever their config says.
    settings = cls.config_class.from_dict({**config, "dtype": "float32", "return_dict": True})
    if weights is None:
        return cls._from_config(settings, dtype=torch.float32), settings
    return _loaded(cls, settings, config, folder, weights, may_lack), settings


def _loaded(
    cls: Any,
    settings: Any,
    config: dict[str, Any],
    folder: Path,
    weights: tuple[str, ...],
    may_lack: frozenset[str],
) -> nn.Module:
    with processors.clean_room(folder, weights, {"config.json": config}) as room, quiet():
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
        rows = sorted(str(row[0] if isinstance(row, tuple) else row) for row in report.get(what) or ())
        rows = [name for name in rows if not any(part == name or name.startswith(f"{part}.") for part in may_lack)]
        if rows:
            names = ", ".join(rows)
            raise ModelError(f"the weights do not fit the model: {what.replace('_', ' ')} {printable(names, 500)}")
    loaded: nn.Module = net
    return loaded


def channels(settings: Any) -> int:
    """Channels of the pixels, by the names that the configs of image models have for them; RGB where none is there."""
    args = getattr(settings, "model_args", None)
    said = [args.get("in_chans")] if isinstance(args, dict) else []
    said += [getattr(part, "num_channels", None) for part in (settings, getattr(settings, "vision_config", None))]
    return next((count for count in said if type(count) is int and count > 0), 3)
