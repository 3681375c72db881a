"""Methods by name: walks the four method folders and the entry points, and reads options from dataclass fields.

A method is a frozen dataclass with ``name`` and ``paper`` class variables; its fields are its options, each
``Annotated[type, Doc(text, low, high)]`` with a default. Nothing lists the methods: a file in the folder is enough.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import pkgutil
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from hubclean.errors import MissingExtraError, OptionError
from hubclean.records import MethodText, Option, OptionText

Kind = Literal["scanners", "detectors", "defenses", "attacks"]
KINDS: tuple[Kind, ...] = ("scanners", "detectors", "defenses", "attacks")
_FOLDERS: dict[Kind, str] = {
    "scanners": "hubclean.scanning.scanners",
    "detectors": "hubclean.methods.detectors",
    "defenses": "hubclean.methods.defenses",
    "attacks": "hubclean.lab.attacks",
}


@dataclass(frozen=True, slots=True)
class Doc:
    """What an option means, and the range or the choices it must lie in (ends included).

    ``files`` marks a text of paths, one a line; ``chosen`` gives their names alone.
    """

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    files: bool = False


@dataclass(frozen=True, slots=True)
class OptionDoc:
    """One option of a method: name, type, default and its ``Doc``."""

    name: str
    kind: type
    default: Option
    doc: Doc


@lru_cache
def methods(kind: Kind) -> dict[str, type]:
    """All methods of a kind by name: the project's folder first, then entry points of group ``hubclean.<kind>``.

    Raises:
        MissingExtraError: the methods need a package that is not installed.
        OptionError: two methods share a name, or an entry point does not load; the message names the package at fault.
    """
    found: dict[str, type] = {}
    package = importlib.import_module(_FOLDERS[kind])
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        try:
            module = importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"{kind}", "models", str(error.name)) from error
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == info.name and isinstance(getattr(cls, "name", None), str) and "paper" in vars(cls):
                _add(found, cls, info.name)
    for entry in importlib.metadata.entry_points(group=f"hubclean.{kind}"):
        where = f"{entry.dist.name if entry.dist else 'a package'} ({entry.value})"
        try:
            _add(found, entry.load(), where)
        except OptionError:
            raise
        except Exception as error:
            raise OptionError(f"the {kind} plugin of {where} does not load: {error}") from error
    return found


def _add(found: dict[str, type], cls: type, where: str) -> None:
    name = typing.cast(Any, cls).name
    if name in found:
        raise OptionError(f"{where} brings a second method named {name!r}")
    found[name] = cls


def options_of(method: type) -> tuple[OptionDoc, ...]:
    """The options of a method class, in order of its fields."""
    hints = typing.get_type_hints(method, include_extras=True)
    rows = []
    for field in dataclasses.fields(method):
        kind, doc = typing.get_args(hints[field.name])[:2]
        rows.append(OptionDoc(field.name, kind, typing.cast(Option, field.default), doc))
    return tuple(rows)


def chosen_options(method: Any) -> dict[str, Option]:
    """The options of a method instance as they will be written into the audit: no path of this machine among them."""
    return {
        row.name: file_names(getattr(method, row.name)) if row.doc.files else getattr(method, row.name)
        for row in options_of(type(method))
    }


def file_names(paths: str) -> str:
    """The last parts of ``paths``, one a line, with commas between."""
    return ", ".join(Path(line).name for line in paths.splitlines() if line)


def build_method(kind: Kind, name: str, given: dict[str, str] | None = None) -> Any:
    """Make the method ``name`` with options given as text (``KEY=VALUE`` of the command line).

    Raises:
        OptionError: no such method or option, not of its type, or out of range; the message lists what there is.
    """
    known = methods(kind)
    if name not in known:
        raise OptionError(f"no {kind.removesuffix('s')} named {name!r}; there are: {', '.join(sorted(known))}")
    return known[name](**values_of(known[name], given or {}))


def values_of(method: type, given: Mapping[str, str]) -> dict[str, Option]:
    """Values of the fields named in ``given``, of text, for a class that is built like a method.

    Raises:
        OptionError: no such option, not of its type, or out of range; the message lists what there is.
    """
    name, rows = typing.cast(Any, method).name, {row.name: row for row in options_of(method)}
    values = {}
    for key, text in given.items():
        if key not in rows:
            raise OptionError(f"{name} has no option {key!r}; it has: {', '.join(rows) or 'none'}")
        values[key] = _parse(name, rows[key], text)
    return values


def _parse(method: str, row: OptionDoc, text: str) -> Option:
    try:
        if row.kind is bool:
            value: Option = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        else:
            value = row.kind(text)
    except (ValueError, KeyError) as error:
        raise OptionError(f"{method}: {row.name}={text} is not of type {row.kind.__name__}") from error
    doc = row.doc
    if doc.choices and value not in doc.choices:
        raise OptionError(f"{method}: {row.name} must be one of {', '.join(doc.choices)}, not {text}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = -float("inf") if doc.low is None else doc.low, float("inf") if doc.high is None else doc.high
        if not low <= value <= high:
            raise OptionError(f"{method}: {row.name} must lie in [{low}, {high}], not {text}")
    return value


def describe_methods(name: str | None = None) -> tuple[MethodText, ...]:
    """All methods as text, by kind and name, or the one called ``name``.

    Raises:
        OptionError: no method has that name; the message lists what there is.
    """
    rows = [_text(kind, method) for kind in KINDS for _, method in sorted(methods(kind).items())]
    if name is None:
        return tuple(rows)
    found = tuple(row for row in rows if row.name == name)
    if not found:
        raise OptionError(f"no method named {name!r}; there are: {', '.join(row.name for row in rows)}")
    return found


def _text(kind: str, method: type) -> MethodText:
    doc = inspect.cleandoc(method.__doc__ or "")
    summary, _, details = doc.partition("\n\n")
    rows = tuple(
        OptionText(o.name, o.kind.__name__, o.default, _allowed(o.doc), o.doc.text) for o in options_of(method)
    )
    named = typing.cast(Any, method)
    return MethodText(kind, named.name, named.paper, " ".join(summary.split()), details, rows)


def _allowed(doc: Doc) -> str:
    if doc.choices:
        return " | ".join(doc.choices)
    if doc.low is None and doc.high is None:
        return ""
    low, high = "" if doc.low is None else f"{doc.low:g}", "" if doc.high is None else f"{doc.high:g}"
    return f"{low} .. {high}" if low and high else f">= {low}" if low else f"<= {high}"
