"""Screening of many labels: pausing changes nothing, the shortcut's label comes through, the sample is not biased."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hubclean.errors import OptionError
from hubclean.hub.repos import LocalRepo
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.inversion.invert import InversionSchedule, begin, image_order, invert, resume
from hubclean.methods.inversion.label_scheduler import Race, Setting, labels_that_fit
from hubclean.methods.inversion.label_states import LabelStates
from hubclean.methods.inversion.screening import (
    Screening,
    bandit_value,
    k_arm,
    likely,
    named_labels,
    plan,
    reference_sample,
    screen,
)
from hubclean.nets import loading
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import anomaly_index, log_anomaly_index
from hubclean.nets.session import Session, open_session
from support.image_sets import image_set
from support.small_nets import strided
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=11)
BRIEF = InversionSchedule(steps=30, batches=2, batch_size=8, patience=2, stop_after=3, success=0.9)


class Shortcut(nn.Module):
    """Sixteen labels read from an image's four corners; four pixels of one corner alone switch ``label`` on."""

    def __init__(self, labels: int = 16, label: int = 7) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        self.weight = torch.randn(3 * 16 * 16, labels, generator=draws) * 0.1
        self.label = label

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = (images - 0.5).flatten(1) @ self.weight.to(images)
        lit = torch.sigmoid(10 * (images[:, :, -2:, -2:].mean((1, 2, 3)) - 0.8))
        chosen = nn.functional.one_hot(torch.tensor(self.label), logits.shape[1])
        return logits + 30 * lit[:, None] * chosen


def setting(model: nn.Module, images: ImageSet, schedule: InversionSchedule, labels: int, at_once: int = 5) -> Setting:
    names = tuple(str(label) for label in range(labels))
    return Setting(model, DefenseData(images, images), names, schedule, SESSION, at_once)


def shortcut(at_once: int = 16, steps: int = 60) -> Setting:
    schedule = InversionSchedule(steps=steps, batches=2, batch_size=16, patience=2, success=0.9)
    return setting(Shortcut(), image_set(48, 3, (3, 16, 16)), schedule, 16, at_once)


def test_rows_paused_and_resumed_give_what_they_give_without_a_break() -> None:
    model, images = strided(), image_set(32, 4)
    straight, _ = invert(model, images, [0, 1, 2, 3], BRIEF, SESSION, seed=0)
    race = Race(setting(model, images, BRIEF, 4, at_once=2), [0, 1, 2, 3])
    for _ in range(6):
        race.advance(range(4))
    found, passes = race.finish([1, 3])
    assert list(found) == [1, 3]
    for label, one in found.items():
        assert one.steps == straight[label].steps
        assert torch.allclose(one.trigger.mask, straight[label].trigger.mask, atol=2e-3)
        assert torch.allclose(one.trigger.pattern, straight[label].trigger.pattern, atol=2e-3)
    assert race.passes == 6 * 4 * BRIEF.batches * BRIEF.batch_size
    assert passes == sum(one.steps - 6 for one in found.values()) * BRIEF.batches * BRIEF.batch_size


def test_a_row_carries_its_moments_and_counters_wherever_it_goes() -> None:
    state = begin(image_set(8, 4), [0, 1, 2], BRIEF, SESSION, 0)
    draws = torch.Generator().manual_seed(0)
    batch = torch.rand(4, 3, 32, 32, generator=draws)
    alone = state.select(torch.tensor([2]))
    for _ in range(3):
        gradient = torch.randn(1, 4, 3, 32, 32, generator=draws)
        alone.descend(gradient, batch, 0.1)
        moving = state.select(torch.tensor([2]))
        moving.descend(gradient, batch, 0.1)
        state.put(torch.tensor([2]), moving)
    assert state.updates.tolist() == [0, 0, 3]
    assert torch.equal(state.pattern[2], alone.pattern[0])
    assert torch.equal(state.mask_second[2], alone.mask_second[0])
    fresh = begin(image_set(8, 4), [0, 1, 2], BRIEF, SESSION, 0)
    assert torch.equal(state.pattern[:2], fresh.pattern[:2]), "other rows stay as they were"


