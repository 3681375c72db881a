"""A repo's config files as plain JSON, checked before any library reads them (CVE-2026-4372, CVE-2026-5241).

What a field makes a library do stands in ``scanning/configs/loader_fields``, the table that the scan judges by, too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hubclean.errors import ModelError, RefusedError
from hubclean.escaping import printable
from hubclean.scanning.configs.asking import Place, asks, table_keys
from hubclean.scanning.configs.fields_of_key import rows_at
from hubclean.scanning.configs.loader_fields import Reads
from hubclean.scanning.configs.renaming import Renaming, in_labels

_LIMIT = 8 * 2**20  # bytes of one file; 21k class names with descriptions are 3 MB
MAX_PIXELS = 4096  # largest side an image is resized to
_MAX_COUNT = 100_000  # labels, layers, heads; libraries make lists of that many before any tensor
_COUNTED = re.compile(
    r"num_(labels|classes|stages|\w*(channels|heads|tokens|experts))|\w*(depths?|layers|blocks)|image_size"
)
_ATTENTIONS = frozenset({None, True, False, "eager", "sdpa", "flash_attention_2", "flex_attention"})
# What stops the loading if it asks for anything, and what is left out: no library of ours needs it.
_STOPS: tuple[Reads, ...] = ("code", "switch", "builder")
_LEFT_OUT: tuple[Reads, ...] = (
    "alias",
    "code",
    "switch",
    "builder",
    "weights",
    "base",
    "data",
    "member",
    "options",
    "path",
)
_NO_SHAPE: tuple[Reads, ...] = ("code", "switch", "builder", "weights", "base", "data", "name")
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


def read_configs(folder: Path, name: str = "config.json", keep: str = "") -> dict[str, Any]:
    """One config file of a repo as an object, in which nothing asks for code or for a download.

    Left out are maps that rename keys, attention kernels, so that the library's own choice is used, and every field
    from which a library would load something else.

    Args:
        keep: a field that stays all the same, as the caller hands it to no library.

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
        cleaned = _clean(content, (), Place(name, renaming=Renaming.of(content)))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is no valid JSON: {printable(str(error))}") from error
    if not isinstance(cleaned, dict):
        raise ModelError(f"{name} is no JSON object")
    return cleaned | ({keep: content[keep]} if keep in content else {})


def _clean(value: Any, path: tuple[str, ...], place: Place) -> Any:
    for ask in asks(path, value, place):
        if ask.refused:
            raise RefusedError(f"{place.file} asks for what hubclean never does: {printable(ask.what, 200)}")
    if isinstance(value, list):
        return [_clean(item, (*path, path[-1] if path else ""), place) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        inside = (*path, key)
        if _COUNTED.fullmatch(key) and not _countable(item):
            raise ModelError(f"{place.file} asks for more than {_MAX_COUNT:,} in {printable(key)!r}")
        cleaned = _clean(item, inside, place)
        if not _left_out(inside, item, place):
            kept[key] = cleaned
    return kept


def _left_out(path: tuple[str, ...], item: Any, place: Place) -> bool:
    """Whether a field is one that no library is to see.

    Raises:
        RefusedError: it asks for code or for a kernel.
    """
    if in_labels(path[:-1]) and not place.renaming.classes:
        return False
    for row in table_keys(path, place):
        if row.reads in _STOPS and not row.under and item:
            raise RefusedError(f"{place.file} asks for {printable(path[-1])!r}, which hubclean never does")
        if row.reads == "kernel" and "_implementation" in path[-1]:
            if isinstance(item, (dict, list)) or item not in _ATTENTIONS:
                raise RefusedError(
                    f"{place.file} names a kernel in {printable(path[-1])!r}, which hubclean never fetches"
                )
            return True
        if "model_args" not in path and row.reads in _LEFT_OUT and (isinstance(item, str) or row.reads == "alias"):
            return True
    return False


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
        if any(row.reads in _NO_SHAPE for row in rows_at(("model_args", key), key, "config.json")):
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
