"""MM-BD: margins as one label at a time would find them, p as scipy would, and never more than a hint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hubclean.methods.detectors.mm_bd import MMBD, margin, p_values
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session, open_session
from hubclean.records import DetectionReport, to_json

SESSION = open_session("cpu", seed=4, batch_size=128)


def net_of(classes: int, seed: int = 0, side: int = 8) -> Checkpoint:
    """A small net with a bend in it, so that gradient ascent has somewhere to go."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(3, 12, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, classes)
        )
    return wrapped(net, classes, side)


def wrapped(net: nn.Module, classes: int, side: int = 8) -> Checkpoint:
    labels = tuple(f"label {index}" for index in range(classes))
    return loading.wrap(net, mean=(0.5,) * 3, std=(0.25,) * 3, input_size=(3, side, side), labels=labels, name="own")


def examined(checkpoint: Checkpoint, session: Session = SESSION, **options: float) -> DetectionReport:
    data = DefenseData.none(checkpoint.facts.input_size)
    found = MMBD(**options).detect(checkpoint, data, session)  # type: ignore[arg-type]
    assert found.triggers == ()
    return found.report


def one_at_a_time(checkpoint: Checkpoint, label: int, images: int, steps: int, rate: float, change: float) -> float:
    """The authors' loop, written out: plain SGD on a sum, for one label."""
    shape = (images, *checkpoint.facts.input_size)
    pixels = torch.rand(shape, generator=SESSION.generator("mm-bd", label))
    last = float("inf")
    for _ in range(steps):
        pixels = pixels.detach().requires_grad_(True)
        logits = checkpoint.model(torch.clamp(pixels, 0, 1))
        rest = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
        margins = logits[:, label] - rest.max(1).values
        total = float(margins.detach().sum())
        (-margins.sum()).backward()
        assert pixels.grad is not None
        pixels = pixels.detach() - rate * pixels.grad
        if abs(total - last) < change * abs(last):
            break
        last = total
    return float(margins.detach().max())


@pytest.mark.parametrize("change", [0.0, 0.02])
@pytest.mark.parametrize("at_once", [0, 1, 3])
def test_labels_in_a_batch_find_what_one_at_a_time_finds(at_once: int, change: float) -> None:
    checkpoint = net_of(7)
    report = examined(checkpoint, images=5, steps=12, rate=0.3, change=change, labels_at_once=at_once)
    wanted = [one_at_a_time(checkpoint, label, 5, 12, 0.3, change) for label in range(7)]
    assert report.per_label == pytest.approx(wanted, rel=1e-4)


def test_ascent_raises_margins_and_stays_inside_the_pixels() -> None:
    checkpoint = net_of(9)
    seen: list[Tensor] = []
    handle = checkpoint.model.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    low, high = examined(checkpoint, steps=1), examined(checkpoint, steps=40, rate=1.0)
    handle.remove()
    assert all(after > before for before, after in zip(low.per_label, high.per_label, strict=True))
    assert min(float(pixels.min()) for pixels in seen) >= 0
    assert max(float(pixels.max()) for pixels in seen) <= 1


def test_the_margin_is_over_the_best_other_label() -> None:
    logits = torch.tensor([[1.0, 5.0, 2.0], [9.0, 0.0, 4.0]])
    assert margin(logits, torch.tensor([1, 2])).tolist() == [3.0, -5.0]
    assert margin(torch.tensor([[7.0]]), torch.tensor([0])).tolist() == [7.0]


def test_p_is_that_of_the_largest_of_all_under_a_gamma_of_the_others() -> None:
    from scipy.stats import gamma

    others = [5.0, 6.1, 7.3, 4.4, 8.0, 5.9, 6.6, 7.1, 5.2]
    for largest in (9.0, 14.0):
        free, zero = p_values([*others[:4], largest, *others[4:]])
        assert zero == pytest.approx(1 - gamma.cdf(largest, *gamma.fit(others, floc=0)) ** 10, rel=1e-6)
        assert free == pytest.approx(1 - gamma.cdf(largest, *gamma.fit(sorted(others))) ** 10, rel=1e-6)
    assert zero is not None
    assert zero < 0.01, "the second time it was far out"


