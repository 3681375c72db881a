"""The retuning check: a backdoor that was only unplugged comes back, one that never was does not stand out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hubclean.cleansing.retuning import RetuningOptions, Turned, check_retuning, mixed
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import attack_rates
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train
from hubclean.records import Retuning, from_json, to_json
from support.image_sets import image_set
from support.planted import corner, planted_net
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=64)
OPTIONS = RetuningOptions(images=60, triggered=5, epochs=2, rate=0.01, batch_size=32)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return planted_net(tmp_path_factory.mktemp("r"), SESSION)


def test_an_unplugged_backdoor_comes_back_and_a_turned_one_does_not(poisoned: Checkpoint) -> None:
    """Cleansed by fine-tuning the head alone on stamped images with true labels: the features stay."""
    unplugged, images = poisoned.copy(), image_set(200, seed=11)
    stamped = ImageSet((corner().stamp(images.images(slice(None))) * 255).to(torch.uint8), images.labels)
    both = ImageSet(torch.cat([images.pixels, stamped.pixels]), torch.cat([images.labels, stamped.labels]))
    head = ["net.fc.weight", "net.fc.bias"]
    schedule = Schedule(8, 0.05, batch_size=32, freeze_statistics=True)
    train(unplugged.model, both, schedule, SESSION, "unplug", only=head)
    state = {name: value.clone() for name, value in unplugged.model.state_dict().items()}
    test = image_set(100, seed=12)
    (found,) = check_retuning(
        unplugged, poisoned, [("planted", corner())], image_set(80, seed=13), test, SESSION, OPTIONS
    )
    assert found.control is not None
    assert found.before == attack_rates(unplugged.model, test, corner(), 10, SESSION)[0]
    assert found.after.value > found.before.value + 0.2
    assert found.after.value > found.control.value + 0.2
    assert found.clean_accuracy.n == 100
    assert (found.images, found.triggered, found.epochs, found.rate) == (60, 5, 2, 0.01)
    assert all(torch.equal(value, state[name]) for name, value in unplugged.model.state_dict().items())


def test_a_trigger_that_works_when_it_is_turned_has_no_control(poisoned: Checkpoint) -> None:
    left = corner()
    both = replace(left, mask=(left.mask + left.mask.flip(1, 2)).clamp(max=1))
    args = (image_set(80, seed=13), image_set(40, seed=12), SESSION, OPTIONS)
    (found,) = check_retuning(poisoned, poisoned, [("planted", both)], *args)
    assert found.before.value > 0.9
    assert found.control.n == 0
    (found,) = check_retuning(poisoned, poisoned, [("planted", left)], *args)
    assert found.control.n == 36


def test_it_repeats_takes_several_stamps_and_round_trips(poisoned: Checkpoint) -> None:
    stamps = [("planted", corner()), ("recovered", corner(None))]
    args = (image_set(80, seed=13), image_set(40, seed=12), SESSION, OPTIONS)
    one, other = (check_retuning(poisoned, poisoned, stamps, *args) for _ in range(2))  # type: ignore[arg-type]
    assert one == other
    assert [(row.asr_of, row.target) for row in one] == [("planted", 3), ("recovered", None)]
    assert one[0].before.n == 36
    assert one[1].before.n == 40
    assert from_json(Retuning, json.loads(json.dumps(to_json(one[0])))) == one[0]


@pytest.mark.parametrize("target", [3, None])
def test_the_training_set_is_clean_images_and_a_few_stamped_ones(target: int | None) -> None:
    clean, one = image_set(80, seed=13), corner(target)
    for images in (60, 80):
        found = mixed(clean, one, 10, images, 5, SESSION)
        assert len(found) == images + 5
        stamped, labels = found.images(slice(images, None)), found.labels[images:]
        assert (stamped[:, :, -3:, -3:] == 1).all()
        rows = [(clean.images(slice(None)) - image)[:, :, :-3].abs().flatten(1).amax(1).argmin() for image in stamped]
        true = clean.labels[torch.stack(rows)]
        assert torch.equal(labels, (true + 1) % 10 if target is None else torch.full_like(true, 3))
        assert target is None or not (true == 3).any()
        pixels = {image.numpy().tobytes() for image in found.pixels[:images]}
        assert pixels <= {image.numpy().tobytes() for image in clean.pixels}
        assert len(pixels) == images


def test_a_trigger_with_a_source_class_is_stamped_on_its_images_alone() -> None:
    clean, one = image_set(80, seed=13), replace(corner(), source=6)
    found = mixed(clean, one, 10, 60, 5, SESSION)
    rows = [(clean.images(slice(None)) - image)[:, :, :-3].abs().flatten(1).amax(1).argmin()
            for image in found.images(slice(60, None))]  # fmt: skip
    assert clean.labels[torch.stack(rows)].tolist() == [6] * 5
    assert found.labels[60:].tolist() == [3] * 5
    assert Turned(one).source == 6


def test_images_of_the_target_alone_give_none_to_stamp() -> None:
    only = ImageSet(image_set(20).pixels, torch.full((20,), 3))
    assert len(mixed(only, corner(), 10, 20, 5, SESSION)) == 20


def test_turning_turns() -> None:
    stamped = Turned(corner()).stamp(torch.zeros(2, 3, 32, 32))
    assert (stamped[:, :, :3, :3] == 1).all()
    assert float(stamped.sum()) == 2 * 3 * 9
    assert Turned(corner()).target == 3


def test_transformers_are_retuned_at_their_own_rate(tmp_path: Path) -> None:
    vit = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-vit")))
    options = RetuningOptions(images=20, epochs=1)
    (found,) = check_retuning(vit, vit, [("recovered", corner())], image_set(20), image_set(20), SESSION, options)
    assert found.rate == 1e-4
