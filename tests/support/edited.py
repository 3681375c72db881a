"""Checkpoints of the tiny repos, loaded, cut and shaken, for the tests of loading and writing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import features


def load(folder: Path) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(folder))


def pixels(checkpoint: Checkpoint) -> Tensor:
    return torch.rand(2, *checkpoint.facts.input_size, generator=torch.Generator().manual_seed(1))


def dead(checkpoint: Checkpoint) -> Tensor:
    """Two channels that matter."""
    return features.features(checkpoint.model, checkpoint.site, pixels(checkpoint)).abs().mean(0).topk(2).indices


def pruned(checkpoint: Checkpoint) -> Checkpoint:
    edited = checkpoint.copy()
    features.zero_channels(edited.model, edited.site, dead(checkpoint))
    return edited


def shaken(checkpoint: Checkpoint) -> Checkpoint:
    """Every parameter and running statistic moved, as fine-tuning would."""
    edited = checkpoint.copy()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in edited.model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand(tensor.shape, generator=generator))
    return edited


def header(file: Path) -> bytes:
    raw = file.read_bytes()
    return raw[: 8 + int.from_bytes(raw[:8], "little")]


def into(tmp_path: Path, name: str = "out") -> Path:
    place = tmp_path / name
    place.mkdir()
    return place