def test_margins_below_zero_are_moved_up_for_the_second_p() -> None:
    from statistics import pstdev

    others = [-3.0, -1.0, -0.5, 0.2, 0.9, 1.4, 2.0]
    _, zero = p_values([*others, 12.0])
    shift = pstdev(others) + 3.0
    _, same = p_values([*(one + shift for one in others), 12.0 + shift])
    assert zero is not None
    assert zero == pytest.approx(same)
    assert zero < 0.01


@pytest.mark.parametrize("margins", [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 90.0], [2.0] * 9 + [50.0], [3.0] * 12])
def test_too_few_or_equal_margins_have_no_p(margins: list[float]) -> None:
    assert p_values(margins) == (None, None)


def loud(classes: int, label: int | None) -> Checkpoint:
    """A net in which one label's logit can be driven ten times as high as the others'."""
    checkpoint = net_of(classes, seed=1)
    if label is not None:
        head = checkpoint.model.net[4]  # type: ignore[index, union-attr]
        with torch.no_grad():
            head.weight[label] *= 10
    return checkpoint


def test_a_label_that_stands_out_is_the_candidate_and_no_more() -> None:
    report = examined(loud(12, 5), steps=60, rate=1.0)
    assert report.measures["candidate"] == 5
    assert max(report.measures["p"], report.measures["p_loc0"]) < 0.05
    assert "label 5 has the largest margin" in report.reason
    assert "stands out" in report.reason
    assert (report.verdict, report.targets, report.decides, report.scores) == ("undecided", (), False, ())
    plain = examined(loud(12, None), steps=60, rate=1.0)
    assert plain.measures["p_loc0"] > 0.05
    assert "does not stand out" in plain.reason or "by one of two fits" in plain.reason
    assert plain.verdict == "undecided"


@pytest.mark.parametrize(("classes", "said"), [(5, "5 labels are too few for a p"), (1, "of one label has no margin")])
def test_few_labels_get_no_p(classes: int, said: str) -> None:
    report = examined(net_of(classes), steps=2)
    assert said in report.reason
    assert "p" not in report.measures
    assert len(report.per_label) == classes


@pytest.mark.parametrize(("side", "most", "together"), [(32, 128, True), (224, 32, False)])
def test_a_batch_is_bounded_whatever_the_number_of_labels_and_pixels(side: int, most: int, together: bool) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 20))
    checkpoint = wrapped(net, 20, side)
    sizes: list[int] = []
    handle = checkpoint.model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    report = examined(checkpoint, steps=1)
    handle.remove()
    assert max(sizes) <= most
    assert sum(sizes) == 20 * 30 == report.forward_backwards
    assert (len(sizes) < 20) == together
    assert report.options["labels_at_once"] == (4 if together else 1)


class _Flat(nn.Module):
    """Gives the same logits for every image, through a gradient of zero."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.head = nn.Linear(3, 8)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.arange(8.0) * scale)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(images.mean((2, 3)))
        return out


def test_a_label_that_no_longer_moves_stops_at_once() -> None:
    report = examined(wrapped(_Flat(1.0), 8), steps=50)
    assert report.forward_backwards == 2 * 8 * 30
    assert report.per_label == pytest.approx([-7, -6, -5, -4, -3, -2, -1, 1])


def test_numbers_without_end_are_said_and_stay_out_of_the_report() -> None:
    report = examined(wrapped(_Flat(1e38), 8), steps=3)
    assert "no finite number" in report.reason
    assert report.per_label == ()
    json.dumps(to_json(report), allow_nan=False)


def test_the_seed_draws_the_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = net_of(8)
    runs: list[Callable[[], DetectionReport]] = [
        lambda: examined(checkpoint, steps=3),
        lambda: examined(checkpoint, steps=3),
        lambda: examined(checkpoint, open_session("cpu", seed=5), steps=3),
    ]
    one, same, other = (dataclasses.replace(run(), seconds=0) for run in runs)
    assert one == same
    assert one.per_label != other.per_label
