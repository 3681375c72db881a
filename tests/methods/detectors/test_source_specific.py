"""The decision rule of single pairs on made-up norms, and a planted pair found from images to verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from hubclean.cleansing.verdict import judge, suspicion
from hubclean.methods.defenses.nc_unlearn import NeuralCleanseUnlearning
from hubclean.methods.detectors import source_specific
from hubclean.methods.detectors.source_specific import SourceSpecific
from hubclean.methods.interface import Detection
from hubclean.methods.inversion import pair_search
from hubclean.methods.inversion.invert import Inverted
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.loading import wrap
from hubclean.nets.metrics import attack_rates
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from hubclean.records import Rate, to_json
from support.image_sets import image_set
from support.small_nets import Squares

SESSION = open_session("cpu", seed=2, batch_size=64)
CLASSES = 6
SMALL = {(2, 5): 4.0}


GREY = (1, 32, 32)
QUICK = {"pair_steps": 25, "full_steps": 40, "pair_starts": 2, "pair_asr": 0.8}


def net_for(planted: bool) -> Checkpoint:
    """Whose white corner turns 2 into 5, or its clean twin."""
    labels = tuple(f"thing {index}" for index in range(CLASSES))
    return wrap(Seen(planted), mean=(0.0,), std=(1.0,), input_size=GREY, labels=labels, name="net")


class Seen(nn.Module):
    """``Squares`` with a head that can be located."""

    def __init__(self, planted: bool) -> None:
        super().__init__()
        self.squares, self.head = Squares(CLASSES, 2, 5, planted), nn.Linear(CLASSES, CLASSES, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(CLASSES))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.squares(pixels))


@pytest.fixture(scope="module")
def planted() -> Checkpoint:
    return net_for(True)


@pytest.fixture(scope="module")
def data() -> DefenseData:
    return DefenseData(*(image_set(96, CLASSES, GREY, seed) for seed in (20, 21)))


def made(monkeypatch: pytest.MonkeyPatch, small: dict[tuple[int, int], float], works: float = 0.97) -> None:
    """Inversions that find masks of 40 pixels but for ``small`` ones, and triggers that work so often."""

    def inverted(setting: Any, pairs: list[tuple[int, int]], seed: int, purpose: str) -> Any:
        rows = {pair: small.get(pair, 40.0) for pair in pairs}
        return {
            (s, t): Inverted(Trigger(torch.full(GREY, n / 1024), torch.zeros(GREY), t, s), n, True, 9)
            for (s, t), n in rows.items()
        }, 7

    monkeypatch.setattr(pair_search, "invert_pairs", inverted)
    monkeypatch.setattr(source_specific, "invert_pairs", inverted)
    monkeypatch.setattr(source_specific, "attack_rates", lambda *_: (Rate(works, 20, works, works), Rate.of(0, 20)))


def detect(checkpoint: Checkpoint, data: DefenseData, **options: Any) -> Detection:
    return SourceSpecific(**options).detect(checkpoint, data, SESSION)


def test_a_planted_pair_is_found_named_and_tried(planted: Checkpoint, data: DefenseData) -> None:
    detection = detect(planted, data, **QUICK)
    report = detection.report
    assert (report.verdict, report.pairs, report.targets) == ("backdoored", ((2, 5),), (5,))
    assert (report.pairs_examined, report.pairs_of) == (30, 30)
    assert "images of class 2 become class 5" in report.reason
    (trigger,) = detection.triggers
    assert (trigger.source, trigger.target) == (2, 5)
    assert attack_rates(planted.model, image_set(60, CLASSES, GREY, 22), trigger, CLASSES, SESSION)[0].value > 0.8
    judged = judge((report,))
    assert (judged.verdict, judged.targets, judged.pairs) == ("backdoored", (5,), ((2, 5),))
    assert not any("some classes only" in what for what in judged.blind_to)


def test_a_clean_twin_is_not_accused(data: DefenseData) -> None:
    report = detect(net_for(False), data, **QUICK).report
    assert (report.verdict, report.pairs) == ("not found", ())
    assert report.forward_backwards <= 30 * 2 * 25 * 16


def test_the_made_up_pair_is_accused_with_all_that_is_asked(
    planted: Checkpoint, data: DefenseData, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(monkeypatch, SMALL)
    report = detect(planted, data).report
    assert (report.verdict, report.pairs) == ("backdoored", ((2, 5),))
    assert report.measures["score.2.5"] == pytest.approx(2.303, abs=0.01)
    assert suspicion(report) == report.measures["score.2.5"]
    says = {row.name: row.says for row in judge((report,)).evidence}
    assert says["source-specific 2 -> 5 score"] == "backdoored"
    assert says["source-specific 2 -> 5 success"] == "backdoored"


@pytest.mark.parametrize(
    ("small", "works", "options", "verdict"),
    [
        (SMALL, 0.5, {}, "undecided"),
        (SMALL, 0.97, {"pair_mask_share": 0.001}, "undecided"),
        ({(2, 5): 12.5}, 0.97, {}, "undecided"),
        ({(2, 5): 25.0}, 0.97, {}, "not found"),
        ({(s, 5): 4.0 for s in range(CLASSES)}, 0.97, {}, "not found"),
        ({(2, t): 4.0 for t in range(CLASSES)}, 0.97, {}, "not found"),
    ],
)
def test_less_evidence_is_less_of_a_verdict(
    planted: Checkpoint,
    data: DefenseData,
    monkeypatch: pytest.MonkeyPatch,
    small: dict[tuple[int, int], float],
    works: float,
    options: dict[str, Any],
    verdict: str,
) -> None:
    made(monkeypatch, small, works)
    detection = detect(planted, data, **options)
    assert (detection.report.verdict, detection.report.pairs) == (verdict, ())
    assert [one.source for one in detection.triggers] == ([2] if verdict == "undecided" else [])


def test_too_few_classes_or_images_do_not_decide(planted: Checkpoint, data: DefenseData) -> None:
    few = DefenseData(image_set(40, CLASSES, GREY), data.val)
    report = detect(planted, few).report
    assert (report.verdict, report.decides, report.pairs_examined) == ("undecided", False, 0)
    assert "8 images" in report.reason
    some = data.fit.subset(data.fit.labels < 5)
    assert not detect(planted, DefenseData(some, data.val)).report.decides


def test_what_was_left_out_is_said(planted: Checkpoint, data: DefenseData, monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch, {})
    monkeypatch.setattr(source_specific, "chosen_pairs", lambda *_: ([(s, 5) for s in range(5)], 0))
    report = detect(planted, data).report
    assert "of 30 pairs 5 were examined" in report.reason
    assert any("beyond 5 of 30 pairs of classes" in what for what in judge((report,)).blind_to)


def test_it_repeats_reads_no_label_and_leaves_the_net_alone(planted: Checkpoint, data: DefenseData) -> None:
    before = {name: tensor.clone() for name, tensor in planted.model.state_dict().items()}
    moved = DefenseData(*(ImageSet(one.pixels, (one.labels + 3) % CLASSES) for one in (data.fit, data.val)))
    brief = {"pair_steps": 6, "pair_starts": 2, "full_steps": 4, "open_score": 0.01}
    one, other = (detect(planted, some, **brief) for some in (data, moved))
    assert replace(one.report, seconds=0.0) == replace(other.report, seconds=0.0)
    assert one.report.measures
    json.dumps(to_json(one.report), allow_nan=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in planted.model.state_dict().items())


def test_unlearning_stamps_the_recovered_trigger_on_its_class_alone(data: DefenseData) -> None:
    alone = Trigger(torch.ones(GREY), torch.ones(GREY), 5, 2)
    found = NeuralCleanseUnlearning(share=0.25).poisoned(data.fit, (alone,), SESSION)
    assert found.labels[found.which == 0].tolist() == [2] * 8
    both = NeuralCleanseUnlearning(share=0.25).poisoned(data.fit, (replace(alone, source=None), alone), SESSION)
    assert set(both.labels[both.which == 1].tolist()) == {2}
    assert int((both.which == 0).sum()) > 15
