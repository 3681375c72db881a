"""Stamps on disk, the check that a backdoor took, and attacks that bring stamps of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hubclean import registry
from hubclean.errors import DataError
from hubclean.lab import planting
from hubclean.nets import triggers
from hubclean.nets.images import Images, ImageSet
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Additive, Trigger, load_trigger, save_trigger
from support.image_sets import image_set


def patch(target: int | None = 2) -> Trigger:
    return Trigger(torch.rand(1, 6, 8), torch.rand(3, 6, 8), target)


@pytest.mark.parametrize("target", [0, 7, None])
def test_patch_triggers_are_read_by_both_readers_whoever_wrote_them(tmp_path: Path, target: int | None) -> None:
    trigger, one, other = patch(target), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_trigger(trigger, one)
    triggers.save_stamp(trigger, other, "badnets")
    for path in (one, other):
        for again in (load_trigger(path), triggers.load_stamp(path)):
            assert isinstance(again, Trigger)
            assert torch.equal(again.mask, trigger.mask)
            assert torch.equal(again.pattern, trigger.pattern)
            assert again.target == target


def test_an_additive_stamp_clips_and_comes_back(tmp_path: Path) -> None:
    stamp = Additive(torch.tensor([-0.5, 0.0, 0.5]).view(1, 1, 3), 1)
    assert stamp.stamp(torch.tensor([0.2, 0.4, 0.6]).view(1, 1, 1, 3)).flatten().tolist() == pytest.approx([0, 0.4, 1])
    triggers.save_stamp(stamp, tmp_path / "s.safetensors", "sig")
    again = triggers.load_stamp(tmp_path / "s.safetensors")
    assert isinstance(again, Additive)
    assert torch.equal(again.pattern, stamp.pattern)


def write(path: Path, tensors: dict[str, Tensor], **facts: str) -> Path:
    save_file(tensors, path, facts or None)
    return path


@pytest.mark.parametrize(
    ("tensors", "facts", "message"),
    [
        ({"x": torch.zeros(1)}, {}, "is no stamp file"),
        ({"x": torch.zeros(1)}, {"target": "seven"}, "is no stamp file"),
        ({"mask": torch.zeros(1, 2, 2)}, {"target": "1"}, "is no trigger file"),
        ({"perturbation": torch.full((1, 2, 2), 1.5)}, {"target": "1", "kind": "additive"}, "values in"),
        ({"perturbation": torch.full((1, 2, 2), torch.nan)}, {"target": "1", "kind": "additive"}, "values in"),
        ({"x": torch.zeros(1)}, {"target": "1", "kind": "additive"}, "needs a tensor"),
        ({"x": torch.zeros(1)}, {"target": "1", "kind": "own", "attack": "thing\n"}, "which is not installed"),
        ({"x": torch.zeros(1)}, {"target": "1", "kind": "own", "attack": "badnets"}, "which is not installed"),
        ({"x": torch.zeros(1)}, {"target": "1", "kind": "own", "attack": "wanet"}, "needs a tensor 'grid'"),
        ({"grid": torch.zeros(2, 2, 2) + 3}, {"target": "1", "kind": "own", "attack": "wanet"}, "values in"),
        ({"levels": torch.tensor([1])}, {"target": "1", "kind": "own", "attack": "bpp"}, "2 to 256"),
        ({"x": torch.zeros(1)}, {"target": "1", "kind": "own", "attack": "input-aware"}, "network 'pattern'"),
        (
            {"pattern.down.0.0.weight": torch.zeros(8, 1, 3, 3), "pattern.last.weight": torch.zeros(1, 8, 3, 3)},
            {"target": "1", "kind": "own", "attack": "input-aware"},
            "do not fit each other",
        ),
    ],
)
def test_what_is_no_stamp_is_refused(
    tmp_path: Path, tensors: dict[str, Tensor], facts: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        triggers.load_stamp(write(tmp_path / "s.safetensors", tensors, **facts))
    assert "s.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    for name in ("junk", "missing"):
        with pytest.raises(DataError, match="is no stamp file"):
            triggers.load_stamp(tmp_path / name)


@dataclass(frozen=True)
class Dimmed:
    by: float
    target: int | None = 0

    def stamp(self, images: Images) -> Images:
        return images * self.by

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"by": str(self.by)}


class Dimming:
    name: ClassVar[str] = "dimming"
    paper: ClassVar[str] = "none"

    @staticmethod
    def restored(tensors: Mapping[str, Tensor], facts: Mapping[str, str], target: int | None) -> Dimmed:
        return Dimmed(float(facts["by"]), target)


def test_a_new_attacks_stamp_is_read_through_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    triggers.save_stamp(Dimmed(0.25), tmp_path / "s.safetensors", "dimming")
    with pytest.raises(DataError, match="'dimming', which is not installed"):
        triggers.load_stamp(tmp_path / "s.safetensors")
    monkeypatch.setattr(registry, "methods", lambda kind: {"dimming": Dimming})
    assert triggers.load_stamp(tmp_path / "s.safetensors") == Dimmed(0.25)


def test_a_stamp_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    class Bare:
        target = 1

        def stamp(self, images: Images) -> Images:
            return images

    with pytest.raises(DataError, match="Bare cannot be written"):
        triggers.save_stamp(Bare(), tmp_path / "s.safetensors", "bare")


class ByFirstPixel(nn.Module):
    """The label is in the first pixel, unless the last one is lit: then the label is what that says."""

    def __init__(self, all_to_all: bool = False) -> None:
        super().__init__()
        self.all_to_all = all_to_all

    def forward(self, images: Tensor) -> Tensor:
        first, last = ((images[:, 0, 0, place] * 255).round().long() for place in (0, -1))
        lit = last == 255
        wrong = (first + 1) % 10 if self.all_to_all else torch.full_like(first, 3)
        return nn.functional.one_hot(torch.where(lit, wrong, first).clamp(max=9), 10).float()


def labelled(errors: int) -> ImageSet:
    """100 images of ten labels, of which ``errors`` are classified wrongly."""
    images = image_set(100, 10, (1, 1, 4))
    pixels = torch.zeros_like(images.pixels)
    shown = images.labels.clone()
    shown[:errors] = (shown[:errors] + 5) % 10
    pixels[:, 0, 0, 0] = shown.to(torch.uint8)
    return ImageSet(pixels, images.labels)


def corner(target: int | None, opacity: float = 1.0) -> Trigger:
    mask = torch.zeros(1, 1, 4)
    mask[..., -1] = opacity
    return Trigger(mask, torch.ones(1, 1, 4), target)


def test_a_backdoor_that_took() -> None:
    session = open_session("cpu", 0, 32)
    found = planting.verify_planted(ByFirstPixel(), corner(3), labelled(2), 10, 1.0, session)
    assert found.took
    assert (found.clean_accuracy.value, found.asr.value, found.asr.n) == (0.98, 1.0, 90)
    assert "98.0%" in found.reason


@pytest.mark.parametrize(
    ("errors", "trigger", "all_to_all", "twin", "why"),
    [
        (3, corner(3), False, 1.0, "more than 2 points below the twin's 100.0%"),
        (0, corner(3, 0.5), False, 1.0, "works on 0.0% of the images, less than 90%"),
        (0, corner(None), False, 1.0, "works on 10.0% of the images, less than 80%"),
        (21, corner(None), True, 0.8, "works on 79.0% of the images, less than 80%"),
    ],
)
def test_a_backdoor_that_did_not_take(errors: int, trigger: Trigger, all_to_all: bool, twin: float, why: str) -> None:
    session = open_session("cpu", 0, 32)
    found = planting.verify_planted(ByFirstPixel(all_to_all), trigger, labelled(errors), 10, twin, session)
    assert not found.took
    assert why in found.reason


def test_all_to_all_takes_at_eighty_percent() -> None:
    session = open_session("cpu", 0, 32)
    found = planting.verify_planted(ByFirstPixel(True), corner(None), labelled(20), 10, 0.8, session)
    assert found.took
    assert found.asr.value == 0.8


def test_without_a_trial_nothing_took() -> None:
    images = labelled(0)
    own = images.subset(images.labels == 3)
    found = planting.verify_planted(ByFirstPixel(), corner(3), own, 10, 1.0, open_session("cpu", 0, 32))
    assert not found.took
    assert "no image could try" in found.reason
