"""Class names of images matched with the labels of a model."""

from __future__ import annotations

import re
from typing import Any

from hubclean.errors import DataError
from hubclean.escaping import printable


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.split(",")[0]).strip().casefold()


def match_classes(classes: list[str], labels: tuple[str, ...]) -> tuple[list[int], Any, tuple[str, ...]]:
    """Label index of every class: by name where all names are found once, else by position with a warning."""
    places: dict[str, int] = {}
    for index, label in enumerate(labels):
        places.setdefault(_plain(label), index)
    names = [_plain(name) for name in classes]
    if all(name in places for name in names) and len({places[name] for name in names}) == len(names):
        return [places[name] for name in names], "name", ()
    if len(classes) > len(labels):
        raise DataError(f"the images have {len(classes)} classes, the model only {len(labels)} labels")
    unknown = next((name for name in classes if _plain(name) not in places), classes[0])
    text = (
        f"class {printable(unknown, 40)!r} is no label of the model: classes are matched by position, check the order"
    )
    return list(range(len(classes))), "index", (text,)
