"""The model's labels, looked up by name, by number, by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from hubclean.escaping import printable
from hubclean.nets.labels.map_files import Target
from hubclean.nets.labels.spelling import PLACEHOLDER, nameless, number_of, plain

Rule: TypeAlias = Literal["name", "number", "position"]
NO_NAME = "no label has this name"
_SHOWN = 8  # names in a sentence


def few(words: object) -> str:
    shown = list(words)  # type: ignore[call-overload]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


class NoLabelError(Exception):
    """Why a class has no label."""


class Labels:
    """The model's labels, looked up by name and by number."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.count = len(labels)
        self.names = [plain(label) for label in labels]
        self.places: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            self.places.setdefault(name, []).append(index)
        placeholders = [PLACEHOLDER.fullmatch(name) for name in self.names]
        self.nameless = nameless(labels)
        own = [
            int(found[1]) if found else number_of(name) for found, name in zip(placeholders, self.names, strict=True)
        ]
        known = [number for number in own if number is not None]
        # Only where all labels are numbers, each once, does a number say which label is meant.
        numbered = len(set(known)) == self.count and (self.nameless or not any(placeholders))
        self.by_number = {number: index for index, number in enumerate(known)} if numbered else {}

    def of(self, index: int, name: str, by: Rule | Literal["index"] | None, classes: int) -> int:
        """The label of a class by a rule; raises ``NoLabelError``."""
        if by == "index":
            return self._placed(int(name))
        if by == "position":
            return self._at_position(index, classes)
        if by == "number":
            return self._numbered(name)
        if len(found := self.places.get(name, [])) == 1:
            return found[0]
        if found:
            raise NoLabelError(f"the labels {few(map(str, found))} all have this name")
        if by is None and (number := self._number(name)) in self.by_number:
            return self.by_number[number]
        raise NoLabelError(NO_NAME)

    def _number(self, name: str) -> int | None:
        """The number a class name is, or holds as ``LABEL_3`` does where the labels have no names either."""
        found = PLACEHOLDER.fullmatch(name) if self.nameless else None
        return int(found[1]) if found else number_of(name)

    def _numbered(self, name: str) -> int:
        number = self._number(name)
        if number is None:
            raise NoLabelError("its name is no number")
        if not self.by_number:
            return self._placed(number)
        if number not in self.by_number:
            raise NoLabelError("no label has this number")
        return self.by_number[number]

    def _placed(self, number: int) -> int:
        if number >= self.count:
            raise NoLabelError(f"the model has {self.count} labels, numbered from 0")
        return number

    def _at_position(self, index: int, classes: int) -> int:
        if classes == self.count:
            return index
        fewer = classes < self.count
        raise NoLabelError(
            f"{classes} classes cannot go to {self.count} labels by position"
            + (": which labels have no class is not known, and every later one would be shifted" if fewer else "")
        )

    def of_target(self, target: Target) -> int | None:
        """The label that a user's map names; raises ``NoLabelError``."""
        if target is None:
            return None
        if isinstance(target, str):
            found = self.places.get(target, [])
            if len(found) > 1:
                these = few(map(str, found))
                raise NoLabelError(f"the map says {printable(target, 40)!r}, the name of the labels {these}")
            number = found[0] if found else number_of(target)
        else:
            number = target
        if number is None or not 0 <= number < self.count:
            raise NoLabelError(f"the map says {printable(str(target), 40)!r}, which is no label")
        return number

    def target(self, place: int) -> Target:
        """How a map names a label: by its name, or its number where another has the same name."""
        name = self.names[place]
        return name if name and len(self.places[name]) == 1 else place
