"""FST: its objective, its sphere, and the search for alpha."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch

from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses import fst
from hubclean.methods.defenses.fst import FST, GRID
from hubclean.methods.tuning import Tuned, head_weights, restart_heads
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import cross_entropy
from support.image_sets import defense_data
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=1, batch_size=64)


@pytest.fixture(scope="module", params=["timm-resnet", "timm-deit-distilled", "timm-resnetv2"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("r"), request.param)))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("r"), "timm-resnet")))


def heads(checkpoint: Checkpoint) -> list[torch.Tensor]:
    return [checkpoint.model.get_parameter(name).detach() for name in head_weights(checkpoint)]


def test_every_forward_sees_the_heads_at_their_old_norm(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms, old = [], heads(checkpoint)

    def seen(model: Any, pixels: Any, labels: Any) -> torch.Tensor:
        norms.append([float(model.get_parameter(name).detach().norm()) for name in head_weights(checkpoint)])
        return cross_entropy(model, pixels, labels)

    monkeypatch.setattr(fst, "cross_entropy", seen)
    cleansing = FST(alpha=0.01, epochs=2, batch_size=20).cleanse(checkpoint, defense_data(), (), SESSION)
    wanted = [float(weight.norm()) for weight in old]
    assert len(norms) == 4
    for found in (*norms, [float(weight.norm()) for weight in heads(cleansing.checkpoint)]):
        assert found == pytest.approx(wanted, rel=1e-4)


def test_the_loss_is_cross_entropy_plus_one_term_a_head(checkpoint: Checkpoint) -> None:
    copy, images = checkpoint.copy(), defense_data().fit
    old = {name: copy.model.get_parameter(name).detach().clone() for name in head_weights(copy)}
    restart_heads(copy, SESSION)
    fst.on_the_sphere(copy.model, old)()
    pixels, labels = images.images(slice(0, 8)), images.labels[:8]
    plain = cross_entropy(copy.model, pixels, labels)
    terms = sum(float((copy.model.get_parameter(name) * weight).sum()) for name, weight in old.items())
    for form in ("product", "cosine"):
        found = FST(form=form).loss_with_shift(copy.model, old, 0.7)(copy.model, pixels, labels)
        assert float(found) == pytest.approx(float(plain) + 0.7 * terms, rel=1e-4)
    copy.model.requires_grad_(True)
    name, before = next(iter(old.items()))
    weight = copy.model.get_parameter(name)
    for form, along in (("product", True), ("cosine", False)):
        term = FST(form=form).loss_with_shift(copy.model, old, 1.0)(copy.model, pixels, labels) - plain
        (slope,) = torch.autograd.grad(term, weight)
        slope = slope - torch.autograd.grad(cross_entropy(copy.model, pixels, labels), weight)[0]
        assert (abs(float((slope * weight.detach()).sum())) > 1e-3 * float(before.norm()) ** 2) == along


def test_the_term_parts_the_new_head_from_the_old(resnet: Checkpoint) -> None:
    found = []
    for alpha in (1e-9, 1.0):
        cleansing = FST(alpha=alpha, epochs=4, batch_size=8).cleanse(resnet, defense_data(), (), SESSION)
        new, old = heads(cleansing.checkpoint)[0], heads(resnet)[0]
        found.append(float((new * old).sum() / new.norm() / old.norm()))
    assert found[1] < found[0] - 0.1


@pytest.mark.parametrize(
    ("drops", "wanted"),
    [
        ({0.2: 0.02}, 0.2),
        ({0.2: 0.2, 0.1: 0.1, 0.05: 0.04, 0.02: 0.03}, 0.02),
        ({a: 0.5 for a in GRID if a} | {0.0: 0.01}, 0.0),
        ({a: 0.5 for a in GRID if a > 0.001}, 0.001),
        (dict.fromkeys(GRID, 0.5) | {0.001: 0.2}, 0.001),
    ],
)
def test_the_largest_alpha_within_the_tolerance_is_found_in_three_trials(
    drops: dict[float, float], wanted: float, resnet: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, tried = defense_data(), []
    small = resnet.copy()
    for weight in heads(small):
        weight.mul_(0.1)  # so that the bound cuts no alpha

    def trial(self: FST, checkpoint: Checkpoint, alpha: float, *args: Any) -> Tuned:
        tried.append(alpha)
        return Tuned(checkpoint.copy(), start - drops.get(alpha, 0.0), 10, 100)

    start = clean_accuracy(small.model, data.val, SESSION).value
    monkeypatch.setattr(FST, "trial", trial)
    cleansing = FST().cleanse(small, data, (), SESSION)
    assert cleansing.notes[0].startswith(f"alpha {wanted:.4g} of")
    assert len(tried) <= 3
    assert len(set(tried)) == len(tried)
    assert any("no alpha stayed within" in note for note in cleansing.notes) == (
        min(drops.get(a, 0) for a in GRID) > 0.03
    )
    assert 100 * len(tried) <= cleansing.passes <= 100 * len(tried) + 40


def test_alpha_is_cut_where_it_would_drown_the_cross_entropy(
    resnet: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud, tried = resnet.copy(), []
    heads(loud)[0].mul_(100)

    def trial(self: FST, checkpoint: Checkpoint, alpha: float, *args: Any) -> Tuned:
        tried.append(alpha)
        return Tuned(checkpoint.copy(), 1.0, 10, 100)

    monkeypatch.setattr(FST, "trial", trial)
    bound = 10 * log(10) / float(heads(loud)[0].norm()) ** 2
    assert bound < 0.2
    notes = FST(alpha=0.2).cleanse(loud, defense_data(), (), SESSION).notes
    assert tried == [pytest.approx(bound)]
    assert any("cut from 0.2" in note for note in notes)
    FST().cleanse(loud, defense_data(), (), SESSION)
    assert max(tried) == pytest.approx(bound)
