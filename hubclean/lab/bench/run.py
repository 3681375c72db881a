"""``hubclean bench``: a plan from a file and options, worked through, with tables and plots at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean.errors import OptionError, OutputError
from hubclean.lab.bench import plots, rows, tables
from hubclean.lab.bench.cells import BenchRun, with_limit
from hubclean.lab.bench.journal import RESULTS
from hubclean.lab.bench.plans import Plan, read_plan
from hubclean.nets.session import Session, open_session

TABLES = "RESULTS.md"


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What a bench folder holds now. ``done`` is false while cells are missing."""

    folder: str
    done: bool
    models: int
    detections: int
    defenses: int
    failures: int
    tables: str
    pictures: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 when the whole plan is there, 2 when cells are missing or failed."""
        return 0 if self.done and not self.failures else 2

    @property
    def text(self) -> str:
        state = "the whole plan is done" if self.done else "cells are missing: run the same command again"
        counts = f"{self.models} models, {self.detections} detections, {self.defenses} cleansings"
        return f"{counts}, {self.failures} failures; {state}\ntables: {self.tables}"


def run_bench(
    plan: Path | None,
    given: dict[str, Any],
    out: Path,
    session: dict[str, Any],
    hours: float,
    again: bool,
    say: Callable[[str], None],
) -> BenchReport:
    """Work on ``out`` until the plan is done or ``hours`` are over, then draw what is there.

    Args:
        given: fields of ``Plan`` by name, empty ones left to the plan; ``seeds`` is their number.
        session: device and batch size.

    Raises:
        OptionError: no data, or an unknown name or option in the plan.
        OutputError: ``out`` cannot be written.
    """
    wanted = merged_plan(read_plan(plan) if plan else Plan(()), given).checked()
    if not wanted.data:
        raise OptionError("a bench needs --data, or a plan with data = [...]")
    sessions: dict[int, Session] = {}

    def session_for(seed: int) -> Session:
        if seed not in sessions:
            first = next(iter(sessions.values()), None)
            sessions[seed] = replace(first, seed=seed) if first else open_session(seed=seed, **session)
        return sessions[seed]

    try:
        done = with_limit(BenchRun(wanted, out, session_for, say, again=again), hours).work()
        return write_report(out, done)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error


def write_report(out: Path, done: bool) -> BenchReport:
    """Tables and plots of the rows in ``out``."""
    held = list(rows.read_rows(out / RESULTS))
    (out / TABLES).write_text(tables.render_tables(held), encoding="utf-8")
    pictures = plots.draw_plots(held, out)

    def count(kind: type) -> int:
        return sum(isinstance(row, kind) for row in held)

    return BenchReport(
        folder=str(out),
        done=done,
        models=count(rows.ModelRow),
        detections=count(rows.DetectionRow),
        defenses=count(rows.DefenseRow),
        failures=count(rows.FailureRow),
        tables=str(out / TABLES),
        pictures=tuple(str(path) for path in pictures),
    )


def merged_plan(plan: Plan, given: dict[str, Any]) -> Plan:
    """The plan with what was given on the command line in place of its own."""
    changes = {key: value for key, value in given.items() if value not in (None, ())}
    if "seeds" in changes:
        changes["seeds"] = tuple(range(changes["seeds"]))
    return replace(plan, **changes)
