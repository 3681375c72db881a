"""What every registered method must keep to, whoever adds it: run over the registries, on five kinds of model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sets import defense_data, image_set
from tiny_models import make_repo
from torch import nn

from hubclean import checkpoints
from hubclean.errors import OptionError
from hubclean.records import to_json
from hubclean.registry import KINDS, chosen, methods, options
from hubclean.repos import LocalRepo
from hubclean.sessions import open_session
from hubclean.tensors import Checkpoint, Session, Trigger

MODELS = ("timm-resnet", "timm-vit", "timm-swin", "timm-deit-distilled", "hf-convnext")
# Fewer steps, nothing else: the contract is about behaviour, not about success.
BRIEF = {"steps": 2, "batches": 1, "batch_size": 4, "seeds": 2, "epochs": 1, "step": 0.2}
ALL = [(kind, name) for kind in KINDS for name in methods(kind)]


def brief(kind: Any, name: str) -> Any:
    cls = methods(kind)[name]
    known = {row.name for row in options(cls)}
    return cls(**{key: value for key, value in BRIEF.items() if key in known})


@pytest.fixture(scope="module", params=MODELS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.load(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), request.param)))


@pytest.fixture
def session() -> Session:
    return open_session("cpu", seed=3, batch_size=16)


def snapshot(model: nn.Module) -> dict[str, Any]:
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    return {
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "gradients": [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
        "hooks": hooks,
    }


def assert_same(before: dict[str, Any], model: nn.Module) -> None:
    after = snapshot(model)
    assert before["state"].keys() == after["state"].keys()
    assert all(torch.equal(tensor, after["state"][name]) for name, tensor in before["state"].items())
    for part in ("modes", "gradients", "hooks"):
        assert before[part] == after[part], part


def run(kind: str, method: Any, checkpoint: Checkpoint, session: Session) -> Any:
    if kind == "detectors":
        return method.detect(checkpoint, defense_data(), session)
    mask = torch.zeros(1, 32, 32)
    mask[:, :2, :2] = 1
    return method.cleanse(checkpoint, defense_data(), (Trigger(mask, torch.ones(3, 32, 32), 1),), session)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_method_is_frozen_documented_and_has_its_paper(kind: Any, name: str) -> None:
    cls = methods(kind)[name]
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert len(cls.__doc__ or "") > 40
    assert cls.paper  # type: ignore[attr-defined]
    for row in options(cls):
        assert row.default is not dataclasses.MISSING, row.name
        assert len(row.doc.text) > 5, row.name
        assert type(row.default) is row.kind, row.name


@pytest.mark.parametrize(("kind", "name"), [pair for pair in ALL if pair[0] in ("detectors", "defenses")])
def test_the_input_and_the_global_state_are_left_alone(
    kind: str, name: str, checkpoint: Checkpoint, session: Session
) -> None:
    before, generator = snapshot(checkpoint.model), torch.get_rng_state()
    run(kind, brief(kind, name), checkpoint, session)
    assert_same(before, checkpoint.model)
    assert torch.equal(generator, torch.get_rng_state())


@pytest.mark.parametrize(("kind", "name"), [pair for pair in ALL if pair[0] == "defenses"])
def test_a_defense_returns_the_same_names_shapes_and_types(
    name: str, kind: str, checkpoint: Checkpoint, session: Session
) -> None:
    cleansing = run(kind, brief(kind, name), checkpoint, session)
    assert cleansing.kept in [stage.name for stage in cleansing.stages]
    for stage in cleansing.stages:
        model = stage.checkpoint.model
        assert model is not checkpoint.model
        shapes = {n: (t.shape, t.dtype) for n, t in model.state_dict().items()}
        assert shapes == {n: (t.shape, t.dtype) for n, t in checkpoint.model.state_dict().items()}
        assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
        assert not any(module.training for module in model.modules())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("kind", "name"), [pair for pair in ALL if pair[0] == "defenses"])
def test_a_defense_repeats_with_its_seed(kind: str, name: str, checkpoint: Checkpoint, session: Session) -> None:
    one, other = (run(kind, brief(kind, name), checkpoint, session) for _ in range(2))
    assert one.kept == other.kept
    assert one.curve == other.curve
    for a, b in zip(one.stages, other.stages, strict=True):
        left, right = a.checkpoint.model.state_dict(), b.checkpoint.model.state_dict()
        assert all(torch.equal(tensor, right[key]) for key, tensor in left.items())


@pytest.mark.parametrize(("kind", "name"), [pair for pair in ALL if pair[0] == "detectors"])
def test_a_detector_repeats_with_its_seed_and_reports_in_json(
    kind: str, name: str, checkpoint: Checkpoint, session: Session
) -> None:
    one, other = (run(kind, brief(kind, name), checkpoint, session) for _ in range(2))
    assert dataclasses.replace(one.report, seconds=0) == dataclasses.replace(other.report, seconds=0)
    json.dumps(to_json(one.report), allow_nan=False)
    assert one.report.options.keys() >= chosen(brief(kind, name)).keys()
    assert one.report.forward_backwards >= 0
    assert set(one.report.targets) <= set(range(len(checkpoint.labels)))
    for trigger in one.triggers:
        assert trigger.mask.shape == (1, 32, 32)
        assert trigger.pattern.shape == (3, 32, 32)


@pytest.mark.parametrize("name", list(methods("attacks")))
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 24, 40)])
def test_an_attack_poisons_its_share_and_nothing_else(name: str, shape: tuple[int, int, int]) -> None:
    attack, images = methods("attacks")[name](), image_set(200, 10, shape)
    kept = images.pixels.clone(), images.labels.clone()
    poisoned = attack.poison(images, 10, seed=5)
    assert torch.equal(images.pixels, kept[0])
    assert torch.equal(images.labels, kept[1])
    changed = (poisoned.pixels != images.pixels).flatten(1).any(1)
    assert int(changed.sum()) == round(attack.rate * 200)
    assert torch.equal(changed, poisoned.labels != images.labels)
    trigger = attack.trigger(shape, 5)
    assert float(trigger.mask.max()) > 0
    stamped = trigger.stamp(images.images(slice(None)))
    assert float(stamped.min()) >= 0
    assert float(stamped.max()) <= 1
    again = attack.poison(images, 10, seed=5)
    assert torch.equal(again.pixels, poisoned.pixels)
    assert not torch.equal(attack.poison(images, 10, seed=6).labels, poisoned.labels)


@pytest.mark.parametrize("name", ["badnets", "blended"])
def test_all_to_all_moves_every_label_by_one(name: str) -> None:
    attack, images = methods("attacks")[name](mode="all-to-all", rate=0.5, target=3), image_set(200)
    poisoned = attack.poison(images, 10, seed=5)
    moved = poisoned.labels != images.labels
    assert int(moved.sum()) == 100
    assert torch.equal(poisoned.labels[moved], (images.labels[moved] + 1) % 10)
    assert attack.trigger((3, 32, 32), 5).target is None


def test_the_blend_is_the_share_asked_for() -> None:
    trigger = methods("attacks")["blended"](alpha=0.3).trigger((3, 8, 8), 1)
    assert torch.equal(trigger.mask, torch.full((1, 8, 8), 0.3))
    assert 0.3 < float(trigger.pattern.mean()) < 0.7


def test_a_square_that_does_not_fit_is_refused() -> None:
    badnets = methods("attacks")["badnets"]
    trigger = badnets(size=5, margin=2).trigger((3, 24, 40), 0)
    assert trigger.mask[0].nonzero().min(0).values.tolist() == [17, 33]
    assert int(trigger.mask.sum()) == 25
    for size, margin in ((32, 16), (30, 0)):
        with pytest.raises(OptionError, match="do not fit 28 x 28"):
            badnets(size=size, margin=margin).trigger((1, 28, 28), 0)


def test_a_new_file_in_the_folder_is_a_new_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import hubclean.defenses as package

    source = Path(package.__path__[0], "none.py").read_text().replace('"none"', '"nothing-at-all"')
    (tmp_path / "nothing.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    methods.cache_clear()
    try:
        assert {"none", "nothing-at-all", "fine-pruning"} <= methods("defenses").keys()
    finally:
        methods.cache_clear()
