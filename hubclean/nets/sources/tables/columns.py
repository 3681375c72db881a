"""Which column of a table holds the pictures, and a table with its columns chosen as ``Pictures``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.pictures import Classes, Pictures, Request, unlabelled
from hubclean.nets.sources.split_words import spelled
from hubclean.nets.sources.tables.label_columns import Column, choose_label, without_label

# Names of picture columns, the likeliest first.
PICTURE_COLUMNS = spelled(
    "image img picture photo pixel_values images jpg jpeg png webp image_bytes img_bytes bytes pixels image_data "
    "file_name filename file filepath file_path image_path img_path path image_name img_name image_file image_id "
    "imageid id_code id name fname uri"
)
# Columns of pictures that show something about another picture.
_OTHERS = ("mask", "annot", "segment", "depth", "label", "target", "edge", "sketch", "thumb", "heat", "saliency", "gt")
MOST_CLASSES = 1_000_000
NO_LABEL = "without a label"


class Table(Protocol):
    """Rows with named columns, of which those that may hold pictures are known by their type.

    ``pictures``: such columns in order. ``class_names``: of columns of numbers that stand for names.
    """

    @property
    def name(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def rows(self) -> int: ...

    def pictures(self) -> tuple[str, ...]: ...

    def class_names(self, column: str) -> tuple[str, ...]: ...

    def plain(self, column: str) -> bool:
        """Whether its values are numbers, texts or nothing: what a label may be."""
        ...

    def values(self, column: str) -> list[Any]: ...

    def read(self, column: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]: ...

    def files(self, column: str) -> list[str | None] | None:
        """The file that each row names; ``None`` where every row has a picture of its own."""
        ...

    def missing(self, column: str) -> set[int]:
        """Rows whose picture is known not to be there without reading it."""
        ...


def picture_column(table: Table, request: Request) -> str:
    """The column of pictures: the one named, the one called ``image``, the only one that is no mask.

    Raises:
        DataError: there is none, or no telling which.
    """
    if request.image_column is not None:
        return _there(table, request.image_column, "--image-column")
    found = table.pictures()
    if not found:
        raise DataError(f"no image column among {listed(table.columns)}; name one with --image-column")
    if len(found) == 1:
        return found[0]
    lower = {name.casefold(): name for name in reversed(found)}
    named = next((lower[name] for name in PICTURE_COLUMNS if name in lower), None)
    if named is None:
        rest = [name for name in found if not any(word in name.casefold() for word in _OTHERS)]
        named = rest[0] if len(rest) == 1 else None
    if named is None:
        raise DataError(f"several columns hold pictures: {listed(found)}; name one with --image-column")
    return named


def _there(table: Table, column: str, option: str) -> str:
    if column not in table.columns:
        raise DataError(f"there is no column {printable(column)!r} ({option}); there are: {listed(table.columns)}")
    return column


def listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(printable(name, 60) for name in names[:most]) + more


def pictures_of(table: Table, split: str, request: Request) -> Pictures:
    """The table's pictures with their labels; rows without a label or a picture are left out.

    Raises:
        DataError: no column of either kind, or several between which nothing decides.
    """
    shown = picture_column(table, request)
    classes, notes, unlabelled_rows = _classes(table, shown, request)
    gone = table.missing(shown)
    kept = [row for row in range(table.rows) if row not in gone and row not in unlabelled_rows]
    kept, left = _once(kept, table.files(shown), classes.numbers if classes else None)
    left |= {why: n for why, n in ((NO_LABEL, len(unlabelled_rows - gone)), ("missing", len(gone))) if n}
    if classes is None:
        made = unlabelled(len(kept))
    else:
        made = Classes(classes.kind, classes.names, tuple(classes.numbers[row] for row in kept), classes.column)
    read = partial(_read, table, shown, tuple(kept))
    others = [name for name in table.pictures() if name != shown]
    said = [f"pictures from the column {printable(shown)!r}, not {listed(others, 4)}"] if others else []
    return Pictures(table.name, split, made, read, left, (*notes, *said, *table.notes))


def _once(
    rows: list[int], files: list[str | None] | None, numbers: Sequence[int] | None
) -> tuple[list[int], dict[str, int]]:
    """One row a file, or the same picture would be optimised on and tested; none of a file with several labels."""
    if files is None:
        return rows, {}
    labels: dict[str | None, set[int]] = {}
    for row in rows:
        labels.setdefault(files[row], set()).add(numbers[row] if numbers else -1)
    torn = sum(len(labels[files[row]]) > 1 for row in rows)
    first: dict[str | None, int] = {}
    for row in rows:
        if len(labels[files[row]]) == 1:
            first.setdefault(files[row], row)
    again = len(rows) - torn - len(first)
    said = (("with several labels for one picture", torn), ("that name a picture again", again))
    return list(first.values()), {why: count for why, count in said if count}


def _read(table: Table, column: str, kept: Sequence[int], rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
    back = {kept[row]: row for row in rows}
    for row, value in table.read(column, sorted(back)):
        yield back[row], value


def _classes(table: Table, shown: str, request: Request) -> tuple[Classes | None, tuple[str, ...], set[int]]:
    """The classes, what is said of their column, and the rows without one."""
    names = [name for name in table.columns if name != shown and table.plain(name)]
    if request.label_column is not None:
        _there(table, request.label_column, "--label-column")
        names = [request.label_column]
    columns = {name: Column(name, table.class_names(name), partial(table.values, name)) for name in names}
    chosen, notes = choose_label(columns, request)
    if chosen is None:
        return None, (without_label(columns, table.columns), *notes), set()
    classes = classes_of(columns[chosen])
    lacking = {row for row, number in enumerate(classes.numbers) if number < 0}
    if len(lacking) == len(classes.numbers):
        return None, (f"the column {printable(chosen)!r} has a label for none of them", *notes), set()
    return classes, notes, lacking


def classes_of(column: Column) -> Classes:
    """Names and numbers of one column; -1 where a row has no label.

    Raises:
        DataError: the values are neither names nor numbers of classes.
    """
    values = [_plain(value) for value in column.values()]
    told = f"the label column {printable(column.name)!r}"
    given = [value for value in values if value is not None]
    if all(isinstance(value, int) for value in given):
        if column.names:
            if odd := next((value for value in given if value >= len(column.names)), None):
                raise DataError(f"{told} holds {odd}, but there are {len(column.names)} class names")
            numbers = tuple(-1 if value is None or value < 0 else value for value in values)
            return Classes("name", column.names, numbers, column.name)
        if any(value > MOST_CLASSES for value in given):
            raise DataError(f"{told} holds neither class names nor numbers from 0")
        numbers = tuple(-1 if value is None or value < 0 else value for value in values)
        return Classes("number", tuple(map(str, range(max(numbers, default=-1) + 1))), numbers, column.name)
    if not all(isinstance(value, str) for value in given):
        raise DataError(f"{told} holds neither class names nor numbers from 0")
    names = sorted(set(given))
    places: dict[Any, int] = {name: number for number, name in enumerate(names)}
    return Classes("name", tuple(names), tuple(places.get(value, -1) for value in values), column.name)


def _plain(value: Any) -> Any:
    """A label as an int or a text; nothing, NaN and empty text are ``None``, numbers written as text are numbers."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return _plain(value[0])
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip() or None
    return value
