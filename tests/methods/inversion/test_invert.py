"""Trigger inversion against a plain one-label-at-a-time version of the authors' schedule, and on a known answer."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hubclean.methods.inversion.invert import InversionSchedule, balance, begin, invert
from hubclean.methods.inversion.label_states import LabelStates
from hubclean.nets.images import ImageSet
from hubclean.nets.session import open_session
from support.image_sets import image_set
from support.small_nets import strided

SESSION = open_session("cpu", seed=11)
BRIEF = InversionSchedule(steps=30, batches=2, batch_size=8, patience=2, stop_after=3, success=0.9)


def rows(targets: list[int]) -> LabelStates:
    return begin(image_set(1, 1, (1, 2, 2)), targets, BRIEF, SESSION, 0)


class Script:
    """The book-keeping of the authors' script for one label, variable by variable."""

    def __init__(self, schedule: InversionSchedule) -> None:
        self.schedule = schedule
        self.lam, self.best, self.es_best, self.counted = 0.0, float("inf"), float("inf"), 0
        self.first = self.up = self.down = 0
        self.up_flag = self.down_flag = self.better = False

    def step(self, success: float, norm: float) -> bool:
        """Take a step's averages; whether the label stops. ``better``: what there is now is to be kept."""
        good, patience = success >= self.schedule.success, self.schedule.patience
        self.better = good and norm < self.best
        self.best = norm if self.better else self.best
        if self.best < float("inf"):
            self.counted = self.counted + 1 if self.best >= self.es_best else 0
        self.es_best = min(self.es_best, self.best)
        if self.up_flag and self.down_flag and self.counted >= self.schedule.stop_after:
            return True
        if self.lam == 0 and good:
            self.first += 1
            if self.first >= patience:
                self.lam, self.up, self.down = self.schedule.first_lambda, 0, 0
                self.up_flag = self.down_flag = False
        else:
            self.first = 0
        self.up, self.down = (self.up + 1, 0) if good else (0, self.down + 1)
        if self.up >= patience:
            self.up, self.lam, self.up_flag = 0, self.lam * self.schedule.factor, True
        elif self.down >= patience:
            self.down, self.lam, self.down_flag = 0, self.lam / self.schedule.factor**1.5, True
        return False


def plain(
    model: nn.Module, images: ImageSet, target: int, schedule: InversionSchedule, seed: int
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The authors' script line by line for one label: mask and pattern it keeps, and the number of steps taken."""
    edge = 2 - 1e-7
    draw = SESSION.generator("inversion", seed, target)
    m0, d0 = torch.rand(1, 32, 32, generator=draw), torch.rand(3, 32, 32, generator=draw)
    theta_m, theta_d = (torch.atanh((z - 0.5) * edge).requires_grad_() for z in (m0, d0))
    adam = torch.optim.Adam([theta_m, theta_d], lr=schedule.rate, betas=(0.5, 0.9))
    order = SESSION.generator("inversion images", seed)
    script = Script(schedule)
    kept = (torch.ones(1, 32, 32), torch.zeros(3, 32, 32))
    for step in range(1, schedule.steps + 1):
        hits = norms = 0.0
        for _ in range(schedule.batches):
            rows = torch.randperm(len(images), generator=order)[: schedule.batch_size]
            mask, pattern = torch.tanh(theta_m) / edge + 0.5, torch.tanh(theta_d) / edge + 0.5
            logits = model((1 - mask) * images.images(rows) + mask * pattern)
            wanted = torch.full((len(rows),), target)
            loss = functional.cross_entropy(logits, wanted) + script.lam * mask.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            hits += float((logits.argmax(1) == target).float().mean()) / schedule.batches
            norms += float(mask.detach().sum()) / schedule.batches
        stopped = script.step(hits, norms)
        if script.better:  # norms is the mean over the step, but what is kept is the state after its last update
            kept = tuple((torch.tanh(theta) / edge + 0.5).detach() for theta in (theta_m, theta_d))
        if stopped:
            return *kept, step
    return *kept, schedule.steps


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.tuples(st.booleans(), st.booleans(), st.booleans()), st.integers(1, 5)), min_size=4, max_size=12
    ),
    st.integers(0, 10_000),
)
def test_the_book_keeping_is_the_authors(blocks: list[tuple[tuple[bool, bool, bool], int]], seed: int) -> None:
    """Three labels with made-up successes, in streaks as they come in practice, and made-up norms."""
    state = rows([0, 1, 2])
    scripts, draw = [Script(BRIEF) for _ in range(3)], random.Random(seed)
    streaks = [good for goods, length in blocks for good in [goods] * length]
    for goods in streaks:
        values = [float(draw.randint(1, 40)) for _ in range(3)]
        stopped = balance(state, torch.tensor(goods).float(), torch.tensor(values), BRIEF)
        expected = [script.step(good, norm) for script, good, norm in zip(scripts, goods, values, strict=True)]
        assert stopped.tolist() == expected
        if any(expected):
            return
        assert state.weight.tolist() == pytest.approx([script.lam for script in scripts], rel=1e-5)
        assert state.best.tolist() == [script.best for script in scripts]


