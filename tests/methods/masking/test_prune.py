"""Pruning by masks: order, blocks against one unit at a time, zeros in the file, fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hubclean.methods.masking import prune as mask_pruning
from hubclean.methods.masking.prune import Budget, cleansed, prune_by_masks, ranked
from hubclean.methods.masking.search import Masks
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.trace.units import UnitGroup
from hubclean.nets.triggers import Trigger
from support.masked_nets import SESSION, WithNorms, images, small, units_of

FIT, VAL = images(64, 1), images(64, 2)


@pytest.fixture(scope="module")
def normed() -> Checkpoint:
    return small(WithNorms)


def test_order_is_by_mask_then_by_magnitude_and_whole_masks_stay() -> None:
    values = [torch.tensor([0.0, 1.0, 0.5]), torch.tensor([0.0, 0.9, 0.5])]
    sizes = [torch.tensor([1.0, 9.0, 1.0]), torch.tensor([2.0, 9.0, 0.5])]
    assert ranked(values, sizes, 1.0) == [(1, 0), (0, 0), (0, 2), (1, 2), (1, 1)]
    assert ranked(values, sizes, 0.5) == [(1, 0), (0, 0), (0, 2), (1, 2)]


def one_at_a_time(order: list[tuple[int, int]], cost: dict[Any, float], room: list[int], budget: Budget) -> set[Any]:
    gone: set[Any] = set()
    skipped = 0
    for place, unit in order:
        if skipped == budget.skips or sum(one[0] == place for one in gone) == room[place]:
            continue
        if sum(cost[one] for one in gone) + cost[place, unit] <= budget.max_drop + 1e-9:
            gone.add((place, unit))
        else:
            skipped += 1
    return gone


@pytest.mark.parametrize("seed", range(40))
def test_blocks_choose_what_one_unit_at_a_time_would(
    seed: int, normed: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(seed)
    wide = [30, 60]
    groups = [replace(group, count=count) for group, count in zip(units_of_once(normed), wide, strict=True)]
    rows = [(place, unit) for place, count in enumerate(wide) for unit in range(count)]
    order = [rows[i] for i in torch.randperm(len(rows), generator=draw).tolist()]
    share = float(torch.rand(1, generator=draw))  # of units that cost something
    costs = torch.rand(len(rows), generator=draw) * (torch.rand(len(rows), generator=draw) < share) * 0.02
    cost = dict(zip(rows, costs.tolist(), strict=True))
    looks = []

    def accuracy_of(search: Any, more: Any) -> float:
        looks.append(more)
        gone = {(place, unit) for place, units in enumerate(search.gone) for unit in units} | set(more)
        return 0.9 - sum(cost[one] for one in gone)

    monkeypatch.setattr(mask_pruning.BlockSearch, "accuracy_without", accuracy_of)
    budget = Budget(0.03, layer_share=0.4, skips=5)
    found = prune_by_masks(normed, groups, order, budget, VAL, (), SESSION)
    chosen = {(place, u) for place, group in enumerate(groups) for u in found.dead[group.name].tolist()}
    assert chosen == one_at_a_time(order, cost, [12, 24], budget)
    assert found.curve[-1].cut == found.cut == len(chosen)
    assert 0.9 - found.curve[-1].clean_accuracy <= 0.03 + 1e-6
    if share < 0.02:
        assert len(looks) < 20


GROUPS: list[tuple[UnitGroup, ...]] = []


def units_of_once(checkpoint: Checkpoint) -> tuple[UnitGroup, ...]:
    if not GROUPS:
        GROUPS.append(units_of(checkpoint))
    return GROUPS[0]


def test_the_cut_is_zeros_in_the_original_weights_within_the_tolerance(normed: Checkpoint) -> None:
    groups = units_of(normed)
    values = tuple(torch.linspace(0, 0.9, group.count) for group in groups)
    sizes = tuple(torch.ones(group.count) for group in groups)
    one = Trigger(torch.zeros(1, 16, 16), torch.zeros(3, 16, 16), 0)
    data = DefenseData(FIT, VAL)
    done = cleansed(normed, Masks(groups, values), sizes, Budget(0.05, layer_share=0.5), data, (one,), SESSION, "t")
    assert done.kept == "pruned"
    assert 0 < done.cut <= 4 + 6
    net, before = done.checkpoint.model.net, normed.model.net
    dead = (net.bn1.weight == 0) & (net.bn1.bias == 0)
    assert int(dead.sum() + ((net.bn2.weight == 0) & (net.bn2.bias == 0)).sum()) == done.cut
    assert bool((net.conv1.weight[dead] == 0).all())
    assert torch.equal(net.conv1.weight[~dead], before.conv1.weight[~dead])
    assert done.curve[0].clean_accuracy == clean_accuracy(normed.model, VAL, SESSION).value
    assert done.curve[-1].clean_accuracy == clean_accuracy(done.checkpoint.model, VAL, SESSION).value
    assert done.curve[0].clean_accuracy - done.curve[-1].clean_accuracy <= 0.05
    assert all(point.proxy_asr is not None for point in done.curve)
    assert f"{done.cut} of 20 units cut" in done.notes[0]


def test_fine_tuning_keeps_what_is_cut_at_zero(normed: Checkpoint) -> None:
    groups = units_of(normed)
    values = (torch.linspace(0, 0.9, 8), torch.ones(12))
    budget = Budget(1.0, threshold=0.2, layer_share=0.5, tune_epochs=2)
    done = cleansed(normed, Masks(groups, values), values, budget, DefenseData(FIT, VAL), (), SESSION, "t")
    assert [stage.name for stage in done.stages] == ["pruned", "fine-tuned"]
    pruned, tuned = (stage.checkpoint.model.net for stage in done.stages)
    assert done.cut == 2
    assert not torch.equal(pruned.fc.weight, tuned.fc.weight)
    for net in (pruned, tuned):
        assert bool((net.bn1.weight[:2] == 0).all())
        assert bool((net.conv2.weight[:, :2] == 0).all())
