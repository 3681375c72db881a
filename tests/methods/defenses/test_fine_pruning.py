"""Fine-Pruning: its order, its stop, its zero that stays zero, and which stage it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo
from hubclean.methods import stages, tuning
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.methods.stages import Chain
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import feature_channels
from hubclean.nets.cut.activations import feature_activations
from hubclean.nets.cut.features import features, zero_channels
from hubclean.nets.cut.pruning import FeatureChannels, Trial
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Trigger
from hubclean.records import Rate, to_json
from support.image_sets import defense_data, image_set
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=32)


def trained(folder: object, kind: str) -> Checkpoint:
    checkpoint = loading.load_checkpoint(LocalRepo(folder)).copy()  # type: ignore[arg-type]
    epochs = 20 if kind == "hf-vit" else 3
    train(checkpoint.model, image_set(240, 10, seed=9), Schedule(epochs, 1e-2, "adamw", batch_size=32), SESSION, "test")
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
    found = feature_activations(checkpoint, data.fit, SESSION)
    order, signed_order = (torch.argsort(means, stable=True) for means in (found.absolute, found.mean))
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
    checkpoint, val = loading.load_checkpoint(LocalRepo(repo)), defense_data().val
    cut = Trial(checkpoint, FeatureChannels(checkpoint), val, None, SESSION)
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
    monkeypatch.setattr(Chain, "rates", lambda self, stage: [next(rates)])
    rates = iter([0.10, 0.30])
    revived = defense.cleanse(checkpoint, defense_data(), (one,), SESSION)
    assert revived.kept == "pruned"
    assert [stage.name for stage in revived.stages] == ["pruned", "fine-tuned"]
    rates = iter([0.30, 0.32])
    assert defense.cleanse(checkpoint, defense_data(), (one,), SESSION).kept == "fine-tuned"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), "timm-resnet")))


@pytest.mark.parametrize(
    ("accuracies", "steps"),
    [
        ([0.90, 0.88, 0.86, 0.85], 2),  # 0.86 is exactly at the tolerance, 0.85 beyond it
        ([0.95, 0.91, 0.90], 1),  # in floats 0.95 - 0.91 is more than 0.04, and 0.95 - 0.04 more than 0.91
        ([0.90, 0.80, 0.90], 0),  # what recovers later is not looked at
        ([0.90, 0.95, 0.99, 1.0], 3),
    ],
)
def test_the_largest_prefix_within_the_tolerance_is_cut(
    untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch, accuracies: list[float], steps: int
) -> None:
    rates = iter(accuracies)
    monkeypatch.setattr(Trial, "accuracy", lambda self: next(rates))
    cleansing = FinePruning(step=0.25, finetune=False).cleanse(untrained, defense_data(), (), SESSION)
    quarter = untrained.site.channels // 4
    assert cleansing.cut == steps * quarter
    assert int((columns(cleansing.checkpoint) == 0).all(0).sum()) == steps * quarter
    assert [point.cut for point in cleansing.curve] == [quarter * row for row in range(len(cleansing.curve))]


def test_a_step_as_large_as_the_layer_cuts_nothing(untrained: Checkpoint) -> None:
    cleansing = FinePruning(step=1.0, max_drop=1.0, finetune=False).cleanse(untrained, defense_data(), (), SESSION)
    assert (cleansing.cut, len(cleansing.curve)) == (0, 1)
    assert torch.equal(columns(cleansing.checkpoint), columns(untrained))


def test_val_images_of_the_target_class_alone_give_no_proxy(untrained: Checkpoint) -> None:
    only = image_set(20)
    data = DefenseData(image_set(20), ImageSet(only.pixels, torch.full((20,), 2)))
    cleansing = FinePruning(step=0.3, max_drop=1.0, epochs=1).cleanse(untrained, data, (trigger(2),), SESSION)
    assert [point.proxy_asr for point in cleansing.curve] == [None] * len(cleansing.curve)
    to_json(cleansing.curve)


def test_an_all_to_all_trigger_is_a_proxy_too(untrained: Checkpoint) -> None:
    data, one = defense_data(), replace(trigger(), target=None)
    cleansing = FinePruning(step=0.3, max_drop=1.0, epochs=1).cleanse(untrained, data, (one,), SESSION)
    asr, _ = attack_rates(untrained.model, data.val, one, 10, SESSION)
    assert cleansing.curve[0].proxy_asr == asr.value


def test_channels_are_ranked_on_fit_and_everything_stops_on_val(
    untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = defense_data()
    used: dict[str, list[ImageSet]] = {"means": [], "cut": [], "accuracy": [], "train": []}

    def spy(name: str, where: Any, what: str, position: int) -> None:
        plain: Callable[..., Any] = getattr(where, what)

        def call(*args: Any, **options: Any) -> Any:
            used[name].append(args[position])
            return plain(*args, **options)

        monkeypatch.setattr(where, what, call)

    spy("means", feature_channels, "feature_activations", 1)
    spy("cut", Trial, "__init__", 3)
    for module in (tuning, stages):
        spy("accuracy", module, "clean_accuracy", 1)
    spy("train", tuning, "train", 1)
    FinePruning(step=0.3, max_drop=1.0, epochs=2).cleanse(untrained, data, (trigger(),), SESSION)
    assert [images is data.fit for images in used["means"] + used["train"]] == [True, True]
    assert len(used["cut"]) == 2
    assert len(used["accuracy"]) == 4, "after each epoch, and once a stage"
    assert all(images is data.val for images in used["cut"] + used["accuracy"])


def marking(monkeypatch: pytest.MonkeyPatch, accuracies: list[float], values: list[float]) -> None:
    """Put made-up epochs in place of training: epoch i fills the head's bias with ``values[i]``."""
    rates: Iterator[float] = iter(accuracies)

    def train(
        model: Any, images: Any, schedule: Any, session: Any, purpose: str, held: Any, after: Any, **_: Any
    ) -> int:
        for epoch in range(schedule.epochs):
            model.net.fc.bias.data.fill_(values[epoch])
            after(epoch + 1)
        return 100 * schedule.epochs

    monkeypatch.setattr(tuning, "train", train)
    for module in (tuning, stages):
        monkeypatch.setattr(module, "clean_accuracy", lambda *_: Rate.of(round(100 * next(rates)), 100))
    monkeypatch.setattr(Trial, "accuracy", lambda self: 0.9)


