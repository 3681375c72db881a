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
from hubclean.nets.sources.configs import card_offers
from hubclean.nets.sources.data_cards import CARD, DataCard, read_card
from hubclean.nets.sources.data_cards import MOST_BYTES as MOST_CARD
from hubclean.nets.sources.decode import MOST_BYTES
from hubclean.nets.sources.pictures import Pictures, Request, Unreadable, choose
from hubclean.nets.sources.tables import arrow_tables
from hubclean.nets.sources.trees import one_of, shown, suffix

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
    return choose(card_offers(tree, card, wanted, source, request), request, source)


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
