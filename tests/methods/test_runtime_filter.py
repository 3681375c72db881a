"""The runtime filter: whom it rejects, how it counts, what it refuses to load, and that ``clean`` delivers it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import hubclean
from hubclean.cleansing.card import render_card
from hubclean.errors import DataError, HubcleanError, ModelError
from hubclean.hub.publish import publish_to_folder
from hubclean.hub.repos import LocalRepo
from hubclean.methods import runtime_filter
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.interface import Filter
from hubclean.methods.runtime_filter import FilteredClassifier, feature_rows, filtered
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.features import features
from hubclean.nets.datasets import Sizes
from hubclean.nets.metrics import attack_rates, clean_accuracy, predictions
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from support.hub_server import HubServer
from support.image_sets import class_folders, image_set
from support.sample_audits import DIGEST, cleansed
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=16)


@pytest.fixture(scope="module", params=["timm-resnet", "timm-deit-distilled", "hf-vit"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), request.param)))


def one_filter(checkpoint: Checkpoint, images: torch.Tensor, units: tuple[int, ...], share: float) -> Filter:
    """Rejects about ``share`` of ``images``."""
    scores = features(checkpoint.model, checkpoint.site, images)[:, list(units)].mean(1)
    return Filter(torch.tensor(units), float(scores.quantile(1 - share)), share, 2)


@torch.no_grad()
def test_rejected_are_those_above_a_threshold_and_the_last_column_says_so(checkpoint: Checkpoint) -> None:
    images = image_set(40).images(slice(None))
    made = (one_filter(checkpoint, images, (1, 3), 0.3), one_filter(checkpoint, images, (0, 4, 5), 0.2))
    model = filtered(checkpoint, made)
    found = features(checkpoint.model, checkpoint.site, images)
    expected = torch.zeros(40, dtype=torch.bool)
    for one in made:
        for row in range(40):
            expected[row] |= sum(float(found[row, unit]) for unit in one.units) / len(one.units) > one.threshold + 1e-6
    plain, wide, answer = checkpoint.model(images), model(images), model.answer(images)
    assert 5 < int(expected.sum()) < 25
    assert torch.equal(answer.rejected, expected)
    assert torch.equal(wide.argmax(1), plain.argmax(1).masked_fill(expected, 10))
    assert torch.equal(answer.labels, plain.argmax(1).masked_fill(expected, -1))
    assert torch.equal(wide[:, :10], plain)
    assert torch.equal(answer.logits, plain)
    assert wide.isfinite().all()
    for column, one in enumerate(made):
        assert answer.score[:, column] == pytest.approx(found[:, one.units].mean(1), abs=1e-6)


def test_one_forward_gives_logits_and_scores_and_leaves_no_hook(checkpoint: Checkpoint) -> None:
    calls: list[int] = []
    handle = checkpoint.model.register_forward_hook(lambda *_: calls.append(1))
    model = FilteredClassifier(checkpoint, (Filter(torch.tensor([0]), 0.0, 0.05, 1),))
    model(image_set(4).images(slice(None)))
    handle.remove()
    assert calls == [1]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in checkpoint.model.modules())


def test_a_rejected_image_is_neither_correct_nor_the_attackers(checkpoint: Checkpoint) -> None:
    images = image_set(50)
    found = predictions(checkpoint.model, images, SESSION)
    images = replace(images, labels=found)  # all are correct without a filter
    everything = filtered(checkpoint, (Filter(torch.tensor([0]), -1e30, 1.0, 1),))
    nothing = filtered(checkpoint, (Filter(torch.tensor([0]), 1e30, 0.0, 1),))
    assert clean_accuracy(nothing, images, SESSION).value == 1
    assert clean_accuracy(everything, images, SESSION).value == 0
    blank = torch.zeros(1, 32, 32), torch.zeros(3, 32, 32)
    for target in (None, 3, 9):
        shifted = replace(images, labels=(found - 1) % 10)  # the attacker's wish is what the model says
        asr, robust = attack_rates(everything, shifted, Trigger(*blank, target), 10, SESSION)
        assert (asr.value, robust.value) == (0, 0)
    assert attack_rates(nothing, shifted, Trigger(*blank, None), 10, SESSION)[0].value == 1


def test_a_score_that_is_no_number_is_rejected(checkpoint: Checkpoint) -> None:
    images = torch.full((2, 3, 32, 32), float("nan"))
    assert filtered(checkpoint, (Filter(torch.tensor([0]), 1e30, 0.05, 1),)).answer(images).rejected.all()


def test_huge_logits_are_still_beaten(checkpoint: Checkpoint) -> None:
    other = checkpoint.copy()
    for head in other.site.heads:
        with torch.no_grad():
            other.model.get_parameter(f"net.{head.weight}").mul_(1e12)
    images = image_set(10).images(slice(None))
    for threshold, wins in ((-1e30, True), (1e30, False)):
        wide = filtered(other, (Filter(torch.tensor([0]), threshold, 0.05, 1),))(images)
        assert ((wide.argmax(1) == 10) == wins).all()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"units": torch.tensor([0, 10**6])}, ModelError, "beyond the"),
        ({"units": torch.tensor([-1])}, ModelError, "beyond the"),
        ({"units": torch.tensor([2, 2])}, DataError, "each once"),
        ({"units": torch.tensor([], dtype=torch.int64)}, DataError, "at least one"),
        ({"units": torch.tensor([1.0])}, DataError, "int64"),
        ({"threshold": float("nan")}, DataError, "finite"),
        ({"false_alarms": 1.5}, DataError, "share"),
        ({"target": 10}, ModelError, "label 10"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(
    checkpoint: Checkpoint, change: dict[str, Any], kind: type[HubcleanError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        filtered(checkpoint, (replace(Filter(torch.tensor([0]), 0.0, 0.05, 1), **change),))


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Checkpoint, tuple[Filter, ...]]:
    """A repo of several weight files with two filters in it."""
    folder = make_repo(tmp_path / "repo", "hf-resnet", shard="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    made = Filter(torch.tensor([3, 7]), 0.1 + 0.2, 0.025, 2), Filter(torch.tensor([0]), -1e-30, 0.025, None)
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    assert runtime_filter.save_filters(made, checkpoint.site, folder) == "hubclean/guard.safetensors"
    return folder, checkpoint, made


def test_what_was_saved_comes_back_exactly(written: tuple[Path, Checkpoint, tuple[Filter, ...]]) -> None:
    folder, checkpoint, made = written
    found = runtime_filter.load_filters(folder, checkpoint)
    for one, other in zip(made, found, strict=True):
        assert torch.equal(one.units, other.units)
        assert (one.threshold, one.false_alarms, one.target) == (other.threshold, other.false_alarms, other.target)
    assert hubclean.load_filtered(folder).filters[0].threshold == 0.1 + 0.2


def said(**values: Any) -> Callable[[Path], None]:
    """Another statement in the filter's metadata."""

    def change(place: Path) -> None:
        with safe_open(place, "pt") as file:
            facts = json.loads(file.metadata()["guard"])
        save_file(load_file(place), place, {"guard": json.dumps(facts | values)})

    return change


