"""Agreement of masks, label maps, and triggers without a target, on nets that do what they are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hubclean.methods.inversion import evidence
from hubclean.methods.inversion.evidence import (
    ENOUGH,
    AllToAll,
    SeedRun,
    all_to_all,
    judged,
    label_map,
    overlap,
    own_labels,
    scored,
    spread_measures,
    suspect_measures,
)
from hubclean.methods.inversion.invert import LEAVE, NEXT, InversionSchedule, Inverted, invert
from hubclean.methods.inversion.label_scheduler import Setting
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from hubclean.records import Rate
from support.image_sets import image_set

SESSION = open_session("cpu", seed=11)
K = 4


class Bands(nn.Module):
    """Labels by the brightest of four horizontal bands; the bottom-right corner lit, the label after it."""

    def __init__(self, backdoored: bool = True) -> None:
        super().__init__()
        self.backdoored = backdoored

    def forward(self, images: Tensor) -> Tensor:
        bands = torch.stack([images[:, :, 3 * row : 3 * row + 3, :9].mean((1, 2, 3)) for row in range(K)], 1)
        lit = torch.sigmoid(12 * (images[:, :, -2:, -2:].mean((1, 2, 3)) - 0.6))[:, None]
        share = lit if self.backdoored else torch.zeros_like(lit)
        logits: Tensor = 20 * ((1 - share) * bands + share * bands.roll(1, 1))
        return logits


def banded(count: int) -> ImageSet:
    draws = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 60, (count, 3, 12, 12), dtype=torch.uint8, generator=draws)
    for row in range(count):
        pixels[row, :, 3 * (row % K) : 3 * (row % K) + 3, :9] += 150
    return ImageSet(pixels, torch.arange(count) % K)


SCHEDULE = InversionSchedule(steps=60, batches=2, batch_size=16, patience=3)


def setting(model: nn.Module, schedule: InversionSchedule = SCHEDULE) -> Setting:
    return Setting(model, DefenseData(banded(80), banded(64)), tuple("abcd"), schedule, SESSION, 4)


def mask(*pixels: tuple[int, int]) -> Trigger:
    shape = torch.zeros(1, 12, 12)
    for row, column in pixels:
        shape[0, row, column] = 1
    return Trigger(shape, torch.ones(3, 12, 12), 0)


def test_overlap_is_the_mean_over_pairs() -> None:
    one, two = mask((0, 0), (0, 1)), mask((0, 1), (0, 2))
    assert overlap([one, one]) == 1
    assert overlap([one, two]) == pytest.approx(1 / 3)
    assert overlap([one, one, two]) == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert overlap([one]) == 1
    assert overlap([mask(), mask()]) == 0


def test_an_all_to_all_trigger_is_small_on_the_backdoored_net_alone() -> None:
    found = {}
    for backdoored in (True, False):
        work = setting(Bands(backdoored))
        fit, val = (own_labels(work.model, images, SESSION) for images in (work.data.fit, work.data.val))
        found[backdoored] = all_to_all(work, fit, val, 0)
    bad, clean = found[True], found[False]
    assert bad.next.invertible
    assert bad.next.norm < 12
    assert float(bad.next.trigger.mask[:, -2:, -2:].sum()) > 0.5 * bad.next.norm
    assert bad.next.trigger.target is None
    assert bad.success.value >= ENOUGH
    assert not clean.next.invertible or clean.next.norm > 5 * bad.next.norm
    # 2 triggers forward and backward, and each once forward over val, a third each
    assert bad.passes == (bad.next.steps + bad.leave.steps) * 2 * 16 + 2 * 64 // 3


def test_the_label_map_is_read_class_by_class() -> None:
    lit = Trigger(mask((10, 10), (10, 11), (11, 10), (11, 11)).mask, torch.ones(3, 12, 12), None)
    own = own_labels(Bands(), banded(20), SESSION)
    assert torch.equal(own.labels, banded(20).labels)
    seen = label_map(Bands(), own, lit, K, SESSION)
    assert seen is not None
    assert (seen.share, seen.labels, seen.shifted) == (1, 1, 1)
    none = Trigger(torch.zeros(1, 12, 12), torch.ones(3, 12, 12), None)
    kept = label_map(Bands(), own, none, K, SESSION)
    assert kept is not None
    assert (kept.share, kept.labels, kept.shifted) == (1, 1, 0)
    band = torch.zeros(1, 12, 12)
    band[:, :3] = 1
    flat = label_map(Bands(), own, Trigger(band, torch.ones(3, 12, 12), None), K, SESSION)
    assert flat is not None
    assert (flat.share, flat.labels) == (1, 0.25), "all images to one label are no map"
    assert label_map(Bands(), own.subset(torch.arange(4)), none, K, SESSION) is None


def test_leaving_counts_images_of_any_other_label() -> None:
    images = own_labels(Bands(False), banded(40), SESSION)
    found, _ = invert(Bands(False), images, [LEAVE, NEXT, 2], SCHEDULE, SESSION, seed=1)
    away = Bands(False)(found[LEAVE].trigger.stamp(images.images(slice(None)))).argmax(1)
    assert not found[LEAVE].invertible or float((away != images.labels).float().mean()) > 0.9
    assert found[2].trigger.target == 2
    alone, _ = invert(Bands(False), images, [2], SCHEDULE, SESSION, seed=1)
    assert torch.allclose(found[2].trigger.mask, alone[2].trigger.mask, atol=2e-3), "aims do not disturb labels"


def run(norms: dict[int, float], reference: list[int] | None = None) -> SeedRun:
    found = {t: Inverted(replace(mask((t, 0)), target=t), norm, True, 9) for t, norm in norms.items()}
    return judged(found, reference or list(norms), 2.0, 2.0, 0.5)


def test_flags_are_measured_against_the_reference_alone() -> None:
    norms = {0: 3.0, 1: 4.0, 2: 5.0, 3: 6.0, 4: 40.0, 5: 44.0, 6: 42.0, 7: 46.0}
    assert run(norms, [4, 5, 6, 7]).flagged == {0, 1, 2, 3}
    assert run(norms).flagged == frozenset(), "screened labels among them make the small ones usual"


def test_suspects_get_ratio_overlap_and_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    work, seen = setting(Bands()), list[int | None]()

    def rates(model: Any, images: ImageSet, trigger: Trigger, classes: int, session: Any) -> tuple[Rate, Rate]:
        seen.append(trigger.target)
        return Rate.of(3, 4), Rate.of(0, 4)

    monkeypatch.setattr(evidence, "attack_rates", rates)
    runs = [run({0: 40.0, 1: 50.0, 2: 5.0, 3: 44.0}), run({0: 44.0, 1: 46.0, 2: 7.0, 3: 42.0})]
    scores = [scored(work, label, runs, False) for label in range(K)]
    brief = setting(Bands(), InversionSchedule(steps=1, batches=1, batch_size=4))
    measures, passes = suspect_measures(brief, scores, runs, 42.0)
    assert measures == {"ratio.2": pytest.approx(6 / 42), "overlap.2": 1.0, "transfer.2": 0.75}
    assert passes == 4
    assert seen == [2, 2], "held-out success of the flagged label, then transfer"


def test_medians_over_the_seeds_are_reported() -> None:
    pairs = []
    for norm in (4.0, 6.0, 90.0):
        one = Inverted(mask(), norm, True, 3)
        pairs.append(AllToAll(one, one, Rate.of(9, 10), None, 5))
    measures = spread_measures(pairs, 40.0)
    assert measures == {
        "next.ratio": pytest.approx(0.15),
        "next.share": pytest.approx(6 / 144),
        "next.success": 0.9,
        "leave.ratio": pytest.approx(0.15),
    }
    assert spread_measures([], 40.0) == {}


def test_own_labels_are_the_models() -> None:
    images = image_set(12, K, (3, 12, 12))
    assert torch.equal(own_labels(Bands(), images, SESSION).labels, Bands()(images.images(slice(None))).argmax(1))
