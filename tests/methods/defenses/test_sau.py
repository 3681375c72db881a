"""SAU: perturbations that both nets share, and a loss that leaves alone what they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional

from hubclean.methods.defenses.sau import SAU, SharedPerturbations, divergence, not_label
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import open_session
from support.image_sets import image_set
from support.planted import corner, planted_net

SESSION = open_session("cpu", seed=1, batch_size=64)
DATA = DefenseData(image_set(120, seed=4), image_set(60, seed=5))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return planted_net(tmp_path_factory.mktemp("r"), SESSION)


@pytest.fixture(scope="module")
def shaken(planted: Checkpoint) -> Checkpoint:
    """The net with its weights moved, so that the two disagree on much that fools one of them."""
    copy = planted.copy()
    with torch.no_grad(), SESSION.seeded("shaken"):
        for parameter in copy.model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn(parameter.shape))
    return copy


def perturbed(planted: Checkpoint, shaken: Checkpoint, **options: Any) -> Iterator[torch.Tensor]:
    """What the shaken net and the planted one say of perturbed images, after the images themselves."""
    pixels, labels = DATA.fit.images(slice(0, 60)), DATA.fit.labels[:60]
    shared = SharedPerturbations(SAU(**options), shaken.model, planted.model, SESSION)
    moved = shared.found(pixels, labels)
    assert float((moved - pixels).abs().max()) <= options["radius"] + 1e-6
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
    with torch.no_grad():
        yield from (shaken.model(moved), planted.model(moved))


def test_the_search_fools_both_nets_alike(planted: Checkpoint, shaken: Checkpoint) -> None:
    labels, found = DATA.fit.labels[:60], {}
    for name, options in {
        "shared": {"radius": 0.2, "steps": 5, "step_size": 0.2},
        "corner": {"radius": 0.2, "steps": 1, "step_size": 0.0001},
    }.items():
        ours, theirs = perturbed(planted, shaken, **options)
        both = (ours.argmax(1) == theirs.argmax(1)) & (theirs.argmax(1) != labels)
        found[name] = float(both.float().mean()), float(divergence(ours, theirs).mean())
    assert found["shared"][0] > found["corner"][0] + 0.2
    assert found["shared"][1] < 0.5 * found["corner"][1]


def test_the_divergence_and_the_unlearning_are_those_of_the_formulas() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(2, 20, 5, generator=generator)
    p, q = ours.softmax(1), theirs.softmax(1)
    middle = (p + q) / 2
    wanted = ((p * (p / middle).log()).sum(1) + (q * (q / middle).log()).sum(1)) / 2
    assert torch.allclose(divergence(ours, theirs), wanted, atol=1e-6)
    assert torch.allclose(divergence(ours, ours), torch.zeros(20), atol=1e-6)
    label = torch.arange(20) % 5
    away = -(1 - p[torch.arange(20), label]).log()
    assert torch.allclose(not_label(ours, label), away, atol=1e-5)
    sure = torch.tensor([[60.0, 0.0, 0.0]])
    assert float(not_label(sure, torch.tensor([0]))) == pytest.approx(60 - torch.tensor(2.0).log().item(), abs=1e-4)


def test_the_loss_unlearns_only_what_fools_the_original(planted: Checkpoint, shaken: Checkpoint) -> None:
    pixels, labels = DATA.fit.images(slice(0, 60)), DATA.fit.labels[:60]
    shared = SharedPerturbations(SAU(unlearning=0.7), shaken.model, planted.model, SESSION)
    shared.before_epoch(0)
    moved = SharedPerturbations(SAU(unlearning=0.7), shaken.model, planted.model, SESSION).found(pixels, labels)
    value = float(shared.loss(shaken.model, pixels, labels))  # the same corners, for it is the same seed
    with torch.no_grad():
        label, ours = planted.model(moved).argmax(1), shaken.model(moved)
        wrong = label != labels
        wanted = functional.cross_entropy(shaken.model(pixels), labels)
        wanted = wanted + 0.7 * (not_label(ours, label) * wrong).sum() / len(labels)
    assert value == pytest.approx(float(wanted), rel=1e-4)
    assert int(wrong.sum()) > 0
    assert shared.counts[0].tolist() == [60, int(wrong.sum()), int((wrong & (ours.argmax(1) == label)).sum())]


def test_a_planted_net_loses_its_backdoor_and_keeps_its_accuracy(planted: Checkpoint) -> None:
    before = attack_rates(planted.model, DATA.val, corner(), 10, SESSION)[0].value
    assert before > 0.9
    cleansing = SAU(epochs=4, learning_rate=1e-3, radius=1.0, step_size=0.3).cleanse(planted, DATA, (), SESSION)
    after = attack_rates(cleansing.checkpoint.model, DATA.val, corner(), 10, SESSION)[0].value
    accuracy = [clean_accuracy(one.model, DATA.val, SESSION).value for one in (planted, cleansing.checkpoint)]
    assert after < 0.5 * before, (after, accuracy)
    assert accuracy[1] >= accuracy[0] - 0.05
    assert "both nets alike" in cleansing.notes[0]
