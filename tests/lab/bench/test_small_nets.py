"""The nets of the bench, stored and restored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hubclean.lab.bench import small_nets


@pytest.mark.parametrize("name", small_nets.net_names())
def test_a_net_is_stored_and_restored_as_it_was(name: str, tmp_path: Path) -> None:
    if name in ("resnet18", "vit-tiny", "convnext-atto"):
        pytest.skip("full-size nets are built by the same functions as the slim ones")
    net, shape, labels = small_nets.find_net(name), (3, 32, 32), tuple("abcdefg")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model, args = small_nets.fresh_net(net, shape, len(labels))
    model.eval()
    small_nets.store_net(net, model, args, labels, shape, tmp_path / "model")
    checkpoint = small_nets.restore_net(net, labels, shape, tmp_path / "model")
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(checkpoint.model(images), model(images), atol=1e-6)
    assert checkpoint.labels == labels
