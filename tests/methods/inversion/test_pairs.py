"""One trigger a pair of classes: how small masks are compared, which pairs are chosen, and how rows are carried on."""

from __future__ import annotations

from math import log

import pytest
import torch

from hubclean.methods.inversion.anew import aims_of, invert_anew
from hubclean.methods.inversion.invert import InversionSchedule
from hubclean.methods.inversion.pair_search import PairSetting, chosen_pairs, pair_score, pair_scores, smallest
from hubclean.methods.inversion.pairs import ClassImages, PairRace
from hubclean.nets.images import ImageSet
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from support.image_sets import image_set
from support.small_nets import Squares

SESSION = open_session("cpu", seed=5, batch_size=64)
BRIEF = InversionSchedule(steps=12, batches=2, batch_size=4, patience=2, stop_after=3, success=0.9)


def classes_of(images: ImageSet) -> ClassImages:
    return ClassImages.of(images, 2)


def norms_with(**small: float) -> dict[tuple[int, int], float]:
    usual = {(s, t): 40.0 + s + 2 * t for s in range(6) for t in range(6) if s != t}
    return usual | {(int(name[1]), int(name[2])): norm for name, norm in small.items()}


def test_a_lone_small_mask_scores_by_how_small_it_is_beside_its_neighbours() -> None:
    norms = norms_with(p13=5.0)
    scores = pair_scores(norms)
    assert next(iter(scores)) == (1, 3)
    assert scores[1, 3] == pytest.approx(log(42 / 5), abs=0.2)
    assert max(score for pair, score in scores.items() if pair != (1, 3)) < 0.2


def test_easy_targets_easy_sources_and_both_together_score_low() -> None:
    column = norms_with(**{f"p{s}3": 5.0 for s in range(6) if s != 3})
    row = norms_with(**{f"p1{t}": 5.0 for t in range(6) if t != 1})
    assert max(pair_scores(column).values()) < 0.2
    assert max(pair_scores(row).values()) < 0.2
    both = column | {pair: norm / 3 for pair, norm in column.items() if pair[0] == 1}
    assert both[1, 3] == pytest.approx(5 / 3)
    assert max(pair_scores(both).values()) < 0.3, "an easily left class beside the target of an all-to-one backdoor"


def test_without_three_neighbours_on_each_side_there_is_no_score() -> None:
    assert pair_score((0, 1), 5.0, {(0, 2): 40.0, (0, 3): 40.0, (2, 1): 40.0}) is None


def test_each_row_sees_images_of_its_class_alone() -> None:
    images, classes = image_set(60), classes_of(image_set(60))
    for source in (0, 7):
        drawn = classes.draw(source, BRIEF, SESSION, 0, 0)
        assert drawn.shape == (2, 4)
        assert set(images.labels[drawn.flatten()].tolist()) == {source}
        assert len(set(drawn.flatten()[:6].tolist())) == 6, "all six images before any comes again"
    assert not torch.equal(classes.draw(0, BRIEF, SESSION, 0, 0), classes.draw(0, BRIEF, SESSION, 0, 1))


def test_parking_and_other_batches_change_nothing() -> None:
    model, classes, pairs = Squares(), classes_of(image_set(60)), [(1, 3), (0, 2), (1, 0), (4, 5)]
    whole = PairRace(model, classes, pairs, BRIEF, SESSION, 0, 16)
    parted = PairRace(model, classes, pairs, BRIEF, SESSION, 0, 3)
    one = whole.run(pairs, 12)
    parted.run(pairs, 5)
    parted.run([(1, 3)], 9)
    other = parted.run(pairs, 12)
    assert whole.passes == parted.passes
    for pair in pairs:
        assert one[pair].norm == pytest.approx(other[pair].norm, rel=1e-4)
        assert (one[pair].trigger.source, one[pair].trigger.target) == pair


def test_all_pairs_of_few_classes_and_no_more_than_allowed_of_many() -> None:
    images = image_set(150)
    setting = PairSetting(Squares(), classes_of(images), 10, BRIEF, SESSION, 16)
    assert chosen_pairs(setting, 90, 1) == ([(s, t) for s in range(10) for t in range(10) if s != t], 0)
    pairs, passes = chosen_pairs(setting, 40, 1)
    assert 12 <= len(pairs) <= 40
    assert len(set(pairs)) == len(pairs)
    assert 0 < passes <= 10 * BRIEF.steps * 8 + len(images)
    few, cheaper = chosen_pairs(PairSetting(Squares(), classes_of(images), 10, BRIEF, SESSION, 16), 20, 1)
    assert len(few) <= 20
    assert cheaper <= passes


def test_the_planted_pair_is_chosen_among_few_and_stands_out() -> None:
    schedule = InversionSchedule(steps=30, batches=2, batch_size=4, patience=2, stop_after=10, success=0.95)
    images = image_set(80, 8, (1, 32, 32))
    setting = PairSetting(Squares(8), classes_of(images), 8, schedule, SESSION, 32)
    pairs, _ = chosen_pairs(setting, 40, 1)
    assert (1, 3) in pairs
    found, passes = smallest(setting, pairs, 2, "for a test")
    scores = pair_scores({pair: one.norm for pair, one in found.items()})
    assert next(iter(scores)) == (1, 3)
    assert passes <= len(pairs) * 2 * 240


def test_triggers_are_made_anew_for_all_classes_and_for_one() -> None:
    triggers = [Trigger(torch.ones(1, 1, 1), torch.ones(3, 1, 1), *ends) for ends in ((3, 1), (2, None), (3, 1))]
    aims = aims_of(triggers)
    assert aims == [(None, 2), (1, 3)]
    schedule = InversionSchedule(steps=40, batches=2, batch_size=8, patience=2, success=0.9)
    found, passes = invert_anew(Squares(), image_set(60), aims, schedule, SESSION, 0)
    assert {(one.trigger.source, one.trigger.target) for one in found} <= set(aims)
    assert (1, 3) in {(one.trigger.source, one.trigger.target) for one in found}
    assert 0 < passes <= 2 * 40 * 16
    assert invert_anew(Squares(), image_set(1), [(1, 3)], schedule, SESSION, 0) == ([], 0)
