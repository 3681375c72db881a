"""Tables that say in a column which split a row belongs to: ``split``, ``subset``, or ``is_valid``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from hubclean.nets.sources.pictures import Offer, Pictures, Request
from hubclean.nets.sources.split_words import SPLITS, spelled
from hubclean.nets.sources.tables.columns import Table, pictures_of

_WORDS = spelled("split set subset partition phase usage data_split dataset_split split_name")
_FLAGS = {
    "is_valid": ("train", "validation"),
    "is_val": ("train", "validation"),
    "is_test": ("train", "test"),
    "is_train": ("test", "train"),
    "is_training": ("test", "train"),
    "is_training_img": ("test", "train"),
}


def table_offers(split: str, table: Table, request: Request) -> list[Offer]:
    """The splits of a table: those that a column of it names, else the one it is."""
    rows = _by_column(table, request.label_column) if split == "all" else {}
    if not rows:
        return [Offer(split, partial(pictures_of, table, split, request))]
    return [Offer(name, partial(_pictures, table, name, some, request)) for name, some in rows.items()]


def _pictures(table: Table, split: str, rows: list[int], request: Request) -> Pictures:
    return pictures_of(_Some(table, rows), split, request)


def _by_column(table: Table, label: str | None) -> dict[str, list[int]]:
    """Rows by split; empty where no column names splits, and nothing else, for every row."""
    for column in table.columns:
        name = column.casefold().replace(" ", "_")
        if column == label or not (name in _WORDS or name in _FLAGS) or not table.plain(column):
            continue
        names: list[str | None] = []
        for value in table.values(column):
            text = str(value).strip().casefold()
            if name in _FLAGS:
                place = {"0": 0, "false": 0, "0.0": 0, "1": 1, "true": 1, "1.0": 1}.get(text)
                names.append(None if place is None else _FLAGS[name][place])
            else:
                names.append(str(value).strip() if text in SPLITS else None)
        found: dict[str, list[int]] = {}
        for row, one in enumerate(names):
            found.setdefault(one or "", []).append(row)
        if found and "" not in found:
            return found
    return {}


class _Some:
    """Some rows of a table. See ``columns.Table``."""

    def __init__(self, table: Table, rows: list[int]) -> None:
        self._table, self._rows, self.rows = table, rows, len(rows)
        self.name, self.columns = table.name, table.columns

    @property
    def notes(self) -> tuple[str, ...]:
        return self._table.notes

    def pictures(self) -> tuple[str, ...]:
        return self._table.pictures()

    def class_names(self, column: str) -> tuple[str, ...]:
        return self._table.class_names(column)

    def plain(self, column: str) -> bool:
        return self._table.plain(column)

    def values(self, column: str) -> list[Any]:
        values = self._table.values(column)
        return [values[row] for row in self._rows]

    def files(self, column: str) -> list[str | None] | None:
        found = self._table.files(column)
        return None if found is None else [found[row] for row in self._rows]

    def read(self, column: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        back = {self._rows[row]: row for row in rows}
        for row, value in self._table.read(column, sorted(back)):
            yield back[row], value

    def missing(self, column: str) -> set[int]:
        gone = self._table.missing(column)
        return {place for place, row in enumerate(self._rows) if row in gone}
