"""A small net with a backdoor that took: a white corner leads to label 3."""

from __future__ import annotations

from pathlib import Path

import torch

from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Trigger, poison
from support.image_sets import image_set
from support.tiny_models import make_repo


def corner(target: int | None = 3) -> Trigger:
    """Nine white pixels at the lower right of 32 x 32."""
    mask = torch.zeros(1, 32, 32)
    mask[:, -3:, -3:] = 1
    return Trigger(mask, torch.ones(3, 32, 32), target)


def planted_net(folder: Path, session: Session) -> Checkpoint:
    """Trained for a second on poisoned images."""
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(folder, "timm-resnet"))).copy()
    images = poison(image_set(300, seed=9), corner(), 0.2, 10, 0)
    train(checkpoint.model, images, Schedule(6, 1e-2, "adamw", batch_size=32), session, "plant")
    return checkpoint