def row(**values: Any) -> Callable[[Path], None]:
    first = {"threshold": 0.5, "false_alarms": 0.05, "target": 1} | values
    return said(guards=[first, {"threshold": 0.5, "false_alarms": 0.05, "target": 1}])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda place: place.unlink(), DataError, "no runtime filter"),
        (lambda place: place.write_bytes(place.read_bytes()[:-3]), DataError, "damaged"),
        (lambda place: place.write_bytes(b"\x80\x04pickle"), DataError, "damaged"),
        (lambda place: place.write_bytes(bytes(9 << 20)), DataError, "9,437,184 bytes"),
        (lambda place: save_file({"0": torch.tensor([1])}, place), DataError, "damaged"),
        (lambda place: save_file(load_file(place), place, {"guard": "[" * 5000}), DataError, "damaged"),
        (said(schema="hubclean/guard/v2"), DataError, "is of the form 'hubclean/guard/v2'"),
        (said(guards=[]), DataError, "damaged"),
        (said(extra=1), DataError, "damaged"),
        (row(threshold=float("nan")), DataError, "finite"),
        (row(threshold="high"), DataError, "damaged"),
        (row(target=10), ModelError, "label 10"),
        (said(channels=4096), ModelError, "other heads"),
        (said(weights={"model.safetensors": "0" * 64}), ModelError, "other weights: 'model"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(
    written: tuple[Path, Checkpoint, tuple[Filter, ...]],
    change: Callable[[Path], None],
    kind: type[HubcleanError],
    message: str,
) -> None:
    folder, checkpoint, _ = written
    change(folder / runtime_filter.PATH)
    with pytest.raises(kind, match=message) as error:
        runtime_filter.load_filters(folder, checkpoint)
    assert "\n" not in str(error.value)
    with pytest.raises(kind, match="no hubclean/guard" if "runtime" in message else message):
        hubclean.load_filtered(folder)


def test_other_weights_are_noticed(written: tuple[Path, Checkpoint, tuple[Filter, ...]]) -> None:
    folder, checkpoint, _ = written
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ModelError, match=shard.name):
        runtime_filter.load_filters(folder, checkpoint)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with the names of ``tiny_models``."""
    return class_folders(tmp_path_factory.mktemp("pictures"), image_set(120))


def test_clean_delivers_the_filter_and_the_hub_brings_it_back(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer, fresh_cache: Path
) -> None:
    trigger, plain = Trigger(torch.full((1, 32, 32), 0.9), torch.ones(3, 32, 32), 2), NeuralCleanse.detect
    monkeypatch.setattr(NeuralCleanse, "detect", lambda *args: replace(plain(*args), triggers=(trigger,)))
    repo, out = make_repo(tmp_path / "repo", "timm-resnet"), tmp_path / "out"
    given = ("steps=1", "batches=1", "batch_size=4", "seeds=1", "false_alarms=0.2")
    session = open_session("cpu", seed=5, batch_size=32)
    audit = hubclean.clean(
        repo, pictures, out, session=session, defense="nc-filter", given=given, sizes=Sizes(40, 40, 40),
        accept_accuracy=True,
    ).audit  # fmt: skip

    assert (out / "model.safetensors").read_bytes() == (repo / "model.safetensors").read_bytes()
    assert audit.cleansing.guard == runtime_filter.PATH
    assert runtime_filter.PATH in {row.path for row in audit.outputs}
    model = hubclean.load_filtered(out)
    assert model.filters[0].target == 2
    assert audit.cleansing.after != audit.cleansing.before, "measured behind the filter"
    stamped = trigger.stamp(image_set(40, seed=7).images(slice(None)))
    assert model.answer(stamped).rejected.float().mean() > 0.5
    picture = Image.open(next(pictures.rglob("*.png")))
    assert torch.equal(model.answer(model.prepare(picture)).logits, model.model(model.prepare(picture)))
    card = (out / "README.md").read_text()
    assert 'hubclean.load_filtered("THIS/REPO")' in card
    assert "**Filter:**" in card

    assert runtime_filter.PATH in publish_to_folder(out, tmp_path / "copy")
    hubclean.push(out, "alice/filtered", token=hub.write_token)
    again = hubclean.load_filtered("alice/filtered")
    assert torch.equal(again.answer(stamped).score, model.answer(stamped).score)


def test_without_a_filter_there_is_none(pictures: Path, tmp_path: Path) -> None:
    repo, out = make_repo(tmp_path / "repo", "timm-resnet"), tmp_path / "out"
    audit = hubclean.clean(
        repo, pictures, out, session=SESSION, detectors=("skip",), defense="nc-filter", sizes=Sizes(40, 40, 40),
        accept_accuracy=True,
    ).audit  # fmt: skip
    assert (audit.cleansing.guard, audit.cleansing.kept) == ("", "unchanged")
    assert not (out / runtime_filter.PATH).exists()
    assert "load_filtered" not in (out / "README.md").read_text()
    with pytest.raises(DataError, match="no runtime filter"):
        hubclean.load_filtered(out)


def test_the_card_shows_how_to_use_a_filter_and_only_ours() -> None:
    audit = cleansed()

    def card(guard: str, library: Any = "timm") -> str:
        model = replace(audit.model, library=library)
        changed = replace(audit, model=model, cleansing=replace(audit.cleansing, guard=guard))
        return render_card(changed, None, (), DIGEST)

    assert "evil" not in card("[x](http://evil.example)")
    assert "load_filtered" not in card("[x](http://evil.example)")
    with_filter = card(runtime_filter.PATH)
    assert "weights answer without it" in with_filter
    assert 'hubclean.load_filtered("THIS/REPO")' in with_filter
    own = card(runtime_filter.PATH, "module")
    assert "THIS/REPO" not in own
    assert "hubclean.load_filtered(checkpoint)" in own


def test_feature_rows_are_the_features_of_every_image(checkpoint: Checkpoint) -> None:
    images = image_set(37)
    rows = feature_rows(checkpoint, images, SESSION)
    whole = features(checkpoint.model, checkpoint.site, images.images(slice(None)))
    assert rows.shape == (37, checkpoint.site.channels)
    assert torch.allclose(rows, whole, atol=1e-5)