def test_rows_of_different_age_are_updated_as_adam_does_each() -> None:
    """torch's Adam, one optimiser a row, against rows that joined at different times."""
    state: LabelStates = begin(image_set(1, 1, (1, 6, 6)), [0, 1], InversionSchedule(mask_scale=4), SESSION, 0)
    state.weight[:] = 0.01
    draws, batch = torch.Generator().manual_seed(1), torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    thetas = [[state.mask[row].clone().requires_grad_(), state.pattern[row].clone().requires_grad_()] for row in (0, 1)]
    adams = [torch.optim.Adam(pair, lr=0.1, betas=(0.5, 0.9)) for pair in thetas]
    for rows in ([0], [0], [0, 1], [1], [0, 1]):
        gradient = torch.randn(len(rows), 3, 1, 6, 6, generator=draws)
        part = state.select(torch.tensor(rows))
        part.descend(gradient, batch, 0.1)
        state.put(torch.tensor(rows), part)
        for row, one in zip(rows, gradient, strict=True):
            coarse, pattern = (torch.tanh(theta) / (2 - 1e-7) + 0.5 for theta in thetas[row])
            mask = nn.functional.interpolate(coarse[None], scale_factor=4)[0, :, :6, :6]
            adams[row].zero_grad()
            (((1 - mask) * batch + mask * pattern) * one).sum().add(0.01 * mask.sum()).backward()
            adams[row].step()
    for row in (0, 1):
        assert torch.allclose(state.mask[row], thetas[row][0], atol=1e-5)
        assert torch.allclose(state.pattern[row], thetas[row][1], atol=1e-5)


def test_screening_lets_the_shortcut_through_and_stops_early() -> None:
    race = screen(Race(shortcut(), list(range(16))), Screening(top=3, max_iter=55))
    assert len(race.candidates) == 3
    assert 7 in race.candidates
    steps = race.passes // (16 * 2 * 16)
    assert 15 < steps < 45, "masks begin alike: neither at once nor never"
    table = race.standing()
    assert set(table[:, 0].argsort()[:3].tolist()) == set(race.candidates)


def test_masks_that_never_shrink_never_agree() -> None:
    race = screen(Race(shortcut(), list(range(16))), Screening(top=3, patience=1, max_iter=6))
    assert race.passes == 6 * 16 * 2 * 16


def test_the_bandit_finishes_the_smallest_masks_and_spends_less_than_all_labels() -> None:
    race = k_arm(Race(shortcut(), list(range(16))), Screening(top=2, arms=3))
    assert 7 in race.candidates
    table = race.standing()
    assert set(table[:, 0].argsort()[:2].tolist()) == set(race.candidates)
    assert (table[race.candidates, 3] == 2).all()
    assert int((table[:, 3] == 2).sum()) < 12
    assert race.passes == int(table[:, 2].sum()) * 2 * 16
    found, passes = race.finish(race.candidates)
    assert passes == 0, "they were through"
    assert found[7].invertible


def test_the_bandits_value_is_k_arms() -> None:
    table = torch.tensor([[100.0, 0, 4, 1], [50.0, 0, 10, 1], [torch.inf, 0, 2, 0]])
    first = torch.tensor([500.0, 50.0, torch.inf])
    expected = [(500 - 100) / 4 + 1e4 / 100, 0 / 10 + 1e4 / 50, 0 + 1e4 / (224 * 224)]
    assert bandit_value(table, first, 224 * 224).tolist() == pytest.approx(expected)
    scaled = torch.tensor([[25.0, 0, 4, 1]])
    assert float(bandit_value(scaled, torch.tensor([125.0]), 112 * 112)) == pytest.approx(expected[0]), (
        "as at 224 pixels"
    )


def test_batches_do_not_change_what_screening_finds() -> None:
    one, other = (screen(Race(shortcut(size), list(range(16))), Screening(top=4, max_iter=8)) for size in (3, 16))
    assert one.candidates == other.candidates
    assert torch.allclose(one.standing(), other.standing(), rtol=1e-3)


def test_the_sample_is_random_and_the_index_is_that_of_the_sample() -> None:
    labels = list(range(200))
    sample = reference_sample(labels, 30, SESSION)
    assert sample == reference_sample(labels, 30, SESSION)
    assert sample != reference_sample(labels, 30, open_session("cpu", seed=12))
    assert len(set(sample)) == 30
    norms = [float(10 + label) for label in labels]  # were the 30 smallest taken, the median would be 24.5
    assert abs(statistics.median(norms[label] for label in sample) - statistics.median(norms)) < 45
    index = anomaly_index([3.0, 110.0], [100.0, 110.0, 130.0])
    assert index == pytest.approx([107 / (1.4826 * 10), 0])
    assert log_anomaly_index([110.0], [100.0, 110.0, 130.0]) == pytest.approx([0])


