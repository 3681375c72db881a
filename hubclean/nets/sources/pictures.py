"""What a source offers: pictures of one split that are not decoded yet, with the classes that the data gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.nets.sources.split_words import canonical, rank

LabelKind = Literal["name", "number", "none"]


class Unreadable(Exception):
    """One picture that cannot be had: not there, damaged, too large. It is left out and counted."""


@dataclass(frozen=True)
class Classes:
    """The class of every picture as the data says it.

    Attributes:
        kind: ``name``: the data names its classes; ``number``: it numbers them; ``none``: there are no labels.
        names: of the classes, by number; for ``number`` the numbers from 0 to the largest as text.
        numbers: the class of every picture, an index into ``names``; -1 throughout for ``none``.
        column: the column that brought them, where one did.
    """

    kind: LabelKind
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    column: str = ""

    @property
    def used(self) -> tuple[str, ...]:
        """The classes that have a picture, in order."""
        return tuple(self.names[number] for number in sorted(set(self.numbers)) if number >= 0)


def unlabelled(count: int) -> Classes:
    """No labels for ``count`` pictures."""
    return Classes("none", (), (-1,) * count)


@dataclass(frozen=True)
class Request:
    """What is asked of a source.

    Args:
        split: by its name, or another word for it (``val`` for ``validation``); ``None`` = the most held-out one.
        image_column, label_column: of a table, where the names and the model's labels do not decide.
        labels: the model's labels, which settle what names alone leave open; empty = not known.
        labelled: whether pictures without labels are of no use.
        most: how many pictures will be drawn at most; ``None`` = all.
    """

    split: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    labels: tuple[str, ...] = ()
    labelled: bool = True
    most: int | None = None


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split.

    Attributes:
        source: its name, without a path of this machine.
        split: the name of the split, ``all`` where there are none.
        classes: one entry a picture.
        read: for rows in any order, each row with its picture: encoded bytes, a uint8 array, a PIL image, or an
            ``Unreadable``.
        left: how many were left out so far, by reason.
        notes: what else the line says.
    """

    source: str
    split: str
    classes: Classes
    read: Callable[[Sequence[int]], Iterator[tuple[int, Any]]]
    left: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.classes.numbers)

    def noted(self, *notes: str) -> Pictures:
        """The same with more said about it."""
        return replace(self, notes=(*self.notes, *notes))


class Offer(NamedTuple):
    """One split that can be opened."""

    name: str
    open: Callable[[], Pictures]


def choose(offers: Sequence[Offer], request: Request, source: str) -> Pictures:
    """The split asked for, else the most held-out one; where labels are needed, the most held-out one that has some.

    Raises:
        DataError: there is no such split, or no split has labels and they are needed.
    """
    names = [offer.name for offer in offers]
    if request.split:
        offers = [_named(offers, request.split, source)]
    chosen: Pictures | None = None
    passed: list[str] = []
    for offer in sorted(offers, key=lambda one: rank(one.name)):
        found = offer.open()
        chosen = chosen or found
        if found.classes.kind != "none" or not request.labelled:
            chosen = found
            break
        passed.append(offer.name)
    assert chosen is not None
    if request.labelled and chosen.classes.kind == "none":
        why = f": {chosen.notes[0]}" if chosen.notes else ""
        of = f"the split {printable(chosen.split)!r} of " if request.split else ""
        raise DataError(f"the pictures of {of}{printable(source)!r} have no labels{why}")
    others = [name for name in names if name != chosen.split and name not in passed]
    said = [f"without labels: {_listed(passed)}"] if passed else []
    return chosen.noted(*said, *([f"splits not used: {_listed(others)}"] if others else []))


def _named(offers: Sequence[Offer], wanted: str, source: str) -> Offer:
    for same in (str, str.casefold, canonical):
        for offer in offers:
            if same(offer.name) == same(wanted):
                return offer
    if len(offers) == 1 and wanted == "all":
        return offers[0]
    if len(offers) == 1 and offers[0].name == "all":
        if wanted == "train":  # what Hugging Face datasets calls a set that has no splits
            return offers[0]
        raise DataError(f"{source!r} is a single set without splits, so it has no split {printable(wanted)!r}")
    raise DataError(f"{source!r} has no split {printable(wanted)!r}; it has: {_listed([one.name for one in offers])}")


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(printable(name, 60) for name in names[:most]) + more
