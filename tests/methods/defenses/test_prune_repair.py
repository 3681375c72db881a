"""prune-repair: cuts deeper than the tolerance allows, repairs with the cut held, and judges then."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hubclean.errors import OptionError
from hubclean.methods.defenses import prune_repair
from hubclean.methods.defenses.federated_pruning import FederatedPruning
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.methods.defenses.mnp import Mnp
from hubclean.methods.defenses.nc_prune import NeuralCleansePruning
from hubclean.methods.defenses.prune_repair import PruneRepair
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import poison
from support.flat_nets import Hidden, flat
from support.image_sets import image_set
from support.planted import corner

SESSION = open_session("cpu", seed=1, batch_size=64)
DATA = DefenseData(image_set(120, seed=1), image_set(120, seed=2))
TEST = image_set(200, seed=7)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A net with a hidden layer behind a flatten, backdoored by a white corner."""
    net = flat(Hidden)
    images = poison(image_set(400, seed=9), corner(), 0.15, 10, 0)
    train(net.model, images, Schedule(30, 5e-3, "adamw", batch_size=32), SESSION, "plant")
    return net


def rates(checkpoint: Checkpoint) -> tuple[float, float]:
    """Clean accuracy, and ASR of the planted trigger, on images that nobody has seen."""
    asr, _ = attack_rates(checkpoint.model, TEST, corner(), 10, SESSION)
    return clean_accuracy(checkpoint.model, TEST, SESSION).value, asr.value


def dead(checkpoint: Checkpoint) -> torch.Tensor:
    return ~checkpoint.model.get_parameter("net.hidden.weight").any(0)


def test_it_removes_a_corner_that_fine_pruning_leaves(checkpoint: Checkpoint) -> None:
    before = rates(checkpoint)
    assert before[0] > 0.9
    assert before[1] > 0.9, "the backdoor must have taken, or nothing is removed"
    done = PruneRepair(depths="0.8").cleanse(checkpoint, DATA, (), SESSION)
    accuracy, asr = rates(done.checkpoint)
    assert asr < 0.1
    assert accuracy > before[0] - 0.06
    assert rates(FinePruning().cleanse(checkpoint, DATA, (), SESSION).checkpoint)[1] > 0.5


def test_what_was_cut_stays_cut_and_the_rest_was_tuned(checkpoint: Checkpoint) -> None:
    done = PruneRepair(depths="0.6", epochs=2, max_drop=1.0).cleanse(checkpoint, DATA, (), SESSION)
    assert [stage.name for stage in done.stages] == ["pruned", "repaired"]
    pruned, repaired = (stage.checkpoint for stage in done.stages)
    assert done.cut == round(0.6 * 384)
    assert torch.equal(dead(pruned), dead(repaired))
    assert int(dead(pruned).sum()) == done.cut
    assert not torch.equal(*(one.model.get_parameter("net.conv.weight") for one in (pruned, repaired)))


def test_the_tolerance_is_judged_after_the_repair(checkpoint: Checkpoint) -> None:
    deep = PruneRepair(depths="0.96", max_drop=1.0)
    stages = [stage.checkpoint for stage in deep.cleanse(checkpoint, DATA, (), SESSION).stages]
    before, raw, repaired = (clean_accuracy(one.model, DATA.val, SESSION).value for one in (checkpoint, *stages))
    assert raw < repaired, "the repair must give something back, or nothing is told apart"
    deep = replace(deep, max_drop=max(0.0, before - (raw + repaired) / 2))
    alone = replace(deep, repair=False).cleanse(checkpoint, DATA, (), SESSION)
    assert alone.kept == "unchanged"
    assert "no depth was within" in alone.notes[-1]
    assert rates(alone.checkpoint) == rates(checkpoint)
    assert deep.cleanse(checkpoint, DATA, (), SESSION).kept == "repaired"


def test_recovered_triggers_choose_the_depth(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    shallow_wins = iter([(0.9,), (0.1,), (0.5,), (0.4,)])  # before, then by depth
    monkeypatch.setattr(prune_repair, "recovered_success", lambda *given: next(shallow_wins))
    defense = PruneRepair(depths="0.1,0.2,0.3", epochs=1, max_drop=1.0)
    done = defense.cleanse(checkpoint, DATA, (corner(),), SESSION)
    assert done.cut == round(0.1 * 384)
    assert [point.proxy_asr for point in done.curve] == [0.9, 0.1, 0.5, 0.4]


@pytest.mark.parametrize("depths", ["", "0.5,deep", "0,0.5", "1.0"])
def test_depths_are_shares(depths: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(OptionError, match="must be shares between 0 and 1"):
        PruneRepair(depths=depths).cleanse(checkpoint, DATA, (), SESSION)


def test_dropout_is_off_with_few_images_and_the_original_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    net = flat(lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), torch.nn.Dropout(0.5), torch.nn.Flatten(),
                                           torch.nn.Linear(64, 10)))  # fmt: skip
    modes: list[bool] = []
    whole = prune_repair.tune

    def watched(checkpoint: Checkpoint, *given: object, **named: object) -> object:
        dropout = checkpoint.model.get_submodule("net.1")
        handle = dropout.register_forward_hook(lambda module, args, out: modes.append(module.training))
        try:
            return whole(checkpoint, *given, **named)  # type: ignore[arg-type]
        finally:
            handle.remove()

    monkeypatch.setattr(prune_repair, "tune", watched)
    for few, on in ((2000, False), (0, True)):
        modes.clear()
        PruneRepair(depths="0.5", epochs=1, freeze_below=few).cleanse(net, DATA, (), SESSION)
        assert any(modes) is on
    one, other = (
        PruneRepair(depths="0.5", epochs=2, distill=weight, max_drop=1.0).cleanse(net, DATA, (), SESSION)
        for weight in (0.0, 1.0)
    )
    assert one.passes < other.passes
    assert not torch.equal(one.checkpoint.model(TEST.images(slice(4))), other.checkpoint.model(TEST.images(slice(4))))


def test_papers_methods_take_positions_as_an_option(checkpoint: Checkpoint) -> None:
    fine = FinePruning(site="position", step=0.05, max_drop=0.1, finetune=False).cleanse(checkpoint, DATA, (), SESSION)
    assert fine.cut == int(dead(fine.checkpoint).sum()) > 0
    one = FederatedPruning(clients=1, site="position", step=0.05, max_drop=0.1, finetune=False, adjust=False)
    joint = one.cleanse(checkpoint, DATA, (), SESSION)
    assert torch.equal(dead(joint.checkpoint), dead(fine.checkpoint))
    masked = Mnp(positions=True, steps=60, epochs=4, max_drop=1.0, threshold=0.99, layer_share=0.5)
    found = masked.cleanse(checkpoint, DATA, (), SESSION)
    assert int(dead(found.checkpoint).sum()) > 0
    assert "inputs of hidden" in found.notes[-1]
    served = NeuralCleansePruning(site="position", max_drop=0.1).cleanse(checkpoint, DATA, (corner(),), SESSION)
    assert rates(served.checkpoint)[1] < 0.5
