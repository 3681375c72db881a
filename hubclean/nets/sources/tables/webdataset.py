"""WebDataset: tars in which ``000.jpg`` stands beside ``000.cls`` or ``000.json``."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

from hubclean.nets.sources.pictures import Unreadable
from hubclean.nets.sources.trees import PICTURES, Tree

LABELS = ("cls", "cls.txt", "label", "label.txt", "class", "class.txt", "json")
MOST_LABEL = 1 << 20


def samples(paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """Files by the key of their sample (folder and name up to its first dot), then by ending."""
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        folder, name = posixpath.split(path)
        stem, _, ending = name.partition(".")
        found.setdefault(posixpath.join(folder, stem), {})[ending.casefold()] = path
    return found


def is_webdataset(paths: Sequence[str]) -> bool:
    """Whether most pictures have a label file of the same key beside them."""
    rows = [files for files in samples(paths).values() if any("." + ending in PICTURES for ending in files)]
    return bool(rows) and 2 * sum(any(ending in files for ending in LABELS) for files in rows) > len(rows)


class TarSamples:
    """Samples of tars as a table: a column an ending, and one for each plain entry of their ``json``.

    See ``columns.Table``.
    """

    def __init__(self, tree: Tree) -> None:
        self.name, self.notes, self._tree = tree.name, tree.notes, tree
        self._samples = [files for _, files in sorted(samples(tree.paths).items())]
        self._samples = [files for files in self._samples if any("." + _kind(ending) in PICTURES for ending in files)]
        self.rows = len(self._samples)
        endings = dict.fromkeys(ending for files in self._samples for ending in sorted(files))
        self._endings = tuple(endings)
        self._values: dict[str, list[Any]] = {
            ending.removesuffix(".txt"): self._texts(ending) for ending in LABELS if ending in endings
        }
        documents = self._values.pop("json", [])
        for row, text in enumerate(documents):
            for name, value in _entries(text):
                self._values.setdefault(name, [None] * self.rows)[row] = value
        self.columns = tuple(dict.fromkeys((*self._endings, *self._values)))

    def _texts(self, ending: str) -> list[str | None]:
        files = {path: row for row, parts in enumerate(self._samples) if (path := parts.get(ending))}
        found: list[str | None] = [None] * self.rows
        for path, body in self._tree.read(sorted(files), MOST_LABEL):
            if not isinstance(body, Unreadable):
                found[files[path]] = body.decode("utf-8", "replace").strip() or None
        return found

    def pictures(self) -> tuple[str, ...]:
        """Endings of pictures; ``jpg`` and ``png`` of different samples are one column."""
        plain = [ending for ending in self._endings if "." + ending in PICTURES]
        if plain and sum(any(one in files for one in plain) for files in self._samples) == sum(
            sum(one in files for one in plain) for files in self._samples
        ):
            return ("+".join(plain),)
        return tuple(ending for ending in self._endings if "." + _kind(ending) in PICTURES)

    def class_names(self, column: str) -> tuple[str, ...]:
        return ()

    def plain(self, column: str) -> bool:
        return column in self._values

    def values(self, column: str) -> list[Any]:
        found = self._values.get(column) or self._texts(column)
        given = [value for value in found if value is not None]
        if given and all(isinstance(value, str) and _whole(value) for value in given):
            return [None if value is None else int(value) for value in found]
        return found

    def missing(self, column: str) -> set[int]:
        return {row for row in range(self.rows) if self._file(row, column) is None}

    def _file(self, row: int, column: str) -> str | None:
        files = self._samples[row]
        return next((files[ending] for ending in column.split("+") if ending in files), None)

    def files(self, column: str) -> list[str | None] | None:
        return None

    def read(self, column: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        files = {path: row for row in rows if (path := self._file(row, column))}
        for path, body in self._tree.read(sorted(files)):
            yield files[path], body


def _kind(ending: str) -> str:
    return ending.rpartition(".")[2]


def _whole(text: str) -> bool:
    return len(text) < 19 and text.lstrip("-").isdecimal()


def _entries(text: str | None) -> list[tuple[str, Any]]:
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return []
    if isinstance(found, (int, str)) and not isinstance(found, bool):
        return [("label", found)]
    entries = list(found.items())[:100] if isinstance(found, dict) else []
    return [(name, value) for name, value in entries if isinstance(value, (int, float, str, bool))]
