"""Ranks, votes, their aggregation and the amount to prune, against naive references and as algebra of permutations."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import DataError
from hubclean.methods.voting import votes

ACTIVITY = st.lists(st.floats(-5, 5) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=9)


@st.composite
def ballots(draw: st.DrawFn) -> list[list[int]]:
    units, clients = draw(st.integers(1, 8)), draw(st.integers(1, 7))
    return [draw(st.permutations(range(1, units + 1))) for _ in range(clients)]


@given(ACTIVITY)
def test_ranks_are_a_permutation_with_the_most_active_first(activity: list[float]) -> None:
    found = votes.ranks(activity)
    assert votes.is_permutation(found)
    for one, other in [(i, j) for i in range(len(activity)) for j in range(len(activity))]:
        if activity[one] > activity[other]:
            assert found[one] < found[other]
    # A client alone prunes in the order of Fine-Pruning: rising activity, the smaller number first.
    order = torch.argsort(torch.tensor(activity, dtype=torch.float64), stable=True)
    assert votes.rap_sequence([found]) == tuple(order.tolist())


@given(ACTIVITY, st.floats(0, 1))
def test_a_client_votes_for_its_least_active_units(activity: list[float], rate: float) -> None:
    found = votes.votes_of(activity, rate)
    assert set(found) <= {0, 1}
    assert sum(found) == votes.vote_count(rate, len(activity))
    ranks = votes.ranks(activity)
    assert all(ranks[i] > ranks[j] for i in range(len(found)) for j in range(len(found)) if found[i] > found[j])


@pytest.mark.parametrize(
    ("rate", "units", "expected"), [(0.07, 100, 7), (0.29, 100, 29), (0.5, 7, 4), (0, 9, 0), (1, 9, 9), (0.001, 9, 1)]
)
def test_the_number_of_votes_is_not_at_the_mercy_of_floats(rate: float, units: int, expected: int) -> None:
    assert votes.vote_count(rate, units) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_cannot_be_ranked(bad: float) -> None:
    for make in (votes.ranks, lambda activity: votes.votes_of(activity, 0.5)):
        with pytest.raises(DataError, match="finite"):
            make([0.1, bad])


def naive_joined(rows: list[list[int]], how: str) -> list[Fraction]:
    found = []
    for column in zip(*rows, strict=True):
        ordered = sorted(column)
        if how == "trimmed":
            gone = math.ceil(0.2 * len(rows))
            while gone and len(ordered) > 2:
                ordered, gone = ordered[1:-1], gone - 1
        middle = statistics.median(ordered) if how == "median" else 0
        found.append(Fraction(middle) if how == "median" else Fraction(sum(ordered), len(ordered)))
    return found


@given(ballots(), st.sampled_from(["mean", "median", "trimmed"]))
def test_rank_aggregation_is_what_the_formulas_say(rows: list[list[int]], how: votes.Joining) -> None:
    wanted = naive_joined(rows, how)
    assert votes.joined(rows, how) == pytest.approx([float(value) for value in wanted])
    spread = [statistics.pvariance([Fraction(rank) for rank in column]) for column in zip(*rows, strict=True)]
    order = votes.rap_sequence(rows, how)
    assert sorted(order) == list(range(len(rows[0])))
    assert list(order) == sorted(order, key=lambda unit: (-wanted[unit], spread[unit], unit))


@given(ballots(), st.sampled_from(["mean", "median", "trimmed"]), st.randoms())
def test_the_order_of_clients_does_not_matter(rows: list[list[int]], how: votes.Joining, random: object) -> None:
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert votes.rap_sequence(mixed, how) == votes.rap_sequence(rows, how)


@given(ballots(), st.randoms())
def test_renaming_the_units_renames_the_joined_ranks(rows: list[list[int]], random: object) -> None:
    names = list(range(len(rows[0])))
    random.shuffle(names)  # type: ignore[attr-defined]
    renamed = [[row[name] for name in names] for row in rows]
    for how in ("mean", "median", "trimmed"):
        before = votes.joined(rows, how)  # type: ignore[arg-type]
        assert votes.joined(renamed, how) == tuple(before[name] for name in names)  # type: ignore[arg-type]
    counts = votes.mvp_counts(rows)
    assert votes.mvp_counts(renamed) == tuple(counts[name] for name in names)


def test_ties_go_to_the_units_on_which_clients_agree() -> None:
    # Units 0 and 1 have the mean rank 2.5; the clients agree more on unit 1.
    rows = [[1, 2, 3, 4], [4, 3, 2, 1]]
    assert votes.joined(rows) == (2.5,) * 4
    assert votes.rap_sequence(rows) == (1, 2, 0, 3)


@given(ballots())
def test_reversed_ranks_of_a_minority_cannot_move_the_median_beyond_the_honest(rows: list[list[int]]) -> None:
    honest, liars = rows, [[len(row) + 1 - rank for rank in row] for row in rows[: (len(rows) - 1) // 2]]
    for unit, middle in enumerate(votes.joined([*honest, *liars], "median")):
        assert min(row[unit] for row in honest) <= middle <= max(row[unit] for row in honest)


@given(st.lists(st.lists(st.floats(0, 1), min_size=6, max_size=6), min_size=1, max_size=6), st.floats(0, 1))
def test_majority_voting_counts_and_orders(activities: list[list[float]], rate: float) -> None:
    rows = [votes.votes_of(activity, rate) for activity in activities]
    counts = [sum(row[unit] for row in rows) for unit in range(6)]
    assert votes.mvp_counts(rows) == tuple(counts)
    order = votes.mvp_sequence(rows)
    assert len(order) == len(set(order)) == votes.vote_count(rate, 6)
    rest = set(range(6)) - set(order)
    assert all(counts[i] >= counts[j] for i in order for j in rest)
    assert list(order) == sorted(order, key=lambda unit: (-counts[unit], unit))
    ranked = votes.joined([votes.ranks(activity) for activity in activities])
    known = votes.mvp_sequence(rows, ranked)
    assert list(known) == sorted(range(6), key=lambda unit: (-counts[unit], -ranked[unit], unit))[: len(known)]


@given(st.lists(st.permutations(range(1, 7)), min_size=3, max_size=6), st.permutations(range(1, 7)))
def test_a_single_client_moves_a_count_by_one_at_most(rows: list[list[int]], liar: list[int]) -> None:
    marks = [tuple(int(rank > 3) for rank in row) for row in (*rows, liar)]
    before, after = votes.mvp_counts(marks), votes.mvp_counts([*marks[:-1], tuple(1 - mark for mark in marks[-1])])
    assert all(abs(one - other) <= 1 for one, other in zip(before, after, strict=True))


def test_votes_of_different_size_are_refused() -> None:
    with pytest.raises(DataError, match="different numbers"):
        votes.mvp_sequence([(1, 0, 0), (1, 1, 0)])
    for rows in ([], [()], [(1, 0), (1,)]):
        with pytest.raises(DataError):
            votes.mvp_counts(rows)
        with pytest.raises(DataError):
            votes.rap_sequence(rows)


@pytest.mark.parametrize(
    ("units", "share", "most", "expected"),
    [
        (10, 0.3, None, (0, 3, 6, 9)),
        (10, 0.25, None, (0, 3, 6, 9)),
        (10, 0.5, None, (0, 5)),
        (10, 0.01, 3, (0, 1, 2, 3)),
        (10, 0.2, 5, (0, 2, 4, 5)),
        (4, 1.0, None, (0,)),
        (4, 1.0, 4, (0, 3)),
        (100, 0.07, 20, (0, 7, 14, 20)),
    ],
)
def test_steps_never_take_the_last_unit(units: int, share: float, most: int | None, expected: tuple[int, ...]) -> None:
    assert votes.steps(units, share, most) == expected


CURVES = st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=7)


@given(CURVES)
def test_fed_back_accuracies_are_joined_point_by_point(curves: list[list[float]]) -> None:
    columns = list(zip(*curves, strict=True))
    medians = [statistics.median(column) for column in columns]
    assert votes.agreed(curves, "median") == pytest.approx(medians)
    assert votes.agreed(curves, "mean") == pytest.approx([statistics.fmean(column) for column in columns])
    losses = [statistics.median(curve[0] - curve[point] for curve in curves) for point in range(4)]
    assert votes.agreed(curves) == pytest.approx([medians[0] - loss for loss in losses])


@given(CURVES, st.data())
def test_liars_below_one_half_stay_between_the_losses_of_the_honest(
    curves: list[list[float]], data: st.DataObject
) -> None:
    lies = data.draw(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), max_size=len(curves) - 1))
    found = votes.agreed([*curves, *lies])
    for point in range(4):
        honest = [curve[0] - curve[point] for curve in curves]
        assert min(honest) - 1e-9 <= found[0] - found[point] <= max(honest) + 1e-9


def test_one_liar_among_unlike_clients_does_not_decide() -> None:
    curves = [[0.9, 0.9, 0.88, 0.4], [0.8, 0.8, 0.79, 0.3], [1.0, 0.0, 0.0, 0.0]]
    assert votes.choose(votes.agreed(curves), 0.04) == 2
    assert votes.choose(votes.agreed(curves, "median"), 0.04) == 0  # from one honest client to the other
    assert votes.choose(votes.agreed(curves, "mean"), 0.04) == 0


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers(0, 100))
def test_choose_stops_before_the_first_point_beyond_the_tolerance(hits: list[int], drop: int) -> None:
    place = votes.choose([hit / 100 for hit in hits], drop / 100)
    assert all(hits[0] - hit <= drop for hit in hits[: place + 1])
    assert place == len(hits) - 1 or hits[0] - hits[place + 1] > drop


def test_accuracies_that_are_none_are_refused() -> None:
    for bad in (math.nan, math.inf, -0.1, 1.1):
        with pytest.raises(DataError, match="share"):
            votes.agreed([[0.5, bad]])
    with pytest.raises(DataError, match="points"):
        votes.choose([], 0.1)
    assert votes.choose([0.5, math.nan], 0.1) == 0
