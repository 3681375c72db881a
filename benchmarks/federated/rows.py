"""Rows of the federated grid, asked: which attacks took, what a way of cleansing lost and left."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
# An attack took if it reaches this ASR and costs no more points of accuracy than this beside the run without attackers.
TOOK, COST = 0.9, 0.05
MODEL = ("data", "clients", "seed", "alpha", "rounds", "struck", "images")
Picked = Callable[[Row], bool]


def read(place: Path) -> list[Row]:
    """The rows of a file; none if there is no file."""
    return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


@dataclass(frozen=True)
class Grid:
    """All rows, with the runs without attackers beside them."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Grid:
        """Of rows in any order."""
        return cls(tuple(rows))

    def untouched(self, row: Row) -> float | None:
        """Accuracy of the same run without attackers."""
        found = [one["before"]["ca"] for one in self.rows if not one["malicious"] and _same(one, row)]
        return found[0] if found else None

    def took(self, row: Row) -> bool:
        """Whether the model of a row has a backdoor that is worth the name, and is otherwise as good as without."""
        clean = self.untouched(row)
        near = clean is not None and clean - row["before"]["ca"] <= COST + 1e-9
        return bool(row["malicious"] and row["before"]["asr"] >= TOOK and near)

    def models(self) -> list[Row]:
        """The first row of every trained model; without attackers one for each trigger that was measured."""
        found: dict[tuple[Any, ...], Row] = {}
        for row in self.rows:
            found.setdefault((*(row[key] for key in MODEL), row["attack"], row["malicious"]), row)
        return list(found.values())

    def cleansed(self, picked: Picked) -> list[Row]:
        """Rows of models whose attack took, that were cleansed to the end."""
        return [row for row in self.rows if "after" in row and self.took(row) and picked(row)]


def lost(found: Iterable[Row]) -> float:
    """Median of the clean accuracy lost, in points."""
    return statistics.median(100 * (row["before"]["ca"] - row["after"]["ca"]) for row in found)


def left(found: Iterable[Row]) -> float:
    """Median of the ASR left, in percent."""
    return statistics.median(100 * row["after"]["asr"] for row in found)


def gone(found: Iterable[Row]) -> float:
    """Median of the points of ASR that are gone."""
    return statistics.median(100 * (row["before"]["asr"] - row["after"]["asr"]) for row in found)


def way(scheme: str, tuned: bool, adjusted: bool, merging: str | None = None, lies: bool | None = False) -> Picked:
    """Rows of one way of cleansing; ``merging`` and ``lies`` as they come with ``None``."""

    def picked(row: Row) -> bool:
        same = (row["scheme"], row["tuned"], row["adjusted"]) == (scheme, tuned, adjusted)
        return same and merging in (None, row["merging"]) and lies in (None, row["lies"])

    return picked


def attack(row: Row) -> str:
    """How a model was attacked, as tables say it."""
    when = ", from the first round" if not row["rounds"] else f", {row['struck']} rounds" if row["struck"] != 4 else ""
    return f"{row['attack']}{when}"


def _same(one: Row, other: Row) -> bool:
    return all(one[key] == other[key] for key in MODEL)
