"""What every registered attack must keep to, whoever adds it: on a CNN and on a ViT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from hubclean.errors import DataError
from hubclean.nets import triggers
from hubclean.nets.construction.classifier import Classifier
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Stamp, Trigger, load_trigger
from hubclean.progress import Silent
from hubclean.registry import methods, options_of
from support.image_sets import image_set

# Fewer steps, nothing else: the contract is about behaviour, not about success.
BRIEF = {"steps": 2, "epochs": 1, "batch_size": 4, "retries": 0}
ATTACKS = sorted(methods("attacks"))
BY_DATA = [name for name in ATTACKS if hasattr(methods("attacks")[name], "poison")]
CLASSES = 4
SCHEDULE = Schedule(1, 0.01, batch_size=16)


def brief(name: str, **given: Any) -> Any:
    cls = methods("attacks")[name]
    known = {row.name for row in options_of(cls)}
    return cls(**{**{key: value for key, value in BRIEF.items() if key in known}, **given})


def modes(name: str) -> tuple[str, ...]:
    return next((row.doc.choices for row in options_of(methods("attacks")[name]) if row.name == "mode"), ())


def session_of(seed: int = 3) -> Session:
    return open_session("cpu", seed, 16)


def net(kind: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """A CNN for colour, a ViT for grey images that are not square."""
    with session_of().seeded("net"):
        if kind == "cnn":
            return Classifier(timm.create_model("test_resnet", num_classes=CLASSES), (0.5,) * 3, (0.5,) * 3), (
                3,
                32,
                32,
            )
        args = {"img_size": (16, 32), "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2, "in_chans": 1}
        return Classifier(timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **args), (0.5,), (0.5,)), (
            1,
            16,
            32,
        )


@dataclass(frozen=True)
class Run:
    attack: Any
    model: nn.Module
    stamp: Stamp
    given: ImageSet
    before: tuple[Tensor, ...]


def run(name: str, kind: str, seed: int = 3, **given: Any) -> Run:
    model, shape = net(kind)
    images = image_set(48, CLASSES, shape)
    before = (images.pixels.clone(), images.labels.clone(), torch.get_rng_state())
    attack = brief(name, **given)
    stamp = attack.plant(model, images, CLASSES, SCHEDULE, session_of(seed))
    return Run(attack, model, stamp, images, (*before, torch.get_rng_state()))


@pytest.fixture(scope="module", params=[(name, kind) for name in ATTACKS for kind in ("cnn", "vit")], ids="-".join)
def planted(request: pytest.FixtureRequest) -> tuple[Run, Run]:
    """The same attack planted twice."""
    return run(*request.param), run(*request.param)


def test_an_attack_repeats_with_its_seed(planted: tuple[Run, Run]) -> None:
    one, other = (run.model.state_dict() for run in planted)
    fresh = net("cnn" if one.keys() == net("cnn")[0].state_dict().keys() else "vit")[0].state_dict()
    assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())
    assert any(not torch.equal(tensor, fresh[key]) for key, tensor in one.items())
    pixels = planted[0].given.images(slice(None))
    assert torch.equal(*(run.stamp.stamp(pixels) for run in planted))


def test_an_attack_leaves_its_images_and_the_global_generator_alone(planted: tuple[Run, Run]) -> None:
    pixels, labels, random, random_after = planted[0].before
    assert torch.equal(planted[0].given.pixels, pixels)
    assert torch.equal(planted[0].given.labels, labels)
    assert torch.equal(random, random_after)


def test_a_planted_model_is_finite_and_at_rest(planted: tuple[Run, Run]) -> None:
    model = planted[0].model
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_stamp_keeps_shape_and_range_and_says_its_target(planted: tuple[Run, Run]) -> None:
    attack, stamp = planted[0].attack, planted[0].stamp
    pixels = planted[0].given.images(slice(0, 7))
    kept = pixels.clone()
    stamped = stamp.stamp(pixels)
    assert stamped.shape == pixels.shape
    assert stamped.dtype == pixels.dtype
    assert not stamped.requires_grad
    assert float(stamped.min()) >= 0
    assert float(stamped.max()) <= 1
    assert bool((stamped != pixels).flatten(1).any(1).all())
    assert torch.equal(pixels, kept)
    assert stamp.target == attack.target
    assert torch.allclose(stamp.stamp(pixels[2:3]), stamped[2:3], atol=1e-6), "images of a batch do not mix"


def test_a_stamp_is_the_same_after_its_file(planted: tuple[Run, Run], tmp_path: Path) -> None:
    attack, stamp, path = planted[0].attack, planted[0].stamp, tmp_path / "planted.safetensors"
    before = torch.get_rng_state()
    triggers.save_stamp(stamp, path, attack.name)
    again = triggers.load_stamp(path)
    pixels = planted[0].given.images(slice(None))
    assert type(again) is type(stamp)
    assert again.target == stamp.target
    assert torch.equal(again.stamp(pixels), stamp.stamp(pixels))
    assert torch.equal(torch.get_rng_state(), before)
    if isinstance(stamp, Trigger):
        assert torch.equal(load_trigger(path).mask, stamp.mask)


@pytest.mark.parametrize("name", [name for name in ATTACKS if "all-to-all" in modes(name)])
def test_all_to_all_has_no_target(name: str, tmp_path: Path) -> None:
    stamp = run(name, "vit", mode="all-to-all", target=9).stamp  # which is no label, and plays no part
    assert stamp.target is None
    triggers.save_stamp(stamp, tmp_path / "s.safetensors", name)
    assert triggers.load_stamp(tmp_path / "s.safetensors").target is None


def test_the_literatures_all_to_all_attacks_have_it() -> None:
    assert {"badnets", "blended", "wanet", "input-aware", "bpp"} <= {n for n in ATTACKS if "all-to-all" in modes(n)}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_target_that_is_no_label_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="label 4 does not exist"):
        run(name, "vit", target=CLASSES)


class Impatient(Silent):
    """Presses Ctrl-C after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, steps: int = 1) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("steps", [1, 4])