def test_lambda_goes_up_by_two_down_by_its_power_and_a_failing_start_leaves_no_trace() -> None:
    state = rows([0])
    seen = []
    for good in (0, 0, 0, 1, 1, 1, 0, 0, 1, 1):
        balance(state, torch.tensor([float(good)]), torch.tensor([5.0]), BRIEF)
        seen.append((round(float(state.weight), 6), bool(state.went_up), bool(state.went_down)))
    start, up, down = 0.001, 0.002, round(0.002 / 2**1.5, 6)
    assert seen[:5] == [(0, False, False), *[(0, False, True)] * 3, (start, False, False)]
    assert seen[5:] == [(up, True, False), (up, True, False), *[(down, True, True)] * 2, (2 * down, True, True)]


def test_labels_together_give_what_one_label_at_a_time_gives() -> None:
    model, images = strided(), image_set(32, 4)
    found, passes = invert(model, images, [0, 1, 2, 3], BRIEF, SESSION, seed=2)
    expected = {target: plain(model, images, target, BRIEF, 2) for target in range(4)}
    for target, (mask, pattern, steps) in expected.items():
        assert found[target].steps == steps
        assert torch.allclose(found[target].trigger.mask, mask, atol=2e-3)
        assert torch.allclose(found[target].trigger.pattern, pattern, atol=2e-3)
        assert found[target].norm == pytest.approx(float(mask.sum()), rel=1e-3)
    assert passes == sum(steps for *_, steps in expected.values()) * BRIEF.batches * BRIEF.batch_size
    assert len({steps for *_, steps in expected.values()}) > 1, "labels must leave the batch at different steps"


def test_the_norm_is_that_of_the_trigger_handed_out() -> None:
    found, _ = invert(strided(), image_set(32, 4), [0, 1, 2, 3], BRIEF, SESSION, seed=5)
    assert any(one.invertible for one in found.values())
    for one in found.values():
        assert one.norm == (float(one.trigger.mask.sum()) if one.invertible else 32 * 32)


def test_the_neighbours_in_a_batch_change_nothing() -> None:
    model, images = strided(), image_set(32, 4)
    together, _ = invert(model, images, [0, 1, 2, 3], BRIEF, SESSION, seed=2)
    alone, _ = invert(model, images, [3], BRIEF, SESSION, seed=2)
    assert alone[3].steps == together[3].steps
    assert torch.allclose(alone[3].trigger.mask, together[3].trigger.mask, atol=2e-3)
    other, _ = invert(model, images, [3], BRIEF, SESSION, seed=3)
    assert not torch.allclose(alone[3].trigger.mask, other[3].trigger.mask, atol=2e-3)


def test_a_planted_shortcut_is_found_where_it_is() -> None:
    """A net whose label 2 is switched on by four pixels of the corner: the mask must lie there."""

    class Shortcut(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            corner = images[:, :, -2:, -2:].mean((1, 2, 3))
            rest = torch.stack([images[:, 0].mean((1, 2)) + 0.2, images[:, 1].mean((1, 2)) + 0.2], 1)
            return 20 * torch.cat([rest, corner[:, None] - 0.5], 1)

    schedule = InversionSchedule(steps=120, batches=2, batch_size=16, patience=3)
    found, _ = invert(Shortcut(), image_set(64, 3), [2], schedule, SESSION, seed=0)
    mask = found[2].trigger.mask[0]
    assert found[2].invertible
    assert float(mask[-2:, -2:].mean()) > 0.5
    assert float(mask.sum() - mask[-2:, -2:].sum()) < 0.25 * float(mask.sum())


def test_a_label_that_cannot_be_reached_says_so() -> None:
    class Deaf(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images.mean((1, 2, 3)) + 9, images.mean((1, 2, 3))], 1)

    found, _ = invert(Deaf(), image_set(16, 2), [0, 1], InversionSchedule(steps=3, batches=1, batch_size=8), SESSION, 0)
    assert found[0].invertible
    assert not found[1].invertible
    assert found[1].norm == 32 * 32


def test_fewer_images_than_a_batch_grey_and_not_square() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(20 * 28, 3)).requires_grad_(False)
    schedule = InversionSchedule(steps=3, batches=2, batch_size=8, mask_scale=3, success=0.0)
    found, passes = invert(net, image_set(5, 3, (1, 20, 28)), [0, 2], schedule, SESSION, 0)
    assert found[2].trigger.mask.shape == found[2].trigger.pattern.shape == (1, 20, 28)
    assert found[2].norm == float(found[2].trigger.mask.sum())
    assert passes == 2 * 3 * 2 * 8


def test_a_coarse_mask_is_constant_on_its_cells() -> None:
    schedule = InversionSchedule(steps=4, batches=1, batch_size=8, mask_scale=5, success=0.0)
    found, _ = invert(strided(), image_set(16, 4), [1], schedule, SESSION, 0)
    mask = found[1].trigger.mask[0]
    assert mask.shape == (32, 32)
    assert torch.equal(mask[:5, :5], mask[0, 0].expand(5, 5))
    assert not torch.equal(mask[0, 0], mask[5, 5])