def test_the_epoch_with_the_best_val_accuracy_is_kept(untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    marking(monkeypatch, [0.7, 0.9, 0.9, 0.8, 0.9, 0.9], [1.0, 2.0, 3.0, 4.0])
    cleansing = FinePruning(step=0.3, epochs=4).cleanse(untrained, defense_data(), (), SESSION)
    assert cleansing.kept == "fine-tuned"
    data = defense_data()
    passes = 400 + (len(data.fit) + len(data.val)) // 3 + 2 * (len(data.val) // 3)
    assert cleansing.passes == passes, "training, one forward pass before it, and val once a stage"
    assert (cleansing.checkpoint.model.net.fc.bias == 2).all()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(("tuned", "kept"), [(0.86, "fine-tuned"), (0.85, "pruned")])
def test_fine_tuning_beyond_the_tolerance_is_not_kept(
    untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch, tuned: float, kept: str
) -> None:
    marking(monkeypatch, [tuned, 0.9, tuned], [1.0])
    assert FinePruning(step=0.3, epochs=1).cleanse(untrained, defense_data(), (), SESSION).kept == kept


def test_fine_tuning_that_diverges_leaves_no_stage(untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    marking(monkeypatch, [0.9, 0.9], [float("nan"), float("inf")])
    cleansing = FinePruning(step=0.3, epochs=2).cleanse(untrained, defense_data(), (), SESSION)
    assert ([stage.name for stage in cleansing.stages], cleansing.kept) == (["pruned"], "pruned")
    assert any("diverged" in note for note in cleansing.notes)


@pytest.mark.parametrize(
    ("images", "options", "expected"),
    [
        (40, {}, Schedule(1, 0.01, "sgd", freeze_statistics=True)),
        (199, {"shift": 3, "batch_size": 8}, Schedule(1, 0.01, "sgd", 0.0, 8, 3, freeze_statistics=True)),
        (200, {"optimizer": "adamw"}, Schedule(1, 5e-5, "adamw")),
        (200, {"learning_rate": 0.3}, Schedule(1, 0.3, "sgd")),
    ],
)
def test_fine_tuning_trains_as_told(
    untrained: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    options: dict[str, Any],
    expected: Schedule,
) -> None:
    given: list[Schedule] = []
    monkeypatch.setattr(tuning, "train", lambda *args, **_: (given.append(args[2]), args[-1](1), 9)[-1])
    data = DefenseData(image_set(images), image_set(20, seed=2))
    FinePruning(step=0.5, epochs=1, **options).cleanse(untrained, data, (), SESSION)
    assert given == [expected]


def test_a_site_that_does_not_hold_is_refused_before_anything_is_cut(tmp_path_factory: pytest.TempPathFactory) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), "timm-deit-distilled")))
    half = replace(checkpoint, site=replace(checkpoint.site, heads=checkpoint.site.heads[:1]))
    with pytest.raises(ModelError, match="gives out something else"):
        FinePruning(step=0.3, epochs=1).cleanse(half, defense_data(), (), SESSION)
