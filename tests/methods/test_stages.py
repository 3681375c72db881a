"""Stages follow each other: each is kept unless it costs accuracy or revives a trigger."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from hubclean.methods.defenses.federated_pruning import FederatedPruning
from hubclean.methods.interface import Stage
from hubclean.methods.stages import Chain
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from support.image_sets import defense_data, image_set
from support.small_nets import CLASSES, Pooled, made, trained

SESSION = open_session("cpu", seed=1, batch_size=32)
SHAPE = (1, 16, 16)
DATA = defense_data(CLASSES, SHAPE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A trained net of 24 final channels with its weights in a folder, as ballots need it."""
    net = trained(made(Pooled), image_set(160, CLASSES, SHAPE, 9), 6, SESSION)
    folder = tmp_path_factory.mktemp("weights")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, folder / "model.safetensors")
    return loading.wrap(
        net, mean=(0.0,), std=(1.0,), input_size=SHAPE, labels=tuple("abcd"), name="pooled", folder=folder
    )


def chain(monkeypatch: pytest.MonkeyPatch, accuracies: list[float], rates: list[float]) -> Chain:
    """A chain whose stages have these accuracies and rates, by number."""
    one = type("One", (), {"model": None, "labels": ()})
    stages = [Stage(str(number), one()) for number in range(len(accuracies))]  # type: ignore[arg-type]
    number = {id(stage.checkpoint): place for place, stage in enumerate(stages)}
    monkeypatch.setattr(Chain, "accuracy", lambda self, checkpoint: accuracies[number[id(checkpoint)]])
    monkeypatch.setattr(Chain, "rates", lambda self, stage: [rates[number[id(stage.checkpoint)]]])
    made = Chain(stages[0], 0.9, 0.04, DATA, (), SESSION)
    for stage in stages[1:]:
        made.offer(stage, 0.01)
    return made


@pytest.mark.parametrize(
    ("accuracies", "rates", "kept"),
    [
        ([0.87, 0.89, 0.88], [0, 0, 0], "2"),
        ([0.87, 0.85, 0.88], [0, 0, 0], "2"),  # beyond the tolerance: the next is built on the first
        ([0.87, 0.89, 0.84], [0, 0, 0], "1"),
        ([0.80, 0.82, 0.815], [0, 0, 0], "2"),  # beyond it from the start: a little loss is allowed
        ([0.87, 0.89, 0.88], [0.1, 0.3, 0.12], "2"),  # the first step revives the trigger
        ([0.87, 0.89, 0.88], [0.1, 0.14, 0.2], "1"),
    ],
)
def test_a_stage_is_kept_unless_it_costs_accuracy_or_revives_a_trigger(
    accuracies: list[float], rates: list[float], kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = chain(monkeypatch, accuracies, rates)
    assert found.kept.name == kept
    assert [stage.name for stage in found.stages] == ["0", "1", "2"]
    assert len(found.notes) == 2


def test_recovered_triggers_are_measured_on_val(checkpoint: Checkpoint) -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, :4, :4] = 1
    trigger = Trigger(mask, torch.ones(1, 16, 16), 1)
    plain = FederatedPruning(step=0.2, epochs=1).cleanse(checkpoint, DATA, (), SESSION)
    found = FederatedPruning(step=0.2, epochs=1).cleanse(checkpoint, DATA, (trigger,), SESSION)
    assert found.curve[0].proxy_asr is not None
    assert found.passes > plain.passes
