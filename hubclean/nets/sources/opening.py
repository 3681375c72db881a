"""What the user named, opened: a folder, a file, a pattern of files, a data set on a Hub, or a table in memory."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubclean.errors import DataError, HubcleanError
from hubclean.escaping import printable
from hubclean.nets.sources import layouts
from hubclean.nets.sources.configs import card_offers
from hubclean.nets.sources.data_cards import CARD, DataCard, matching, read_card
from hubclean.nets.sources.pictures import Offer, Pictures, Request, choose
from hubclean.nets.sources.tables import arrow_tables, text_tables
from hubclean.nets.sources.tables.file_names import is_picture_name
from hubclean.nets.sources.tables.row_splits import table_offers
from hubclean.nets.sources.trees import Folder, Named, Only, one_of, suffix

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def open_pictures(source: str, request: Request) -> Pictures:
    """The pictures of one split, labels included, nothing decoded.

    Args:
        source: a folder; a parquet, arrow, CSV, JSON lines, zip or tar file; a pattern of such files; or a data set on
            a Hub: ``org/data``, ``org/data:config``, ``org/data@revision``, ``org/data:config/split``.

    Raises:
        DataError: it cannot be read, or has no pictures, or the split or the columns asked for are not there.
        HubcleanError: the Hub refused, or could not be reached.
    """
    try:
        place = Path(source)
        here = bool(source) and place.exists()
        if not here and any(sign in source for sign in "*?{["):
            return _pattern(source, request)
    except (OSError, ValueError):  # too long, or a NUL in it
        here = False
    folder, colon, config = source.rpartition(":")
    if not here and colon and os.path.isdir(folder):
        return _folder(Path(folder), config, request)
    if not here:
        from hubclean.nets.sources import hub_data

        return hub_data.open_hub(source, request)
    try:
        return _folder(place, None, request) if place.is_dir() else _file(place, request)
    except HubcleanError:
        raise
    except (OSError, RecursionError) as error:
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 160)
        raise DataError(f"the images at {source!r} cannot be read: {reason}") from error


def open_dataset(dataset: Any, request: Request) -> Pictures:
    """A ``datasets.Dataset`` in memory, or several by split; raises ``DataError`` as ``open_pictures``."""
    parts = dataset if isinstance(dataset, Mapping) else {"all": dataset}
    if not all(hasattr(part, "features") and hasattr(part, "__len__") for part in parts.values()):
        raise DataError("a data set that is streamed has no length: take what you need of it into a datasets.Dataset")
    tables = {split: arrow_tables.table_of_dataset("memory", part) for split, part in parts.items()}
    found = [offer for split, table in tables.items() for offer in table_offers(split, table, request)]
    return choose(found, request, "memory")


def _folder(place: Path, config: str | None, request: Request) -> Pictures:
    if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
        return choose(_saved(place, request), request, place.resolve().name)
    tree = Folder(place)
    if not tree.paths:
        raise DataError(f"the folder {printable(tree.name)!r} is empty")
    card = read_card(one_of(tree, CARD)) if CARD in tree.paths else DataCard()
    return choose(card_offers(tree, card, config, tree.name, request), request, tree.name)


def _saved(place: Path, request: Request) -> list[Offer]:
    """The splits of what ``save_to_disk`` wrote."""
    import datasets

    try:
        found = datasets.load_from_disk(str(place))
    except Exception as error:  # datasets raises a dozen kinds, some of pyarrow
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 160)
        raise DataError(f"the saved set {printable(place.name)!r} cannot be read: {reason}") from error
    parts = {"all": found} if isinstance(found, datasets.Dataset) else dict(found)
    name = place.resolve().name
    tables = {split: arrow_tables.table_of_dataset(name, part, Folder(place)) for split, part in parts.items()}
    return [offer for split, table in tables.items() for offer in table_offers(split, table, request)]


def _file(place: Path, request: Request) -> Pictures:
    kind, name = suffix(place.name), place.resolve().name
    if kind in arrow_tables.ARROWS:
        table = arrow_tables.table_of_files(name, [place], Folder(place.parent))
        return choose(table_offers("all", table, request), request, name)
    if kind in text_tables.TEXTS:
        return choose(_text(place, request), request, name)
    if kind in ARCHIVES:
        return choose(
            layouts.archive_offers(Only(Folder(place.parent), [place.name]), [place.name], request), request, name
        )
    raise DataError(
        f"{printable(place.name)!r} is a file, but not .parquet, .arrow, .csv, .jsonl, .zip or .tar; give a folder of "
        "images instead"
    )


def _text(place: Path, request: Request) -> list[Offer]:
    folder = Folder(place.parent)
    body = one_of(Only(folder, [place.name]), place.name, text_tables.MOST_BYTES)
    _, columns = text_tables.read_rows(body, place.name)
    named = [value for values in columns.values() for value in values if is_picture_name(value)]
    tree = Named(place.parent, named)
    table = text_tables.TextTable(tree if tree.paths else folder, place.name, body)
    table.name = place.resolve().name
    return table_offers("all", table, request)


def _pattern(source: str, request: Request) -> Pictures:
    """Files by a pattern, as a shell would give them one by one: ``shards/{000..009}.tar``, ``data/*.parquet``."""
    parts = source.split("/")
    fixed = next(n for n, part in enumerate(parts) if any(sign in part for sign in "*?{["))
    base, rest = "/".join(parts[:fixed]) or ("/" if source.startswith("/") else "."), "/".join(parts[fixed:])
    if not os.path.isdir(base):
        raise DataError(f"there is no folder {printable(base, 120)!r} on this disk")
    tree = Folder(Path(base))
    found = matching(rest, tree.paths)
    if not found:
        raise DataError(f"no file is called as {printable(source, 160)!r} says")
    return choose(layouts.offers(Only(tree, found, name=posixpath.basename(rest)), request), request, source)
