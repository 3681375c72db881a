"""Which reader takes what lies in a tree: class folders, metadata, tables of text or arrow, archives."""

from __future__ import annotations

import hashlib
import math
import posixpath
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.archives import Several, archive
from hubclean.nets.sources.class_folders import class_folders, has_classes
from hubclean.nets.sources.data_cards import DataCard
from hubclean.nets.sources.pictures import Offer, Pictures, Request, choose
from hubclean.nets.sources.split_words import canonical, file_split
from hubclean.nets.sources.tables import arrow_tables, webdataset
from hubclean.nets.sources.tables.columns import Table, listed, pictures_of
from hubclean.nets.sources.tables.row_splits import table_offers
from hubclean.nets.sources.tables.text_tables import TEXTS, TextTable
from hubclean.nets.sources.trees import OTHER_PICTURES, Only, Tree, pictures_in, suffix

_FEW = 20  # pictures beside tables or archives that are rather of the README
_MOST_TABLES = 64
_ENOUGH = 4  # times the pictures that are drawn: then no further file is fetched for the sake of rare classes
T = TypeVar("T")


def offers(tree: Tree, request: Request, card: DataCard | None = None, config: str = "") -> list[Offer]:
    """The splits that a tree offers.

    Raises:
        DataError: it holds no pictures, or no telling which are meant.
    """
    pictures = pictures_in(tree.paths)
    arrows = [path for path in tree.paths if suffix(path) in arrow_tables.ARROWS]
    packed = [path for path in tree.paths if path.casefold().endswith((".zip", ".tar", ".tar.gz", ".tgz"))]
    beside = [
        path for path in (*tree.paths,) if _stem(path) == "metadata" and suffix(path) in (".csv", ".jsonl", ".parquet")
    ]
    if pictures and beside:
        return _metadata(tree, beside, request)
    arrows = [path for path in arrows if path not in beside] or arrows
    column = request.label_column or request.image_column
    folders = class_folders(tree, pictures, request) if pictures and not column else []
    few = len(pictures) <= _FEW
    if folders and has_classes(folders) and not (few and (arrows or packed)):
        return _noting(folders, tree)
    if arrows and (few or _hold_pictures(tree, arrows[0])):
        names = card.names_for(config) if card else {}
        if not tree.remote and not any(map(file_split, arrows)):
            places = [tree.local(path) for path in arrows]
            return table_offers("all", arrow_tables.table_of_files(tree.name, places, tree, names), request)
        return _by_split(arrows, lambda files: _arrow(tree, files, request, names))
    if packed and few:
        return archive_offers(tree, packed, request)
    texts = _texts(tree, request) if pictures or any(map(_is_table, tree.paths)) else []
    if column and not texts:
        raise DataError(f"{printable(tree.name)!r} holds no table, so it has no column {printable(column)!r}")
    taken = {canonical(offer.name) for offer in texts}
    rest = [offer for offer in _noting(folders, tree) if canonical(offer.name) not in taken]
    found = [*texts, *(offer for offer in rest if not texts or ("all" not in taken and offer.name != "all"))]
    if not found:
        raise DataError(f"no pictures among the {len(tree.paths)} files of {printable(tree.name)!r} ({endings(tree)})")
    return found


def _noting(folders: list[Offer], tree: Tree) -> list[Offer]:
    """The same, saying which pictures of other formats lie there too, and which tables."""
    kinds = Counter(kind for path in tree.paths if (kind := suffix(path)) in OTHER_PICTURES)
    said = [f"{count} {kind} files" for kind, count in kinds.most_common(4)]
    said += [printable(path, 60) for path in tree.paths if suffix(path) in (".csv", ".tsv", ".jsonl")][:4]
    if not said:
        return folders
    return [Offer(one.name, lambda one=one: one.open().noted(f"not read: {', '.join(said)}")) for one in folders]  # type: ignore[misc]


def endings(tree: Tree) -> str:
    """The commonest endings of a tree's files, for a message."""
    counts = Counter(suffix(path) or "no ending" for path in tree.paths).most_common(5)
    text = ", ".join(f"{count} {printable(kind, 20)}" for kind, count in counts)
    unread = any(kind in OTHER_PICTURES for kind, _ in counts)
    return text + ("; convert them to PNG or JPEG" if unread else "")


def _stem(path: str) -> str:
    return posixpath.basename(path).split(".")[0].casefold()


def _by_split(files: Sequence[str], opened: Callable[[list[str]], Pictures]) -> list[Offer]:
    """Files by the split that their names say; where some say one, those that say none are left and named."""
    groups: dict[str, list[str]] = {}
    for path in files:
        groups.setdefault(file_split(path), []).append(path)
    unnamed = groups.pop("", [])
    if not groups:
        return [Offer("all", lambda: replace(opened(unnamed), split="all"))]
    said = (f"not read, as their names say no split: {listed(unnamed, 4)}",) if unnamed else ()
    return [
        Offer(split, lambda split=split, some=some: replace(opened(some), split=split).noted(*said))  # type: ignore[misc]
        for split, some in groups.items()
    ]


