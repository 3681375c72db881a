"""What the tuning defenses share, and the baselines of FST: what trains, what starts anew, which epoch is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hubclean.hub.repos import LocalRepo
from hubclean.methods import tuning
from hubclean.methods.defenses.fe_tuning import FETuning
from hubclean.methods.defenses.ft import FT
from hubclean.methods.defenses.ft_init import FTInit
from hubclean.methods.defenses.ft_sam import FTSAM
from hubclean.methods.defenses.linear_probe import LinearProbe
from hubclean.methods.tuning import head_parameters, head_weights, new_head_rates, restart_heads, tune
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Trigger
from support.image_sets import defense_data, image_set
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=64)
HEADS = {
    "timm-resnet": ["net.fc.weight", "net.fc.bias"],
    "timm-deit-distilled": ["net.head.weight", "net.head_dist.weight", "net.head.bias", "net.head_dist.bias"],
    "timm-resnetv2": ["net.head.fc.weight", "net.head.fc.bias"],  # a 1 x 1 convolution
}


@pytest.fixture(scope="module", params=HEADS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Checkpoint]:
    return request.param, loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("r"), request.param)))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("r"), "timm-resnet")))


def moved(before: Checkpoint, after: Checkpoint) -> set[str]:
    old, new = before.model.state_dict(), after.model.state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


def test_only_the_heads_start_anew_and_within_their_range(model: tuple[str, Checkpoint]) -> None:
    kind, checkpoint = model
    copies = [checkpoint.copy(), checkpoint.copy()]
    for copy in copies:
        restart_heads(copy, SESSION)
    assert moved(checkpoint, copies[0]) == set(HEADS[kind]) == set(head_parameters(checkpoint))
    assert not moved(*copies)
    other = checkpoint.copy()
    restart_heads(other, open_session("cpu", seed=2))
    assert moved(copies[0], other) == set(HEADS[kind])
    for name, width in head_weights(checkpoint).items():
        found = copies[0].model.get_parameter(name)
        assert found[0].numel() == width
        assert 0.9 * width**-0.5 < float(found.abs().max()) <= width**-0.5
        assert abs(float(found.mean())) < 0.2 * width**-0.5


@pytest.mark.parametrize(
    ("defense", "trains"), [(FT, "all"), (LinearProbe, "head"), (FETuning, "all"), (FTInit, "all"), (FTSAM, "all")]
)
def test_each_baseline_trains_what_its_table_says(defense: Any, trains: str, resnet: Checkpoint) -> None:
    cleansing = defense(epochs=1, learning_rate=1e-3).cleanse(resnet, defense_data(), (), SESSION)
    head, started = set(head_parameters(resnet)), resnet.copy()
    if defense in (FETuning, FTInit):
        restart_heads(started, SESSION)
    changed = {name for name in moved(started, cleansing.checkpoint) if "num_batches" not in name}
    parameters = {name for name, _ in resnet.model.named_parameters()}
    wanted = {"all": parameters, "head": head}[trains] - (head if defense is FETuning else set())
    assert changed <= wanted
    assert changed >= wanted & head
    assert len(changed) > 0.8 * len(wanted)
    looked = 40 // 3 * 2
    assert looked <= cleansing.passes - 40 * (2 if defense is FTSAM else 1) <= looked + 1


def test_new_heads_of_transformers_get_a_rate_at_which_they_learn(tmp_path: Any, resnet: Checkpoint) -> None:
    vit = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-vit")))
    schedule = FTInit().schedule(vit, 500)
    assert (schedule.optimizer, schedule.rate, schedule.batch_size) == ("adamw", 1e-4, 63)
    assert new_head_rates(vit, schedule) == {"net.head.weight": 1e-3, "net.head.bias": 1e-3}
    assert new_head_rates(vit, Schedule(1, 0.1, "adamw"))["net.head.weight"] == 0.1
    schedule = FTInit().schedule(resnet, 5000)
    assert (schedule.optimizer, schedule.rate, schedule.batch_size) == ("sgd", 1e-2, 128)
    assert new_head_rates(resnet, schedule) == {}


def test_statistics_are_frozen_below_200_images(resnet: Checkpoint) -> None:
    for count in (199, 200):
        data = DefenseData(image_set(count), image_set(10))
        cleansing = FT(epochs=1).cleanse(resnet, data, (), SESSION)
        running = [name for name in moved(resnet, cleansing.checkpoint) if "running" in name]
        assert bool(running) == (count == 200)


def test_best_keeps_the_best_epoch_and_last_the_last(resnet: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, states = iter([0.2, 0.6, 0.6, 0.4]), []

    def accuracy(model: Any, *args: Any) -> Any:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return type("Rate", (), {"value": next(scores)})

    monkeypatch.setattr(tuning, "clean_accuracy", accuracy)
    copy = resnet.copy()
    found = tune(copy, defense_data(), Schedule(4, 1e-2, batch_size=20), SESSION, "x", "best")
    assert (found.epoch, found.accuracy, found.passes) == (2, 0.6, 4 * 40 + 4 * 40 // 3)
    assert all(torch.equal(value, states[1][name]) for name, value in copy.model.state_dict().items())
    scores = iter([0.1])
    found = tune(copy, defense_data(), Schedule(3, 1e-2, batch_size=20), SESSION, "x")
    assert (found.epoch, found.accuracy) == (3, 0.1)


@pytest.mark.parametrize("defense", [FT, FTSAM])
def test_divergence_leaves_an_unchanged_copy_and_says_so(defense: Any, resnet: Checkpoint) -> None:
    broken = resnet.copy()
    cleansing = defense(epochs=2, learning_rate=10.0, optimizer="sgd", batch_size=8)
    with torch.no_grad():
        broken.model.get_parameter("net.fc.weight").mul_(1e38)
    found = cleansing.cleanse(broken, defense_data(), (), SESSION)
    assert found.kept == "unchanged"
    assert not moved(broken, found.checkpoint)
    assert found.checkpoint.model is not broken.model
    assert "diverged" in found.notes[-1]


def test_notes_tell_val_accuracy_and_recovered_triggers(resnet: Checkpoint) -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, :3, :3] = 1
    data = defense_data()
    cleansing = FT(epochs=2).cleanse(resnet, data, (Trigger(mask, torch.ones(3, 32, 32), 4),), SESSION)
    after = clean_accuracy(cleansing.checkpoint.model, data.val, SESSION).value
    assert f"{after:.1%} after 2 epochs" in cleansing.notes[0]
    assert cleansing.notes[1].startswith("recovered trigger of label 4: ASR on val")


def test_ft_sam_keeps_the_epoch_it_is_told_to(resnet: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for keep, scores, epoch in (("best", [0.5, 0.3, 0.1, 0.0], 1), ("last", [0.5, 0.0], 3)):
        left = iter(scores)
        monkeypatch.setattr(tuning, "clean_accuracy", lambda *args, left=left: type("Rate", (), {"value": next(left)}))
        notes = FTSAM(epochs=3, keep=keep).cleanse(resnet, defense_data(), (), SESSION).notes
        assert f"after {epoch} epochs" in notes[-1]
