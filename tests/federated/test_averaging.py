"""How updates are joined: means, medians, clipping, and what no single client can do to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hubclean.federated.averaging import Averaging, average


def test_the_mean_of_updates_with_the_servers_rate() -> None:
    start = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    updates = [
        {"w": torch.tensor([3.0, 2.0]), "n": torch.tensor(4)},
        {"w": torch.tensor([1.0, 6.0]), "n": torch.tensor(5)},
    ]
    assert average(start, updates)["w"].tolist() == [2.0, 4.0]
    assert average(start, updates, Averaging(eta=0.5))["w"].tolist() == [1.5, 3.0]
    assert int(average(start, updates)["n"]) == 4


def moved(*updates: tuple[float, ...], how: Averaging, extra: tuple[float, ...] = ()) -> dict[str, Tensor]:
    """What clients that moved ``w`` from (1, 1) by ``updates`` make of it; ``extra`` are their running statistics."""
    start = {"w": torch.ones(2), "running_var": torch.zeros(1)}
    states = [
        {"w": start["w"] + torch.tensor(one), "running_var": torch.tensor([more])}
        for one, more in zip(updates, extra or (0.0,) * len(updates), strict=True)
    ]
    return average(start, states, how, {"w"})


def test_a_long_update_is_cut_to_the_median_norm_of_the_round_or_a_given_one() -> None:
    rows = ((3.0, 4.0), (0.0, 1.0), (0.0, 300.0), (2.0, 0.0))  # norms 5, 1, 300, 2: the lower middle one is 2
    found = moved(*rows, how=Averaging(clipping="median"))["w"]
    assert found.tolist() == pytest.approx([1 + (1.2 + 0 + 0 + 2) / 4, 1 + (1.6 + 1 + 2 + 0) / 4])
    given = moved(*rows, how=Averaging(clipping="given", norm=1.0))["w"]
    assert given.tolist() == pytest.approx([1 + (0.6 + 1) / 4, 1 + (0.8 + 1 + 1) / 4])
    assert moved(*rows, how=Averaging())["w"].tolist() == pytest.approx([1 + 5 / 4, 1 + 305 / 4])


def test_median_and_trimmed_mean_go_coordinate_by_coordinate() -> None:
    rows = ((1.0, -9.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.0), (900.0, 4.0))
    assert moved(*rows, how=Averaging("median"))["w"].tolist() == [4.0, 3.0]
    assert moved(*rows[1:], how=Averaging("median"))["w"].tolist() == [4.5, 3.5]
    assert moved(*rows, how=Averaging("trimmed"))["w"].tolist() == [4.0, 3.0]  # one of five goes at either end
    assert moved((5.0, 5.0), how=Averaging("trimmed"))["w"].tolist() == [6.0, 6.0]


def test_statistics_are_no_part_of_a_norm_and_one_client_does_not_set_them() -> None:
    rows, huge = ((1.0, 0.0), (0.0, 1.0), (1.0, 0.0)), (1.0, 2.0, 1e6)
    found = moved(*rows, how=Averaging(clipping="median"), extra=huge)
    assert found["w"].tolist() == pytest.approx([1 + 2 / 3, 1 + 1 / 3])
    assert found["running_var"].tolist() == [2.0]
    assert float(moved(*rows, how=Averaging(), extra=huge)["running_var"]) > 1e5


@settings(max_examples=60, deadline=None)
@given(
    honest=st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=9),
    lie=st.floats(-1e6, 1e6, width=32),
    how=st.sampled_from([Averaging("median"), Averaging("trimmed"), Averaging(clipping="median")]),
)
def test_one_client_cannot_carry_the_average_beyond_what_honest_ones_sent(
    honest: list[float], lie: float, how: Averaging
) -> None:
    start = {"w": torch.zeros(1)}
    found = float(average(start, [{"w": torch.tensor([one])} for one in (*honest, lie)], how)["w"])
    assert abs(found) <= max(abs(one) for one in honest) + 1e-6
