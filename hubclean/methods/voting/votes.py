"""Federated pruning's arithmetic: ranks and votes of one client, their aggregation, and how much to prune.

Wu, Yang, Zhu, Mitra, ICDCS 2022 (arXiv 2011.01767). No full text could be read: what follows are the formulas of
docs/methods/federated.md (recalled from the paper), and where those are silent our own reconstruction, marked so.

Plain Python on whole numbers, so that nothing is ever tied or untied by rounding; no torch, no network, no files. Units
are numbered from 0, clients are rows, rank 1 is the most active unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite
from typing import Literal

from hubclean.errors import DataError
from hubclean.methods.tolerance import step_width, within

Scheme = Literal["rap", "mvp"]
Joining = Literal["mean", "median", "trimmed"]
Agreement = Literal["losses", "median", "mean"]
# Share of the clients that a trimmed mean leaves out at either end (ours).
TRIMMED = 0.2


def ranks(activity: Sequence[float]) -> tuple[int, ...]:
    """r_i of one client ``(u,)``: the place of unit i when units are sorted by falling activity, 1 = most active.

    Of equally active units the one with the smaller number counts as less active, as in Fine-Pruning's order.

    Raises:
        DataError: an activity is not finite.
    """
    found = [0] * len(activity)
    for place, unit in enumerate(_rising(activity)):
        found[unit] = len(activity) - place
    return tuple(found)


def vote_count(rate: float, units: int) -> int:
    """ceil(p * P), the number of units that a client votes for at rate p; exact for shares written in decimals."""
    return min(units, ceil(round(rate * units, 6)))


def votes_of(activity: Sequence[float], rate: float) -> tuple[int, ...]:
    """v_i of one client ``(u,)``: 1 for the ceil(rate * u) least active units, else 0. Ties as in ``ranks``.

    Raises:
        DataError: an activity is not finite.
    """
    chosen = set(_rising(activity)[: vote_count(rate, len(activity))])
    return tuple(int(unit in chosen) for unit in range(len(activity)))


def is_permutation(values: Sequence[int]) -> bool:
    """Whether ``values`` are ranks: 1 to their number, each once."""
    return len(values) > 0 and set(values) == set(range(1, len(values) + 1))


def joined(rows: Sequence[Sequence[int]], how: Joining = "mean") -> tuple[float, ...]:
    """R_i ``(u,)`` of the ranks ``(n, u)`` of n clients.

    Args:
        how: ``mean`` is the paper's; ``median`` (of an even number: the mean of the middle two) and ``trimmed`` (the
            mean without the ceil(0.2 n) smallest and largest) bound what a lying minority can do (ours).

    Raises:
        DataError: no client, or rows of different length.
    """
    return tuple(total / counted for total, counted in _sums(rows, how))


def rap_sequence(rows: Sequence[Sequence[int]], how: Joining = "mean") -> tuple[int, ...]:
    """Rank aggregation-based pruning: all units in the order in which they are pruned, on average least active first.

    Falling R_i; of equal ones that on which the clients agree more (smaller variance) comes first, then the smaller
    number (ours). With one client it is Fine-Pruning's order.

    Raises:
        DataError: as ``joined``.
    """
    totals, columns = [total for total, _ in _sums(rows, how)], list(zip(*rows, strict=True))
    spread = [len(rows) * sum(rank * rank for rank in column) - sum(column) ** 2 for column in columns]
    return tuple(sorted(range(len(columns)), key=lambda unit: (-totals[unit], spread[unit], unit)))


def mvp_counts(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """n * V_i ``(u,)``: how many of the n clients voted for unit i, of votes ``(n, u)``.

    Raises:
        DataError: as ``joined``.
    """
    _check(rows)
    return tuple(sum(column) for column in zip(*rows, strict=True))


def mvp_sequence(rows: Sequence[Sequence[int]], ranked: Sequence[float] | None = None) -> tuple[int, ...]:
    """Majority voting-based pruning: the units with most votes first, as many as one client voted for.

    A client moves every V_i by 1/n at most, so that extreme ranks cannot decide.

    Args:
        rows: votes ``(n, u)`` that have the same sum each.
        ranked: R_i ``(u,)`` where known: of units with equal votes the larger comes first; then, and without them, the
            smaller number (ours).

    Raises:
        DataError: as ``joined``, or clients voted for different numbers of units.
    """
    counts = mvp_counts(rows)
    if len({sum(row) for row in rows}) != 1:
        raise DataError("the clients voted for different numbers of units")
    behind = [0.0] * len(counts) if ranked is None else ranked
    order = sorted(range(len(counts)), key=lambda unit: (-counts[unit], -behind[unit], unit))
    return tuple(order[: sum(rows[0])])


def joint_order(scheme: Scheme, rows: Sequence[Sequence[int]], joining: Joining = "mean") -> tuple[int, ...]:
    """The pruning sequence of ballots ``(n, u)``: ``rap_sequence`` of ranks, ``mvp_sequence`` of votes.

    Raises:
        DataError: as those.
    """
    return rap_sequence(rows, joining) if scheme == "rap" else mvp_sequence(rows)


def curve_counts(scheme: Scheme, units: int, share: float, order: Sequence[int]) -> tuple[int, ...]:
    """``steps`` of a pruning sequence: ranks order all units, votes as many as one client votes for."""
    return steps(units, share, None if scheme == "rap" else len(order))


def steps(units: int, share: float, most: int | None = None) -> tuple[int, ...]:
    """How many units are gone at each point of a curve: 0, then steps of ceil(share * units), never all of them.

    Args:
        most: as many units a sequence offers; the last step may be smaller than the others to reach it.
    """
    width, end = step_width(share, units), min(units - 1, units if most is None else most)
    counts = list(range(0, end + 1, width))
    return tuple(counts if most is None or counts[-1] == end else [*counts, end])


def agreed(curves: Sequence[Sequence[float]], how: Agreement = "losses") -> tuple[float, ...]:
    """One accuracy a point, of the curves ``(n, points)`` that n clients fed back.

    Args:
        how: ``mean`` of the clients at each point is the paper's; ``median`` and ``losses`` are ours. ``losses`` is
            the median of the first point minus the median of what every client lost by then: clients whose images are
            of unlike difficulty start apart, and one liar among them moves a median of accuracies from one honest
            client to another. While fewer than half lie, the loss is between the losses of honest clients.

    Raises:
        DataError: no client, curves of different length, or an accuracy outside [0, 1].
    """
    _check(curves)
    if not all(0 <= value <= 1 for curve in curves for value in curve):
        raise DataError("an accuracy that was fed back is no share between 0 and 1")
    columns = list(zip(*curves, strict=True))
    if how == "losses":
        start = _middle(columns[0])
        lost = zip(*([curve[0] - value for value in curve] for curve in curves), strict=True)
        return tuple(start - _middle(column) for column in lost)
    return tuple(_middle(column) if how == "median" else sum(column) / len(column) for column in columns)


def choose(curve: Sequence[float], max_drop: float) -> int:
    """The last point of an accuracy curve before it first falls more than ``max_drop`` below its start.

    Prune on while c >= base - eps, stop at the first failure
    (docs/methods/federated.md#how-much-is-pruned).

    Raises:
        DataError: the curve has no point.
    """
    if not curve:
        raise DataError("an accuracy curve without points cannot say how much to prune")
    for place, accuracy in enumerate(curve):
        if not within(curve[0], accuracy, max_drop):
            return max(0, place - 1)
    return len(curve) - 1


def _rising(activity: Sequence[float]) -> list[int]:
    if not all(isfinite(value) for value in activity):
        raise DataError("the activity of a unit is not a finite number, so units cannot be ranked")
    return sorted(range(len(activity)), key=lambda unit: activity[unit])


def _check(rows: Sequence[Sequence[float]]) -> None:
    if not rows or not rows[0]:
        raise DataError("there is no client's answer to aggregate")
    if len({len(row) for row in rows}) != 1:
        raise DataError("the clients' answers have different lengths")


def _sums(rows: Sequence[Sequence[int]], how: Joining) -> list[tuple[int, int]]:
    """For every unit the sum of the ranks that count and their number, which is the same for all units."""
    _check(rows)
    size = len(rows)
    left_out = {"mean": 0, "median": (size - 1) // 2, "trimmed": min(ceil(TRIMMED * size), (size - 1) // 2)}[how]
    kept = [sorted(column)[left_out : size - left_out] for column in zip(*rows, strict=True)]
    return [(sum(column), len(column)) for column in kept]


def _middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
