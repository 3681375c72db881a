"""Magnitude against saliency: ranks, first-order saliency, outliers, and a report that judges nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor
from torch.nn import functional

from hubclean.methods.detectors.magnitude_saliency import MagnitudeSaliency, deviations, ranks, saliency, spearman
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import masks, searchable_units
from hubclean.nets.images import DefenseData
from hubclean.records import to_json
from support.masked_nets import SESSION, Plain, images, small

DATA = DefenseData(images(64, 1), images(0))


@pytest.fixture(scope="module")
def plain() -> Checkpoint:
    return small(Plain)


def test_ranks_and_correlation_are_those_of_scipy() -> None:
    draw = torch.Generator().manual_seed(0)
    for count in (3, 10, 57):
        one = torch.randint(0, 8, (count,), generator=draw).float()
        other = one + torch.randint(0, 8, (count,), generator=draw)
        assert ranks(one).tolist() == rankdata(one.numpy()).tolist()
        found = spearman(one, other)
        assert found == pytest.approx(float(spearmanr(one.numpy(), other.numpy()).statistic))
    assert spearman(torch.ones(5), torch.arange(5.0)) is None
    assert spearman(torch.arange(2.0), torch.arange(2.0)) is None


def test_saliency_is_the_slope_of_the_loss_along_every_mask(plain: Checkpoint) -> None:
    groups = searchable_units.of_network(plain, DATA.fit.images(slice(0, 2)))
    found = saliency(plain.model, groups, DATA.fit, SESSION)
    exact = plain.model.double()

    def loss(values: list[Tensor]) -> float:
        with torch.no_grad(), masks.masked(exact, groups, values):
            return float(functional.cross_entropy(exact(DATA.fit.images(slice(None)).double()), DATA.fit.labels))

    try:
        for place, unit in ((0, 0), (0, 5), (1, 3), (1, 9)):
            ends = []
            for step in (-1e-5, 1e-5):
                values = [torch.ones(group.count, dtype=torch.float64) for group in groups]
                values[place][unit] += step
                ends.append(loss(values))
            assert float(found[place][unit]) == pytest.approx(abs(ends[1] - ends[0]) / 2e-5, rel=0.02, abs=1e-4)
    finally:
        plain.model.float()


def test_one_large_idle_unit_is_the_outlier() -> None:
    size, use = torch.arange(1.0, 31.0), torch.arange(1.0, 31.0)
    use[torch.arange(0, 30, 2)] += 1.5  # neighbours change places: some spread
    use[29] = 0.0
    found = deviations(size, use)
    assert int(found.argmax()) == 29
    assert (found > 3).nonzero().flatten().tolist() == [29]
    assert deviations(size, size).tolist() == [0] * 30


def test_the_report_is_evidence_and_no_verdict(plain: Checkpoint) -> None:
    report = MagnitudeSaliency().detect(plain, DATA, SESSION).report
    assert (report.verdict, report.targets, report.scores) == ("undecided", (), ())
    assert "no calibrated cut-off" in report.reason
    assert set(report.measures) == {"correlation conv", "correlation hidden", "outliers", "units"}
    assert report.measures["units"] == 16
    groups = searchable_units.of_network(plain, DATA.fit.images(slice(0, 2)))
    sizes, uses = searchable_units.magnitudes(plain.model, groups), saliency(plain.model, groups, DATA.fit, SESSION)
    for group, size, use in zip(groups, sizes, uses, strict=True):
        expected = float(spearmanr(size.numpy(), use.numpy()).statistic)
        assert report.measures[f"correlation {group.name}"] == pytest.approx(expected, abs=1e-6)
    assert report.forward_backwards == 64


def test_a_layer_that_no_image_uses_has_no_correlation(plain: Checkpoint) -> None:
    dead = plain.copy()
    net: Any = dead.model.net
    with torch.no_grad():
        net.hidden.bias.fill_(-1e6)
    report = MagnitudeSaliency().detect(dead, DATA, SESSION).report
    assert [name for name in report.measures if name.startswith("correlation")] == []
    assert "undefined" in report.reason
    json.dumps(to_json(report), allow_nan=False)
