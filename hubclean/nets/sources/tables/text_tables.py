"""Tables of text beside pictures: CSV, TSV, JSON lines, and the ``metadata`` files of ``imagefolder``."""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.pictures import Unreadable
from hubclean.nets.sources.split_words import file_split
from hubclean.nets.sources.tables import arrow_files
from hubclean.nets.sources.tables.columns import PICTURE_COLUMNS, listed
from hubclean.nets.sources.tables.file_names import Finder, is_picture_name, why_missing
from hubclean.nets.sources.trees import Tree, one_of, suffix

TEXTS = frozenset((".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt"))
MOST_BYTES, MOST_ROWS, MOST_COLUMNS = 512 << 20, 10_000_000, 20_000
_TRIED = 200


def read_rows(body: bytes, path: str) -> tuple[tuple[str, ...], dict[str, list[Any]]]:
    """Columns of a text table by name, numbers as numbers where a whole column is.

    Raises:
        DataError: it is no table.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1")
    told = printable(posixpath.basename(path), 80)
    try:
        if suffix(path) in (".jsonl", ".ndjson", ".json"):
            return _json_rows(text, told)
        return _comma_rows(text, told)
    except (ValueError, csv.Error, RecursionError) as error:
        raise DataError(f"{told!r} is no table that can be read: {printable(str(error), 120)}") from error


def _comma_rows(text: str, told: str) -> tuple[tuple[str, ...], dict[str, list[Any]]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text.split("\n", 1)[0], told))
    first = next(rows, None)
    if not first or len(first) > MOST_COLUMNS:
        raise DataError(f"{told!r} is no table of pictures: it has {len(first or ())} columns")
    if any(is_picture_name(cell) for cell in first):  # no line of names
        names, table = tuple(f"column {number}" for number in range(1, len(first) + 1)), [first]
        names = ("path", "label") if len(first) == 2 and is_picture_name(first[0]) else names
    else:
        names, table = tuple(cell.strip() or f"column {n}" for n, cell in enumerate(first, 1)), []
    for row in rows:
        if len(table) > MOST_ROWS:
            raise DataError(f"{told!r} has more than {MOST_ROWS:,} rows")
        if row:
            table.append(row)
    columns: dict[str, list[Any]] = {}
    for place, name in enumerate(names):
        columns.setdefault(name, _numbers([row[place].strip() if place < len(row) else "" for row in table]))
    return tuple(columns), columns


def _delimiter(head: str, told: str) -> str:
    most = max("\t,;|", key=head.count)
    if head.count(most):
        return most
    return " " if told.casefold().endswith(".txt") and " " in head else ","


def _json_rows(text: str, told: str) -> tuple[tuple[str, ...], dict[str, list[Any]]]:
    if told.casefold().endswith(".json"):
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{told!r} is no list of rows, each with its columns by name")
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    if len(rows) > MOST_ROWS or len(names) > MOST_COLUMNS:
        raise DataError(f"{told!r} has more rows or columns than a table of pictures")
    return names, {name: [row.get(name) for row in rows] for name in names}


def _numbers(values: list[str]) -> list[Any]:
    """Whole numbers where all values that are there are written so, without leading zeros."""
    given = [value for value in values if value]
    whole = [value.removesuffix(".0") for value in given]
    if not given or not all(len(v) < 19 and v.lstrip("-").isdecimal() and str(int(v)) == v for v in whole):
        return [value or None for value in values]
    return [int(value.removesuffix(".0")) if value else None for value in values]


class TextTable:
    """A text table of a tree whose pictures are files of the tree. See ``columns.Table``."""

    def __init__(self, tree: Tree, path: str, body: bytes | None = None) -> None:
        self.name, self.notes = tree.name, tree.notes
        self.path, self._tree = path, tree
        if suffix(path) == ".parquet":
            self.columns, self._values = arrow_files.plain_columns(tree.local(path))
        else:
            self.columns, self._values = read_rows(one_of(tree, path, MOST_BYTES) if body is None else body, path)
        self.rows = len(next(iter(self._values.values()), ()))
        self._found: dict[str, list[str | None]] = {}

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self._tree, posixpath.dirname(self.path), file_split(self.path))

    def _files(self, column: str) -> list[str | None]:
        if column not in self._found:
            self._found[column] = [self._finder.find(value) for value in self._values[column]]
        return self._found[column]

    @cached_property
    def _pictures(self) -> tuple[str, ...]:
        found = []
        for name in self.columns:
            tried = [value for value in self._values[name] if value is not None][:_TRIED]
            hits = sum(self._finder.find(value) is not None for value in tried)
            if tried and 2 * hits >= len(tried) and len(set(map(str, tried))) * 2 > len(tried):
                found.append(name)
        return tuple(found)

    def pictures(self) -> tuple[str, ...]:
        if not self._pictures:
            self._say_why()
        return self._pictures

    def _say_why(self) -> None:
        """Raise ``DataError`` for a table that names pictures which are not here."""
        named = [name for name in self.columns if any(map(is_picture_name, self._values[name][:_TRIED]))]
        named = named or [name for name in self.columns if name.casefold() in PICTURE_COLUMNS]
        if named:
            values = [value for value in self._values[named[0]] if self._finder.find(value) is None]
            first = printable(str(next((value for value in values if value is not None), "")), 100)
            why = why_missing(values)
            told = printable(posixpath.basename(self.path), 80)
            raise DataError(f"the column {printable(named[0])!r} of {told!r} names pictures such as {first!r}: {why}")
        if sum(name.casefold().startswith("pixel") for name in self.columns) > 16:
            raise DataError(
                "the table holds pixels as columns of numbers: make pictures of its rows, or hand the arrays over in "
                "Python (hubclean.clean takes a pair of tensors)"
            )
        raise DataError(
            f"no column of {printable(self.path, 80)!r} names pictures that are here: {listed(self.columns)}"
        )

    def class_names(self, column: str) -> tuple[str, ...]:
        return ()

    def plain(self, column: str) -> bool:
        return True

    def values(self, column: str) -> list[Any]:
        return self._values[column]

    def missing(self, column: str) -> set[int]:
        gone = {row for row, path in enumerate(self._files(column)) if path is None}
        if 2 * len(gone) > self.rows:
            raise DataError(
                f"{len(gone)} of the {self.rows} pictures that the column {printable(column)!r} names are not here: "
                f"{why_missing(self._values[column][row] for row in sorted(gone))}"
            )
        return gone

    def files(self, column: str) -> list[str | None] | None:
        return self._files(column)

    def read(self, column: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        files = self._files(column)
        by_file: dict[str, list[int]] = {}
        for row in rows:
            if path := files[row]:
                by_file.setdefault(path, []).append(row)
            else:
                yield row, Unreadable("missing")
        for path, body in self._tree.read(sorted(by_file)):
            for row in by_file[path]:
                yield row, body
