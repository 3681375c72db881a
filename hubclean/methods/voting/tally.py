"""Counts ballots and feedback: which are refused and why, whether enough are left, and the sequence that they give.

The rules of a count are ours (docs/methods/federated.md gives the arithmetic alone): every file is judged by itself,
then against the checkpoint, then against the others. What is refused is named with its reason; the rest is counted if
it is more than half of all files handed in, so that whoever hands in junk can stop a count but not turn it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from hubclean.errors import BallotError
from hubclean.escaping import printable
from hubclean.methods.voting import votes
from hubclean.methods.voting.ballot_files import parse_document, read_bytes, same_weights, sealed
from hubclean.methods.voting.ballots import Ballot, Feedback, PruningSequence, Site
from hubclean.methods.voting.votes import Joining
from hubclean.records import BallotReport

Paper = TypeVar("Paper", Ballot, Feedback)
# Participants do not order so many units alike unless one copied the other's ranks.
_NO_CHANCE = 32


@dataclass(frozen=True)
class Counted:
    """Ballots that count, in the order of their hashes, and a report on every file handed in, in the order given."""

    ballots: tuple[Ballot, ...]
    reports: tuple[BallotReport, ...]

    @property
    def site(self) -> Site:
        return self.ballots[0].site


@dataclass(frozen=True)
class FedBack:
    """Accuracy curves that count ``(n, points)``, and a report on every file handed in."""

    curves: tuple[tuple[float, ...], ...]
    reports: tuple[BallotReport, ...]


def count_ballots(places: Sequence[Path], weights: Mapping[str, str], units: Callable[[Site], int]) -> Counted:
    """Read ballots and keep those that can be counted together.

    Refused: what ``ballot_files.parse_document`` refuses, another checkpoint, a file handed in twice, ranks copied from
    another ballot, another site, scheme or rate than most ballots have, another number of units than the site has.

    Args:
        weights: sha256 of the checkpoint's weights by file name.
        units: the number of units of a site of that checkpoint.

    Raises:
        BallotError: no more than half of the files are left.
    """
    box = _Box("ballot", Ballot, places, weights)
    kinds = Counter((one.site, one.scheme, one.rate) for one in box.left.values())
    usual, _ = max(kinds.items(), key=lambda item: (item[1], str(item[0])), default=(None, 0))
    seen: set[tuple[int, ...]] = set()
    for number, one in sorted(box.left.items(), key=lambda item: item[1].sha256):
        if (one.site, one.scheme, one.rate) != usual:
            box.refuse(number, "it is of another site, scheme or rate than most ballots")
        elif one.units != units(one.site):
            box.refuse(number, f"it is for {one.units} units, the checkpoint has {units(one.site)} at site={one.site}")
        elif one.scheme == "rap" and one.units >= _NO_CHANCE and one.entries in seen:
            box.refuse(number, "its ranks are those of another ballot")
        else:
            seen.add(one.entries)
    return Counted(tuple(sorted(box.counted(), key=lambda one: one.sha256)), box.reports())


def sequence(counted: Counted, joining: Joining = "mean", step: float = 0.01) -> PruningSequence:
    """The pruning sequence of ballots, the same whatever the order of their files.

    Args:
        joining: of ranks; votes have one way only.
        step: share of the units between two points of an accuracy curve.
    """
    first, rows = counted.ballots[0], [one.entries for one in counted.ballots]
    order = votes.joint_order(first.scheme, rows, joining)
    return sealed(
        PruningSequence(
            weights=first.weights,
            site=first.site,
            units=first.units,
            scheme=first.scheme,
            rate=first.rate,
            joining=joining if first.scheme == "rap" else "mean",
            order=order,
            counts=votes.curve_counts(first.scheme, first.units, step, order),
            ballots=tuple(one.sha256 for one in counted.ballots),
        )
    )


def count_feedback(places: Sequence[Path], made: PruningSequence) -> FedBack:
    """Read accuracy curves for one sequence and keep those that answer it.

    Raises:
        BallotError: no more than half of the files are left.
    """
    box = _Box("feedback", Feedback, places, made.weights)
    for number, one in list(box.left.items()):
        if one.sequence != made.sha256 or one.counts != made.counts:
            box.refuse(number, "it answers another pruning sequence (other ballots, joining or step)")
    return FedBack(tuple(one.accuracies for one in box.counted()), box.reports())


class _Box(Generic[Paper]):
    """Files of one kind while they are judged, by their number."""

    def __init__(
        self,
        word: Literal["ballot", "feedback"],
        kind: type[Paper],
        places: Sequence[Path],
        weights: Mapping[str, str],
    ) -> None:
        self._word, self._places = word, places
        self._hashes, self._why = [""] * len(places), [""] * len(places)
        self.left: dict[int, Paper] = {}
        seen: set[str] = set()
        for number, place in enumerate(places):
            try:
                data = read_bytes(place)
                self._hashes[number] = hashlib.sha256(data).hexdigest()
                one = parse_document(kind, data)
                same_weights(one, weights)
            except BallotError as error:
                self._why[number] = str(error)
                continue
            if one.sha256 in seen:
                self._why[number] = "it was handed in before"
                continue
            seen.add(one.sha256)
            self.left[number] = one

    def refuse(self, number: int, why: str) -> None:
        self._why[number] = why
        del self.left[number]

    def reports(self) -> tuple[BallotReport, ...]:
        rows = zip(self._places, self._hashes, self._why, strict=True)
        return tuple(BallotReport(self._word, place.name, sha256, why) for place, sha256, why in rows)

    def counted(self) -> list[Paper]:
        """What is left.

        Raises:
            BallotError: too few.
        """
        if 2 * len(self.left) > len(self._places):
            return list(self.left.values())
        why = [f"{printable(one.file, 80)!r}: {one.refused}" for one in self.reports() if one.refused]
        rest = f"; and {len(why) - 3} more" if len(why) > 3 else ""
        raise BallotError(
            f"{len(self.left)} of {len(self._places)} {self._word} files can be counted, more than half must be: "
            f"{'; '.join(why[:3])}{rest}"
        )
