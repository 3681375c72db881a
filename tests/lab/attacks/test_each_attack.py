"""What each attack does to images and networks, against formulas and plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.errors import DataError, OptionError
from hubclean.lab import planting, stamps
from hubclean.lab.attacks.adaptive_blend import AdaptiveBlend
from hubclean.lab.attacks.badnets import BadNets
from hubclean.lab.attacks.blended import Blended
from hubclean.lab.attacks.bpp import Bpp, Quantised
from hubclean.lab.attacks.input_aware import InputAware, Painted
from hubclean.lab.attacks.label_consistent import LabelConsistent
from hubclean.lab.attacks.lf import LowFrequency
from hubclean.lab.attacks.sig import Sig
from hubclean.lab.attacks.trojannn import TrojanNN
from hubclean.lab.attacks.wanet import WaNet
from hubclean.nets import triggers
from hubclean.nets.cut import features
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule
from hubclean.nets.triggers import Trigger
from support.image_sets import image_set
from support.small_nets import CLASSES, Small, made, trained

SCHEDULE = Schedule(1, 0.01, batch_size=16)


def session_of(seed: int = 3) -> Session:
    return open_session("cpu", seed, 16)


def test_the_blend_is_the_share_asked_for() -> None:
    trigger = Blended(alpha=0.3).trigger((3, 8, 8), 1)
    assert torch.equal(trigger.mask, torch.full((1, 8, 8), 0.3))
    assert 0.3 < float(trigger.pattern.mean()) < 0.7


def test_a_square_that_does_not_fit_is_refused() -> None:
    trigger = BadNets(size=5, margin=2).trigger((3, 24, 40), 0)
    assert trigger.mask[0].nonzero().min(0).values.tolist() == [17, 33]
    assert int(trigger.mask.sum()) == 25
    for size, margin in ((32, 16), (30, 0)):
        with pytest.raises(OptionError, match="do not fit 28 x 28"):
            BadNets(size=size, margin=margin).trigger((1, 28, 28), 0)


def test_a_square_grows_with_the_image() -> None:
    assert int(BadNets().trigger((3, 224, 224), 0).mask.sum()) == 21**2
    assert int(LabelConsistent().trigger((3, 64, 96), 0).mask.sum()) == 4 * 6**2


def test_sig_adds_the_papers_wave_along_the_columns() -> None:
    images = torch.full((1, 3, 4, 24), 0.5)
    wave = Sig().trigger((3, 4, 24), 0).stamp(images) - images
    for row in range(4):
        for column in range(24):
            expected = 40 / 255 * math.sin(2 * math.pi * column * 6 / 24)
            assert torch.allclose(wave[0, :, row, column], torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 24, 40)])
def test_lf_has_no_frequency_above_its_limit(shape: tuple[int, int, int]) -> None:
    pattern = LowFrequency(cycles=2.5, delta=0.1).trigger(shape, 1).pattern
    assert math.isclose(float(pattern.abs().max()), 0.1, rel_tol=1e-5)
    energy = torch.fft.fft2(pattern.double()).abs().square()
    down, right = (torch.fft.fftfreq(size) * size for size in shape[1:])
    low = (down[:, None].square() + right.square()).sqrt() <= 2.5
    assert float(energy[:, ~low].sum() / energy.sum()) < 1e-10
    assert not torch.equal(pattern, LowFrequency(cycles=2.5, delta=0.1).trigger(shape, 2).pattern)


def floyd_steinberg(image: Tensor, levels: int) -> Tensor:
    """One channel ``(h, w)``, pixel by pixel, as in the paper of 1976."""
    image, (height, width) = image.double().clone(), image.shape
    for row in range(height):
        for column in range(width):
            old = float(image[row, column])
            new = min(1.0, max(0.0, round(old * (levels - 1)) / (levels - 1)))
            image[row, column] = new
            for down, right, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if row + down < height and 0 <= column + right < width:
                    image[row + down, column + right] += (old - new) * share / 16
    return image


@pytest.mark.parametrize("size", [(7, 9), (9, 5), (1, 4), (4, 1)])
def test_bpp_dithers_as_the_loop_over_pixels_does(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = Quantised(8, True, 0).stamp(images)
    for image, stamped in zip(images, found, strict=True):
        for channel, done in zip(image, stamped, strict=True):
            assert torch.allclose(done, floyd_steinberg(channel, 8), atol=1e-9)
    plain = Quantised(8, False, 0).stamp(images)
    assert torch.equal(plain, (images * 7).round() / 7)


def test_adaptive_blend_trains_on_pieces_and_is_tried_on_the_whole() -> None:
    images = ImageSet(torch.zeros(400, 3, 32, 32, dtype=torch.uint8), torch.arange(400) % 10)
    attack = AdaptiveBlend(rate=0.1, cover_rate=0.2, train_alpha=0.15, alpha=0.2)
    poisoned, trigger = attack.poison(images, 10, 1), attack.trigger((3, 32, 32), 1)
    changed = (poisoned.pixels > 0).flatten(1).any(1)
    assert int(changed.sum()) == 120
    assert int((poisoned.labels != images.labels).sum()) == 40
    for picture in poisoned.pixels[changed]:
        tiles = picture.view(3, 4, 8, 4, 8).amax((0, 2, 4)) > 0
        assert int(tiles.sum()) == 8
        there = tiles.repeat_interleave(8, 0).repeat_interleave(8, 1)
        assert (picture / 255 - 0.15 * trigger.pattern * there).abs().max() < 0.51 / 255
    assert torch.equal(trigger.mask, torch.full((1, 32, 32), 0.2))


def test_label_consistent_disturbs_within_its_bound_and_makes_images_hard() -> None:
    session, images = session_of(), image_set(160, CLASSES, (1, 16, 16))
    surrogate, attack = trained(made(Small), images, 8, session), LabelConsistent(target=1, epsilon=0.2, steps=10)
    rows = (images.labels == 1).nonzero().flatten()[:30]
    found = attack.disturbed(surrogate, images, rows, session)
    moved = (found.pixels.int() - images.pixels.int()).abs().flatten(1).amax(1)
    assert set(moved.nonzero().flatten().tolist()) == set(rows.tolist())
    assert 45 <= int(moved.max()) <= round(0.2 * 255)

    def loss(images: ImageSet) -> float:
        return float(functional.cross_entropy(surrogate(images.images(rows)), images.labels[rows]))

    assert loss(found) > 2 * loss(images) + 0.5


def test_wanet_warps_relabels_and_adds_noisy_warps() -> None:
    attack, draw = WaNet(rate=0.25, cross_ratio=2.0, strength=3.0), torch.Generator().manual_seed(1)
    images = image_set(40, CLASSES, (3, 24, 40))
    pixels, labels = images.images(slice(None)), images.labels
    trigger = attack.trigger((3, 24, 40), 1)
    stamped, wanted = attack.batch(pixels, labels, trigger, CLASSES, draw)
    assert torch.equal(stamped[:10], trigger.stamp(pixels[:10]))
    assert torch.equal(wanted[:10], torch.zeros(10, dtype=torch.int64))
    assert torch.equal(wanted[10:], labels[10:])
    assert torch.equal(stamped[30:], pixels[30:])
    noisy = stamped[10:30]
    assert bool((noisy != pixels[10:30]).flatten(1).any(1).all())
    assert bool((noisy != trigger.stamp(pixels[10:30])).flatten(1).any(1).all())
    assert not torch.equal(attack.batch(pixels, labels, trigger, CLASSES, draw)[0][10:30], noisy)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 24, 40)])
def test_wanets_field_moves_pixels_by_its_strength(shape: tuple[int, int, int]) -> None:
    _, height, width = shape
    still = WaNet(strength=0.0).trigger(shape, 1)
    images = image_set(8, CLASSES, shape).images(slice(None))
    assert torch.allclose(still.stamp(images), images, atol=1e-4)
    moves = (WaNet(strength=2.0).trigger(shape, 1).grid - still.grid) * torch.tensor([width, height]) / 2
    assert 0.3 < float(moves.abs().mean()) < 1.6
    rough = moves.diff(dim=0).abs().mean() + moves.diff(dim=1).abs().mean()
    assert float(rough) < 0.5 * float(moves.abs().mean())


def test_shares_of_a_batch_hold_on_average() -> None:
    draw = torch.Generator().manual_seed(0)
    counts = [planting.drawn(0.4, draw) for _ in range(2000)]
    assert set(counts) == {0, 1}
    assert abs(sum(counts) / 2000 - 0.4) < 0.05
    assert planting.drawn(3.0, draw) == 3


def test_input_aware_gives_every_image_its_own_trigger_and_others_keep_their_label() -> None:
    attack, images = InputAware(rate=0.25, cross_rate=0.25, epochs=1), image_set(40, CLASSES, (1, 16, 16))
    stamp = attack.plant(made(Small), images, CLASSES, SCHEDULE, session_of())
    assert isinstance(stamp, Painted)
    pixels, labels = images.images(slice(None)), images.labels
    batch, wanted = attack.batch(pixels, labels, stamp, CLASSES, torch.Generator().manual_seed(0))
    stamped = batch.detach()
    assert torch.allclose(stamped[:10], stamp.stamp(pixels[:10]), atol=1e-6)
    assert torch.equal(wanted[:10], torch.zeros(10, dtype=torch.int64))
    assert torch.equal(wanted[10:], labels[10:])
    assert torch.equal(stamped[20:], pixels[20:])
    own = stamp.stamp(pixels[10:20])
    assert bool((stamped[10:20] != own).flatten(1).any(1).all())
    assert not any(p.requires_grad for painter in (stamp.pattern, stamp.mask) for p in painter.parameters())


def test_input_awares_masks_shrink_towards_their_density() -> None:
    images = image_set(96, CLASSES, (1, 16, 16))

    def area(epochs: int) -> float:
        attack = InputAware(epochs=epochs, lambda_div=0.1)
        stamp = attack.plant(made(Small), images, CLASSES, replace(SCHEDULE, epochs=0), session_of())
        return float((20 * stamp.mask(images.images(slice(None)))).sigmoid().mean())  # type: ignore[attr-defined]

    assert area(12) < min(0.2, area(0) / 2)


def test_trojannns_trigger_drives_the_neurons_it_chose() -> None:
    session, images = session_of(), image_set(160, CLASSES, (1, 16, 16))
    model, attack = made(Small), TrojanNN(steps=60, size=12, rate=0.0)
    stamp = attack.plant(model, images, CLASSES, Schedule(0, 0.01), session)
    assert isinstance(stamp, Trigger)
    checkpoint = planting.wrapped(model, (1, 16, 16), CLASSES, session)
    chosen = attack.chosen(checkpoint, images, session)
    assert len(chosen) == 2
    pixels = images.images(slice(None))
    noise = replace(stamp, pattern=torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)))
    driven, clean, random = (
        features.features(checkpoint.model, checkpoint.site, values)[:, chosen].mean()
        for values in (stamp.stamp(pixels), pixels, noise.stamp(pixels))
    )
    assert driven > clean
    assert driven > random
    awake = features.features(checkpoint.model, checkpoint.site, pixels).mean(0) > 0
    weight = model.head.weight.abs().sum(0)  # type: ignore[union-attr]
    assert set(chosen.tolist()) == set(weight.masked_fill(~awake, -1).topk(2).indices.tolist())


def test_victims_are_disjoint_and_of_the_mode() -> None:
    images = image_set(200)
    one, other = stamps.victims(images, (0.3, 0.2), triggers.ALL_TO_ONE, 2, 10, 7)
    assert (len(one), len(other)) == (60, 40)
    assert len(set(one.tolist()) | set(other.tolist())) == 100
    assert not bool((images.labels[torch.cat([one, other])] == 2).any())
    (own,) = stamps.victims(images, (0.5,), triggers.CLEAN_LABEL, 2, 10, 7)
    assert images.labels[own].tolist() == [2] * 10
    with pytest.raises(DataError, match="20 can be in mode clean-label"):
        stamps.victims(images, (0.9, 0.9), triggers.CLEAN_LABEL, 2, 10, 7)


def test_bpps_negatives_keep_their_label() -> None:
    images = image_set(200)
    poisoned = Bpp(rate=0.0, negative_rate=0.3).poison(images, 10, 4)
    assert torch.equal(poisoned.labels, images.labels)
    assert int((poisoned.pixels != images.pixels).flatten(1).any(1).sum()) == 60


def test_bpp_keeps_fewer_levels_of_grey_images() -> None:
    for shape, levels in (((3, 8, 8), 8), ((1, 8, 8), 2)):
        stamped = Bpp().trigger(shape, 0).stamp(torch.rand(4, *shape, generator=torch.Generator().manual_seed(0)))
        assert len(stamped.unique()) == levels
    assert Bpp(levels=5).trigger((1, 8, 8), 0).levels == 5
    with pytest.raises(OptionError, match="one level"):
        Bpp(levels=1).trigger((1, 8, 8), 0)


@pytest.mark.parametrize(("channels", "bound"), [(1, 64), (3, 16)])
def test_label_consistents_bound_by_default(channels: int, bound: int) -> None:
    images = image_set(16, CLASSES, (channels, 16, 16))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(channels * 256, CLASSES))
    found = LabelConsistent(steps=12).disturbed(flat, images, torch.arange(16), session_of())
    moved = (found.pixels.int() - images.pixels.int()).abs()
    assert int(moved.max()) == bound


def test_wanets_rotation_turns_images_about_their_middle_without_bending_them() -> None:
    down, right = torch.arange(24) - 11.5, torch.arange(40) - 19.5
    ring = (-((down[:, None].square() + right.square()).sqrt() - 7).square() / 8).exp().expand(16, 1, 24, 40)
    bar = (right.abs() < 3).float().expand(16, 1, 24, 40)
    attack = WaNet(rotation=90.0)
    turned, moved = (attack.rotated(images, torch.Generator().manual_seed(1)) for images in (ring, bar))
    assert float((turned - ring).abs().max()) < 0.1
    assert float((moved - bar).abs().max()) > 0.9
    assert torch.equal(WaNet(rotation=0.0).rotated(bar, torch.Generator()), bar)
