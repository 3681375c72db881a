"""What the ``README.md`` of a data set says of its configs, their files and class names; a file of strangers.

``configs:`` as Hugging Face ``datasets`` reads it: ``data_files`` as a pattern, a list, or by split, and ``data_dir``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hubclean.errors import DataError
from hubclean.escaping import printable

CARD = "README.md"
MOST_BYTES, MOST_PATTERN = 1 << 20, 1000
_FRONT = re.compile(r"\A\ufeff?---\s*\n(.*?\n)---\s*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Config:
    """One config: patterns of files by split, ``""`` where the names of the files say which; or only a folder."""

    name: str
    files: dict[str, tuple[str, ...]]
    folder: str = ""
    default: bool = False


@dataclass(frozen=True)
class DataCard:
    """The configs of a card, and for each the class names of its columns."""

    configs: tuple[Config, ...] = ()
    class_names: dict[str, dict[str, tuple[str, ...]]] | None = None

    def names_for(self, config: str) -> dict[str, tuple[str, ...]]:
        """Class names by column; those of the only config where none is named."""
        found = self.class_names or {}
        return found.get(config) or (next(iter(found.values())) if len(found) == 1 else {})


def read_card(body: bytes | None) -> DataCard:
    """The card's front matter; what makes no sense in it counts as not said."""
    front = _FRONT.match((body or b"")[:MOST_BYTES].decode("utf-8", "replace"))
    if not front:
        return DataCard()
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(front[1], Loader=yaml.SafeLoader)):
            return DataCard()
        data = yaml.safe_load(front[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return DataCard()
    if not isinstance(data, dict):
        return DataCard()
    rows = data.get("configs")
    configs = tuple(_config(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return DataCard(configs, _class_names(data.get("dataset_info")))


def _config(row: dict[Any, Any]) -> Config:
    given, files = row.get("data_files"), {}
    if isinstance(given, dict):
        files = {str(split): _texts(patterns) for split, patterns in given.items()}
    elif isinstance(given, list) and any(isinstance(one, dict) for one in given):
        for one in given:
            if isinstance(one, dict):
                files[str(one.get("split", ""))] = _texts(one.get("path"))
    elif given is not None:
        files = {"": _texts(given)}
    folder = row.get("data_dir")
    return Config(
        str(row.get("config_name", "default")),
        files,
        folder if isinstance(folder, str) else "",
        bool(row.get("default")),
    )


def _texts(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(one.removeprefix("./") for one in found if isinstance(one, str) and len(one) <= MOST_PATTERN)


def _class_names(info: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in info if isinstance(info, list) else [info]:
        if not isinstance(one, dict) or not isinstance(one.get("features"), list):
            continue
        columns = {}
        for feature in one["features"]:
            kind = feature.get("dtype") if isinstance(feature, dict) else None
            names = (kind.get("class_label") or {}).get("names") if isinstance(kind, dict) else None
            if isinstance(names, dict):  # '0': airplane
                names = [names[key] for key in sorted(names, key=lambda key: (len(str(key)), str(key)))]
            if isinstance(names, list) and names:
                columns[str(feature.get("name"))] = tuple(map(str, names))
        found[str(one.get("config_name", "default"))] = columns
    return found


def pick_config(card: DataCard, wanted: str | None, source: str) -> Config | None:
    """The config asked for, else the default one; ``None`` where the card names none.

    Raises:
        DataError: there is no such config, or there are several and none is the default.
    """
    names = [config.name for config in card.configs]
    if wanted is not None:
        return next((config for config in card.configs if config.name == wanted), None)
    if len(card.configs) < 2:
        return card.configs[0] if card.configs else None
    for config in card.configs:
        if config.default or config.name == "default":
            return config
    shown = ", ".join(printable(name, 60) for name in names[:12])
    raise DataError(f"{source!r} has {len(names)} configs: {shown}; name one: {source}:{printable(names[0], 60)}")


def matching(pattern: str, paths: Sequence[str]) -> list[str]:
    """The paths that a pattern means: ``*`` and ``?`` within a name, ``**`` over folders, ``{a,b}``, or a folder."""
    if any(sign in pattern for sign in ("*", "?", "{", "[")):
        wholes = [_tokens(one) for one in _braces(pattern)]
        return [path for path in paths if any(_fits(tokens, path) for tokens in wholes)]
    folder = pattern.rstrip("/") + "/"
    return [path for path in paths if path == pattern or path.startswith(folder)]


def _braces(pattern: str, most: int = 4096) -> list[str]:
    """``{a,b}`` and ``{000..007}`` written out."""
    found = [""]
    for part in re.split(r"(\{[^{}]*\})", pattern):
        span = re.fullmatch(r"\{(\d{1,9})\.\.(\d{1,9})\}", part)
        if span:
            count = int(span[2]) - int(span[1])
            if not 0 <= count < most:
                raise DataError(f"{printable(part)!r} stands for too many files")
            choices = [str(number).zfill(len(span[1])) for number in range(int(span[1]), int(span[2]) + 1)]
        else:
            choices = part[1:-1].split(",") if part.startswith("{") and part.endswith("}") else [part]
        if len(found) * len(choices) > most:
            raise DataError(f"{printable(pattern, 80)!r} stands for too many files")
        found = [one + choice for one in found for choice in choices]
    return found


def _tokens(pattern: str) -> list[str]:
    return re.findall(r"\*\*/?|\*|\?|\[[^\]/]+\]|[^*?\[]|\[", pattern)


def _fits(tokens: list[str], path: str) -> bool:
    """Whether a path is one that the tokens mean; steps at most their number times the path's length."""
    places = _over({0}, tokens)
    for sign in path:
        onward: set[int] = set()
        within: set[int] = set()
        for place in places:
            token = tokens[place] if place < len(tokens) else ""
            if token == "**/":  # over whole folders: what follows may begin behind a / alone
                (onward if sign == "/" else within).add(place)
            elif token == "**" or (token == "*" and sign != "/"):
                onward.add(place)
            elif token == sign or (token == "?" and sign != "/") or (len(token) > 2 and _among(token, sign)):
                onward.add(place + 1)
        places = _over(onward, tokens) | within
        if not places:
            return False
    return len(tokens) in places


def _over(places: set[int], tokens: list[str]) -> set[int]:
    """The places, and those behind stars that may stand for nothing."""
    found = set(places)
    for place in sorted(places):
        while place < len(tokens) and tokens[place] in ("*", "**", "**/"):
            place += 1
            found.add(place)
    return found


def _among(token: str, sign: str) -> bool:
    if not (token.startswith("[") and token.endswith("]")) or sign == "/":
        return False
    inner = token[1:-1]
    turned = inner.startswith(("!", "^"))
    inner = inner[turned:]
    hit = any(a <= sign <= b for a, b in re.findall(r"(.)-(.)", inner)) or sign in re.sub(r".-.", "", inner)
    return hit != turned
