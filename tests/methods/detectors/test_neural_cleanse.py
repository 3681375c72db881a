"""Neural Cleanse's decision rule on made-up norms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hubclean.hub.repos import LocalRepo
from hubclean.methods.detectors import neural_cleanse
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.interface import Detection
from hubclean.methods.inversion import evidence, label_scheduler
from hubclean.methods.inversion.evidence import AllToAll, LabelMap
from hubclean.methods.inversion.invert import Inverted
from hubclean.methods.inversion.screening import ScreeningPlan
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.metrics import anomaly_index
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from hubclean.records import Rate
from support.image_sets import defense_data
from support.tiny_models import make_repo


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("repo"), "timm-resnet")))


def fixed(norms: list[list[float]], found: bool = True) -> Any:
    """An ``invert`` that finds masks of these norms (a list a seed)."""

    def inverted(model: Any, images: Any, targets: list[int], schedule: Any, session: Any, seed: int) -> Any:
        session.progress.advance()
        mine = norms[seed % len(norms)]
        masks = {t: torch.full((1, 32, 32), mine[t] / 1024) for t in targets}
        rows = {t: Inverted(Trigger(masks[t], torch.zeros(3, 32, 32), t), mine[t], found, 9) for t in targets}
        return rows, 7

    return inverted


def detect(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    norms: list[list[float]],
    asr: float = 0.97,
    found: bool = True,
    **options: Any,
) -> Detection:
    """Run the detector with given norms (a list a seed) in place of the optimisation."""

    monkeypatch.setattr(label_scheduler, "invert", fixed(norms, found))
    monkeypatch.setattr(evidence, "attack_rates", lambda *_: (Rate(asr, 100, asr, asr), Rate.of(0, 100)))
    return NeuralCleanse(**{"all_to_all": False, "seeds": len(norms)} | options).detect(
        checkpoint, defense_data(), open_session("cpu")
    )


USUAL = [40.0, 44.0, 37.0, 52.0, 48.0, 41.0, 45.0, 39.0, 43.0, 50.0]


def with_norm(label: int, norm: float) -> list[float]:
    return [norm if index == label else value for index, value in enumerate(USUAL)]


def test_a_label_with_a_tiny_mask_in_most_seeds_is_a_backdoor(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    detection = detect(checkpoint, monkeypatch, [with_norm(3, 6.0), with_norm(3, 7.0), USUAL])
    assert detection.report.verdict == "backdoored"
    assert detection.report.targets == (3,)
    assert [trigger.target for trigger in detection.triggers] == [3]
    assert detection.report.scores[3].flagged == 2
    assert detection.report.norms_by_seed[0][3] == 6.0
    assert detection.report.forward_backwards == 28, "three seeds, and once more on val"


def test_one_seed_of_three_is_not_enough(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    detection = detect(checkpoint, monkeypatch, [with_norm(3, 6.0), USUAL, USUAL])
    assert detection.report.verdict == "not found"
    assert detection.triggers == ()


def test_an_outlier_that_is_not_half_as_small_is_not_flagged(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    detection = detect(checkpoint, monkeypatch, [with_norm(3, 25.0)] * 3)
    assert detection.report.scores[3].index > 2
    assert detection.report.verdict == "not found"


@pytest.mark.parametrize(("asr", "share"), [(0.5, 0.05), (0.97, 0.001)])
def test_without_second_evidence_it_stays_open(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, asr: float, share: float
) -> None:
    detection = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3, asr, mask_share=share)
    assert detection.report.verdict == "undecided"
    assert detection.report.targets == ()
    assert [trigger.target for trigger in detection.triggers] == [3], "the candidate still serves as a proxy"


def test_an_outlier_of_ordinary_size_stays_open(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    detection = detect(checkpoint, monkeypatch, [with_norm(3, 18.0)] * 3)
    assert detection.report.scores[3].flagged == 3
    assert detection.report.verdict == "undecided"
    both = [6.0 if index == 5 else norm for index, norm in enumerate(with_norm(3, 18.0))]
    assert detect(checkpoint, monkeypatch, [both] * 3).report.targets == (5,)


def test_few_labels_and_unreachable_labels_are_undecided(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3, labels="1,3,5")
    assert few.report.verdict == "undecided"
    assert "too few" in few.report.reason
    deaf = detect(checkpoint, monkeypatch, [[1024.0] * 10] * 3, found=False)
    assert deaf.report.verdict == "undecided"
    odd = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3, found=False)
    assert odd.report.scores[3].flagged == 0, "what reaches no label is no trigger, however small"


@pytest.mark.parametrize(
    ("off", "flagged"), [(["threshold"], 3), (["log_threshold"], 3), (["threshold", "log_threshold"], 0)]
)
def test_either_index_alone_flags_a_label(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, off: list[str], flagged: int
) -> None:
    report = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3, **dict.fromkeys(off, 1e6)).report
    assert report.scores[3].flagged == flagged
    assert sum(score.flagged for score in report.scores) == flagged


def spread(
    monkeypatch: pytest.MonkeyPatch, norm: float, success: float, leave: float = 60.0, labels: float = 0.1
) -> None:
    """Make the search for triggers without a target find these."""
    one, other = (Inverted(Trigger(torch.full((1, 32, 32), n / 1024), torch.zeros(3, 32, 32), None), n, True, 9)
                  for n in (norm, leave))  # fmt: skip
    found = AllToAll(one, other, Rate(success, 50, success, success), LabelMap(0.9, labels, 0.1), 11)
    monkeypatch.setattr(neural_cleanse, "all_to_all", lambda *_: found)


def test_a_small_trigger_to_the_next_label_is_an_all_to_all_backdoor(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread(monkeypatch, 6.0, 0.9)
    detection = detect(checkpoint, monkeypatch, [USUAL] * 3, all_to_all=True)
    assert (detection.report.verdict, detection.report.targets) == ("backdoored", ())
    assert "label after their own (all-to-all)" in detection.report.reason
    assert [trigger.target for trigger in detection.triggers] == [None]
    assert detection.report.measures["next.ratio"] == pytest.approx(6 / 43.5)
    assert detection.report.forward_backwards == 28 + 3 * 11
    both = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3, all_to_all=True)
    assert both.report.targets == (3,), "a target that can be named goes first"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((6.0, 0.5), "undecided"),
        ((30.0, 0.9), "not found"),
        ((60.0, 0.9, 6.0, 0.9), "undecided"),
        ((60.0, 0.9, 6.0, 0.1), "not found"),
        ((60.0, 0.9, 30.0, 0.9), "not found"),
    ],
)
def test_triggers_without_a_target_need_size_success_and_a_map(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, values: tuple[float, ...], verdict: str
) -> None:
    spread(monkeypatch, *values)
    assert detect(checkpoint, monkeypatch, [USUAL] * 3, all_to_all=True).report.verdict == verdict


def test_what_screening_left_out_is_said_with_the_verdict(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(setting: Any, labels: list[int], *_: Any) -> ScreeningPlan:
        return ScreeningPlan("screen", [0, 1, 2, 3, 4, 5, 7], [0, 1, 2, 4, 5, 7], 3)

    monkeypatch.setattr(neural_cleanse, "plan", chosen)
    report = detect(checkpoint, monkeypatch, [USUAL] * 3).report
    assert report.verdict == "not found"
    assert report.reason.endswith("; 3 labels were screened out by a cheap phase (screen) and have no index")
    assert [score.label for score in report.scores] == [0, 1, 2, 3, 4, 5, 7]
    low = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3).report
    assert low.targets == (3,)
    reference = [USUAL[label] for label in (0, 1, 2, 4, 5, 7)]
    assert low.scores[3].index == pytest.approx(anomaly_index([6.0], reference)[0])


def test_triggers_are_inverted_on_fit_alone(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = defense_data(), []
    plain = fixed([USUAL, USUAL])

    def spy(model: Any, images: Any, targets: list[int], *rest: Any) -> Any:
        seen.append((images is data.fit, targets))
        return plain(model, images, targets, *rest)

    monkeypatch.setattr(label_scheduler, "invert", spy)
    whole = [(True, [0, 1, 2, 3]), (True, [4, 5, 6, 7]), (True, [8, 9])]
    detector = NeuralCleanse(seeds=2, labels_at_once=4, all_to_all=False)
    detector.detect(checkpoint, data, open_session("cpu"))
    assert seen[:-1] == [*whole, (True, [0, 2, 7])], "the second seed inverts the three smallest again"
    assert seen[-1] == (False, [2]), "the smallest label once more, on val"
    seen.clear()
    replace(detector, repeat="all").detect(checkpoint, data, open_session("cpu"))
    assert seen[:-1] == whole * 2


def test_labels_of_the_first_seed_alone_keep_its_norms(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = [with_norm(3, 6.0), [9.0] * 10]
    first, second = detect(checkpoint, monkeypatch, norms).report.norms_by_seed
    assert first == tuple(norms[0])
    assert second == tuple(9.0 if label in (2, 3, 7) else norm for label, norm in enumerate(norms[0]))


def test_a_label_that_later_seeds_left_out_has_no_overlap(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = detect(checkpoint, monkeypatch, [USUAL, [60.0] * 10, [60.0] * 10]).report.measures
    assert "ratio.5" in measures, "the smallest by its one seed"
    assert "overlap.5" not in measures
    assert "overlap.2" in detect(checkpoint, monkeypatch, [USUAL] * 3).report.measures


def test_some_labels_only_clear_no_model(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    some = detect(checkpoint, monkeypatch, [USUAL] * 3, labels="0,1,2,3,4,5,6")
    assert (some.report.verdict, some.report.targets) == ("undecided", ())
    assert "only 7 of 10 labels" in some.report.reason
    assert detect(checkpoint, monkeypatch, [USUAL] * 3).report.verdict == "not found"
    found = detect(checkpoint, monkeypatch, [with_norm(3, 6.0)] * 3, labels="0,1,2,3,4,5,6")
    assert found.report.targets == (3,)


def test_success_that_no_image_could_show_is_no_evidence(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "attack_rates", lambda *_: (Rate.of(0, 0), Rate.of(0, 0)))
    detector = NeuralCleanse(seeds=1, held_out_asr=0.0, all_to_all=False)
    monkeypatch.setattr(label_scheduler, "invert", fixed([with_norm(3, 6.0)]))
    report = detector.detect(checkpoint, defense_data(), open_session("cpu")).report
    assert report.verdict == "undecided"
    assert "not measured" in report.reason


def test_held_out_success_is_measured_on_val_with_the_smallest_trigger(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = defense_data(), []

    def rates(model: Any, images: Any, trigger: Trigger, classes: int, session: Any) -> tuple[Rate, Rate]:
        seen.append((images, trigger.target, float(trigger.mask.mean()), classes))
        return Rate.of(97, 100), Rate.of(0, 100)

    monkeypatch.setattr(label_scheduler, "invert", fixed([with_norm(3, 6.0), with_norm(3, 5.0), with_norm(3, 7.0)]))
    monkeypatch.setattr(evidence, "attack_rates", rates)
    detection = NeuralCleanse(seeds=3, all_to_all=False).detect(checkpoint, data, open_session("cpu"))
    assert [images is data.val for images, *_ in seen] == [True, False]
    assert seen[1][0] is data.fit, "transfer: inverted on val, tried on fit"
    assert [row[1:] for row in seen[:1]] == [(3, pytest.approx(5 / 1024), 10)], "only the candidate costs a pass"
    assert detection.report.scores[3].norm == 6.0, "the norm is the median of the seeds"
    assert detection.report.scores[3].asr == Rate.of(97, 100)
    assert [float(trigger.mask.sum()) for trigger in detection.triggers] == [pytest.approx(5.0)]


def test_the_audit_holds_the_schedule_that_ran(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    options = detect(checkpoint, monkeypatch, [USUAL], log_threshold=3.5).report
    shown = {name: options.options[name] for name in ("steps", "batches", "batch_size", "mask_scale")}
    assert shown == {"steps": 150, "batches": 8, "batch_size": 16, "mask_scale": 1}
    assert "log norms above 3.5" in options.statistic
