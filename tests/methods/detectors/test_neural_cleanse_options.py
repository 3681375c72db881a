"""Neural Cleanse's options: the schedule they settle, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubclean.errors import OptionError
from hubclean.hub.repos import LocalRepo
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.inversion.invert import InversionSchedule
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.session import open_session
from hubclean.registry import build_method
from support.image_sets import defense_data
from support.tiny_models import make_repo


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), "timm-resnet")))


def test_the_schedule_is_the_authors_unless_told(checkpoint: Checkpoint) -> None:
    session = open_session("cpu")
    assert NeuralCleanse(schedule="official").settled_schedule(checkpoint, session) == InversionSchedule(1000, 31, 32)
    assert NeuralCleanse().settled_schedule(checkpoint, session) == InversionSchedule(150, 8, 16)
    assert NeuralCleanse(steps=9).settled_schedule(checkpoint, session).steps == 9
    for size, options, scale in ((64, {}, 1), (65, {}, 4), (224, {}, 4), (224, {"mask_scale": 2}, 2)):
        facts = replace(checkpoint.facts, input_size=(3, size, size + 16))
        assert NeuralCleanse(**options).settled_schedule(replace(checkpoint, facts=facts), session).mask_scale == scale


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": "0"}, r"must lie in \[1"),
        ({"schedule": "long"}, "must be one of"),
        ({"seeds": "x"}, "not of type int"),
        ({"lr": "1"}, "no option 'lr'"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_method("detectors", "neural-cleanse", options)


def test_labels_that_do_not_exist_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(OptionError, match="labels 0 to 9"):
        NeuralCleanse(labels="3,12").detect(checkpoint, defense_data(), open_session("cpu"))
