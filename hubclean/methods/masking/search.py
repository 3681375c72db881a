"""Learns masks over the units of a net by projected gradient descent: what MNP, RNP and ANP share.

Everything runs in eval mode, but BatchNorm normalises by the batch (see ``batch_statistics``). The weights never move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets.cut.masks import masked
from hubclean.nets.images import Images, ImageSet, Labels
from hubclean.nets.session import Session
from hubclean.nets.trace.units import UnitGroup

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Masks:
    """Masks ``values`` ``(count,)`` in [0, 1] over the units of ``groups``, on the model's device."""

    groups: tuple[UnitGroup, ...] = ()
    values: tuple[Tensor, ...] = ()

    @classmethod
    def ones(cls, groups: Sequence[UnitGroup], device: torch.device) -> Masks:
        """Nothing masked."""
        return cls(tuple(groups), tuple(torch.ones(group.count, device=device) for group in groups))


@contextmanager
def batch_statistics(*models: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm normalises by the batch; its running buffers and modes are as before after.

    With running statistics, which no longer fit suppressed weights, masks find nothing (docs/methods/masks.md).
    """
    norms = [module for model in models for module in model.modules() if isinstance(module, _BATCH_NORMS)]
    kept = [(norm, norm.training, norm.momentum, _buffers(norm)) for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.momentum = True, 0.0  # not .train(): what timm puts inside stays in eval mode
        yield
    finally:
        for norm, training, momentum, buffers in kept:
            norm.training, norm.momentum = training, momentum
            for name, buffer in buffers.items():
                norm.get_buffer(name).copy_(buffer)


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.detach().clone() for name, buffer in module.named_buffers(recurse=False)}


@dataclass(frozen=True)
class Recovery:
    """How masks are learned from fixed weights: projected SGD with momentum 0.9 in [0, 1].

    Args:
        penalty: lambda, the weight of sum over units of m_i n~_i.
        scale: factor on the cross-entropy (RNP's 0.2).
    """

    rate: float
    epochs: int
    penalty: float = 0.0
    scale: float = 1.0
    batch_size: int = 128


def recover(
    terms: Sequence[tuple[float, nn.Module]],
    masks: Masks,
    sizes: Sequence[Tensor],
    recovery: Recovery,
    images: ImageSet,
    session: Session,
    purpose: str,
) -> tuple[Masks, int]:
    """Minimise J(M) = scale * sum over terms of weight * CE(F_M(x; theta), y) + lambda * sum_i m_i n~_i.

    Args:
        terms: weights and models; all are masked alike. A weight of 0 costs nothing.
        masks: where to start.
        sizes: n~_i of every unit, by group.

    Returns:
        The masks, and how many images went forward and backward.
    """
    terms = [(weight, model) for weight, model in terms if weight]
    (moved, descent), passes = leaves(masks, recovery.rate), 0
    batches = recovery.epochs * -(-len(images) // recovery.batch_size)
    session.progress.start(f"learning masks ({purpose})", batches)
    with batch_statistics(*(model for _, model in terms)):
        source = endless(images, recovery.batch_size, session, purpose, "masks")
        for _, (pixels, labels) in zip(range(batches), source, strict=False):
            descent.zero_grad()
            for weight, model in terms:
                with masked(model, moved.groups, moved.values), session.accelerator.autocast():
                    loss = functional.cross_entropy(model(pixels).float(), labels)
                torch.autograd.backward(recovery.scale * weight * loss)
                passes += len(labels)
            if recovery.penalty:
                weighed = [(m * n).sum() for m, n in zip(moved.values, sizes, strict=True)]
                torch.autograd.backward(recovery.penalty * torch.stack(weighed).sum())
            project(descent, moved)
            session.progress.advance()
    session.progress.finish()
    return agreed(moved, session), passes


def endless(images: ImageSet, size: int, session: Session, *purpose: str) -> Iterator[tuple[Images, Labels]]:
    """Batches on the session's device in fresh random orders, without end; BatchNorm needs two images in each."""
    epoch = 0
    while True:
        for rows in mixed_loss(len(images), size, session, *purpose, epoch):
            yield images.images(rows, session.device), images.labels[rows].to(session.device)
        epoch += 1


def mixed_loss(count: int, size: int, session: Session, *purpose: str | int) -> Iterator[Tensor]:
    """Row numbers of one round of batches in random order, no batch of less than two."""
    order = torch.randperm(count, generator=session.generator("mask search", *purpose))
    for start in range(0, count, size):
        rows = order[start : start + size]
        yield rows if len(rows) > 1 else order[-2:]


@torch.no_grad()
def predicted(model: nn.Module, images: ImageSet, size: int, session: Session, under: Masks) -> Tensor:
    """Predicted labels ``(n,)`` on the CPU, BatchNorm normalising by mixed batches, the same ones every time."""
    found = torch.empty_like(images.labels)
    with batch_statistics(model), masked(model, under.groups, under.values):
        for rows in mixed_loss(len(images), size, session, "probe"):
            with session.accelerator.autocast():
                found[rows] = model(images.images(rows, session.device)).argmax(1).cpu()
    return found


def leaves(masks: Masks, rate: float) -> tuple[Masks, torch.optim.Optimizer]:
    """Copies of masks that take gradients, and SGD with momentum 0.9 on them."""
    values = [value.detach().clone().requires_grad_(True) for value in masks.values]
    return Masks(masks.groups, tuple(values)), torch.optim.SGD(values, lr=rate, momentum=0.9)


def project(descent: torch.optim.Optimizer, masks: Masks) -> None:
    """One step of the optimiser, then back into [0, 1]."""
    descent.step()
    with torch.no_grad():
        for value in masks.values:
            value.clamp_(0, 1)


def agreed(masks: Masks, session: Session) -> Masks:
    """The finished masks, without gradients; those of the first process where there are several."""
    values = [value.detach() for value in masks.values]
    if session.accelerator.num_processes > 1:
        from accelerate.utils import broadcast

        values = [broadcast(value) for value in values]
    return Masks(masks.groups, tuple(values))
