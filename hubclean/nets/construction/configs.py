"""A repo's config files as plain JSON, checked before any library reads them (CVE-2026-4372, CVE-2026-5241)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hubclean.errors import ModelError, RefusedError
from hubclean.escaping import printable

_LIMIT = 8 * 2**20  # bytes of one file; 21k class names with descriptions are 3 MB
MAX_PIXELS = 4096  # largest side an image is resized to
_MAX_COUNT = 100_000  # labels, layers, heads; libraries make lists of that many before any tensor
_COUNTED = re.compile(
    r"num_(labels|classes|stages|\w*(channels|heads|tokens|experts))|\w*(depths?|layers|blocks)|image_size"
)
_CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "custom_load", "trust_remote_code", "use_pretrained_backbone"})
_ATTENTIONS = frozenset({None, True, False, "eager", "sdpa", "flash_attention_2", "flex_attention"})
# Arguments of timm's factory that fetch, read or wrap something instead of shaping the architecture.
_FACTORY = frozenset(
    [
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_model_args",
        "checkpoint_path",
        "cache_dir",
        "scriptable",
        "exportable",
        "no_jit",
        "features_only",
        "feature_cls",
        "out_indices",
        "pruned",
        "device",
        "dtype",
        "backbone",
    ]
)
_WORD = re.compile(r"[\w.+\- ]{0,100}")
_PRETRAINED = frozenset(
    [
        "architecture",
        "tag",
        "input_size",
        "test_input_size",
        "min_input_size",
        "fixed_input_size",
        "interpolation",
        "crop_pct",
        "test_crop_pct",
        "crop_mode",
        "mean",
        "std",
        "num_classes",
        "label_offset",
        "pool_size",
        "test_pool_size",
        "first_conv",
        "classifier",
    ]
)


def read_configs(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """One config file of a repo as an object, in which nothing asks for code or for a download.

    Attention kernels named in it are dropped, so that the library's own choice is used.

    Raises:
        ModelError: it is missing, too large, no JSON, or no object.
        RefusedError: it asks to run code of the repo, or to fetch something else.
    """
    file = folder / name
    if not file.is_file():
        raise ModelError(f"the repo has no {name}, so how to build the model is unknown")
    if file.stat().st_size > _LIMIT:
        raise ModelError(f"{name} is larger than {_LIMIT} bytes")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        cleaned = _clean(content, name)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is no valid JSON: {printable(str(error))}") from error
    if not isinstance(cleaned, dict):
        raise ModelError(f"{name} is no JSON object")
    return cleaned


def _clean(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_clean(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        if key in _CODE_KEYS and item:
            raise RefusedError(f"{name} asks for {key!r}, which hubclean never does")
        if key.endswith("_implementation") or "attn_implementation" in key:
            if isinstance(item, (dict, list)) or item not in _ATTENTIONS:
                raise RefusedError(f"{name} names a kernel in {printable(key)!r}, which hubclean never fetches")
            continue
        if _COUNTED.fullmatch(key) and not _countable(item):
            raise ModelError(f"{name} asks for more than {_MAX_COUNT:,} in {printable(key)!r}")
        kept[key] = _clean(item, name)
    return kept


def _countable(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 1000 and sum(item for item in value if _number(item)) <= _MAX_COUNT
    return not _number(value) or value <= _MAX_COUNT


def timm_parts(config: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...] | None]:
    """Architecture, ``pretrained_cfg``, ``model_args`` and label names of a timm config, nested or flat (legacy).

    Raises:
        ModelError: a part is missing or of the wrong type.
        RefusedError: ``model_args`` hold more than numbers and words that shape the architecture.
    """
    nested = config.get("pretrained_cfg", config)
    architecture, args = config.get("architecture"), config.get("model_args") or {}
    if not isinstance(nested, dict) or not isinstance(architecture, str) or not isinstance(args, dict):
        raise ModelError("config.json is no timm config: architecture, pretrained_cfg or model_args is ill-typed")
    pretrained = {key: item for key, item in nested.items() if key in _PRETRAINED}
    if isinstance(config.get("num_classes"), int):
        pretrained["num_classes"] = config["num_classes"]
    pretrained["architecture"] = architecture.partition(".")[0]
    kept = {}
    for key, item in args.items():
        if key in _FACTORY:
            if item:
                raise RefusedError(f"model_args in config.json ask for {key!r}, which hubclean never does")
            continue
        _check_argument(key, item)
        kept[key] = item
    names = config.get("label_names") or nested.get("label_names") or nested.get("labels")
    labels = tuple(str(name) for name in names) if isinstance(names, list) else None
    return pretrained["architecture"], pretrained, kept, labels


def _check_argument(key: str, item: Any) -> None:
    items = item if isinstance(item, list) else [item]
    if not key.isidentifier() or key.startswith("_") or len(items) > 64:
        raise RefusedError(f"model_args in config.json have an unusable entry {printable(key)!r}")
    for one in items:
        number = isinstance(one, (bool, float)) or one is None or (isinstance(one, int) and abs(one) <= 100_000)
        if not number and not (isinstance(one, str) and _WORD.fullmatch(one)):
            raise RefusedError(f"model_args in config.json give {printable(key)!r} a value that is no number or word")


def check_sizes(value: Any, name: str, inside: bool = False) -> None:
    """Refuse resizes that would fill the memory: sides over 4096 pixels, crops under 5 % of the image.

    Raises:
        ModelError: such a size; the message names it.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "crop_pct" and item is not None and not (_number(item) and 0.05 <= item <= 4):
                raise ModelError(f"{name}: crop_pct is {printable(repr(item))}, not a share in [0.05, 4]")
            check_sizes(item, name, inside or "size" in key)
    elif isinstance(value, list):
        for item in value:
            check_sizes(item, name, inside)
    elif inside and _number(value) and not isinstance(value, bool) and not 0 <= value <= MAX_PIXELS:
        raise ModelError(f"{name} asks for images of {value} pixels, more than {MAX_PIXELS}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float))
