"""Noise on votes: as many as before, as private as promised, true again where epsilon is large."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import comb, exp
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import DataError
from hubclean.methods.voting.noise import private


@settings(max_examples=100, deadline=None)
@given(
    votes=st.lists(st.integers(0, 1), min_size=1, max_size=40), epsilon=st.floats(0.01, 500), seed=st.integers(0, 99)
)
def test_a_ballot_with_noise_votes_for_as_many_units(votes: list[int], epsilon: float, seed: int) -> None:
    found = private(votes, epsilon, Random(seed))
    assert len(found) == len(votes)
    assert sum(found) == sum(votes)
    assert set(found) <= {0, 1}


@pytest.mark.parametrize(("units", "chosen", "epsilon"), [(5, 2, 1.0), (5, 3, 2.0), (4, 1, 0.5)])
def test_every_ballot_is_as_likely_as_the_mechanism_says(units: int, chosen: int, epsilon: float) -> None:
    truth = tuple(int(unit < chosen) for unit in range(units))
    wide, draws = min(chosen, units - chosen), 30_000
    seen = Counter(private(truth, epsilon, generator) for generator in [Random(7)] for _ in range(draws))
    weights = {}
    for some in combinations(range(units), chosen):
        ballot = tuple(int(unit in some) for unit in range(units))
        weights[ballot] = exp(epsilon * sum(a * b for a, b in zip(ballot, truth, strict=True)) / wide)
    whole = sum(weights.values())
    assert len(seen) == comb(units, chosen)
    assert all(seen[one] / draws == pytest.approx(weight / whole, abs=0.015) for one, weight in weights.items())
    assert max(weights.values()) / min(weights.values()) == pytest.approx(
        exp(epsilon)
    )  # the promise, for any two owners


def test_a_large_epsilon_tells_the_truth_and_a_small_one_nothing() -> None:
    truth = tuple(unit % 2 for unit in range(40))
    assert private(truth, 1e6) == truth
    overlap = [sum(a * b for a, b in zip(private(truth, 1e-3, Random(n)), truth, strict=True)) for n in range(400)]
    assert sum(overlap) / 400 == pytest.approx(10, abs=0.5)  # what chance gives
    assert private((1, 1, 1), 0.1) == (1, 1, 1)


def test_many_units_are_no_burden() -> None:
    truth = [1] * 100_000 + [0] * 100_000
    assert sum(private(truth, 1e5)) == 100_000


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("inf"), float("nan")])
def test_epsilon_must_be_a_number_above_0(epsilon: float) -> None:
    with pytest.raises(DataError, match="epsilon"):
        private((1, 0), epsilon)
