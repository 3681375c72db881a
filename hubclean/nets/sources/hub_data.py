"""A data set on a Hub: the config and split that are asked for, and of them only the files that are used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.hub.dataset_repo import DatasetRepo
from hubclean.nets.sources import arrow_tables, layouts
from hubclean.nets.sources.columns import listed
from hubclean.nets.sources.data_cards import CARD, Config, DataCard, matching, pick_config, read_card
from hubclean.nets.sources.data_cards import MOST_BYTES as MOST_CARD
from hubclean.nets.sources.decode import MOST_BYTES
from hubclean.nets.sources.pictures import Offer, Pictures, Request, Unreadable, choose
from hubclean.nets.sources.split_words import split_word
from hubclean.nets.sources.trees import Only, Tree, one_of, shown, suffix

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_CONFIG = r"(?::(?P<config>[^@:\s/]+)(?:/(?P<split>[^@:\s/]+))?)?"
_REVISION = r"(?:@(?P<revision>[\w./+-]{1,255}))?"
_ID = rf"(?P<id>{_PART}(?:/{_PART})?)"
_NAMES = re.compile(_ID + _CONFIG + _REVISION), re.compile(_ID + _REVISION + _CONFIG)


class HubTree:
    """A data set's files; what is read is fetched first, some files at a time."""

    remote = True

    def __init__(self, repo: DatasetRepo, name: str) -> None:
        self.name, self._repo = name, repo
        self.notes: tuple[str, ...] = ()
        self.paths = tuple(path for path in repo.paths if shown(path))
        self.all = frozenset(self.paths)

    def read(self, paths: Sequence[str], most: int = MOST_BYTES) -> Iterator[tuple[str, bytes | Unreadable]]:
        found: dict[str, bytes | Unreadable] = {}
        for path in paths:
            if path not in self.all:
                found[path] = Unreadable("missing")
            elif self._repo.size(path) > most:
                found[path] = Unreadable(f"more than {most >> 20} MB")
        yield from found.items()
        for path, place in self._repo.fetch(path for path in paths if path not in found):
            yield path, place.read_bytes()

    def size(self, path: str) -> int:
        return self._repo.size(path) if path in self.all else 0

    def local(self, path: str) -> Path:
        return next(iter(self._repo.fetch([path])))[1]


def open_hub(source: str, request: Request) -> Pictures:
    """The pictures of a data set on a Hub.

    Args:
        source: ``org/data``, ``org/data:config``, ``org/data:config/split``, each with ``@revision``; also with
            ``hf://datasets/`` or as an address of the Hub.

    Raises:
        DataError: it is no such name, or the config or split is not there, or there are no pictures.
        HubcleanError: the Hub refused or could not be reached.
    """
    name = _named(source)
    wanted, split = name["config"], name["split"]
    if split and request.split and split != request.split:
        raise DataError(f"two splits: {printable(split)!r} in the name and {printable(request.split)!r} in --split")
    request = replace(request, split=request.split or split)
    tree = HubTree(DatasetRepo(name["id"] or "", name["revision"]), source)
    code = f"{(name['id'] or '').rpartition('/')[2]}.py"
    if code in tree.all and not any(suffix(path) in arrow_tables.ARROWS for path in tree.paths):
        raise DataError(
            f"{source!r} is made by a program of its own ({printable(code)}), which is not run; the Hub's conversion "
            f"may be there: {name['id']}@refs/convert/parquet"
        )
    card = read_card(one_of(tree, CARD, MOST_CARD)) if 0 < tree.size(CARD) <= MOST_CARD else DataCard()
    config = pick_config(card, wanted, source)
    if config is None or not (config.files or config.folder):
        part = _folder_of(tree, wanted, source, card)
        return choose(layouts.offers(part, request, card, wanted or "default"), request, source)
    if config.files:
        return choose(_listed_files(tree, config, card, request, source), request, source)
    inside = Only(tree, tree.paths, config.folder, source)
    return choose(layouts.offers(inside, request, card, config.name), request, source)


def _named(source: str) -> dict[str, str | None]:
    text = source.removeprefix("hf://").removeprefix("datasets/")
    for host in ("https://huggingface.co", os.environ.get("HF_ENDPOINT", "").rstrip("/")):
        if host and text.startswith(f"{host}/datasets/"):
            text = text.removeprefix(f"{host}/datasets/").rstrip("/").replace("/tree/", "@")
    found = next((match for name in _NAMES if (match := name.fullmatch(text))), None)
    if not found or ".." in text:
        raise DataError(
            f"{printable(source, 160)!r} is neither a folder here nor a Hub dataset id like org/data or org/data:config"
        )
    return found.groupdict()


def _folder_of(tree: HubTree, wanted: str | None, source: str, card: DataCard) -> Tree:
    """The whole repo, or of one whose card names no files the folder of a config."""
    named = [config.name for config in card.configs]
    if wanted is not None and wanted in (*named, "default"):
        return tree
    tops = sorted(
        {path.split("/")[0] for path in tree.paths if path.count("/") and suffix(path) in arrow_tables.ARROWS}
    )
    configs = [top for top in tops if not split_word(top)]
    if wanted is not None:
        if any(path.startswith(f"{wanted}/") for path in tree.paths):
            return Only(tree, tree.paths, wanted, source)
        raise DataError(
            f"{source!r}: there is no config {printable(wanted)!r}; there are: {listed(named or configs) or 'none'}"
        )
    if len(configs) > 1:
        raise DataError(f"{source!r} has {len(configs)} configs: {listed(configs)}; name one: {source}:{configs[0]}")
    return tree


def _listed_files(tree: HubTree, config: Config, card: DataCard, request: Request, source: str) -> list[Offer]:
    """The splits whose files the card lists."""
    base = config.folder.strip("/") + "/" if config.folder.strip("/") else ""
    made = []
    for split, patterns in config.files.items():
        found = sorted({path for pattern in patterns for path in matching(base + pattern, tree.paths)})
        if not found:
            continue
        part = Only(tree, found, name=source)
        if not split:
            return layouts.offers(part, request, card, config.name)
        made.append(Offer(split, _Opened(part, request, card, config.name, split)))
    if not made:
        raise DataError(f"the card of {source!r} names files for {printable(config.name)!r} that are not there")
    return made


class _Opened:
    """One split of a config, opened when it is chosen."""

    def __init__(self, tree: Tree, request: Request, card: DataCard, config: str, split: str) -> None:
        self._tree, self._request, self._card = tree, replace(request, split=None, labelled=False), card
        self._config, self._split = config, split

    def __call__(self) -> Pictures:
        found = layouts.offers(self._tree, self._request, self._card, self._config)
        return replace(choose(found, self._request, self._tree.name), split=self._split)
