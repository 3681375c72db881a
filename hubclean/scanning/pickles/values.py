"""What a pickle describes, without building it: constants as they are, all else as inert records.

The records compare by identity, are never hashed by content and hold no code: they are safe to keep and to walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hubclean.scanning.budget import spend

Constant = None | bool | int | float | str | bytes


@dataclass(eq=False, slots=True)
class Name:
    """A reference to ``module.name``.

    ``allowed`` says whether it is on the list of names that weights need, ``kind`` how one of the second list may be
    used (see ``record_names``), empty if it is on none.
    """

    module: str
    name: str
    offset: int
    allowed: bool
    kind: str = ""

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Items:
    """A list, tuple, set or frozenset."""

    kind: Literal["list", "tuple", "set", "frozenset"]
    items: list[Value]


@dataclass(eq=False, slots=True)
class Pairs:
    """A dict, in order of writing; a key given twice is there twice."""

    pairs: list[tuple[Value, Value]]


@dataclass(eq=False, slots=True)
class Made:
    """What a callable would return: ``maker(*arguments)``, then ``state`` set and ``pairs`` assigned to it.

    ``new``: by ``maker.__new__`` alone, so that no ``__init__`` ran.
    """

    maker: Value
    arguments: Value
    offset: int
    state: Value = None
    pairs: list[tuple[Value, Value]] = field(default_factory=list)
    new: bool = False

    @property
    def path(self) -> str:
        """``module.name`` of the maker, empty if it is none that is listed."""
        return self.maker.path if isinstance(self.maker, Name) and self.maker.allowed else ""


@dataclass(eq=False, slots=True)
class Persistent:
    """Something kept outside the pickle: for torch ``("storage", type, key, location, numel[, view])``."""

    key: Value
    offset: int


@dataclass(eq=False, slots=True)
class Unknown:
    """What the pickle left open: a memo entry that is not there, a stack that is empty."""


Value = Constant | Name | Items | Pairs | Made | Persistent | Unknown


_NESTED = (Items, Pairs, Made, Persistent)


def children(value: Value) -> Iterator[Value]:
    """The values directly inside."""
    if isinstance(value, Items):
        yield from value.items
    elif isinstance(value, Pairs):
        for pair in value.pairs:
            yield from pair
    elif isinstance(value, Made):
        yield value.maker
        yield value.arguments
        yield value.state
        for pair in value.pairs:
            yield from pair
    elif isinstance(value, Persistent):
        yield value.key


def extent(root: Value, most: int, deepest: int) -> tuple[int, int]:
    """How many values there are when every alias is written out, and how deep they nest.

    Counts up to ``most`` and ``deepest``; time is linear in the values written. What contains itself counts once.
    """
    done: dict[int, tuple[int, int]] = {}
    stack: list[tuple[Value, list[Value] | None]] = [(root, None)]
    while stack:
        value, below = stack.pop()
        if below is not None:
            rows = [done.get(id(child), (1, 1)) for child in below]
            count, depth = 1 + sum(row[0] for row in rows), 1 + max((row[1] for row in rows), default=0)
            done[id(value)] = min(count, most), min(depth, deepest)
        elif id(value) not in done:
            below = list(children(value))
            spend(1 + len(below))
            done[id(value)] = (1, 1)  # until it is counted, and where it contains itself
            stack.append((value, below))
            stack.extend((child, None) for child in below if isinstance(child, _NESTED) and id(child) not in done)
    return done.get(id(root), (1, 1))
