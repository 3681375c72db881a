"""Channels where heads see more than one position: means, cuts and the shortcut that spares forward passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hubclean.nets.cut import features as sites
from hubclean.nets.cut.features import features, zero_channels
from hubclean.nets.cut.pruning import FeatureChannels, Trial
from hubclean.nets.images import ImageSet
from hubclean.nets.session import open_session
from support.feature_nets import pixels, wrapped

LABELLED = (
    ImageSet(
        torch.randint(0, 256, (9, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8),
        torch.arange(9) % 4,
    ),
    None,
    open_session("cpu", batch_size=4),
)


class Everywhere(nn.Module):
    """The head answers at every position and the answers are averaged: per token, or as a convolution on the map."""

    def __init__(self, tokens: bool) -> None:
        super().__init__()
        self.body, self.tokens = nn.Conv2d(3, 5, 3), tokens
        self.head = nn.Linear(5, 4) if tokens else nn.Conv2d(5, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images).relu()
        if self.tokens:
            return torch.as_tensor(self.head(maps.flatten(2).transpose(1, 2)).relu().mean(1))
        return torch.as_tensor(self.head(maps).relu().mean((2, 3)))


@pytest.mark.parametrize("tokens", [True, False], ids=["token head", "convolution head"])
def test_a_head_at_every_position_is_averaged_and_cut(tokens: bool) -> None:
    checkpoint = wrapped(Everywhere(tokens))
    images, net = pixels(checkpoint), checkpoint.model.net
    assert (checkpoint.site.channels, [head.path for head in checkpoint.site.heads]) == (5, ["head"])
    with torch.no_grad():
        maps = net.body((images - 0.5) / 0.5).relu()
    torch.testing.assert_close(features(checkpoint.model, checkpoint.site, images), maps.mean((2, 3)))
    assert sites.verify_site(checkpoint.model, checkpoint.site, images) < 1e-5
    cut, dead = Trial(checkpoint, FeatureChannels(checkpoint), *LABELLED), torch.tensor([1, 4])
    cut.remove(dead)
    trial = checkpoint.copy()
    zero_channels(trial.model, trial.site, dead)
    torch.testing.assert_close(cut.logits, trial.model(LABELLED[0].images(slice(None))), rtol=1e-5, atol=1e-6)


class TiedHeads(nn.Module):
    """Two heads with one weight: on the mean and on the maximum of the same map."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Conv2d(3, 5, 3), nn.Linear(5, 4), nn.Linear(5, 4)
        self.two.weight = self.one.weight

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images).relu()
        return torch.as_tensor(self.one(maps.mean((2, 3))) + self.two(maps.amax((2, 3))))


def test_heads_that_share_a_weight_are_cut_once_for_both() -> None:
    checkpoint = wrapped(TiedHeads())
    cut = checkpoint.copy()
    zero_channels(cut.model, cut.site, torch.tensor([2]))
    assert (cut.model.net.one.weight == 0).all(0).tolist() == [False, False, True, False, False]
    assert sites.verify_site(checkpoint.model, checkpoint.site, pixels(checkpoint)) < 1e-5
