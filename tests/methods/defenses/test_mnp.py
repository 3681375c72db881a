"""MNP, RNP and ANP: how their stages hang together, what they see, and ANP's noise against disturbed weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses import anp, mnp
from hubclean.methods.defenses.anp import Anp, perturbed, stored_shifts
from hubclean.methods.defenses.mnp import Mnp
from hubclean.methods.defenses.rnp import Rnp
from hubclean.methods.masking import prune
from hubclean.methods.masking.search import Masks, batch_statistics
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import searchable_units
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.triggers import Trigger
from support.masked_nets import CLASSES, SESSION, Plain, WithNorms, images, small
from support.tiny_models import make_repo

DATA = DefenseData(images(64, 1), images(64, 2))


@pytest.fixture(scope="module")
def normed() -> Checkpoint:
    return small(WithNorms, epochs=2)


@pytest.fixture(scope="module")
def plain() -> Checkpoint:
    return small(Plain)


def dead(checkpoint: Checkpoint) -> list[list[bool]]:
    net: Any = checkpoint.model.net
    return [((norm.weight == 0) & (norm.bias == 0)).tolist() for norm in (net.bn1, net.bn2)]


def test_rnp_is_mnp_without_preserving_and_penalty(normed: Checkpoint) -> None:
    shared: dict[str, Any] = {"rate": 0.2, "epochs": 4, "steps": 60, "max_drop": 1.0}
    shared |= {"threshold": 0.99, "layer_share": 1.0}
    one = Mnp(preserve=0, penalty=0, suppress_to=0.3, suppress_rate=0.01, **shared)
    other = Rnp(suppress_to=0.3, suppress_rate=0.01, scale=1.0, **shared)
    left, right = (method.cleanse(normed, DATA, (), SESSION) for method in (one, other))
    assert left.cut > 0
    assert dead(left.checkpoint) == dead(right.checkpoint)
    assert left.curve == right.curve
    assert left.passes == right.passes
    more = replace(one, penalty=0.5).cleanse(normed, DATA, (), SESSION)
    assert dead(more.checkpoint) != dead(left.checkpoint), "the penalty must do something"


def test_the_card_is_told_what_mnp_is_and_what_it_did(normed: Checkpoint) -> None:
    done = Mnp(steps=60, epochs=2, max_drop=0.1).cleanse(normed, DATA, (), SESSION)
    assert "reconstruction" in done.notes[0]
    assert "clean accuracy on fit" in done.notes[1]
    assert any(label in done.notes[1] for label in normed.labels)
    assert f"{done.cut} of 20 units cut" in done.notes[2]
    before, after = (clean_accuracy(one.model, DATA.val, SESSION).value for one in (normed, done.checkpoint))
    assert before - after <= 0.1


def test_preserving_alone_suppresses_nothing(normed: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnp, "expose", None)
    done = Mnp(preserve=1.0, epochs=2).cleanse(normed, DATA, (), SESSION)
    assert not any("suppressed" in note for note in done.notes)


def test_rounds_suppress_the_masked_model_again_and_learn_on(
    normed: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    under: list[Any] = []
    starts: list[Any] = []
    expose, recover = mnp.expose, mnp.recover

    def watched(*args: Any) -> Any:
        under.append(args[6])
        return expose(*args)

    def learning(terms: Any, masks: Masks, *rest: Any) -> Any:
        starts.append(torch.cat(masks.values))
        return recover(terms, masks, *rest)

    monkeypatch.setattr(mnp, "expose", watched)
    monkeypatch.setattr(mnp, "recover", learning)
    Mnp(steps=40, epochs=2, rounds=2, rate=0.3, penalty=0.05).cleanse(normed, DATA, (), SESSION)
    assert under[0] is None
    assert torch.equal(torch.cat(under[1].values), starts[1])
    assert bool((starts[0] == 1).all())
    assert not bool((starts[1] == 1).all())


@pytest.mark.parametrize(
    "method", [Mnp(steps=40, epochs=1), Rnp(steps=40, epochs=1), Anp(steps=5)], ids=["mnp", "rnp", "anp"]
)
def test_fit_moves_weights_and_masks_and_val_alone_stops_the_cutting(
    method: Any, normed: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []
    plain: Callable[..., Any] = prune.clean_accuracy

    def watched(model: Any, images: Any, session: Any) -> Any:
        looked.append(images)
        return plain(model, images, session)

    monkeypatch.setattr(prune, "clean_accuracy", watched)
    one = Trigger(torch.zeros(1, 16, 16), torch.zeros(3, 16, 16), 0)
    done = method.cleanse(normed, DATA, (one,), SESSION)
    assert looked
    assert all(images is DATA.val for images in looked)
    wild = DefenseData(DATA.fit, replace(DATA.val, labels=(DATA.val.labels + 1) % CLASSES))
    other = method.cleanse(normed, wild, (), SESSION)
    assert other.curve[0].clean_accuracy < 0.3 < done.curve[0].clean_accuracy
    assert done.passes > 64


@pytest.mark.parametrize("tau", [0.3, 0.9])
def test_the_threshold_form_cuts_all_below_it_whatever_it_costs(normed: Checkpoint, tau: float) -> None:
    values = (torch.linspace(0, 1, 8), torch.linspace(0, 1, 12).flip(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Anp, "search", lambda self, model, groups, *rest: (Masks(tuple(groups), values), 5))
        done = Anp(threshold=tau, max_drop=1.0, layer_share=1.0).cleanse(normed, DATA, (), SESSION)
    assert dead(done.checkpoint) == [(layer <= tau).tolist() for layer in values]
    assert done.passes > 5


# ANP's noise


def noisy(masks: Masks, seed: int = 0) -> anp.Noise:
    draw = torch.Generator().manual_seed(seed)
    return tuple(  # type: ignore[return-value]
        tuple(torch.rand(len(value), generator=draw) * 0.8 - 0.4 for value in masks.values) for _ in range(2)
    )


@pytest.mark.parametrize("kind", [WithNorms, Plain])
def test_noise_on_outputs_is_noise_on_weights_and_biases(
    kind: type[nn.Module], normed: Checkpoint, plain: Checkpoint
) -> None:
    checkpoint = normed if kind is WithNorms else plain
    groups = searchable_units.of_network(checkpoint, DATA.fit.images(slice(0, 2)))
    masks = Masks(groups, tuple(torch.linspace(0.1, 1, group.count) for group in groups))
    d, x = noise = noisy(masks)
    by_weight = checkpoint.copy()
    net: Any = by_weight.model.net
    layers = (net.bn1, net.bn2) if kind is WithNorms else (net.conv, net.hidden)
    with torch.no_grad():
        for place, layer in enumerate(layers):
            scale = masks.values[place] + d[place]
            layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
            layer.bias.mul_(1 + x[place])
    pixels = DATA.fit.images(slice(0, 8))
    shifts = stored_shifts(checkpoint.model, groups)
    with torch.no_grad(), perturbed(checkpoint.model, masks, shifts, noise), batch_statistics(checkpoint.model):
        by_hook = checkpoint.model(pixels)
    with batch_statistics(by_weight.model):
        torch.testing.assert_close(by_hook, by_weight.model(pixels), atol=1e-4, rtol=1e-4)


def test_attention_heads_have_no_shift_of_their_own(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "hf-vit")))
    groups = searchable_units.of_network(checkpoint, torch.rand(2, 3, 32, 32))
    for group, shift in zip(groups, stored_shifts(checkpoint.model, groups), strict=True):
        if group.kind == "attention":
            assert shift is None
        else:
            bias = checkpoint.model.net.get_parameter(f"{group.name}.bias")  # type: ignore[union-attr,operator]
            assert shift is not None
            assert torch.equal(shift, bias)


def test_the_adversary_raises_the_loss_and_stays_within_eps(normed: Checkpoint) -> None:
    groups = searchable_units.of_network(normed, DATA.fit.images(slice(0, 2)))
    ones, shifts = Masks.ones(groups, torch.device("cpu")), stored_shifts(normed.model, groups)
    pixels, labels = DATA.fit.images(slice(None)), DATA.fit.labels

    def loss(noise: anp.Noise) -> float:
        with torch.no_grad(), perturbed(normed.model, ones, shifts, noise), batch_statistics(normed.model):
            return float(functional.cross_entropy(normed.model(pixels), labels))

    with batch_statistics(normed.model):
        draw = torch.Generator().manual_seed(0)
        worst = Anp(eps=0.3).worst_noise(normed.model, ones, shifts, pixels, labels, draw, SESSION)
    assert max(float(one.abs().max()) for part in worst for one in part) <= 0.3 + 1e-6
    usual = [loss(noisy(ones, seed)) for seed in range(5)]  # of up to 0.4
    assert loss(worst) > 2 * max(usual)


def test_anp_says_how_many_steps_it_took(normed: Checkpoint) -> None:
    assert "in 7 steps" in Anp(steps=7).cleanse(normed, DATA, (), SESSION).notes[0]
