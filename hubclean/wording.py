"""How an option is called in a message: by its argument in Python, by its word on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_WORDS = {"detectors": "--detector", "loader": "--for", "gate": "--fail-on", "unknown": "--allow-unknown"}
_NEGATED = ("retune",)
_typed = False


@contextmanager
def typed() -> Iterator[None]:
    """Messages made inside are for somebody who typed a command."""
    global _typed
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def option(name: str, value: Any = None) -> str:
    """An option, with a value if one is meant: ``--data`` or ``data=``, ``--detector skip`` or ``detectors=['skip']``.

    ``True`` and ``False`` are flags: ``--create-pr`` or ``create_pr=True``.
    """
    if not _typed:
        return f"{name}={'' if value is None else repr(value)}"
    word = _WORDS.get(name, f"--{name.replace('_', '-')}")
    if name in _NEGATED and value is False:
        return f"--no-{name}"
    values = [] if value is None or value is True else value if isinstance(value, list) else [value]
    return " ".join([word, *map(str, values)])


def call(command: str, name: str) -> str:
    """A command with one of its options: ``hubclean convert --file`` or ``hubclean.convert(file=...)``."""
    return f"hubclean {command} {option(name)}" if _typed else f"hubclean.{command}({option(name)}...)"
