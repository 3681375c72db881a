"""Trigger inversion against a plain one-label-at-a-time version of the authors' schedule, and on a known answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sets import image_set
from torch import nn
from torch.nn import functional

from hubclean.errors import DataError
from hubclean.sessions import open_session
from hubclean.tensors import ImageSet, Trigger
from hubclean.triggers import InversionSchedule, invert, load_trigger, poison, save_trigger

SESSION = open_session("cpu", seed=11)
BRIEF = InversionSchedule(steps=30, batches=2, batch_size=8, patience=2, stop_after=3, success=0.9)


def small_net(classes: int = 4) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, classes))
    return net.eval().requires_grad_(False)


def plain(model: nn.Module, images: ImageSet, target: int, schedule: InversionSchedule, seed: int) -> tuple[float, int]:
    """methods.md 4.2 line by line for one label: the norm found and the number of steps taken."""
    edge = 2 - 1e-7
    draw = SESSION.generator("inversion", seed, target)
    m0, d0 = torch.rand(1, 32, 32, generator=draw), torch.rand(3, 32, 32, generator=draw)
    theta_m, theta_d = (torch.atanh((z - 0.5) * edge).requires_grad_() for z in (m0, d0))
    adam = torch.optim.Adam([theta_m, theta_d], lr=schedule.rate, betas=(0.5, 0.9))
    order = SESSION.generator("inversion images", seed)
    lam, best, es_best, counted = 0.0, float("inf"), float("inf"), 0
    first = up = down = 0
    up_flag = down_flag = False
    for step in range(1, schedule.steps + 1):
        hits = norms = 0.0
        for _ in range(schedule.batches):
            rows = torch.randperm(len(images), generator=order)[: schedule.batch_size]
            mask, pattern = torch.tanh(theta_m) / edge + 0.5, torch.tanh(theta_d) / edge + 0.5
            logits = model((1 - mask) * images.images(rows) + mask * pattern)
            wanted = torch.full((len(rows),), target)
            loss = functional.cross_entropy(logits, wanted) + lam * mask.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            hits += float((logits.argmax(1) == target).float().mean()) / schedule.batches
            norms += float(mask.detach().sum()) / schedule.batches
        good = hits >= schedule.success
        if good and norms < best:
            best = norms
        if best < float("inf"):
            counted = counted + 1 if best >= es_best else 0
        es_best = min(es_best, best)
        if up_flag and down_flag and counted >= schedule.stop_after:
            return best, step
        if lam == 0:
            first = first + 1 if good else 0
            if first >= schedule.patience:
                lam, up, down, up_flag, down_flag = schedule.first_lambda, 0, 0, False, False
        up, down = (up + 1, 0) if good else (0, down + 1)
        if up >= schedule.patience:
            up, lam, up_flag = 0, lam * schedule.factor, True
        elif down >= schedule.patience:
            down, lam, down_flag = 0, lam / schedule.factor**1.5, True
    return best, schedule.steps


def test_labels_together_give_what_one_label_at_a_time_gives() -> None:
    model, images = small_net(), image_set(32, 4)
    found, passes = invert(model, images, [0, 1, 2, 3], BRIEF, SESSION, seed=2)
    expected = {target: plain(model, images, target, BRIEF, 2) for target in range(4)}
    for target, (norm, steps) in expected.items():
        assert found[target].steps == steps
        assert found[target].norm == pytest.approx(norm, rel=1e-3)
    assert passes == sum(steps for _, steps in expected.values()) * BRIEF.batches * BRIEF.batch_size
    assert len({steps for _, steps in expected.values()}) > 1, "labels must leave the batch at different steps"


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


def test_a_coarse_mask_is_constant_on_its_cells() -> None:
    schedule = InversionSchedule(steps=4, batches=1, batch_size=8, mask_scale=5, success=0.0)
    found, _ = invert(small_net(), image_set(16, 4), [1], schedule, SESSION, 0)
    mask = found[1].trigger.mask[0]
    assert mask.shape == (32, 32)
    assert torch.equal(mask[:5, :5], mask[0, 0].expand(5, 5))
    assert not torch.equal(mask[0, 0], mask[5, 5])


@given(st.integers(0, 3), st.floats(0, 1), st.integers(1, 60), st.integers(0, 99))
def test_stamping_is_a_blend_that_stays_in_range(target: int, alpha: float, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask, pattern = torch.rand(1, 4, 4, generator=generator) * alpha, torch.rand(3, 4, 4, generator=generator)
    images = torch.rand(count, 3, 4, 4, generator=generator)
    stamped = Trigger(mask, pattern, target).stamp(images)
    assert float(stamped.min()) >= 0
    assert float(stamped.max()) <= 1
    assert torch.allclose(stamped - images, mask * (pattern - images), atol=1e-6)


def test_poisoning_leaves_the_target_class_alone_and_refuses_the_impossible() -> None:
    images = image_set(100, 4)
    trigger = Trigger(torch.ones(1, 32, 32), torch.ones(3, 32, 32), 1)
    poisoned = poison(images, trigger, 0.75, 4, seed=0)
    assert torch.equal(poisoned.pixels[images.labels == 1], images.pixels[images.labels == 1])
    assert (poisoned.labels == 1).all()
    with pytest.raises(DataError, match="only 75 are not of the target class"):
        poison(images, trigger, 0.9, 4, seed=0)
    with pytest.raises(DataError, match="target label 7 does not exist"):
        poison(images, Trigger(trigger.mask, trigger.pattern, 7), 0.1, 4, seed=0)


def test_all_to_all_moves_every_label_by_one() -> None:
    images = image_set(40, 4)
    poisoned = poison(images, Trigger(torch.ones(1, 32, 32), torch.ones(3, 32, 32), None), 1.0, 4, seed=0)
    assert torch.equal(poisoned.labels, (images.labels + 1) % 4)


def test_a_trigger_file_round_trips_and_strangers_are_refused(tmp_path: Path) -> None:
    trigger = Trigger(torch.rand(1, 5, 7), torch.rand(3, 5, 7), 4)
    save_trigger(trigger, tmp_path / "t.safetensors")
    again = load_trigger(tmp_path / "t.safetensors")
    assert torch.equal(again.mask, trigger.mask)
    assert torch.equal(again.pattern, trigger.pattern)
    assert again.target == 4
    save_trigger(Trigger(trigger.mask, trigger.pattern, None), tmp_path / "all.safetensors")
    assert load_trigger(tmp_path / "all.safetensors").target is None
    (tmp_path / "junk.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(DataError, match="no trigger file"):
        load_trigger(tmp_path / "junk.safetensors")
    save_trigger(Trigger(trigger.mask * 3, trigger.pattern, 0), tmp_path / "loud.safetensors")
    with pytest.raises(DataError, match=r"lie in \[0, 1\]"):
        load_trigger(tmp_path / "loud.safetensors")
