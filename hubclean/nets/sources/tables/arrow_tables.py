"""Tables of arrow: parquet and arrow files, ``save_to_disk`` folders, tables of Hugging Face ``datasets`` in memory.

Written by ``datasets`` (pictures as a struct of bytes and path), pandas (bytes) or polars (bytes or structs).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.pictures import Unreadable
from hubclean.nets.sources.tables.arrow_files import Picked, Rows, opened_files
from hubclean.nets.sources.tables.file_names import Finder, is_picture_name
from hubclean.nets.sources.trees import Tree, plain_bytes

ARROWS = frozenset((".parquet", ".pq", ".arrow", ".feather"))
_TRIED = 20
_FIRST = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")  # bytes of pictures


def hf_features(schema: pa.Schema) -> dict[str, Any]:
    """The features that ``datasets`` wrote into a schema: a mapping by column, empty without any."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class ArrowTable:
    """Rows of one or more files of the same columns. See ``columns.Table``.

    Args:
        name: of the source.
        parts: the files' rows.
        tree: where pictures lie that are named by path; ``None`` where none can.
        class_names: of columns, where the files do not say them.
        features: of ``datasets``; ``None`` = those that the files say. With them and
            without a tree, paths of any file count: they are the user's own, in memory.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[Rows],
        tree: Tree | None = None,
        class_names: Mapping[str, tuple[str, ...]] | None = None,
        features: dict[str, Any] | None = None,
    ) -> None:
        self.name, self._parts, self._tree = name, parts, tree
        self._schema = parts[0].schema
        self.columns = tuple(self._schema.names)
        if any(set(part.schema.names) != set(self.columns) for part in parts):
            raise DataError(f"the files of {printable(name)!r} have different columns, so they are no one table")
        self._features = hf_features(self._schema) if features is None else features
        self._own = features is not None and tree is None
        self._class_names = dict(class_names or {})
        self._starts = [0, *accumulate(part.rows for part in parts)]
        self.rows = self._starts[-1]

    @property
    def notes(self) -> tuple[str, ...]:
        return self._tree.notes if self._tree else ()

    @cached_property
    def _finder(self) -> Finder | None:
        return Finder(self._tree) if self._tree else None

    def pictures(self) -> tuple[str, ...]:
        found = [name for name in self.columns if self._holds_pictures(name)]
        arrays = [name for name in self.columns if _rank(self._type(name)) in (2, 3)]
        return tuple(found or arrays)

    def _type(self, name: str) -> pa.DataType:
        kind = self._schema.field(name).type
        return kind.storage_type if isinstance(kind, pa.ExtensionType) else kind

    def _holds_pictures(self, name: str) -> bool:
        feature, kind = self._features.get(name), self._type(name)
        if isinstance(feature, dict) and feature.get("_type") == "Image":
            return True
        if pa.types.is_struct(kind):
            fields = {field.name: field.type for field in kind}
            bodies = fields.get("bytes")
            return bodies is not None and (_is_bytes(bodies) or (pa.types.is_null(bodies) and "path" in fields))
        if _is_bytes(kind):
            return True
        tried = [value for value in self._head(name) if value is not None] if _is_text(kind) or _is_octets(kind) else []
        if _is_octets(kind):
            return bool(tried) and all(bytes(value[:4]).startswith(_FIRST) for value in tried)
        named = self._own or self._tree is not None
        return bool(tried) and (all(map(_is_base64, tried)) or (named and all(map(is_picture_name, tried))))

    def _head(self, name: str) -> list[Any]:
        part = next((part for part in self._parts if part.rows), None)
        return [value for _, value in part.some(name, range(min(_TRIED, part.rows)))] if part else []

    def class_names(self, column: str) -> tuple[str, ...]:
        feature = self._features.get(column)
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
        return self._class_names.get(column, ()) if pa.types.is_integer(self._type(column)) else ()

    def plain(self, column: str) -> bool:
        kind = self._type(column)
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if _is_list(kind) and (_is_text(kind.value_type) or pa.types.is_integer(kind.value_type)):
            return True  # one label in a list; several are refused when they are read
        return _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)

    def values(self, column: str) -> list[Any]:
        try:
            return [value for part in self._parts for value in part.column(column)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"the column {printable(column)!r} cannot be read: {printable(str(error), 120)}") from error

    def missing(self, column: str) -> set[int]:
        return set()

    def files(self, column: str) -> list[str | None] | None:
        return None

    def read(self, column: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        depth, kind = _rank(self._type(column)), _innermost(self._type(column))
        if depth and not pa.types.is_integer(kind):
            raise DataError(
                f"the array column {printable(column)!r} holds {np.dtype(kind.to_pandas_dtype())}; "
                "images as arrays must be uint8 with values 0 to 255"
            )
        for start, part in zip(self._starts, self._parts, strict=False):
            some = [row - start for row in rows if start <= row < start + part.rows]
            try:
                for row, value in part.some(column, some) if some else ():
                    yield start + row, self._picture(value, depth)
            except (pa.ArrowException, OSError) as error:
                what = printable(str(error).splitlines()[0], 120)
                raise DataError(f"the column {printable(column)!r} cannot be read: {what}") from error

    def _picture(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if value is None:
            return Unreadable("missing")
        if depth == 1:
            return bytes(value)
        if depth:
            return _array(value)
        if not isinstance(value, str):
            return value
        if _is_base64(value):
            return _from_base64(value)
        if self._own:
            return plain_bytes(Path(value))
        path = self._finder.find(value) if self._finder else None
        if path is None or self._tree is None:
            return Unreadable("missing")
        return next(iter(self._tree.read([path])))[1]


def table_of_files(
    name: str, places: Sequence[Path], tree: Tree | None, class_names: Mapping[str, tuple[str, ...]] | None = None
) -> ArrowTable:
    """Parquet or arrow files as one table; raises ``DataError`` for a damaged one."""
    return ArrowTable(name, opened_files(places), tree, class_names)


def table_of_dataset(name: str, dataset: Any, tree: Tree | None = None) -> ArrowTable:
    """A ``datasets.Dataset``, whatever was picked from it; pictures by path lie in ``tree``, without one anywhere."""
    return ArrowTable(name, [Picked(dataset)], tree, None, dataset.features.to_dict())


def _array(value: Any) -> Any:
    """Nested lists of whole numbers as an array of uint8.

    Raises:
        DataError: the numbers are not those of pixels.
    """
    try:
        found = np.asarray(value)
        if found.dtype.kind in "iu" and found.size and (found.min() < 0 or found.max() > 255):
            raise DataError(f"images as arrays must be uint8 with values 0 to 255, not {found.min()} to {found.max()}")
        return found.astype(np.uint8) if found.dtype.kind in "iu" else Unreadable("rows of different lengths")
    except (ValueError, TypeError, OverflowError):
        return Unreadable("rows of different lengths")


def _is_base64(value: str) -> bool:
    """Whether a text is a JPEG or PNG written in base64, as web pages and language models' data keep them."""
    return value.startswith(("data:image/", "/9j/", "iVBORw0KGgo"))


def _from_base64(value: str) -> bytes | Unreadable:
    try:
        return base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value)
    except ValueError:
        return Unreadable("no base64")


def _is_octets(kind: pa.DataType) -> bool:
    return _is_list(kind) and bool(pa.types.is_uint8(kind.value_type))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _rank(kind: pa.DataType) -> int:
    """How deep lists of numbers are nested; 0 for what is no array."""
    depth = 0
    while _is_list(kind) and depth < 8:
        kind, depth = kind.value_type, depth + 1
    return depth if pa.types.is_integer(kind) or pa.types.is_floating(kind) else 0


def _innermost(kind: pa.DataType) -> pa.DataType:
    while _is_list(kind):
        kind = kind.value_type
    return kind
