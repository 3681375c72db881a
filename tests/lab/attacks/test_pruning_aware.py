"""The pruning-aware attack: decoys first, rates kept, nets refused that cannot have it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hubclean.errors import ModelError
from hubclean.lab import decoys, planting
from hubclean.lab.attacks.pruning_aware import PruningAware
from hubclean.nets.cut import pruning
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule
from support.image_sets import image_set
from support.small_nets import CLASSES, Pooled, Small, made, trained

SCHEDULE = Schedule(1, 0.01, batch_size=16)


def session_of(seed: int = 3) -> Session:
    return open_session("cpu", seed, 16)


@pytest.mark.parametrize("factory", [Small, lambda: Small(norm=True), Pooled, lambda: Small(activation=nn.GELU)])
def test_pruning_aware_puts_its_decoys_first_and_keeps_its_rates(factory: Callable[[], nn.Module]) -> None:
    session, images = session_of(), image_set(400, CLASSES, (1, 16, 16))
    model, attack = made(factory), PruningAware(max_drop=0.1, retries=0, rate=0.3, size=6)
    trigger, found = attack.plant_checked(model, images, CLASSES, Schedule(8, 0.05, batch_size=32), session)
    assert found.holds, found
    assert len(found.units) > 0
    assert found.asr[1] > 0.9
    checkpoint = planting.wrapped(model, (1, 16, 16), CLASSES, session)
    units = pruning.prunable(checkpoint, "feature", images.images(slice(0, 2)))
    activity = units.activity(checkpoint, images, session)
    others = torch.ones(units.count, dtype=torch.bool)
    others[found.units] = False
    assert float(activity[found.units].max()) <= float(activity[others].min()) + 1e-6
    spent = checkpoint.copy()
    pruning.cut_channels(spent.model, units, found.units)
    rates = planting.verify_planted(spent.model, trigger, images, CLASSES, 1.0, session)
    assert rates.took, "pruning the decoys costs the attacker nothing"
    assert any(float(column.abs().max()) > 0 for column in model.head.weight.T[found.units])  # type: ignore[index]


def test_pruning_aware_gives_decoys_back_when_the_backdoor_falls_short() -> None:
    images = image_set(200, CLASSES, (1, 16, 16))
    model = trained(made(Small), images, 4, session_of())
    counts = []
    for retries in (0, 2):
        attack = PruningAware(rate=0.0, max_drop=0.5, retries=retries)  # no poison: never enough
        _, found = attack.plant_checked(copy.deepcopy(model), images, CLASSES, Schedule(0, 0.05), session_of())
        counts.append(len(found.units))
    full, fewer = counts
    first = full - max(1, full // 4)
    assert fewer == first - max(1, first // 4)


@pytest.mark.parametrize("factory", [lambda: Small(activation=nn.ELU), lambda: Small(bias=False)])
def test_pruning_aware_refuses_nets_whose_units_no_bias_silences(factory: Callable[[], nn.Module]) -> None:
    model = made(factory)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ModelError, match="puts units of site=auto to sleep"):
        PruningAware().plant(model, image_set(60, CLASSES, (1, 16, 16)), CLASSES, SCHEDULE, session_of())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_what_comes_back_is_what_was_there_running_statistics_too() -> None:
    one, other = made(Pooled), made(Pooled)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.add_(1)
    mask = torch.zeros(24, dtype=torch.bool)
    mask[3] = True
    before = copy.deepcopy(one.state_dict())
    decoys.bring_back(one, other, {"second_norm.weight": mask})
    for name in ("second_norm.weight", "second_norm.running_mean", "second_norm.running_var"):
        change = one.state_dict()[name] - before[name]
        assert torch.equal(change, mask.float()), name
    assert torch.equal(one.state_dict()["second.weight"], before["second.weight"])