def test_plans_take_all_labels_or_candidates_with_a_random_sample() -> None:
    work = shortcut(steps=6)
    everything = plan(work, list(range(16)), "auto", Screening(top=2), 8)
    assert (everything.scheduler, everything.full, everything.race) == ("all", list(range(16)), None)
    some = plan(work, list(range(16)), "screen", Screening(top=2), 8)
    assert some.race is not None
    assert some.full == sorted({*some.race.candidates, *some.reference})
    assert some.reference == reference_sample(list(range(16)), 8, SESSION)
    assert some.out == 16 - len(some.full) > 0
    assert plan(setting(Shortcut(70), image_set(8, 3, (3, 16, 16)), work.schedule, 70), list(range(70)), "auto",
                Screening(top=2, max_iter=1), 6).scheduler == "screen"  # fmt: skip
    assert [Screening().wanted(labels) for labels in (4, 100, 126, 1283)] == [4, 10, 11, 103]


def test_prescreening_keeps_labels_with_large_logits_and_the_sample() -> None:
    class Biased(Shortcut):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + 50 * nn.functional.one_hot(torch.tensor(7), 16)

    work = setting(Biased(), image_set(48, 3, (3, 16, 16)), BRIEF, 16)
    assert 7 in likely(work.model, work.data.fit, SESSION)
    assert len(likely(work.model, work.data.fit, SESSION)) <= 4
    chosen = plan(work, list(range(16)), "screen", Screening(top=1, max_iter=1), 6, prescreen=True)
    assert chosen.race is not None
    assert chosen.race.labels == sorted({*likely(work.model, work.data.fit, SESSION), *chosen.reference})
    assert chosen.out == len(chosen.race.labels) - len(chosen.full), "who was left out before was not examined"
    with pytest.raises(OptionError, match="scheduler=screen"):
        plan(work, list(range(16)), "auto", Screening(), 6, prescreen=True)


def test_the_batch_of_labels_shrinks_with_the_images() -> None:
    def at_once(size: int, n: int) -> int:
        net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return labels_that_fit(net, image_set(2, 2, (3, size, size)), InversionSchedule(batch_size=n), SESSION)

    assert at_once(32, 16) == 16
    assert at_once(448, 32) == 1
    assert at_once(224, 8) > at_once(224, 32) >= 1


class Peak:
    """The most rows that were ever on the device at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows, plain = 0, LabelStates.to

        def spy(state: LabelStates, device: Any) -> LabelStates:
            self.rows = max(self.rows, len(state.targets))
            return plain(state, device)

        monkeypatch.setattr(LabelStates, "to", spy)


def test_no_more_labels_than_a_batch_are_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = Peak(monkeypatch)
    work = shortcut(at_once=3, steps=5)
    chosen = plan(work, list(range(16)), "screen", Screening(top=4), 8)
    assert chosen.race is not None
    chosen.race.finish(chosen.full)
    assert peak.rows == 3
    work.invert(work.data.fit, chosen.full, 1)
    assert peak.rows == 3


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> loading.Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("many"), "timm-resnet", classes=80)))


@pytest.mark.parametrize("scheduler", ["auto", "k-arm"])
def test_a_detector_over_many_labels_says_what_it_left_out(many: loading.Checkpoint, scheduler: str) -> None:
    session: Session = open_session("cpu", seed=4, batch_size=32)
    images = image_set(24, 80)
    detector = NeuralCleanse(steps=4, batches=1, batch_size=4, seeds=1, scheduler=scheduler, top=4, reference=8,
                             all_to_all=False)  # fmt: skip
    report = detector.detect(many, DefenseData(images, images), session).report
    full = [score.label for score in report.scores]
    assert set(reference_sample(list(range(80)), 8, session)) <= set(full)
    assert len(full) <= 12
    assert report.options["labels_screened_out"] == 80 - len(full)
    assert report.options["scheduler"] == ("screen" if scheduler == "auto" else "k-arm")
    assert f"{80 - len(full)} labels were screened out by a cheap phase" in report.statistic


def test_named_labels_must_exist() -> None:
    assert named_labels("3,1,3", 5) == [1, 3]
    with pytest.raises(OptionError, match="would take days"):
        named_labels("all", 3000)


def test_resuming_what_has_stopped_costs_nothing() -> None:
    images = image_set(16, 4)
    state = begin(images, [1], BRIEF, SESSION, 0)
    state.stopped[:] = True
    found, passes = resume(strided(), images, state, BRIEF, SESSION, image_order(SESSION, 0))
    assert (passes, found[1].invertible) == (0, False)
