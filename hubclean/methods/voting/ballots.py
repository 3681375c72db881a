"""Ballots, pruning sequences and feedback of federated pruning as records, with the rules each keeps by itself.

Torch-free, exact through JSON. ``fault`` says what is wrong with a record's own numbers; reading, hashing and refusing
files is done in ``ballot_files``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from hubclean.methods.voting import votes
from hubclean.methods.voting.votes import Joining, Scheme

Site = Literal["feature", "conv", "position"]
BALLOT, SEQUENCE, FEEDBACK = "hubclean/ballot/v1", "hubclean/pruning-sequence/v1", "hubclean/feedback/v1"
_MOST_UNITS = 500_000
_SHA256, _NONCE = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one participant says of the units of one checkpoint.

    Args:
        weights: sha256 of the files that hold the checkpoint's weights, by name.
        site: which units: ``feature``, ``conv`` or ``position`` (see ``pruning.prunable``).
        units: their number P.
        scheme: ``rap``: ``entries`` are ranks, 1 = most active; ``mvp``: they are votes, 1 = among the least active.
        rate: share p of the units that an ``mvp`` ballot votes for; ``None`` with ``rap``.
        entries: one number a unit.
        images_at_least: the largest power of ten that is not above the number of images, no more is told.
        versions: of the packages that computed it.
        nonce: 32 random hex digits, so that two participants who agree do not hand in the same ballot.
        epsilon: of the noise on ``mvp`` votes (see ``noise.private``); ``None``: they are the true ones. A claim, as
            everything in a ballot is.
        sha256: of everything else, see ``ballot_files.digest``.
    """

    weights: dict[str, str]
    site: Site
    units: int
    scheme: Scheme
    rate: float | None
    entries: tuple[int, ...]
    images_at_least: int
    versions: dict[str, str]
    nonce: str
    epsilon: float | None = None
    sha256: str = ""
    schema: str = BALLOT


@dataclass(frozen=True, slots=True)
class PruningSequence:
    """What ballots gave: the units in the order in which they are pruned, and where accuracies are asked for.

    Args:
        order: unit numbers from 0, first pruned first; all units with ``rap``, as many as were voted for with ``mvp``.
        counts: how many of them are gone at each point of an accuracy curve; starts with 0.
        joining: how ranks were joined.
        ballots: the ``sha256`` of every ballot counted, sorted.
    """

    weights: dict[str, str]
    site: Site
    units: int
    scheme: Scheme
    rate: float | None
    joining: Joining
    order: tuple[int, ...]
    counts: tuple[int, ...]
    ballots: tuple[str, ...]
    sha256: str = ""
    schema: str = SEQUENCE


@dataclass(frozen=True, slots=True)
class Feedback:
    """A participant's accuracy at every point of a pruning sequence.

    Args:
        sequence: the ``sha256`` of that sequence.
        accuracies: one for each of ``counts``, in [0, 1], to a tenth of a point.
    """

    weights: dict[str, str]
    sequence: str
    counts: tuple[int, ...]
    accuracies: tuple[float, ...]
    images_at_least: int
    versions: dict[str, str]
    nonce: str
    sha256: str = ""
    schema: str = FEEDBACK


def coarse(images: int) -> int:
    """``images_at_least``: 1, 10, 100, ... for that many images or more, up to 10^9; 0 for none."""
    return int(10 ** min(9, len(str(images)) - 1)) if images > 0 else 0


def fault(document: Ballot | PruningSequence | Feedback) -> str:
    """What is wrong with a document's own numbers; empty if nothing is."""
    if not document.weights or not all(_SHA256.fullmatch(value) for value in document.weights.values()):
        return "it does not name the sha256 of the checkpoint's weights"
    if isinstance(document, PruningSequence):
        return _sequence_fault(document)
    if not _NONCE.fullmatch(document.nonce):
        return "its nonce is not 32 hexadecimal digits"
    if document.images_at_least != coarse(document.images_at_least) or document.images_at_least < 1:
        return "its number of images is no power of ten"
    return _ballot_fault(document) if isinstance(document, Ballot) else _feedback_fault(document)


def _ballot_fault(ballot: Ballot) -> str:
    if not 1 <= ballot.units <= _MOST_UNITS:
        return f"it names {_shown(ballot.units)} units; there are 1 to {_MOST_UNITS:,}"
    if len(ballot.entries) != ballot.units:
        return f"it has {len(ballot.entries)} entries for {ballot.units} units"
    if ballot.epsilon is not None and not (ballot.scheme == "mvp" and 0 < ballot.epsilon < float("inf")):
        return "its epsilon is no number above 0, or it has ranks, which have none"
    if ballot.scheme == "rap":
        if ballot.rate is not None:
            return "it has a rate, which ranks do not have"
        return "" if votes.is_permutation(ballot.entries) else f"its ranks are not 1 to {ballot.units}, each once"
    if ballot.rate is None or not 0 < ballot.rate <= 1:
        return "its rate is no share of the units above 0 and up to 1"
    if not set(ballot.entries) <= {0, 1}:
        return "its votes are not all 0 or 1"
    wanted = votes.vote_count(ballot.rate, ballot.units)
    given = sum(ballot.entries)
    return "" if given == wanted else f"it votes for {given} units, a rate of {ballot.rate:g} gives {wanted}"


def _sequence_fault(made: PruningSequence) -> str:
    if not 1 <= made.units <= _MOST_UNITS:
        return f"it names {_shown(made.units)} units; there are 1 to {_MOST_UNITS:,}"
    if len(set(made.order)) != len(made.order) or not all(0 <= unit < made.units for unit in made.order):
        return f"its order is not of units 0 to {made.units - 1}, each at most once"
    if not _rising(made.counts) or made.counts[-1] > len(made.order):
        return "its counts do not rise from 0 to the length of its order"
    if not made.ballots or not all(_SHA256.fullmatch(one) for one in made.ballots):
        return "it does not name the ballots that it comes from"
    return ""


def _feedback_fault(feedback: Feedback) -> str:
    if not _SHA256.fullmatch(feedback.sequence):
        return "it does not name the pruning sequence that it answers"
    if not _rising(feedback.counts) or len(feedback.accuracies) != len(feedback.counts):
        return "it does not have one accuracy for each count, counts rising from 0"
    return "" if all(0 <= value <= 1 for value in feedback.accuracies) else "an accuracy is no share between 0 and 1"


def _rising(counts: tuple[int, ...]) -> bool:
    return bool(counts) and counts[0] == 0 and all(a < b for a, b in pairwise(counts))


def _shown(number: int) -> str:
    return str(number) if abs(number) < 10**12 else "absurdly many"
