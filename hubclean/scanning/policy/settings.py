"""``hubclean.toml`` or ``[tool.hubclean]`` of ``pyproject.toml``, read strictly: whoever misspells a key is told so."""

from __future__ import annotations

import datetime
import difflib
import fnmatch
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hubclean.errors import OptionError
from hubclean.escaping import printable
from hubclean.records import LOADERS, SEVERITIES, Loader, Severity
from hubclean.scanning.pickles.allowed_names import check_names

OWN_FILE, SHARED_FILE = "hubclean.toml", "pyproject.toml"
LONGEST = 1 << 20  # bytes of a file of settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Allowed:
    """One thing that may pass: an exact name in pickles, or a pattern of files that may stay unchecked.

    Args:
        what: the name or the pattern.
        reason: why, for whoever reads the report.
        expires: the last day (UTC) on which it counts; ``None`` for no end.
    """

    what: str
    reason: str
    expires: datetime.date | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings for all repos, or for those whose id one of the patterns matches.

    Args:
        match: patterns of repo ids (``fnmatch``, upper and lower case alike); empty for every target.
        gate, loader: ``None`` where nothing is said.
        names, unchecked: what may pass besides.
        where: how this part of the file is called in a report.
    """

    where: str
    match: tuple[str, ...] = ()
    gate: Severity | None = None
    loader: Loader | None = None
    names: tuple[Allowed, ...] = ()
    unchecked: tuple[Allowed, ...] = ()

    def holds_for(self, repo_id: str | None) -> bool:
        """Whether these are rules for a repo of a Hub; a local folder, which may have any name, only has the first."""
        if not self.match:
            return True
        return repo_id is not None and any(
            fnmatch.fnmatchcase(repo_id.lower(), pattern.lower()) for pattern in self.match
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """A file of settings.

    Args:
        place: where it lies.
        shown: how it is called in a report: relative to the folder in which the command was called.
        rules: what holds for all targets, then what ``[[repos]]`` say, in their order.
        baseline: the file of accepted findings that it names, as seen from the working directory; empty for none.
    """

    place: Path
    shown: str
    rules: tuple[Rules, ...]
    baseline: str = ""


class _Table:
    """A table of the file, whose keys are taken one by one; what is left over was misspelt."""

    def __init__(self, where: str, value: Any, known: tuple[str, ...]) -> None:
        if not isinstance(value, dict):
            raise OptionError(f"{where} must be a table, not {_kind(value)}")
        for key in value:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1, 0.5)
                meant = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
                raise OptionError(f"{where}: no setting is called {printable(key, 60)!r}; {meant}")
        self.where, self._value = where, value

    def text(self, key: str) -> str | None:
        """A text that is not empty, or ``None`` if the key is not there."""
        value = self._value.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise OptionError(f"{self.where}: {key} must be a text, not {_kind(value)}")
        return value

    def needed(self, key: str) -> str:
        if (value := self.text(key)) is None:
            raise OptionError(f"{self.where}: {key} is missing")
        return value

    def one_of(self, key: str, choices: tuple[T, ...]) -> T | None:
        value = self.text(key)
        if value is not None and value not in choices:
            known = ", ".join(map(str, choices))
            raise OptionError(f"{self.where}: {key} is {printable(value, 60)!r}; it must be one of {known}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of them."""
        value = self._value.get(key)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values or not all(isinstance(one, str) and one for one in values):
            raise OptionError(f"{self.where}: {key} must be a text or a list of texts, not {_kind(value)}")
        return tuple(values)

    def day(self, key: str) -> datetime.date | None:
        value = self._value.get(key)
        if value is not None and type(value) is not datetime.date:
            raise OptionError(
                f"{self.where}: {key} must be a day such as 2027-03-01 without quotes, not {_kind(value)}"
            )
        return value

    def rows(self, key: str, read: Callable[[str, Any], T]) -> tuple[T, ...]:
        """A list of tables."""
        value = self._value.get(key, [])
        if not isinstance(value, list):
            raise OptionError(f"{self.where}: {key} must be a list of tables, not {_kind(value)}")
        return tuple(read(f"{self.where}: {key} {number}", one) for number, one in enumerate(value, 1))


def read_settings(place: Path, shown: str | None = None) -> Settings:
    """The settings of a file. A ``pyproject.toml`` must have a table ``[tool.hubclean]``.

    Raises:
        OptionError: it cannot be read, is no TOML, or holds what nobody knows; the sentence names the place.
    """
    shown = printable(shown or str(place), 300)
    value = _loaded(place, shown)
    if place.name == SHARED_FILE:
        if (value := _tool(value)) is None:
            raise OptionError(f"{shown} has no table [tool.hubclean]")
        shown = f"{shown} [tool.hubclean]"
    top = _Table(shown, value, ("fail-on", "for", "baseline", "allow", "allow-unchecked", "repos"))
    named = top.text("baseline")
    baseline = os.path.relpath(place.absolute().parent / named) if named else ""
    return Settings(place, shown, (_rules(top), *top.rows("repos", _of_repos)), baseline)


def has_settings(place: Path, shown: str) -> bool:
    """Whether a file that somebody may have written for other tools, too, says anything to this one.

    Raises:
        OptionError: nobody can tell: it cannot be read or is no TOML.
    """
    return place.name == OWN_FILE or _tool(_loaded(place, printable(shown, 300))) is not None


def _tool(value: dict[str, Any]) -> Any:
    tool = value.get("tool")
    return tool.get("hubclean") if isinstance(tool, dict) else None


def _loaded(place: Path, shown: str) -> dict[str, Any]:
    try:
        with place.open("rb") as file:
            body = file.read(LONGEST + 1)
    except OSError as error:
        raise OptionError(f"{shown} cannot be read: {error.strerror}") from error
    if len(body) > LONGEST:
        raise OptionError(f"{shown} has more than {LONGEST:,} bytes, which no settings have")
    try:
        return tomllib.loads(body.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise OptionError(f"{shown} is no TOML: {printable(str(error) or 'nested too deep', 200)}") from error


def _of_repos(where: str, value: Any) -> Rules:
    table = _Table(where, value, ("match", "fail-on", "for", "allow", "allow-unchecked"))
    return _rules(table, table.texts("match"))


def _rules(table: _Table, match: tuple[str, ...] = ()) -> Rules:
    return Rules(
        table.where,
        match,
        table.one_of("fail-on", SEVERITIES),
        table.one_of("for", LOADERS),
        table.rows("allow", _name),
        table.rows("allow-unchecked", _pattern),
    )


def _name(where: str, value: Any) -> Allowed:
    allowed = _allowed(where, value, "name")
    try:
        check_names([allowed.what])
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error
    return allowed


def _pattern(where: str, value: Any) -> Allowed:
    return _allowed(where, value, "pattern")


def _allowed(where: str, value: Any, key: str) -> Allowed:
    table = _Table(where, value, (key, "reason", "expires"))
    return Allowed(table.needed(key), table.needed("reason"), table.day("expires"))


def _kind(value: Any) -> str:
    """A value's type in TOML's words, and a short text itself."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return f"the text {printable(value, 40)!r}"
    named = {bool: "a boolean", int: "a number", float: "a number", dict: "a table", list: "a list"}
    return named.get(type(value), "a date or time")
