"""Every class of the images to one label of the model: by name, one by one; nothing is guessed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hubclean.errors import LabelError, OptionError
from hubclean.escaping import printable
from hubclean.nets.labels.lookup import NO_NAME, Labels, NoLabelError, Rule, few
from hubclean.nets.labels.map_files import Pairs, Target, as_text, label_map, read_label_map
from hubclean.nets.labels.spelling import nameless, number_of, offers, plain

LabelMap: TypeAlias = "str | Path | Mapping[str, Target] | None"
How = Literal["name", "number", "position", "map", "index"]
RULES: tuple[Rule, ...] = ("name", "number", "position")


@dataclass(frozen=True)
class Labelling:
    """How classes go to labels.

    Args:
        by: ``name``: the very same name. ``number``: a class named by a number is the label of that number: the one
            named by it, else the one in that place from 0. ``position``: class k in the data's order is label k.
            ``None``: by name, and by number where the labels are numbers themselves or have no names (``LABEL_3``).
        mapping: the user's own word on some classes, or all; it comes before ``by``.
        needed: whether images whose classes have no label are refused; else they count as images without labels.
    """

    by: Rule | None = None
    mapping: Pairs = ()
    needed: bool = True


BY_NAME = Labelling()


def labelling(by: str | None, given: LabelMap) -> Labelling:
    """What a user said: a rule, and a map as a file or from Python.

    Raises:
        OptionError: there is no such rule, or the map cannot be read.
    """
    if by is not None and by not in RULES:
        raise OptionError(f"labels go by {', '.join(RULES)}, not {printable(str(by))!r}")
    pairs = read_label_map(given) if isinstance(given, (str, Path)) else label_map(given) if given is not None else ()
    return Labelling(by, pairs)


@dataclass(frozen=True)
class Refused:
    """A class that goes to no label, and why; ``offer`` is the label it may mean, to be said by the user."""

    name: str
    why: str
    offer: int | None = None


@dataclass(frozen=True)
class Matching:
    """Where each class goes.

    Args:
        places: by the class's number: its label's number, or ``None``: its images are left out.
        names: name of each of those classes.
        how: what decided; ``map`` where the user's map said a class or more.
        refused: classes that go nowhere; with any, ``places`` must not be used.
        notes: what the user should read.
        offered_map: a file's text that settles the refused ones for which a label is offered; empty where none is.
    """

    places: dict[int, int | None]
    names: dict[int, str]
    how: How
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    offered_map: str = ""
    labels: tuple[str, ...] = ()
    classes: int = 0

    @property
    def covered(self) -> int:
        """How many labels have a class."""
        return len({place for place in self.places.values() if place is not None})

    @property
    def pairs(self) -> tuple[tuple[str, int | None], ...]:
        """Class name and label number, in the data's order."""
        return tuple((self.names[index], place) for index, place in self.places.items())

    def checked(self) -> Matching:
        """The same, if every class has its label or is left out by the user's wish.

        Raises:
            LabelError: some class has none; the message lists them, ``label_map`` of the error is what to save.
        """
        if self.refused:
            raise LabelError(_sentence(self), self.offered_map)
        if not any(place is not None for place in self.places.values()):
            raise LabelError("the label map leaves out every class of the images", "")
        return self


def match(
    classes: Sequence[str],
    labels: Sequence[str],
    choice: Labelling | None = None,
    occurring: Collection[int] | None = None,
    numbers: bool = False,
) -> Matching:
    """Match the classes that occur with the labels. Cost: linear in both.

    Args:
        classes: names of all classes in the data's order.
        labels: the model's label names in order.
        occurring: numbers of the classes that have images; ``None`` = all.
        numbers: the data have no names but numbers, and ``classes`` are these as text.
    """
    choice = choice or BY_NAME
    used = range(len(classes)) if occurring is None else sorted(set(occurring))
    table = Labels(labels)
    by: Rule | Literal["index"] | None = choice.by
    if numbers:
        by = "number" if _by_name(table, [classes[index] for index in used], choice) else "index"
    said = dict(choice.mapping)
    places: dict[int, int | None] = {}
    refused: list[Refused] = []
    for index in used:
        name = plain(classes[index])
        try:
            places[index] = table.of_target(said[name]) if name in said else table.of(index, name, by, len(classes))
        except NoLabelError as why:
            refused.append(Refused(name, str(why)))
    mapped = {plain(classes[index]) for index in used} & set(said)
    refused += _shared({index: place for index, place in places.items() if plain(classes[index]) not in said}, classes)
    found = offers([one.name for one in refused], labels) if refused else {}
    refused = [Refused(one.name, one.why, found.get(one.name)) for one in refused]
    return Matching(
        places,
        {index: plain(classes[index]) for index in used},
        "map" if mapped else by or _how(table, [plain(classes[index]) for index in used]),
        tuple(refused),
        _notes(said, mapped, by, classes),
        as_text([*said.items(), *_offered(refused, table)]) if found else "",
        tuple(labels),
        len(classes),
    )