def test_an_interrupted_attack_leaves_no_gradients_hooks_or_seeds(name: str, steps: int) -> None:
    model, shape = net("vit")
    before, attack = torch.get_rng_state(), brief(name)
    session = replace(session_of(), progress=Impatient(steps))
    with pytest.raises(KeyboardInterrupt):
        attack.plant(model, image_set(48, CLASSES, shape), CLASSES, replace(SCHEDULE, epochs=3), session)
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", BY_DATA)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 24, 40)])
def test_an_attack_poisons_its_share_and_nothing_else(name: str, shape: tuple[int, int, int]) -> None:
    cls, images = methods("attacks")[name], image_set(200, 10, shape)
    known = {row.name for row in options_of(cls)}
    attack = cls(rate=0.05) if "cover_rate" in known else cls()
    able, rest = (20, 180) if name == "source-specific" else (200, 200)  # shares of one class, and of the others
    own_label = rest * sum(getattr(attack, key, 0.0) for key in ("cover_rate", "negative_rate"))
    clean_label = name == "label-consistent" or getattr(attack, "mode", "") == "clean-label"
    kept = images.pixels.clone(), images.labels.clone()
    poisoned = attack.poison(images, 10, seed=5)
    assert torch.equal(images.pixels, kept[0])
    assert torch.equal(images.labels, kept[1])
    changed = (poisoned.pixels != images.pixels).flatten(1).any(1)
    moved = poisoned.labels != images.labels
    if clean_label:
        assert not moved.any()
        assert int(changed.sum()) == round(attack.rate * 20)
        assert bool((images.labels[changed] == attack.target).all())
    else:
        assert int(moved.sum()) == round(attack.rate * able)
        assert int(changed.sum()) == round(attack.rate * able) + round(own_label)
        assert bool(changed[moved].all())
        assert bool((poisoned.labels[moved] == attack.target).all())
    again = attack.poison(images, 10, seed=5)
    assert torch.equal(again.pixels, poisoned.pixels)
    assert not torch.equal(attack.poison(images, 10, seed=6).pixels, poisoned.pixels)


@pytest.mark.parametrize("name", [name for name in BY_DATA if "all-to-all" in modes(name)])
def test_all_to_all_moves_every_label_by_one(name: str) -> None:
    attack, images = brief(name, mode="all-to-all", rate=0.5, target=3), image_set(200)
    poisoned = attack.poison(images, 10, seed=5)
    moved = poisoned.labels != images.labels
    assert int(moved.sum()) == 100
    assert torch.equal(poisoned.labels[moved], (images.labels[moved] + 1) % 10)
    assert attack.trigger((3, 32, 32), 5).target is None


@pytest.mark.parametrize(
    "name", [name for name in BY_DATA if name not in ("sig", "label-consistent", "source-specific")]
)
def test_more_poison_than_images_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"\d+ images were to be poisoned, but only 180"):
        brief(name, rate=1.0).poison(image_set(200), 10, 0)
