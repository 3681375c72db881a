"""The user's own map from the classes of the images to the labels of the model: JSON or CSV, read and written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hubclean.errors import OptionError
from hubclean.escaping import printable
from hubclean.nets.labels.spelling import plain

# A label's name, its number from 0, or None: images of the class are left out.
Target: TypeAlias = str | int | None
Pairs: TypeAlias = tuple[tuple[str, Target], ...]
_MOST_BYTES = 16 * 2**20
_MOST_ENTRIES = 200_000
_HEADS = frozenset(("class", "classes", "name", "folder", "from", "image class"))


def read_label_map(place: str | Path) -> Pairs:
    """Read a map.

    JSON: one object, class to label name, label number (from 0) or null. Anything else is CSV with two columns, class
    and label; digits are a label's number where no label has that name, nothing leaves the class out.

    Raises:
        OptionError: not readable, too large, or not of that form; a class is named twice.
    """
    place = Path(place)
    try:
        if place.stat().st_size > _MOST_BYTES:
            raise OptionError(f"the label map {place.name!r} is larger than {_MOST_BYTES} bytes")
        text = place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OptionError(f"the label map {printable(place.name)!r} cannot be read: {why}") from error
    try:
        is_json = place.suffix.lower() == ".json" or text.lstrip().startswith(("{", "["))
        pairs = _from_json(text) if is_json else _from_csv(text)
        return label_map(pairs)
    except OptionError as error:
        raise OptionError(f"the label map {printable(place.name)!r}: {error}") from error


def label_map(given: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Pairs:
    """A map from Python as pairs, checked.

    Raises:
        OptionError: a class or a label is of the wrong type, or a class is named twice.
    """
    pairs = list(given.items() if isinstance(given, Mapping) else given)
    if not pairs or len(pairs) > _MOST_ENTRIES:
        raise OptionError(f"it has {len(pairs)} entries; 1 to {_MOST_ENTRIES} are read")
    found: dict[str, Target] = {}
    for name, target in pairs:
        number = isinstance(target, int) and not isinstance(target, bool)
        if not isinstance(name, (str, int)) or not (target is None or number or isinstance(target, str)):
            raise OptionError(
                f"the entry {printable(repr(name), 60)} is no class name with a label's name, a label's number or null"
            )
        if (key := plain(str(name))) in found:
            raise OptionError(f"the class {printable(key, 60)!r} is named twice")
        found[key] = (plain(target) or None) if isinstance(target, str) else target
    return tuple(found.items())


def _from_json(text: str) -> list[tuple[Any, Any]]:
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"it is no valid JSON: {printable(str(error), 120)}") from error
    if not isinstance(found, _Pairs):
        raise OptionError("it is no JSON object from class to label")
    return list(found)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as they stand, a repeated one too."""


def _from_csv(text: str) -> list[tuple[str, str]]:
    first = text.lstrip("\n\r").split("\n", 1)[0]
    mark = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=mark) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise OptionError(f"it is no valid CSV: {printable(str(error), 120)}") from error
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 2), None)
    if wrong is not None:
        raise OptionError(f"row {wrong} has {len(rows[wrong - 1])} cells, not a class and a label")
    if rows and rows[0][0].strip().casefold() in _HEADS and rows[0][1].strip().casefold() in ("label", "labels", "to"):
        rows = rows[1:]
    return [(name, target) for name, target in rows]


def as_text(pairs: Iterable[tuple[str, Target]]) -> str:
    """A map as JSON that ``read_label_map`` takes: one line for each class, ASCII, safe to print."""
    rows = [f"  {json.dumps(name)}: {json.dumps(target)}" for name, target in pairs]
    return "{\n" + ",\n".join(rows) + "\n}"
