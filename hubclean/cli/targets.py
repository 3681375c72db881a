"""Targets as they are named: one by one, in a file, or by a file of the model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
MOST_TARGETS = 10_000
_LONGEST = 16 << 20  # bytes of a list
_MODEL_CONFIGS = ("config.json", "adapter_config.json", "open_clip_config.json")


def from_option(command: F) -> F:
    """``--from FILE`` of commands that take many targets."""
    return click.option(
        "--from",
        "listed",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        help="File with more targets, one a line; # starts a comment; - for standard input.",
    )(command)


def listed_in(place: Path) -> tuple[str, ...]:
    """The targets of a file, or of standard input, without comments and empty lines.

    Raises:
        OptionError: it is no text, names nothing, or names too many.
    """
    from hubclean.errors import OptionError
    from hubclean.escaping import printable

    shown = "standard input" if str(place) == "-" else printable(str(place))
    if str(place) == "-":
        body = sys.stdin.buffer.read(_LONGEST + 1)
    else:
        with place.open("rb") as file:
            body = file.read(_LONGEST + 1)
    if len(body) > _LONGEST:
        raise OptionError(f"{shown} has more than {_LONGEST:,} bytes")
    try:
        lines = body.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise OptionError(f"{shown} is not UTF-8 text") from error
    names = tuple(line for line in (line.split(" #")[0].strip() for line in lines) if line and line[0] != "#")
    if not names or len(names) > MOST_TARGETS:
        raise OptionError(f"{shown} names {len(names)} targets; 1 to {MOST_TARGETS} are scanned")
    return names


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each target once, however often and in whatever spelling it is named; how many were left out is said."""
    first: dict[object, str] = {}
    for name in names:
        first.setdefault(_meant(name), name)
    if more := len(names) - len(first):
        click.echo(f"hubclean: {more} of {len(names)} targets were named before; each is scanned once", err=True)
    return tuple(first.values())


def _meant(name: str) -> object:
    """What a target names: a place on this disk, or a repo and its revision; itself where nobody understands it."""
    from hubclean.errors import TargetError
    from hubclean.hub.targets import parse_target

    try:
        if Path(name).exists():
            return os.path.realpath(name)
        repo_id, revision = parse_target(name)
    except (OSError, ValueError, TargetError):
        return name
    return repo_id.lower(), revision or "main"


def with_folders(names: tuple[str, ...]) -> tuple[str, ...]:
    """Files replaced by the nearest folder above them that a library would load."""
    from hubclean.hub.repos import LocalRepo
    from hubclean.scanning.engine import reader_of
    from hubclean.scanning.load_sets.choosing import load_set

    known: dict[Path, bool] = {}

    def is_model(folder: Path) -> bool:
        if folder not in known:
            known[folder] = any((folder / name).is_file() for name in _MODEL_CONFIGS)
            if known[folder]:
                repo = LocalRepo(folder)
                known[folder] = load_set(reader_of(repo, repo.files())).loader not in ("all", "torch")
        return known[folder]

    here = Path.cwd()
    found = []
    for name in names:
        place = Path(name)
        above = [folder for folder in place.parents if not place.is_absolute() or folder.is_relative_to(here)]
        folder = next((folder for folder in above if is_model(folder)), None) if place.is_file() else None
        found.append(name if folder is None else str(folder))
    return tuple(dict.fromkeys(found))
