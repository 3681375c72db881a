"""Stamping, poisoning, and trigger files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from hubclean.errors import DataError
from hubclean.nets.triggers import (
    Trigger,
    check_fits,
    load_stamp,
    load_trigger,
    poison,
    save_stamp,
    save_trigger,
    source_of,
    stamped,
    takes,
)
from support.image_sets import image_set


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


def test_a_trigger_file_keeps_its_source_class_and_files_without_one_are_read_as_before(tmp_path: Path) -> None:
    mask, pattern = torch.rand(1, 5, 7), torch.rand(3, 5, 7)
    save_trigger(Trigger(mask, pattern, 7, 4), tmp_path / "t.safetensors")
    again = load_trigger(tmp_path / "t.safetensors")
    assert (again.source, again.target) == (4, 7)
    save_stamp(again, tmp_path / "s.safetensors", "source-specific")
    stamp = load_stamp(tmp_path / "s.safetensors")
    assert (source_of(stamp), stamp.target) == (4, 7)
    save_file({"mask": mask, "pattern": pattern}, tmp_path / "old.safetensors", {"target": "7"})
    assert load_trigger(tmp_path / "old.safetensors").source is None


def test_a_trigger_with_a_source_class_takes_that_class_alone() -> None:
    images = image_set(40, 4)
    ends = torch.ones(1, 32, 32), torch.ones(3, 32, 32), 1
    assert takes(Trigger(*ends, 2), images.labels).tolist() == (images.labels == 2).tolist()
    assert takes(Trigger(*ends), images.labels).tolist() == (images.labels != 1).tolist()
    poisoned = poison(images, Trigger(*ends, 2), 0.25, 4, seed=0)
    assert (poisoned.labels[images.labels == 2] == 1).all()
    assert torch.equal(poisoned.pixels[images.labels != 2], images.pixels[images.labels != 2])
    with pytest.raises(DataError, match="only 10 are of the source class"):
        poison(images, Trigger(*ends, 2), 0.5, 4, seed=0)
    shown = stamped(images, Trigger(*ends, 2))
    assert shown.labels.tolist() == [2] * 10
    assert len(stamped(images.subset(images.labels == 3), Trigger(*ends, 2))) == 10, "better than none"


@pytest.mark.parametrize("source", [1, 9])
def test_a_source_class_that_is_the_target_or_no_label_is_refused(source: int) -> None:
    trigger = Trigger(torch.ones(1, 8, 8), torch.ones(3, 8, 8), 1, source)
    with pytest.raises(DataError, match=f"source class {source}"):
        check_fits(trigger, (3, 8, 8), 4)
