"""Fine-Pruning: its order, its stop, its zero that stays zero, and which stage it keeps."""

from __future__ import annotations

import pytest
import torch
from sets import defense_data, image_set
from tiny_models import make_repo

from hubclean import checkpoints
from hubclean.defenses.fine_pruning import FinePruning, _Cut
from hubclean.metrics import attack_rates, clean_accuracy
from hubclean.repos import LocalRepo
from hubclean.sessions import open_session
from hubclean.sites import activation_means, features, zero_channels
from hubclean.tensors import Checkpoint, DefenseData, Trigger
from hubclean.training import Schedule, train

SESSION = open_session("cpu", seed=1, batch_size=32)


def trained(folder: object, kind: str) -> Checkpoint:
    checkpoint = checkpoints.load(LocalRepo(folder)).copy()  # type: ignore[arg-type]
    epochs = 40 if kind == "hf-vit" else 6
    train(checkpoint.model, image_set(240, 10, seed=9), Schedule(epochs, 3e-3, "adamw", batch_size=32), SESSION, "test")
    return checkpoint


@pytest.fixture(scope="module", params=["timm-resnet", "timm-convnext", "hf-vit"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return trained(make_repo(tmp_path_factory.mktemp("repo"), request.param), request.param)


def trigger(target: int = 2) -> Trigger:
    mask = torch.zeros(1, 32, 32)
    mask[:, -6:, -6:] = 1
    return Trigger(mask, torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)), target)


def columns(checkpoint: Checkpoint) -> torch.Tensor:
    weight = checkpoint.model.get_parameter(f"net.{checkpoint.site.heads[0].weight}")
    return weight.flatten(1)


def test_the_least_active_channels_go_first_and_stay_at_zero(checkpoint: Checkpoint) -> None:
    data = defense_data()
    cleansing = FinePruning(step=0.1, max_drop=1.0, epochs=2, learning_rate=0.01).cleanse(checkpoint, data, (), SESSION)
    count = checkpoint.site.channels
    images = data.fit.images(slice(None))
    found = features(checkpoint.model, checkpoint.site, images)
    means = (
        found.abs().mean(0)
        if float(found.clamp(max=0).abs().sum()) > 0.01 * float(found.abs().sum())
        else found.mean(0)
    )
    for stage in cleansing.stages:
        dead = (columns(stage.checkpoint) == 0).all(0)
        cut = cleansing.curve[-1].cut
        assert int(dead.sum()) == cut
        assert cut >= count * 0.8
        assert float(means[dead].max()) <= float(means[~dead].min()) + 1e-5
    pruned, tuned = (stage.checkpoint for stage in cleansing.stages)
    assert not torch.equal(columns(pruned), columns(tuned)), "fine-tuning must have moved what is alive"


def test_the_curve_is_what_real_forward_passes_give(checkpoint: Checkpoint) -> None:
    data, one = defense_data(), trigger()
    cleansing = FinePruning(step=0.15, max_drop=1.0, finetune=False).cleanse(checkpoint, data, (one,), SESSION)
    order = torch.argsort(activation_means(checkpoint, data.fit, SESSION, absolute=True), stable=True)
    signed_order = torch.argsort(activation_means(checkpoint, data.fit, SESSION, absolute=False), stable=True)
    kept = cleansing.checkpoint
    dead = (columns(kept) == 0).all(0).nonzero().flatten().tolist()
    order = order if sorted(order[: len(dead)].tolist()) == dead else signed_order
    for point in cleansing.curve[::2]:
        trial = checkpoint.copy()
        zero_channels(trial.model, trial.site, order[: point.cut])
        assert point.clean_accuracy == pytest.approx(clean_accuracy(trial.model, data.val, SESSION).value, abs=0.026)
        assert point.proxy_asr == pytest.approx(
            attack_rates(trial.model, data.val, one, 10, SESSION)[0].value, abs=0.029
        )


def test_pruning_stops_within_the_tolerance(checkpoint: Checkpoint) -> None:
    data = DefenseData(image_set(60, seed=3), image_set(100, seed=4))
    cleansing = FinePruning(step=0.05, max_drop=0.1, finetune=False).cleanse(checkpoint, data, (), SESSION)
    before = clean_accuracy(checkpoint.model, data.val, SESSION).value
    assert before > 0.5, "the model must know something, or the tolerance means nothing"
    after = clean_accuracy(cleansing.checkpoint.model, data.val, SESSION).value
    assert after >= before - 0.1 - 0.011
    assert (
        cleansing.curve[-1].clean_accuracy < before - 0.1 or cleansing.curve[-1].cut >= 0.9 * checkpoint.site.channels
    )
    assert int((columns(cleansing.checkpoint) == 0).all(0).sum()) < cleansing.curve[-1].cut or after < before - 0.1


def test_several_heads_take_the_slow_way_and_agree(tmp_path_factory: pytest.TempPathFactory) -> None:
    repo = make_repo(tmp_path_factory.mktemp("repo"), "timm-deit-distilled")
    checkpoint, val = checkpoints.load(LocalRepo(repo)), defense_data().val
    cut = _Cut(checkpoint, val, None, SESSION)
    dead = torch.arange(0, checkpoint.site.channels, 2)
    cut.remove(dead)
    trial = checkpoint.copy()
    zero_channels(trial.model, trial.site, dead)
    assert cut.accuracy() == pytest.approx(clean_accuracy(trial.model, val, SESSION).value)
    assert torch.equal(columns(checkpoint) == 0, torch.zeros_like(columns(checkpoint), dtype=torch.bool))


def test_fine_tuning_that_revives_the_trigger_is_not_kept(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    defense, one = FinePruning(step=0.3, max_drop=1.0, epochs=1), trigger()
    monkeypatch.setattr(FinePruning, "_proxy", staticmethod(lambda checkpoint, *_: [next(rates)]))
    rates = iter([0.10, 0.30])
    revived = defense.cleanse(checkpoint, defense_data(), (one,), SESSION)
    assert revived.kept == "pruned"
    assert [stage.name for stage in revived.stages] == ["pruned", "fine-tuned"]
    rates = iter([0.30, 0.32])
    assert defense.cleanse(checkpoint, defense_data(), (one,), SESSION).kept == "fine-tuned"
