"""Which column of a table holds the labels: of several the one that fits the model, and words where none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.folder_layout import known_names, plain
from hubclean.nets.sources.pictures import Request
from hubclean.nets.sources.split_words import spelled

# Names of label columns, the likeliest first.
_LABELS = spelled(
    "label labels class fine_label target class_name label_name class_label classname category category_name cls "
    "fine_labels class_id label_id category_id target_name y classes coarse_label coarse_labels species breed diagnosis"
)
_NAMES, _COUNT, _RANGE, _NOTHING = 3, 2, 1, 0  # how well a column fits the model


@dataclass(frozen=True)
class Column:
    """A column that may hold labels: its name, the class names behind its numbers, and how to read it."""

    name: str
    names: tuple[str, ...]
    read: Callable[[], list[Any]]

    @cached_property
    def _read(self) -> list[Any]:
        return self.read()

    def values(self) -> list[Any]:
        return self._read

    def distinct(self) -> set[Any]:
        """The values that occur, without nothing and -1."""
        found = {value for value in self.values() if value is not None and isinstance(value, (str, int, float))}
        return {value for value in found if value == value and value not in (-1, "")}


def choose_label(columns: Mapping[str, Column], request: Request) -> tuple[str | None, tuple[str, ...]]:
    """The label column and what is said about the choice; ``None`` where no column is one.

    Raises:
        DataError: several could be, and nothing decides.
    """
    if request.label_column is not None:
        return request.label_column, ()
    named = [name for name in columns if columns[name].names or name.casefold() in _LABELS]
    if len(named) == 1:
        return named[0], ()
    if not named:
        return _by_values(columns, request), ()
    named.sort(key=lambda name: _LABELS.index(name.casefold()) if name.casefold() in _LABELS else len(_LABELS))
    if not request.labels:
        return named[0], (f"labels from the column {printable(named[0])!r}, not {_listed(named[1:])}",)
    fits = {name: _fit(columns[name], request.labels) for name in named}
    best = [name for name in named if fits[name] == max(fits.values())]
    best = _one_meaning(columns, best)
    if len(best) > 1:
        raise DataError(f"several columns may hold the labels: {_listed(best)}; name one with --label-column")
    others = [name for name in named if name != best[0]]
    return best[0], (f"labels from the column {printable(best[0])!r}, not {_listed(others)}",)


def _fit(column: Column, labels: Sequence[str]) -> int:
    known = known_names(labels)
    values = column.distinct()
    names = list(column.names) or [value for value in values if isinstance(value, str)]
    if names and all(plain(name) in known for name in names):
        return _NAMES
    if column.names:
        return _COUNT if len(column.names) == len(labels) else _NOTHING
    numbers = [value for value in values if not isinstance(value, str)]
    if names or not numbers:
        return _COUNT if len(names) == len(labels) else _NOTHING
    if max(numbers) >= len(labels) or min(numbers) < 0:
        return _NOTHING
    return _COUNT if max(numbers) == len(labels) - 1 else _RANGE


def _one_meaning(columns: Mapping[str, Column], names: list[str]) -> list[str]:
    """One of columns that part the rows alike (``label`` and ``label_name``), the one with names; else all."""
    if len(names) < 2:
        return names
    first = columns[names[0]].values()
    for name in names[1:]:
        pairs = set(zip(map(str, first), map(str, columns[name].values()), strict=True))
        if len({one for one, _ in pairs}) != len(pairs) or len({other for _, other in pairs}) != len(pairs):
            return names
    texts = [name for name in names if columns[name].names or any(isinstance(v, str) for v in columns[name].distinct())]
    return (texts or names)[:1]


def _by_values(columns: Mapping[str, Column], request: Request) -> str | None:
    """The only column whose values are all labels of the model."""
    known = known_names(request.labels)
    found = []
    for name, column in columns.items():
        values = column.distinct()
        if len(values) > 1 and all(isinstance(value, str) and plain(value) in known for value in values):
            found.append(name)
    return found[0] if len(found) == 1 else None


def without_label(columns: Mapping[str, Column], names: Sequence[str]) -> str:
    """Why a table has no labels, and what to do about it."""
    flags = [
        name
        for name, column in columns.items()
        if (seen := column.distinct()) and seen <= {0, 1, "0", "1", "0.0", "1.0"}
    ]
    if len(flags) > 1 and _one_hot([columns[name].values() for name in flags]):
        return (
            f"{len(flags)} columns hold 0 and 1, one 1 a row ({_listed(flags)}): make one column of class names of "
            f"them (pandas: table['label'] = table[{flags[0]!r:.40}...].idxmax(axis=1))"
        )
    return f"no label column among {_listed(names, 12)}; name one with --label-column"


def _one_hot(columns: Sequence[Sequence[Any]]) -> bool:
    def one(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            return 0.0

    return all(sum(map(one, row)) == 1 for row in zip(*columns, strict=True))


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(printable(name, 60) for name in names[:most]) + more
