"""Which rows of the table a key falls under."""

from __future__ import annotations

import fnmatch
import functools
import re

from hubclean.scanning.configs.loader_fields import FIELDS, LoaderField, Reads

_EXACT: dict[str, list[LoaderField]] = {}
_GLOBS: list[tuple[re.Pattern[str], LoaderField]] = []
_BELOW: list[LoaderField] = []  # rows for every key below a certain one
for _row in FIELDS:
    for _key in _row.keys:
        if _key == "*":
            _BELOW.append(_row)
        elif "*" in _key:
            _GLOBS.append((re.compile(fnmatch.translate(_key.lower())), _row))
        else:
            _EXACT.setdefault(_key, []).append(_row)


@functools.lru_cache(4096)
def rows_of(key: str) -> tuple[LoaderField, ...]:
    """The rows that a key falls under by its name, without a look at where it stands."""
    rows = dict.fromkeys(_EXACT.get(key, ()))
    small = key.lower()
    rows.update((row, None) for pattern, row in _GLOBS if pattern.match(small))
    if key.endswith("name_or_path"):  # a repo, not a path; a memory of where things came from in most configs
        rows = {row: None for row in rows if row.reads != "path"}
    return tuple(rows)


@functools.lru_cache(4096)
def reads(key: str, kind: Reads) -> bool:
    """Whether a key falls under a row of that kind."""
    return any(row.reads == kind for row in rows_of(key))


def rows_at(path: tuple[str, ...], key: str, name: str) -> list[LoaderField]:
    """The rows for a key that stands at ``path`` (its own key last) of the file of that ``name``."""
    found = [row for row in rows_of(key) if not row.under or row.under in path[:-1]]
    found += [row for row in _BELOW if len(path) > 1 and path[-2] == row.under]
    return [row for row in found if not row.only or name in row.only]
