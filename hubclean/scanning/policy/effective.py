"""The policy of one target: what was asked for wins over what a file says, and that over what is done anyway."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hubclean.records import Loader, Severity
from hubclean.scanning.policy.settings import Allowed, Settings
from hubclean.wording import option

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller asked for by flags or arguments; ``None`` and nothing where he did not."""

    gate: Severity | None = None
    loader: Loader | None = None
    allow: tuple[str, ...] = ()
    allow_unchecked: tuple[str, ...] = ()
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Something that may pass, and by whose word.

    Args:
        kind: ``allow`` for an exact name in pickles, ``allow-unchecked`` for a pattern of files.
        source: the flag or the part of the file.
        expires: the last day (UTC) on which it counts, as ``2027-03-01``; empty for no end.
        expired: that day has passed, so that it does not count.
    """

    kind: Literal["allow", "allow-unchecked"]
    what: str
    source: str
    reason: str = ""
    expires: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What one target is judged by, and where each value came from.

    Args:
        gate: the severity from which a finding counts.
        loader: who loads; ``None`` takes the one that the repo is for.
        allowances: all of them, also the expired ones, which do not count.
        baseline: the file of accepted findings; empty for none.
        sources: of ``fail-on``, ``for`` and ``baseline``: a flag, a part of the file, or ``default``.
        file: the file of settings that was read; empty for none.
        not_read: a file of settings that was found, but lies in the target itself, so that nobody believed it.
    """

    gate: Severity = "high"
    loader: Loader | None = None
    allowances: tuple[Allowance, ...] = ()
    sources: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("fail-on", "for", "baseline"), DEFAULT))
    baseline: str = ""
    file: str = ""
    not_read: str = ""

    @property
    def allow(self) -> tuple[str, ...]:
        """The exact names that pickles may hold."""
        return self._counting("allow")

    @property
    def allow_unchecked(self) -> tuple[str, ...]:
        """The patterns of files that may stay unchecked."""
        return self._counting("allow-unchecked")

    @property
    def expired(self) -> tuple[Allowance, ...]:
        """What would pass if its day had not gone."""
        return tuple(row for row in self.allowances if row.expired)

    def _counting(self, kind: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.what for row in self.allowances if row.kind == kind and not row.expired))


def effective(
    wishes: Wishes,
    settings: Settings | None = None,
    repo_id: str | None = None,
    *,
    not_read: str = "",
    today: datetime.date | None = None,
) -> Policy:
    """The policy of a target. Single values: a wish, else the last rules that hold and say one; allowances add up.

    Args:
        wishes: of the caller.
        settings: of a file, if there is one.
        repo_id: ``org/model`` of a target on a Hub; ``None`` for a local one, for which no ``[[repos]]`` hold.
        not_read: see ``Policy``.
        today: the day in UTC; without it, this one.
    """
    day = today or datetime.datetime.now(datetime.UTC).date()
    gate: tuple[Severity, str] = ("high", DEFAULT)
    loader: tuple[Loader | None, str] = (None, DEFAULT)
    allowances = [*_asked("allow", wishes.allow), *_asked("allow-unchecked", wishes.allow_unchecked)]
    for rules in settings.rules if settings else ():
        if not rules.holds_for(repo_id):
            continue
        gate = (rules.gate, rules.where) if rules.gate else gate
        loader = (rules.loader, rules.where) if rules.loader else loader
        allowances += _of_file("allow", rules.where, rules.names, day)
        allowances += _of_file("allow-unchecked", rules.where, rules.unchecked, day)
    gate = (wishes.gate, option("gate")) if wishes.gate else gate
    loader = (wishes.loader, option("loader")) if wishes.loader else loader
    baseline = ("", DEFAULT)
    if settings and settings.baseline:
        baseline = (settings.baseline, settings.shown)
    baseline = (wishes.baseline, option("baseline")) if wishes.baseline else baseline
    return Policy(
        gate[0],
        loader[0],
        tuple(dict.fromkeys(allowances)),
        {"fail-on": gate[1], "for": loader[1], "baseline": baseline[1]},
        baseline[0],
        settings.shown if settings else "",
        not_read,
    )


def _asked(kind: Literal["allow", "allow-unchecked"], values: tuple[str, ...]) -> list[Allowance]:
    source = option(kind.replace("-", "_"))
    return [Allowance(kind, what, source) for what in values]


def _of_file(
    kind: Literal["allow", "allow-unchecked"], where: str, rows: tuple[Allowed, ...], day: datetime.date
) -> Iterator[Allowance]:
    for row in rows:
        until = row.expires.isoformat() if row.expires else ""
        yield Allowance(kind, row.what, where, row.reason, until, bool(row.expires and row.expires < day))
