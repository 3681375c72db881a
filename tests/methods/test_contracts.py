"""What every registered method must keep to, whoever adds it: run over the registries, on five kinds of model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session, open_session
from hubclean.nets.triggers import Trigger
from hubclean.records import to_json
from hubclean.registry import KINDS, chosen_options, methods, options_of
from support.image_sets import defense_data
from support.tiny_models import make_repo

MODELS = ("timm-resnet", "timm-vit", "timm-swin", "timm-deit-distilled", "hf-convnext")
# Fewer steps, nothing else: the contract is about behaviour, not about success.
BRIEF = {"steps": 2, "batches": 1, "batch_size": 16, "seeds": 2, "epochs": 1, "step": 0.2}
BRIEF |= {"order": "fine-pruning", "fresh": 0}
ALL = [(kind, name) for kind in KINDS for name in methods(kind)]


def brief(kind: Any, name: str) -> Any:
    cls = methods(kind)[name]
    known = {row.name for row in options_of(cls)}
    return cls(**{key: value for key, value in BRIEF.items() if key in known})


@pytest.fixture(scope="module", params=MODELS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), request.param)))


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


def run(kind: str, method: Any, checkpoint: Checkpoint, session: Session, data: DefenseData | None = None) -> Any:
    data = data or defense_data()
    if kind == "detectors":
        return method.detect(checkpoint, data, session)
    mask = torch.zeros(1, 32, 32)
    mask[:, :2, :2] = 1
    return method.cleanse(checkpoint, data, (Trigger(mask, torch.ones(3, 32, 32), 1),), session)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_method_is_frozen_documented_and_has_its_paper(kind: Any, name: str) -> None:
    cls = methods(kind)[name]
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert len(cls.__doc__ or "") > 40
    assert cls.paper  # type: ignore[attr-defined]
    for row in options_of(cls):
        assert row.default is not dataclasses.MISSING, row.name
        assert len(row.doc.text) > 5, row.name
        assert type(row.default) is row.kind, row.name


def twice(kind: str, name: str, checkpoint: Checkpoint, session: Session) -> tuple[Any, Any]:
    """Two runs with one seed; neither touches the input, the global generator, or leaves a hook."""
    before, generator = snapshot(checkpoint.model), torch.get_rng_state()
    one, other = (run(kind, brief(kind, name), checkpoint, session) for _ in range(2))
    assert_same(before, checkpoint.model)
    assert torch.equal(generator, torch.get_rng_state())
    return one, other


@pytest.mark.parametrize("name", list(methods("defenses")))
def test_a_defense_leaves_its_input_alone_repeats_and_returns_a_whole_model(
    name: str, checkpoint: Checkpoint, session: Session
) -> None:
    one, other = twice("defenses", name, checkpoint, session)
    assert one.kept in [stage.name for stage in one.stages]
    assert one.passes >= 0
    assert (one.kept, one.curve, one.notes, one.cut, one.passes) == (
        other.kept, other.curve, other.notes, other.cut, other.passes
    )  # fmt: skip
    shapes = {n: (t.shape, t.dtype) for n, t in checkpoint.model.state_dict().items()}
    for stage, again in zip(one.stages, other.stages, strict=True):
        model, right = stage.checkpoint.model, again.checkpoint.model.state_dict()
        assert model is not checkpoint.model
        assert shapes == {n: (t.shape, t.dtype) for n, t in model.state_dict().items()}
        assert all(torch.equal(tensor, right[key]) for key, tensor in model.state_dict().items())
        assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
        assert not any(module.training for module in model.modules())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())


NEEDY = [(kind, name) for kind, name in ALL if kind in ("detectors", "defenses")]


@pytest.mark.parametrize(("kind", "name"), NEEDY)
def test_a_method_needs_what_it_says_and_no_more(kind: Any, name: str, tmp_path: Path, session: Session) -> None:
    method, data = brief(kind, name), defense_data()
    assert method.needs in ("nothing", "images", "labels")
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path / "repo", "timm-resnet")))
    if method.needs == "nothing":
        given: tuple[DefenseData, ...] = (DefenseData.none((3, 32, 32)),)
    elif method.needs == "images":  # other labels, same result
        given = data, *(DefenseData(*(ImageSet(s.pixels, (s.labels + 3) % 10) for s in (data.fit, data.val))),)
    else:
        given = (data,)
    found = [run(kind, method, checkpoint, session, some) for some in given]
    states = [[s.checkpoint.model.state_dict() for s in one.stages] if kind == "defenses" else one for one in found]
    if len(found) == 2 and kind == "defenses":
        assert all(torch.equal(v, b[k]) for a, b in zip(*states, strict=True) for k, v in a.items())
    elif len(found) == 2:
        norms = [one.report.norms_by_seed or one.report.per_label for one in found]
        assert norms[0] == norms[1]


@pytest.mark.parametrize("name", list(methods("detectors")))
def test_a_detector_leaves_its_input_alone_repeats_and_reports_in_json(
    name: str, checkpoint: Checkpoint, session: Session
) -> None:
    one, other = twice("detectors", name, checkpoint, session)
    assert dataclasses.replace(one.report, seconds=0) == dataclasses.replace(other.report, seconds=0)
    json.dumps(to_json(one.report), allow_nan=False)
    assert one.report.options.keys() >= chosen_options(brief("detectors", name)).keys()
    assert one.report.forward_backwards >= 0
    assert set(one.report.targets) <= set(range(len(checkpoint.labels)))
    for trigger in one.triggers:
        assert trigger.mask.shape == (1, 32, 32)
        assert trigger.pattern.shape == (3, 32, 32)


def test_a_new_file_in_the_folder_is_a_new_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import hubclean.methods.defenses as package

    source = Path(package.__path__[0], "none.py").read_text().replace('"none"', '"nothing-at-all"')
    (tmp_path / "nothing.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    methods.cache_clear()
    try:
        assert {"none", "nothing-at-all", "fine-pruning"} <= methods("defenses").keys()
    finally:
        methods.cache_clear()
