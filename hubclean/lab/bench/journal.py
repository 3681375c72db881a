"""A bench folder on disk: a line for every finished cell, and which process works on which model."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hubclean.lab.bench.rows import Row, append_row, read_rows

RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Journal:
    """Several processes may write at once."""

    folder: Path

    def write(self, row: Row) -> None:
        """Add a row; it replaces an earlier one with the same id."""
        append_row(self.folder / RESULTS, row)

    def done(self) -> dict[str, Row]:
        """All rows by id, failures included."""
        return {row.id: row for row in read_rows(self.folder / RESULTS)}

    @contextmanager
    def claimed(self, key: str, wait: bool = False) -> Iterator[bool]:
        """Hold a model for this process; another one that works on the folder takes the next. Killed ones let go.

        Args:
            wait: until another process lets go, instead of taking the next.
        """
        locks = self.folder / "locks"
        locks.mkdir(exist_ok=True)
        with (locks / key).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True
