"""Rows of parquet and arrow files and of tables of ``datasets``, read by column and by row number.

Of a parquet file the label column is read whole, and of the pictures only those row groups of which one is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hubclean.errors import DataError
from hubclean.escaping import printable

_BATCH = 64


class Rows(Protocol):
    """The rows of one file."""

    schema: pa.Schema
    rows: int

    def column(self, name: str) -> list[Any]: ...

    def some(self, name: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]: ...


class _Parquet:
    def __init__(self, place: Path) -> None:
        self._file = pq.ParquetFile(place, pre_buffer=False)
        self.schema, self.rows = self._file.schema_arrow, self._file.metadata.num_rows
        counts = (self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups))
        self._ends = list(accumulate(counts))

    def column(self, name: str) -> list[Any]:
        return list(_stored(self._file.read(columns=[name]).column(name)).to_pylist())

    def some(self, name: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        wanted = iter(sorted(rows))
        row = next(wanted, None)
        for group, end in enumerate(self._ends):
            start = self._ends[group - 1] if group else 0
            if row is None or row >= end:
                continue
            for batch in self._file.iter_batches(_BATCH, row_groups=[group], columns=[name], use_threads=False):
                while row is not None and row < start + len(batch):
                    yield row, _stored(batch.column(0))[row - start].as_py()
                    row = next(wanted, None)
                start += len(batch)
                if row is None or row >= end:
                    break


class _Table:
    def __init__(self, table: pa.Table) -> None:
        self._table, self.schema, self.rows = table, table.schema, table.num_rows

    def column(self, name: str) -> list[Any]:
        return list(_stored(self._table.column(name)).to_pylist())

    def some(self, name: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        column = _stored(self._table.column(name))
        for row in rows:
            yield row, column[row].as_py()


class Picked:
    """A table of ``datasets`` whose rows are picked from another by number."""

    def __init__(self, table: Any) -> None:
        self._table = table.with_format("arrow")
        self.schema, self.rows = table.data.table.schema, len(table)

    def column(self, name: str) -> list[Any]:
        return list(_stored(self._table.select_columns([name])[:].column(name)).to_pylist())

    def some(self, name: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        alone = self._table.select_columns([name])
        for start in range(0, len(rows), _BATCH):
            some = list(rows[start : start + _BATCH])
            yield from zip(some, _stored(alone[some].column(name)).to_pylist(), strict=True)


def _stored(array: Any) -> Any:
    """An array without its extension type, whose own decoding is not wanted."""
    if not isinstance(array.type, pa.ExtensionType):
        return array
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([chunk.storage for chunk in array.chunks], array.type.storage_type)
    return array.storage


def _opened(place: Path) -> Rows:
    if place.suffix.casefold() in (".parquet", ".pq"):
        return _Parquet(place)
    mapped = pa.memory_map(str(place))
    try:
        return _Table(pa.ipc.open_stream(mapped).read_all())
    except pa.ArrowInvalid:
        mapped.seek(0)
        return _Table(pa.ipc.open_file(mapped).read_all())


def opened_files(places: Sequence[Path]) -> list[Rows]:
    parts: list[Rows] = []
    for place in places:
        try:
            parts.append(_opened(place))
        except Exception as error:  # pyarrow raises a dozen kinds on a damaged file
            what = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 120)
            raise DataError(f"{printable(place.name)!r} cannot be read: {what}") from error
    return parts


def plain_columns(place: Path) -> tuple[tuple[str, ...], dict[str, list[Any]]]:
    """All columns of a small parquet file, by name."""
    (part,) = opened_files([place])
    return tuple(part.schema.names), {name: part.column(name) for name in part.schema.names}