def rows_matched(
    classes: Sequence[str],
    rows: Sequence[int],
    labels: Sequence[str],
    choice: Labelling | None = None,
    numbers: bool = False,
) -> tuple[list[int | None], Matching]:
    """The label of every row, whose class is ``rows``; ``None``: it is left out by the user's wish.

    Raises:
        LabelError: a class goes to no label.
    """
    found = match(classes, labels, choice, set(rows), numbers).checked()
    return [found.places[row] for row in rows], found


def _by_name(table: Labels, values: Sequence[str], choice: Labelling) -> bool:
    """Whether numbers without names are labels' names and not places: only where they fit as names alone, or are said
    to.

    Raises:
        LabelError: both would fit and differ, and the user did not say which is meant.
    """
    if choice.by or not table.by_number:
        return choice.by in ("name", "number") and bool(table.by_number)
    numbers = [int(value) for value in values]
    placed = all(number < table.count for number in numbers)
    named = all(number in table.by_number for number in numbers)
    if named and placed and any(table.by_number[number] != number for number in numbers):
        raise LabelError(
            "the images have numbers for labels, and the model's labels are numbers in another order: say --labels-by "
            "number if they are the labels' names, or --labels-by position if they are their places from 0"
        )
    return named and not placed


def _shared(places: dict[int, int | None], classes: Sequence[str]) -> list[Refused]:
    """Classes that would share a label though no map says so: ``1`` and ``01``."""
    counts = Counter(place for place in places.values() if place is not None)
    return [
        Refused(plain(classes[index]), f"another class goes to label {place}, too")
        for index, place in places.items()
        if place is not None and counts[place] > 1
    ]


def _offered(refused: Sequence[Refused], table: Labels) -> list[tuple[str, Target]]:
    return [(one.name, table.target(one.offer)) for one in refused if one.offer is not None]


def _how(table: Labels, names: Sequence[str]) -> How:
    return "name" if all(name in table.places for name in names) else "number"


def _notes(said: dict[str, Target], mapped: Collection[str], by: str | None, classes: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if spare := [name for name in said if name not in mapped]:
        some = f"{len(spare)} classes of the label map have no images, such as {printable(spare[0], 40)!r}"
        notes.append(some)
    if by == "position" and list(classes) == sorted(classes) != sorted(classes, key=_natural):
        notes.append("classes matched by position are sorted as text, '10' before '2'; timm sorts them as numbers")
    return tuple(notes)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts ``2`` before ``10``, as timm does."""
    return [(int(part), "") if number_of(part) is not None else (-1, part) for part in re.split(r"([0-9]{1,9})", name)]


def _sentence(found: Matching) -> str:
    """Which classes, why, and what to do."""
    refused = found.refused
    quoted = few([repr(printable(one.name, 40)) for one in refused])
    reasons = Counter(one.why for one in refused)
    why = "; ".join(list(reasons)[:2]) + ("; ..." if len(reasons) > 2 else "")
    known = few([repr(printable(label, 40)) for label in found.labels])
    what = f"{len(refused)} classes of the images go" if len(refused) > 1 else "a class of the images goes"
    return f"{what} to no label of the model: {quoted} ({why}); its labels are {known}; {_advice(found)}"


def _advice(found: Matching) -> str:
    if found.offered_map and all(one.offer is not None for one in found.refused):
        ways = ["if they mean the labels offered below, save that as labels.json and give --label-map labels.json"]
    else:
        ways = ["say in a JSON file what each of them is, null to leave it out, and give --label-map FILE"]
    if all(number_of(one.name) is not None and one.why == NO_NAME for one in found.refused):
        ways.append("--labels-by number if they are the labels' numbers from 0")
    elif found.classes == len(found.labels) and nameless(found.labels):
        ways.append("--labels-by position if class k is output k: the model has no label names")
    return ", or ".join(ways)
