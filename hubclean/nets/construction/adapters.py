"""Adapters: what a recorded forward cannot know of an architecture, as data in ``hooks/*.toml``."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

from hubclean import resources
from hubclean.errors import OptionError

Library = Literal["timm", "transformers", "module"]
_LIMIT = 256 * 1024  # bytes in one file
_LAYOUTS = ("NCHW", "NHWC", "NLC", "NC")


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is to be done differently for the architectures that ``match``.

    Args:
        name: ``FILE:KEY``, as it is shown in the audit.
        library: ``timm``, ``transformers`` or ``module`` (a net of the user's own).
        match: glob over the architecture (timm: entry point without tag; transformers and module: class name).
        reason: why the recorded forward is not enough, in one sentence.
        example: an architecture it is needed for; a test builds it.
        heads: names of the head modules, in place of those found.
        ignore_heads: names of heads that are found but must not be touched (auxiliary ones).
        feature: module whose output is the last feature map, in place of the one found.
        layout: axis order of that output: ``NCHW``, ``NHWC``, ``NLC`` or ``NC``.
        prefix_tokens: class and register tokens before the patch tokens.
        refuse: a sentence: the architecture is no classifier, or cannot be handled.
        input: ``patches``: the net takes a square image as patches of its config's ``patch_size`` (transformers alone).
    """

    name: str
    library: Library
    match: str
    reason: str
    example: str
    heads: tuple[str, ...] = ()
    ignore_heads: tuple[str, ...] = ()
    feature: str = ""
    layout: str = ""
    prefix_tokens: int | None = None
    refuse: str = ""
    input: str = ""


def load_adapters(extra: Path | None = None) -> tuple[Adapter, ...]:
    """All adapters; those of the user's folder ``extra`` come first and win.

    Raises:
        OptionError: a file is no TOML, too large, or has an unknown, missing or ill-typed field; the message names it.
    """
    if extra is not None and not extra.is_dir():
        raise OptionError(f"{str(extra)!r} is no folder of adapters")
    folders = ([extra] if extra else []) + [resources.data_folder("hooks")]
    return tuple(adapter for folder in folders for file in sorted(folder.glob("*.toml")) for adapter in _read(file))


def find_adapter(adapters: Iterable[Adapter], library: str, architecture: str) -> Adapter | None:
    """The first adapter for an architecture of a library, or ``None``: the recorded forward decides alone."""
    for adapter in adapters:
        if adapter.library == library and fnmatch.fnmatchcase(architecture, adapter.match):
            return adapter
    return None


def _read(file: Path) -> list[Adapter]:
    if file.stat().st_size > _LIMIT:
        raise OptionError(f"adapter file {file.name!r} is larger than {_LIMIT} bytes")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OptionError(f"adapter file {file.name!r} is no valid TOML: {error}") from error
    return [_adapter(f"{file.stem}:{key}", block) for key, block in content.items()]


def _adapter(name: str, block: Any) -> Adapter:
    if not isinstance(block, dict):
        raise OptionError(f"adapter {name} is no table")
    known = {field.name for field in fields(Adapter)} - {"name"}
    if unknown := sorted(block.keys() - known):
        raise OptionError(f"adapter {name} has unknown fields {unknown}; known are {sorted(known)}")
    for key in ("library", "match", "reason", "example"):
        if not isinstance(block.get(key), str) or not block[key]:
            raise OptionError(f"adapter {name} needs {key!r}, a text")
    values = {key: _value(name, key, value) for key, value in block.items()}
    if values["library"] not in ("timm", "transformers", "module"):
        raise OptionError(f"adapter {name}: library must be timm, transformers or module, not {values['library']!r}")
    if values.get("layout", "NCHW") not in _LAYOUTS:
        raise OptionError(f"adapter {name}: layout must be one of {', '.join(_LAYOUTS)}, not {values['layout']!r}")
    if values.get("input", "patches") != "patches":
        raise OptionError(f"adapter {name}: input must be patches, not {values['input']!r}")
    if "input" in values and values["library"] != "transformers":
        raise OptionError(f"adapter {name}: input is for transformers alone, whose configs say how large a patch is")
    if not block.keys() - {"library", "match", "reason", "example"}:
        raise OptionError(f"adapter {name} changes nothing")
    return Adapter(name=name, **cast(dict[str, Any], values))


def _value(name: str, key: str, value: Any) -> Any:
    if key in ("heads", "ignore_heads"):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise OptionError(f"adapter {name}: {key} must be a list of module names")
        return tuple(value)
    if key == "prefix_tokens":
        if type(value) is not int or not 0 <= value <= 1024:
            raise OptionError(f"adapter {name}: prefix_tokens must be an integer in [0, 1024]")
        return value
    if not isinstance(value, str):
        raise OptionError(f"adapter {name}: {key} must be a text")
    return value
