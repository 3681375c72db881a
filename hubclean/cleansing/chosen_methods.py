"""Which methods run, with which ``KEY=VALUE`` options, and what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hubclean.errors import OptionError
from hubclean.registry import Kind, methods, options_of

Method = tuple[Kind, str]


_NEEDED = {"images": "images", "labels": "labelled images"}


def method_options(given: tuple[str, ...], methods: Sequence[Method]) -> dict[Method, dict[str, str]]:
    """Share ``KEY=VALUE`` and ``METHOD.KEY=VALUE`` texts among the chosen methods.

    Args:
        given: as on the command line.
        methods: kind and name of each, e.g. ``("detectors", "neural-cleanse"), ("defenses", "fine-pruning")``.

    Returns:
        Options as text by method.

    Raises:
        OptionError: not of that form, known to no chosen method, or to several without naming one.
    """
    fields = {method: _fields(*method) for method in methods}
    shared: dict[Method, dict[str, str]] = {method: {} for method in methods}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise OptionError(f"option {text!r} is not of the form KEY=VALUE")
        name, dot, field = key.rpartition(".")
        takers = [one for one in methods if field in fields[one] and (not dot or name == one[1])]
        if not takers:
            known = ", ".join(one for _, one in methods)
            raise OptionError(f"none of {known} has an option {key!r}; see hubclean methods NAME")
        if len({one for _, one in takers}) > 1:
            both = " and ".join(f"{one}.{field}" for _, one in takers)
            raise OptionError(f"{field!r} is an option of several methods: write {both}")
        for taker in takers:
            shared[taker][field] = value
    return shared


def _fields(kind: Kind, name: str) -> set[str]:
    known = methods(kind)
    if name not in known:
        raise OptionError(f"no {kind.removesuffix('s')} named {name!r}; there are: {', '.join(sorted(known))}")
    return {row.name for row in options_of(known[name])}


def lacking(made: Iterable[Any], data: bool) -> tuple[str, ...]:
    """For every detector or defense that cannot run, what it needs, in words; ``data`` is whether there are images."""
    needs = {type(method).name: getattr(method, "needs", "labels") for method in made}
    return tuple(f"{name} needs {_NEEDED[what]}" for name, what in needs.items() if not data and what in _NEEDED)


def needs_labels(made: Iterable[Any]) -> bool:
    """Whether a detector or defense among ``made`` reads labels; one that does not say what it needs is taken to."""
    return any(getattr(method, "needs", "labels") == "labels" for method in made)
