"""The loader of a repo, and the files that it opens: one notion for scans, downloads, guards and CI."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubclean.errors import HubcleanError
from hubclean.escaping import printable
from hubclean.records import Loader, LoadSet
from hubclean.scanning.formats.names import HEAD
from hubclean.scanning.load_sets.foreign import what_is_there
from hubclean.scanning.load_sets.opened import Asked, Found, Opened
from hubclean.scanning.load_sets.other_files import open_clip_files, peft_files, timm_files, torch_files
from hubclean.scanning.load_sets.transformers_files import transformers_files
from hubclean.scanning.reader import Reader

_FILES: dict[Loader, Callable[[Opened], Found]] = {
    "transformers": transformers_files,
    "timm": timm_files,
    "peft": peft_files,
    "open_clip": open_clip_files,
    "torch": torch_files,
}
_CONFIGS: dict[Loader, str] = {
    "transformers": "config.json",
    "timm": "config.json",
    "peft": "adapter_config.json",
    "open_clip": "open_clip_config.json",
}
_LIBRARY = re.compile(rb"^library_name:[ \t]*[\"']?([A-Za-z0-9_.-]{1,40})[\"']?[ \t\r]*$", re.MULTILINE)
_FRONT_MATTER = 64 << 10


@dataclass(frozen=True, slots=True)
class _Choice:
    """A loader, and why it, in words."""

    loader: Loader
    why: str


def load_set(reader: Reader, asked: Asked | None = None) -> LoadSet:
    """Which files will be opened, by the loader that ``asked`` names or that the repo is for.

    Reads only configs and indexes that every scan reads anyway, and the head of the card where two loaders would do.
    Never raises: a config that cannot be read stays in the set, and is not checked there.
    """
    asked = asked or Asked()
    opened = Opened(reader, asked)
    if asked.loader:
        return _of(opened, _Choice(asked.loader, ""))
    if reader.alone:
        return LoadSet("all", note="one file, judged whole")
    chosen = _chosen(opened)
    found = _of(opened, chosen)
    if not found.loadable and found.note in _BY_HAND and torch_files(opened).weights:
        why = f"{chosen.loader} has no weights under the names it knows: state dicts, loaded by hand"
        return _of(opened, _Choice("torch", why))
    return found


_BY_HAND = (
    "pickles under other names only",
    "safetensors under other names only",
    "pickles under other names and safetensors under other names only",
)


def _of(opened: Opened, chosen: _Choice) -> LoadSet:
    """The load set of one loader."""
    loader = chosen.loader
    if loader == "all":
        return LoadSet("all", note=chosen.why)
    found = _FILES[loader](opened)
    files = tuple(dict.fromkeys((*found.texts, *found.weights)))
    base = tuple(printable(name, 200) for name in found.base)
    config = _CONFIGS.get(loader, "")
    if config and not opened.first(config):
        return LoadSet(loader, files, False, f"there is no {config}", base)
    if found.note:
        return LoadSet(loader, files, False, found.note, base)
    if opened.cached and not found.weights:
        return LoadSet(loader, files, False, "no weights of it are in the cache: fetch it while online", base)
    if found.weights:
        return LoadSet(loader, files, True, chosen.why, base)
    there = what_is_there(opened.names)
    if there == "no weights" and files:  # a processor, a tokenizer or a config alone
        return LoadSet(loader, files, True, there, base)
    return LoadSet(loader, files, False, there, base)


def _chosen(opened: Opened) -> _Choice:
    """Who loads the repo, by its configs; where they would do for two, by ``library_name`` of the card."""
    invited: list[Loader] = []
    config = opened.json("config.json")
    of_timm, of_transformers = _is_timm(config), _is_transformers(config)
    if opened.first("adapter_config.json") and isinstance(opened.table("adapter_config.json").get("peft_type"), str):
        invited.append("peft")
    if of_timm:
        invited.append("timm")
    if of_transformers or (config is None and _has_only_texts(opened)):
        invited.append("transformers")
    if opened.first("open_clip_config.json"):
        invited.append("open_clip")
    if "peft" in invited and {"timm", "transformers"} & set(invited) and _has_whole_model(opened):
        invited.remove("peft")  # transformers opens the adapter beside the model
    if len(invited) > 1 and (named := _library(opened)) in invited:
        return _Choice(named, "")
    if invited:
        return _Choice(invited[0], "")
    if opened.first("config.json") and config is None:
        return _Choice("all", "config.json cannot be read")
    return _without_library(opened)


def _without_library(opened: Opened) -> _Choice:
    """No config says who loads: state dicts if there is nothing else to load, else every file."""
    if opened.first("model_index.json"):
        return _Choice("all", "a diffusers pipeline")
    if torch_files(opened).weights and what_is_there(opened.names) in (*_BY_HAND, "no weights"):
        return _Choice("torch", "no config names a library: state dicts, loaded by hand")
    return _Choice("all", "no config names a library")


def _is_timm(config: Any) -> bool:
    # A timm net saved by transformers names its architecture, too, but its tensors as transformers does.
    wrapped = isinstance(config, dict) and config.get("model_type") == "timm_wrapper"
    return isinstance(config, dict) and isinstance(config.get("architecture"), str) and not wrapped


def _is_transformers(config: Any) -> bool:
    return isinstance(config, dict) and (
        isinstance(config.get("model_type"), str)
        or isinstance(config.get("architectures"), list)
        or isinstance(config.get("auto_map"), dict)
    )


def _has_only_texts(opened: Opened) -> bool:
    """A processor or a tokenizer alone, without a model."""
    return not opened.first("config.json") and bool(
        opened.first("preprocessor_config.json", "processor_config.json", "tokenizer_config.json")
    )


def _has_whole_model(opened: Opened) -> bool:
    return bool(
        opened.first(
            "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"
        )
    )


def _library(opened: Opened) -> str:
    """``library_name`` of the card's front matter; empty where it names none."""
    reader = opened.reader
    card = next((entry for entry in reader.files() if entry.path == "README.md"), None)
    if card is None:
        return ""
    try:
        text = reader.read_range(card.path, 0, min(card.size, HEAD))
        if b"\n---" not in text[3:] and card.size > HEAD:
            text = reader.read_range(card.path, 0, min(card.size, _FRONT_MATTER))
    except (HubcleanError, OSError, ValueError):
        return ""
    head = text.partition(b"\n---")[0] if text.startswith(b"---") else b""
    match = _LIBRARY.search(head)
    return match.group(1).decode().replace("-", "_") if match else ""
