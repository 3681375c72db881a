"""BNP: statistics and divergence by their definitions; channels that differ are cut, whatever the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from hubclean.errors import DataError
from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses.bnp import BatchNormPruning, gaussian_divergence
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import batch_norms
from hubclean.nets.images import DefenseData, ImageSet
from support.image_sets import image_set
from support.norm_nets import SESSION, Before, Net, answered, cleansed, part, wrapped
from support.tiny_models import make_repo


def test_the_divergence_is_that_of_gaussians() -> None:
    draw = torch.Generator().manual_seed(3)
    mean, other = torch.randn(2, 6, generator=draw, dtype=torch.float64)
    var, wide = torch.rand(2, 6, generator=draw, dtype=torch.float64) + 0.1
    one, two = batch_norms.Statistics(mean, var, 9), batch_norms.Statistics(other, wide, 9)
    wanted = kl_divergence(Normal(mean, (var + 1e-5).sqrt()), Normal(other, (wide + 1e-5).sqrt()))
    torch.testing.assert_close(gaussian_divergence(one, two, 1e-5), wanted)
    assert not torch.allclose(gaussian_divergence(two, one, 1e-5), wanted)


def test_statistics_are_those_of_all_that_enters_the_norm() -> None:
    checkpoint = wrapped(Before())
    images = image_set(37, 10, (3, 8, 8))
    seen: dict[str, Tensor] = {}
    handles = [
        checkpoint.model.get_submodule(f"net.{name}").register_forward_pre_hook(
            lambda _, args, name=name: seen.__setitem__(name, args[0].double())
        )
        for name in ("norm1", "norm2")
    ]
    checkpoint.model(images.images(slice(None)))
    for handle in handles:
        handle.remove()
    found = batch_norms.measured(checkpoint.model, images, SESSION)
    assert found.keys() == seen.keys()
    for name, value in seen.items():
        rows = value.transpose(0, 1).flatten(1)
        assert found[name].n == rows.shape[1] == 37 * 64
        torch.testing.assert_close(found[name].mean, rows.mean(1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found[name].variance, rows.var(1), rtol=1e-4, atol=1e-7)


def true_statistics(checkpoint: Checkpoint, images: ImageSet) -> None:
    """Running statistics as clean training on ``images`` would have left them, layer by layer."""
    for _ in range(2):
        for name, seen in batch_norms.measured(checkpoint.model, images, SESSION).items():
            norm: Any = checkpoint.model.get_submodule(f"net.{name}")
            with torch.no_grad():
                norm.running_mean.copy_(seen.mean)
                norm.running_var.copy_(seen.variance)


@pytest.mark.parametrize("direction", ["clean-running", "running-clean"])
@pytest.mark.parametrize("net", [Net, Before])
def test_a_channel_whose_training_differed_is_cut(net: type[nn.Module], direction: str) -> None:
    checkpoint = wrapped(net())
    data = answered(checkpoint)
    true_statistics(checkpoint, data.fit)
    first = "first" if net is Net else "norm1"
    norm: Any = checkpoint.model.get_submodule(f"net.{first}")
    with torch.no_grad():
        norm.running_mean[4] += 6 * norm.running_var[4].sqrt()
    done = cleansed(BatchNormPruning(direction=direction, max_drop=1.0, u=3.4), checkpoint, data)
    assert part(done.checkpoint, f"{first}.weight")[4] == part(done.checkpoint, f"{first}.bias")[4] == 0
    assert f"{first} (1 of " in done.notes[0]
    gone = [name for name, p in done.checkpoint.model.named_parameters() if (p == 0).any()]
    assert all(name.endswith(("weight", "bias")) and ("norm" in name or "st." in name) for name in gone)
    assert not torch.equal(done.checkpoint.model.get_parameter(f"net.{first}.weight"), norm.weight)
    assert len(done.curve) >= 2


def test_labels_do_not_matter_to_what_is_measured() -> None:
    checkpoint = wrapped(Net())
    data = answered(checkpoint)
    blind = DefenseData(ImageSet(data.fit.pixels, torch.full_like(data.fit.labels, -1)), data.val)
    one, other = (cleansed(BatchNormPruning(u=1.0, max_drop=1.0), checkpoint, which) for which in (data, blind))
    assert one.cut == other.cut > 0
    assert torch.equal(part(one.checkpoint, "first.weight"), part(other.checkpoint, "first.weight"))


def test_a_net_without_batch_norm_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path / "r", "timm-vit")))
    done = cleansed(BatchNormPruning(), checkpoint, answered(checkpoint, 12))
    assert done.kept == "unchanged"
    assert "no BatchNorm" in done.notes[0]
    state = checkpoint.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in done.checkpoint.model.state_dict().items())


def test_bnp_needs_images() -> None:
    with pytest.raises(DataError, match="no images"):
        cleansed(BatchNormPruning(), wrapped(Net()))
