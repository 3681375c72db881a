"""Where masks decide nothing: nets of a few labels, and labels that need no trigger."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import hubclean
from hubclean.cleansing import verdict
from hubclean.cleansing.card import render_card
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.interface import Detection
from hubclean.methods.inversion import label_scheduler
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import open_session
from support.image_sets import image_set
from support.sample_audits import cleansed


class Biased(nn.Module):
    """A net that says label 3 (or its last) for every image, whatever its features say."""

    def __init__(self, classes: int, bias: float) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)
        with torch.no_grad():
            self.head.bias[min(3, classes - 1)] = bias

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).relu().mean((2, 3)))


def checkpoint(classes: int, bias: float = 9.0) -> Checkpoint:
    torch.manual_seed(0)
    return hubclean.wrap(
        Biased(classes, bias), torch.zeros(1, 3, 16, 16), labels=[f"thing {k}" for k in range(classes)]
    )


def examined(classes: int, **options: object) -> Detection:
    images = [image_set(24, classes, (3, 16, 16), seed) for seed in (1, 2)]
    brief = {"steps": 12, "batches": 2, "batch_size": 8, "seeds": 1, "all_to_all": False}
    return NeuralCleanse(**(brief | options)).detect(checkpoint(classes), DefenseData(*images), open_session("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [2, 5])
def test_a_net_of_few_labels_is_told_so_before_any_inversion(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_scheduler, "invert", lambda *_: pytest.fail("something was inverted"))
    found = examined(classes)
    report = found.report
    assert (report.verdict, report.scores, report.forward_backwards, found.triggers) == ("undecided", (), 0, ())
    assert f"an anomaly index over {classes} labels" in report.reason
    assert ("is a constant and decides nothing" in report.reason) == (classes == 2)
    assert "'thing 1') for 100.0%" in report.reason or "'thing 3') for 100.0%" in report.reason
    judged = verdict.judge((report,))
    assert (judged.verdict, judged.evidence) == ("undecided", ())


def test_labels_that_are_named_are_inverted_and_say_nothing() -> None:
    found = examined(2, labels="0,1")
    assert [score.label for score in found.report.scores] == [0, 1]
    judged = verdict.judge((found.report,))
    assert judged.verdict == "undecided"
    assert {row.says for row in judged.evidence} == {"nothing"}
    assert not [row for row in judged.evidence if "index" in row.name]
    card = render_card(replace(cleansed(), detections=(found.report,), judgement=judged), None, (), "0" * 64)
    assert "| - | - |" in card
    assert "it is a constant), so none is shown" in card
    assert "says clean" not in card


def test_a_label_that_the_net_gives_to_everything_has_no_trigger() -> None:
    found = examined(8)
    report = found.report
    assert report.scores[3].flagged == 1, "by its index it would be a backdoor"
    assert (report.verdict, report.targets) == ("undecided", ())
    assert "no trigger: the net says 3 ('thing 3') for 100.0% of the clean images" in report.reason
    assert 3 not in [trigger.target for trigger in found.triggers]
    judged = verdict.judge((replace(report, scores=report.scores[3:4] * 6),))
    assert {row.says for row in judged.evidence} == {"nothing"}
    assert next(row.value for row in judged.evidence if row.name.endswith("answered so")) == 1.0
