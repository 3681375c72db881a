"""What hostile clients share: their form, and behaviours by name with the options of a run config."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from hubclean import registry
from hubclean.errors import OptionError
from hubclean.federated.participants import Member, Participant


class Behaviour(Protocol):
    """How one hostile client differs from an honest one."""

    name: ClassVar[str]
    paper: ClassVar[str]

    def around(self, inner: Member, own: Participant, place: int) -> Member:
        """A client that answers in place of ``inner``.

        Args:
            own: the honest client at the bottom: its images, its session, its checkpoint.
            place: its number among the hostile ones, from 0.
        """


def known() -> dict[str, type]:
    """Every behaviour by name; a file in the folder is enough."""
    found: dict[str, type] = {}
    package = __name__.rpartition(".")[0]
    for info in pkgutil.iter_modules([str(Path(__file__).parent)], f"{package}."):
        if info.name.endswith((".app", ".behaviours")):
            continue
        module = importlib.import_module(info.name)
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == info.name and "paper" in vars(cls):
                found[vars(cls)["name"]] = cls
    return found


def hostile(participant: Participant, place: int, names: str, given: Mapping[str, str] | None = None) -> Member:
    """A participant with behaviours around it.

    Args:
        place: its number among the hostile ones, from 0.
        names: of the behaviours, with commas; the last one answers first.
        given: options as text, ``NAME.KEY`` -> value.

    Raises:
        OptionError: no such behaviour or option.
    """
    rows, made, member = known(), [], participant
    for name in filter(None, (word.strip() for word in names.split(","))):
        if name not in rows:
            raise OptionError(f"no hostile client behaves as {name!r}; there are: {', '.join(sorted(rows))}")
        own = {key.partition(".")[2]: text for key, text in (given or {}).items() if key.startswith(f"{name}.")}
        made.append(rows[name](**registry.values_of(rows[name], own)))
    found: Any = member
    for one in made:
        found = one.around(found, participant, place)
    return found  # type: ignore[no-any-return]
