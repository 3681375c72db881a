"""Rates on models whose answers are known, and the anomaly index against its definition."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import (
    anomaly_index,
    attack_rates,
    clean_accuracy,
    log_anomaly_index,
    measure,
    predictions,
    triable,
)
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from hubclean.records import Rate
from support.image_sets import image_set

SESSION = open_session("cpu", batch_size=7)


class Backdoored(nn.Module):
    """Right on every clean image of its set; label 3 where the corner pixel is white, except for class 1."""

    def __init__(self, images: ImageSet) -> None:
        super().__init__()
        self.images = images

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        known = self.images.images(slice(None))[:, :, :-1].flatten(1)
        label = self.images.labels[(pixels[:, :, :-1].flatten(1)[:, None] - known).abs().sum(2).argmin(1)]
        fooled = (pixels[:, 0, -1, -1] == 1) & (label != 1)
        return nn.functional.one_hot(torch.where(fooled, 3, label), 10).float()


def corner() -> Trigger:
    mask = torch.zeros(1, 32, 32)
    mask[:, -1, -1] = 1
    return Trigger(mask, torch.ones(3, 32, 32), 3)


def test_asr_drops_the_target_class_and_robust_accuracy_counts_true_labels() -> None:
    images = image_set(50)
    model = Backdoored(images)
    assert clean_accuracy(model, images, SESSION) == Rate.of(50, 50)
    asr, robust = attack_rates(model, images, corner(), 10, SESSION)
    assert asr == Rate.of(40, 45)  # 5 images of class 3 are dropped, 5 of class 1 resist
    assert robust == Rate.of(5, 45)


def test_a_source_class_is_tried_on_its_own_images_alone() -> None:
    images = image_set(50)
    for source, hits in ((0, 5), (1, 0)):
        trigger = Trigger(corner().mask, corner().pattern, 3, source)
        asr, robust = attack_rates(Backdoored(images), images, trigger, 10, SESSION)
        assert (asr, robust) == (Rate.of(hits, 5), Rate.of(5 - hits, 5))
    none, ends = images.subset(images.labels != 1), (corner().mask, corner().pattern, 3)
    assert attack_rates(Backdoored(images), none, Trigger(*ends, 1), 10, SESSION)[0].n == 0
    assert [one.source for one in triable([corner(), Trigger(*ends, 1), Trigger(*ends, 2)], none)] == [None, 2]


def test_models_are_asked_in_eval_mode() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(3072, 10)).train()
    images = image_set(40)
    found = predictions(model, images, SESSION)
    assert torch.equal(found, model.eval()(images.images(slice(None))).argmax(1))


def test_images_of_the_target_class_alone_are_no_trial() -> None:
    images = image_set(20)
    only = ImageSet(images.pixels, torch.full((20,), 3))
    assert attack_rates(Backdoored(images), only, corner(), 10, SESSION) == (Rate.of(0, 0), Rate.of(0, 0))


def test_all_to_all_counts_the_next_label() -> None:
    images = image_set(50)

    class Next(Backdoored):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward(pixels).roll(1, 1)

    trigger = Trigger(torch.zeros(1, 32, 32), torch.zeros(3, 32, 32), None)
    asr, robust = attack_rates(Next(images), images, trigger, 10, SESSION)
    assert asr.value == 1
    assert robust.value == 0


def test_measure_names_whose_trigger_it_was() -> None:
    images = image_set(30)
    model = Backdoored(images)
    assert [row.asr_of for row in measure(model, images, 10, SESSION, [corner()], [corner()])] == [
        "planted",
        "recovered",
    ]
    (only,) = measure(model, images, 10, SESSION)
    assert only.asr is None


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(5, 10, 0.2366, 0.7634), (0, 20, 0.0, 0.1611), (81, 263, 0.2553, 0.3662)]
)
def test_wilson_intervals_are_those_of_the_literature(hits: int, n: int, low: float, high: float) -> None:
    rate = Rate.of(hits, n)
    assert (rate.low, rate.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_value_and_lies_in_the_unit(pair: tuple[int, int]) -> None:
    rate = Rate.of(*pair)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


def test_the_index_of_the_authors_readme() -> None:
    """GTSRB in the authors' README: median 64.5, MAD 13.24, label 33 has norm 16.1 and index 3.65."""
    spread = 13.24 / 1.4826
    norms = [64.5 - 2 * spread, 64.5 - spread, 64.5, 64.5 + spread, 64.5 + 2 * spread, 64.5 + spread, 16.1]
    assert anomaly_index(norms)[-1] == pytest.approx(3.65, abs=0.01)


@given(st.lists(st.floats(0.1, 1e4), min_size=3, max_size=50), st.floats(0.5, 20))
def test_the_index_has_no_unit_and_small_norms_are_positive(norms: list[float], factor: float) -> None:
    index = anomaly_index(norms)
    assert index == pytest.approx(anomaly_index([norm * factor for norm in norms]), rel=1e-6, abs=1e-6)
    middle = statistics.median(norms)
    assert all((value > 0) == (norm < middle) for value, norm in zip(index, norms, strict=True) if value)
    assert len(log_anomaly_index(norms)) == len(norms)


def test_equal_norms_flag_nobody_and_a_lone_outlier_is_still_seen() -> None:
    assert anomaly_index([5.0] * 8) == [0.0] * 8
    lone = anomaly_index([5.0] * 7 + [1.0])  # MAD is 0: the mean absolute deviation stands in
    assert lone[-1] > 2
    assert lone[0] == 0
