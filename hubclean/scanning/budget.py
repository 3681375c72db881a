"""What judging may cost, in operations: counted, never timed, so that the same bytes always get the same answer.

An operation is one step of a parser: an opcode, a value of JSON or YAML, a field, a member, a record, a node of a
tree, a part of a file that is looked up. Every parser calls ``spend`` for what it is about to do. A file may take
``FLOOR`` of them and ``RATE`` more for each of its bytes, and each byte unpacked from it, up to ``MOST``; all scanners
together. Each format has bounds of its own beside that (``MOST_...`` in its module: members, values, levels), which say
what is wrong; bytes read are bounded by ``reader``, seconds by ``hub.deadline``. Whichever is passed, the file is not
checked.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.hub import deadline

FLOOR, RATE, MOST = 200_000, 8, 60_000_000
_LOOK = 4096  # operations between two looks at the clock


def allowed(size: int) -> int:
    """How many operations a file of ``size`` bytes may take."""
    return min(MOST, FLOOR + RATE * size)


@dataclass(slots=True)
class Meter:
    """Operations spent on one file, or on all. ``size``: bytes that it was made of so far, unpacked ones included."""

    size: int = 0
    used: int = 0
    limit: float = float("inf")
    _looked: int = 0

    def spend(self, count: int) -> None:
        """Count.

        Raises:
            BudgetError: more than the file may take. DeadlineError: the time is over.
        """
        self.used += count
        if self.used > self.limit:
            raise BudgetError(
                f"judging it takes more than {self.limit:,.0f} operations, which no file of its {self.size:,} bytes"
                " needs; ask the author for a plain export"
            )
        if self.used - self._looked >= _LOOK:
            self._looked = self.used
            deadline.check()

    def grow(self, size: int) -> None:
        """Bytes were unpacked from the file: they may be judged, too."""
        self.size += size
        if self.limit != float("inf"):
            self.limit = allowed(self.size)


@dataclass(slots=True)
class ScanBudget:
    """The meters of one scan, by path: a file that several scanners judge has one."""

    files: dict[str, Meter] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """Operations of all files."""
        return sum(meter.used for meter in self.files.values())


_SCAN: contextvars.ContextVar[ScanBudget | None] = contextvars.ContextVar("scan budget", default=None)
_FILE: contextvars.ContextVar[Meter | None] = contextvars.ContextVar("file meter", default=None)


@contextmanager
def of_scan() -> Iterator[ScanBudget]:
    """A scan begins; its files are counted afresh, and count for what stands around it, too."""
    budget, outer = ScanBudget(), _FILE.get()
    marks = _SCAN.set(budget), _FILE.set(None)
    try:
        yield budget
    finally:
        _SCAN.reset(marks[0])
        _FILE.reset(marks[1])
        if outer is not None:
            outer.used += budget.operations


@contextmanager
def of_file(path: str, size: int) -> Iterator[Meter]:
    """A scanner judges a file; what lies inside another file counts for that one."""
    outer = _FILE.get()
    if outer is not None:
        yield outer
        return
    scan = _SCAN.get()
    meter = scan.files.get(path) if scan else None
    if meter is None:
        meter = Meter(size, 0, allowed(size))
        if scan:
            scan.files[path] = meter
    mark = _FILE.set(meter)
    try:
        yield meter
    finally:
        _FILE.reset(mark)


@contextmanager
def counted() -> Iterator[Meter]:
    """Count without a limit, for benchmarks, the fuzzer and tests."""
    meter = Meter()
    mark = _FILE.set(meter)
    try:
        yield meter
    finally:
        _FILE.reset(mark)


def spend(count: int = 1) -> None:
    """What every parser calls before it does ``count`` operations; outside a scan nothing is counted.

    Raises:
        BudgetError, DeadlineError: see ``Meter.spend``.
    """
    meter = _FILE.get()
    if meter is not None:
        meter.spend(count)


def grow(size: int) -> None:
    """``size`` bytes were unpacked from the file that is judged."""
    meter = _FILE.get()
    if meter is not None:
        meter.grow(size)
