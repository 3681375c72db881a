"""A folder for each class, with or without splits; pictures in none of them have no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from hubclean.escaping import printable
from hubclean.nets.sources.folder_layout import SplitLayout, arrange
from hubclean.nets.sources.pictures import Classes, Offer, Pictures, Request, unlabelled
from hubclean.nets.sources.trees import Tree

FLAT = "they lie in no class folders"


def class_folders(tree: Tree, paths: Sequence[str], request: Request) -> list[Offer]:
    """What the folders of a tree's pictures offer, a split each."""
    made = arrange(paths, request.labels)
    splits = (
        "" if made[0].name == "all" else f" ({', '.join(printable(one.name, 40) + '/' for one in made[:4])} are splits)"
    )
    return [Offer(layout.name, partial(_pictures, tree, layout, FLAT + splits)) for layout in made]


def has_classes(offers: Sequence[Offer]) -> bool:
    """Whether any split has labels; costs nothing, as nothing is read."""
    return any(offer.open().classes.kind != "none" for offer in offers)


def _pictures(tree: Tree, layout: SplitLayout, flat: str) -> Pictures:
    paths = [path for path, _ in layout.pictures]
    names = sorted({name for _, name in layout.pictures if name is not None})
    places = {name: number for number, name in enumerate(names)}
    classes = unlabelled(len(paths))
    if names:
        classes = Classes("name", tuple(names), tuple(places[name or ""] for _, name in layout.pictures))
    notes = (*tree.notes, *layout.notes)
    left = {why: count for why, count in layout.left.items() if count}
    return Pictures(
        tree.name, layout.name, classes, partial(read_files, tree, paths), left, notes if names else (flat, *notes)
    )


def read_files(tree: Tree, files: Sequence[str], rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """The files of ``rows`` in the order of the tree; a file may be that of several rows."""
    by_file: dict[str, list[int]] = {}
    for row in rows:
        by_file.setdefault(files[row], []).append(row)
    for path, body in tree.read(sorted(by_file)):
        for row in by_file[path]:
            yield row, body
