"""Neural Cleanse's three mitigations, on a small net with a backdoor: what they watch, cut, train, and hand back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hubclean.errors import DataError
from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses import nc_unlearn
from hubclean.methods.defenses.nc_filter import NeuralCleanseFilter
from hubclean.methods.defenses.nc_prune import NeuralCleansePruning
from hubclean.methods.defenses.nc_unlearn import NeuralCleanseUnlearning
from hubclean.methods.runtime_filter import filtered
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.features import features
from hubclean.nets.cut.pruning import prunable
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import StampedSet, Trigger, poison
from support.image_sets import image_set
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=64)
DATA = DefenseData(image_set(120, seed=1), image_set(120, seed=2))
TEST = image_set(100, seed=3)
ALL = [NeuralCleanseFilter(), NeuralCleansePruning(), NeuralCleanseUnlearning()]


def corner(target: int | None, left: bool = False) -> Trigger:
    mask = torch.zeros(1, 32, 32)
    mask[:, -5:, slice(0, 5) if left else slice(-5, None)] = 1
    return Trigger(mask, torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 32, 32).clone(), target)


ONE, OTHER = corner(2), corner(5, left=True)


def backdoored(folder: Any, *triggers: Trigger, kind: str = "timm-resnet") -> Checkpoint:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(folder, kind))).copy()
    images = image_set(300, seed=9)
    for seed, trigger in enumerate(triggers):
        images = poison(images, trigger, 0.15 if trigger.target is not None else 0.5, 10, seed)
    schedule = Schedule(5 if kind == "timm-resnet" else 12, 1e-2, "adamw", batch_size=32)
    train(checkpoint.model, images, schedule, SESSION, "test")
    return checkpoint


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    checkpoint = backdoored(tmp_path_factory.mktemp("one"), ONE)
    assert clean_accuracy(checkpoint.model, TEST, SESSION).value > 0.8
    assert asr(checkpoint, ONE) > 0.9
    return checkpoint


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    checkpoint = backdoored(tmp_path_factory.mktemp("two"), ONE, OTHER)
    assert min(asr(checkpoint, ONE), asr(checkpoint, OTHER)) > 0.8
    return checkpoint


def asr(checkpoint: Checkpoint, trigger: Trigger) -> float:
    return attack_rates(checkpoint.model, TEST, trigger, 10, SESSION)[0].value


def state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return checkpoint.model.state_dict()


def same(one: Checkpoint, other: Checkpoint) -> bool:
    right = state(other)
    return all(torch.equal(tensor, right[name]) for name, tensor in state(one).items())


@pytest.mark.parametrize("defense", ALL, ids=lambda defense: defense.name)
def test_without_a_trigger_the_checkpoint_stays_and_a_note_says_why(defense: Any, single: Checkpoint) -> None:
    cleansing = defense.cleanse(single, DATA, (), SESSION)
    assert (cleansing.kept, cleansing.stage.filters, cleansing.cut) == ("unchanged", (), 0)
    assert "no trigger was recovered" in cleansing.notes[0]
    assert same(cleansing.checkpoint, single)


def test_stamped_images_are_read_row_by_row() -> None:
    images = image_set(12, seed=4)
    which = torch.tensor([-1, 0, 1] * 4)
    mixed = StampedSet(images.pixels, images.labels, (ONE, OTHER), which)
    expected = []
    for row in range(12):
        pixels = images.images(slice(row, row + 1))
        expected.append(pixels if which[row] < 0 else (ONE, OTHER)[int(which[row])].stamp(pixels))
    whole = torch.cat(expected)
    assert not torch.equal(whole, images.images(slice(None)))
    assert torch.equal(mixed.images(slice(None)), whole)
    index = torch.tensor([7, 2, 11, 0])
    assert torch.equal(mixed.images(index), whole[index])
    assert torch.equal(mixed.subset(index).images(slice(1, 3)), whole[index][1:3])
    assert torch.equal(torch.cat([pixels for pixels, _ in mixed.batches(5)]), whole)


class TestFilter:
    def test_the_units_are_those_that_the_trigger_raises_most(self, single: Checkpoint) -> None:
        cleansing = NeuralCleanseFilter(units=0.05).cleanse(single, DATA, (ONE,), SESSION)
        (one,) = cleansing.stage.filters
        images = DATA.fit.images(slice(None))
        rise = (
            features(single.model, single.site, ONE.stamp(images)) - features(single.model, single.site, images)
        ).mean(0)
        count = max(1, round(0.05 * single.site.channels))
        assert one.units.tolist() == sorted(rise.argsort(descending=True)[:count].tolist())
        assert (one.target, one.false_alarms) == (2, 0.05)
        assert same(cleansing.checkpoint, single)

    @pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
    def test_the_threshold_leaves_its_share_of_one_half_of_val_above(self, single: Checkpoint, share: float) -> None:
        (one,) = NeuralCleanseFilter(false_alarms=share).cleanse(single, DATA, (ONE,), SESSION).stage.filters
        found = features(single.model, single.site, DATA.val.images(slice(None)))[:, one.units].mean(1)
        order = torch.randperm(120, generator=SESSION.generator("nc-filter"))
        scores = sorted(found[order[:60]].tolist())
        place = next((k for k in range(1, 61) if k >= (1 - share) * 61 - 1e-9), 60)
        assert one.threshold == pytest.approx(scores[place - 1], abs=1e-5)

    def test_stamped_images_are_rejected_and_fresh_clean_ones_are_not(self, double: Checkpoint) -> None:
        cleansing = NeuralCleanseFilter(units=0.05).cleanse(double, DATA, (ONE, OTHER), SESSION)
        model = filtered(cleansing.checkpoint, cleansing.stage.filters)
        assert [one.false_alarms for one in cleansing.stage.filters] == [0.025, 0.025]
        fresh = image_set(200, seed=11).images(slice(None))
        assert model.answer(fresh).rejected.float().mean() < 0.15
        for trigger in (ONE, OTHER):
            assert model.answer(trigger.stamp(fresh)).rejected.float().mean() > 0.8
            assert attack_rates(model, TEST, trigger, 10, SESSION)[0].value < 0.2

    def test_the_notes_measure_on_the_other_half(self, single: Checkpoint) -> None:
        cleansing = NeuralCleanseFilter().cleanse(single, DATA, (ONE,), SESSION)
        model = filtered(cleansing.checkpoint, cleansing.stage.filters)
        aside = DATA.val.subset(torch.randperm(120, generator=SESSION.generator("nc-filter"))[60:])
        passed = float((~model.answer(ONE.stamp(aside.images(slice(None)))).rejected).float().mean())
        alarms = float(model.answer(aside.images(slice(None))).rejected.float().mean())
        assert f"{passed:.1%} of the 60 other val images pass" in cleansing.notes[0]
        assert f"false alarms on 60 clean val images: {alarms:.1%} [" in cleansing.notes[1]
        assert "still hold the backdoor" in cleansing.notes[-1]

    def test_few_images_are_said_and_one_is_too_few(self, single: Checkpoint) -> None:
        few = DefenseData(DATA.fit, image_set(20, seed=5))
        assert any("too few" in note for note in NeuralCleanseFilter().cleanse(single, few, (ONE,), SESSION).notes)
        assert not any("too few" in n for n in NeuralCleanseFilter().cleanse(single, DATA, (ONE,), SESSION).notes)
        with pytest.raises(DataError, match="at least two images"):
            NeuralCleanseFilter().cleanse(single, DefenseData(DATA.fit, image_set(1)), (ONE,), SESSION)


def dead_columns(checkpoint: Checkpoint) -> set[int]:
    weight = checkpoint.model.get_parameter(f"net.{checkpoint.site.heads[0].weight}")
    return set((weight.flatten(1) == 0).all(0).nonzero().flatten().tolist())


def rises(checkpoint: Checkpoint, *triggers: Trigger) -> list[int]:
    """Final channels by their largest standardised rise, one at a time."""
    images, scores = DATA.fit.images(slice(None)), []
    clean = features(checkpoint.model, checkpoint.site, images).mean(0)
    for trigger in triggers:
        rise = features(checkpoint.model, checkpoint.site, trigger.stamp(images)).mean(0) - clean
        scores.append((rise - rise.mean()) / rise.std(correction=0))
    return torch.stack(scores).amax(0).argsort(descending=True).tolist()


class TestPruning:
    def test_the_units_that_serve_the_trigger_go_first_until_it_fails(self, single: Checkpoint) -> None:
        defense = NeuralCleansePruning(step=0.02, max_drop=1.0, most=1.0, asr=0.1)
        cleansing = defense.cleanse(single, DATA, (ONE,), SESSION)
        assert cleansing.curve[-1].proxy_asr < 0.1
        assert all(point.proxy_asr >= 0.1 for point in cleansing.curve[:-1])
        assert 0 < cleansing.cut == cleansing.curve[-1].cut < single.site.channels
        assert dead_columns(cleansing.checkpoint) == set(rises(single, ONE)[: cleansing.cut])
        assert asr(cleansing.checkpoint, ONE) < asr(single, ONE) - 0.5

    def test_it_stops_at_the_tolerance_and_keeps_what_is_within(self, single: Checkpoint) -> None:
        cleansing = NeuralCleansePruning(step=0.02, max_drop=0.1, most=1.0, asr=0.0).cleanse(
            single, DATA, (ONE,), SESSION
        )
        first, last = cleansing.curve[0], cleansing.curve[-1]
        assert first.clean_accuracy - last.clean_accuracy > 0.1
        assert all(first.clean_accuracy - point.clean_accuracy <= 0.1 + 1e-9 for point in cleansing.curve[:-1])
        within = clean_accuracy(cleansing.checkpoint.model, DATA.val, SESSION).value
        assert first.clean_accuracy - within <= 0.1 + 1e-9
        best = min(cleansing.curve[:-1], key=lambda point: (point.proxy_asr, point.cut))
        assert cleansing.cut == best.cut == len(dead_columns(cleansing.checkpoint))

    @pytest.mark.parametrize(("most", "step"), [(0.1, 0.03), (0.3, 0.25), (0.0, 0.1)])
    def test_no_more_than_the_largest_share_goes(self, single: Checkpoint, most: float, step: float) -> None:
        defense = NeuralCleansePruning(step=step, max_drop=1.0, most=most, asr=0.0)
        cleansing = defense.cleanse(single, DATA, (ONE,), SESSION)
        assert cleansing.curve[-1].cut == int(most * single.site.channels)

    def test_pruning_that_does_not_help_cuts_nothing(self, single: Checkpoint) -> None:
        nothing = replace(ONE, mask=torch.zeros(1, 32, 32))  # stamps nothing, so every unit serves it equally little
        kept = NeuralCleansePruning(max_drop=0.0, asr=0.0).cleanse(single, DATA, (nothing,), SESSION)
        best = min(point.proxy_asr for point in kept.curve)
        assert kept.cut == min(point.cut for point in kept.curve if point.proxy_asr == best)

    def test_two_triggers_must_both_fail(self, double: Checkpoint) -> None:
        defense = NeuralCleansePruning(step=0.02, max_drop=1.0, most=1.0, asr=0.15)
        cleansing = defense.cleanse(double, DATA, (ONE, OTHER), SESSION)
        assert dead_columns(cleansing.checkpoint) == set(rises(double, ONE, OTHER)[: cleansing.cut])
        rates = [
            attack_rates(cleansing.checkpoint.model, DATA.val, trigger, 10, SESSION)[0].value
            for trigger in (ONE, OTHER)
        ]
        assert max(rates) == pytest.approx(cleansing.curve[-1].proxy_asr, abs=0.02)

    def test_at_the_last_convolution_the_file_holds_zeros(self, single: Checkpoint) -> None:
        defense = NeuralCleansePruning(site="conv", step=0.1, max_drop=1.0, asr=0.0)
        cleansing = defense.cleanse(single, DATA, (ONE,), SESSION)
        units, weights = prunable(single, "conv", DATA.fit.images(slice(0, 2))), state(cleansing.checkpoint)
        held = [units.held(single.model, one) for one in torch.arange(units.count).split(1)]
        assert sum(all((weights[n][m] == 0).all() for n, m in one.items()) for one in held) == cleansing.cut
        assert cleansing.curve[-1].cut == int(0.3 * units.count)

    def test_a_val_of_target_images_alone_is_said(self, single: Checkpoint) -> None:
        val = DATA.val.subset(DATA.val.labels == 2)
        cleansing = NeuralCleansePruning(max_drop=1.0).cleanse(single, replace(DATA, val=val), (ONE,), SESSION)
        assert "no val image could try" in cleansing.notes[1]


class TestUnlearning:
    def test_a_share_is_stamped_with_one_of_the_triggers_and_labels_stay(self) -> None:
        made = NeuralCleanseUnlearning(share=0.25).poisoned(DATA.fit, (ONE, OTHER), SESSION)
        assert torch.equal(made.labels, DATA.fit.labels)
        assert int((made.which >= 0).sum()) == 30
        assert set(made.which.tolist()) == {-1, 0, 1}
        changed = (made.images(slice(None)) != DATA.fit.images(slice(None))).flatten(1).any(1)
        assert torch.equal(changed, made.which >= 0)

    def test_the_triggers_are_forgotten_and_accuracy_stays(self, double: Checkpoint) -> None:
        cleansing = NeuralCleanseUnlearning(batch_size=32, steps=16, max_drop=0.1).cleanse(
            double, DATA, (ONE, OTHER), SESSION
        )
        assert cleansing.kept == "unlearned"
        assert max(asr(cleansing.checkpoint, ONE), asr(cleansing.checkpoint, OTHER)) < 0.3
        before, after = (clean_accuracy(one.model, DATA.val, SESSION).value for one in (double, cleansing.checkpoint))
        assert before - after <= 0.1 + 1e-9
        assert f"val accuracy {before:.1%} before, {after:.1%} after" in cleansing.notes[1]

    def test_clean_images_alone_do_not_do_it(self, single: Checkpoint) -> None:
        """The paper's control: the trigger is what makes the difference."""
        blank = replace(ONE, mask=torch.zeros(1, 32, 32))
        defense = NeuralCleanseUnlearning(batch_size=32, steps=12, max_drop=0.1)
        with_trigger, without = (defense.cleanse(single, DATA, (one,), SESSION).checkpoint for one in (ONE, blank))
        assert asr(with_trigger, ONE) < asr(without, ONE) - 0.3

    def test_an_all_to_all_trigger_is_unlearned(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        trigger = corner(None)
        checkpoint = backdoored(tmp_path_factory.mktemp("all"), trigger, kind="hf-resnet")
        before = asr(checkpoint, trigger)
        assert before > 0.5
        cleansing = NeuralCleanseUnlearning(batch_size=32, max_drop=0.1).cleanse(checkpoint, DATA, (trigger,), SESSION)
        assert asr(cleansing.checkpoint, trigger) < before / 2

    def test_training_that_costs_too_much_is_taken_back(self, single: Checkpoint) -> None:
        defense = NeuralCleanseUnlearning(learning_rate=10.0, max_drop=0.0, steps=4)
        cleansing = defense.cleanse(single, DATA, (ONE,), SESSION)
        assert cleansing.kept == "unchanged"
        assert same(cleansing.checkpoint, single)
        assert "the original is kept" in cleansing.notes[1]

    @pytest.mark.parametrize(
        ("options", "images", "epochs"),
        [({}, 500, 13), ({"steps": 1}, 500, 1), ({}, 6400, 1), ({"epochs": 3}, 12800, 3), ({"batch_size": 10}, 500, 1)],
    )
    def test_epochs_are_added_until_there_are_enough_steps(
        self, single: Checkpoint, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], images: int, epochs: int
    ) -> None:
        given: list[Schedule] = []
        monkeypatch.setattr(nc_unlearn, "train", lambda *args: given.append(args[2]))
        data = DefenseData(DATA.fit.subset(torch.arange(images) % 120), DATA.val)
        NeuralCleanseUnlearning(**options).cleanse(single, data, (ONE,), SESSION)
        (schedule,) = given
        assert (schedule.epochs, schedule.optimizer, schedule.rate) == (epochs, "sgd", 0.01)

    def test_the_epoch_kept_is_the_best_of_those_whose_triggers_fail_alike(self) -> None:
        draw = torch.Generator().manual_seed(0)
        for _ in range(50):
            rows = torch.randint(0, 12, (8, 2), generator=draw).double() / 100
            states = [nc_unlearn.EpochState(e + 1, float(a), float(s), {}) for e, (a, s) in enumerate(rows)]
            front: list[nc_unlearn.EpochState] = []
            for one in states:
                front = NeuralCleanseUnlearning.best_states([*front, one])
            lowest = min(one.asr for one in states if one.asr is not None)
            alike = [one for one in states if one.asr is not None and one.asr <= lowest + 0.02]
            most = max(one.accuracy for one in alike)
            assert front[-1].accuracy == most
            assert front[-1] in alike