def _hold_pictures(tree: Tree, path: str) -> bool:
    try:
        return bool(arrow_tables.table_of_files(tree.name, [tree.local(path)], tree).pictures())
    except DataError:
        return False


def _arrow(tree: Tree, files: list[str], request: Request, names: dict[str, tuple[str, ...]]) -> Pictures:
    def opened(some: list[str]) -> Pictures:
        table = arrow_tables.table_of_files(tree.name, [tree.local(path) for path in some], tree, names)
        return pictures_of(table, "all", request)

    return _enough(tree, files, opened, request)


def _enough(tree: Tree, files: list[str], opened: Callable[[list[str]], Pictures], request: Request) -> Pictures:
    """All files; of a Hub's only as many as give the pictures that are drawn and every class, in a fixed odd order."""
    if len(files) == 1 or request.most is None or not tree.remote:
        return opened(files)
    order = sorted(files, key=lambda path: hashlib.sha256(path.encode()).digest())
    count = 1
    while count < len(files):
        found = opened(sorted(order[:count]))
        classes = found.classes
        wanted = len(classes.names) if classes.kind == "name" else len(request.labels)
        complete = classes.kind == "none" or len(classes.used) >= min(wanted, len(request.labels) or wanted)
        if len(found) >= request.most and (complete or len(found) >= _ENOUGH * request.most):
            return found.noted(f"{count} of {len(files)} files fetched, {len(classes.used)} classes in them")
        count = max(count + 1, min(2 * count, math.ceil(count * request.most / max(1, len(found)))))
    return opened(files)


def archive_offers(tree: Tree, files: list[str], request: Request) -> list[Offer]:
    """Zip and tar files: WebDataset where labels stand beside the pictures, else folders, an archive each."""
    if len(files) == 1:
        return _unpacked(tree, files, request)
    splits = {file_split(path) for path in files}
    if "" in splits or (len(splits) == 1 and not files[0].endswith(".tar")):
        return _unpacked(tree, files, request)

    def opened(some: list[str]) -> Pictures:
        return choose(_unpacked(tree, some, request), replace(request, split=None), tree.name)

    return _by_split(files, lambda some: _enough(tree, some, opened, request))


def _unpacked(tree: Tree, files: list[str], request: Request) -> list[Offer]:
    trees = [(posixpath.splitext(path)[0], archive(tree.local(path))) for path in files]
    name = posixpath.basename(files[0]) if len(tree.paths) == 1 else tree.name
    whole = Only(trees[0][1], trees[0][1].paths, name=name) if len(trees) == 1 else Several(tree.name, trees)
    if files[0].endswith(".tar") and webdataset.is_webdataset(whole.paths):
        return table_offers(file_split(files[0]) or "all", webdataset.TarSamples(whole), request)
    return offers(whole, request)


def _is_table(path: str) -> bool:
    stem = _stem(path)
    if suffix(path) not in TEXTS or "submission" in stem:
        return False
    return suffix(path) not in (".txt", ".json") or any(word in stem for word in ("label", "annot", "metadata"))


def _texts(tree: Tree, request: Request) -> list[Offer]:
    """Tables of text that name pictures of the tree and label them; ``DataError`` where the only one does not."""
    tables: dict[str, Table] = {}
    errors: list[DataError] = []
    without: list[str] = []
    files = [path for path in tree.paths if _is_table(path)][:_MOST_TABLES]
    for path in files:
        try:
            table = TextTable(tree, path)
            found = pictures_of(table, "all", request)
        except DataError as error:
            errors.append(error)
            continue
        if found.classes.kind == "none":
            without += [f"{printable(path, 80)!r}: {found.notes[0]}"] if found.notes else []
            continue
        split = file_split(path) or "all"
        if split in tables:
            raise DataError(f"several tables could label the pictures of {printable(tree.name)!r}: name one as --data")
        tables[split] = table
    if not tables and request.labelled and without:
        raise DataError(f"no table labels the pictures of {printable(tree.name)!r}: {without[0]}")
    if not tables and request.labelled and errors:
        raise errors[0]
    return [offer for split, table in tables.items() for offer in table_offers(split, table, request)]


def _metadata(tree: Tree, files: list[str], request: Request) -> list[Offer]:
    """``metadata`` files as ``imagefolder`` reads them: each speaks of the pictures in its folder and below."""
    made = []
    splits: dict[str, list[str]] = {}
    for path in files:
        splits.setdefault(file_split(posixpath.dirname(path) + "/x" if "/" in path else ""), []).append(path)
    for split, paths in splits.items():
        if len(paths) > 1:
            raise DataError(f"several metadata files for one split: {listed(paths, 4)}; keep one of them")
        made += table_offers(split or "all", TextTable(tree, paths[0]), request)
    return made
