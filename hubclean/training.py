"""Training steps on Accelerate: fine-tuning with cut weights held at zero, and training from scratch for attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.tensors import ImageSet, Session

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Schedule:
    """How to train. ``optimizer`` is ``sgd`` (momentum 0.9) or ``adamw``; the learning rate decays to 0 by cosine.

    ``shift`` is the largest random translation in pixels; ``freeze_statistics`` keeps BatchNorm's running statistics.
    """

    epochs: int
    rate: float
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    batch_size: int = 128
    shift: int = 0
    freeze_statistics: bool = False


def suited(model: nn.Module) -> tuple[str, float]:
    """Optimiser and fine-tuning rate by the kind of norm: AdamW 5e-5 with LayerNorm or RMSNorm alone, else SGD 0.01."""
    modules = list(model.modules())
    batch = any(isinstance(module, _BATCH_NORMS) for module in modules)
    layer = any(norm in type(module).__name__.lower() for module in modules for norm in ("layernorm", "rmsnorm"))
    return ("adamw", 5e-5) if layer and not batch else ("sgd", 1e-2)


def train(
    model: nn.Module,
    images: ImageSet,
    schedule: Schedule,
    session: Session,
    purpose: str,
    held: dict[str, Tensor] | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train in place by cross-entropy; gradients are off again and the model in eval mode when it returns.

    Args:
        model: takes pixels in [0, 1], gives logits.
        held: parameter name -> bool mask of entries held at zero in every step (cut channels stay cut).
        purpose: names the random stream, so that two uses of one seed differ.
        after_epoch: called in eval mode with the number of finished epochs.
    """
    accelerator = session.accelerator
    model.to(session.device)
    steps = schedule.epochs * max(1, -(-len(images) // schedule.batch_size))
    with _trainable(model), session.seeded("train", purpose):
        optimizer, decay = _optimizer(model, schedule, session, steps)
        runner = accelerator.prepare_model(model) if accelerator.num_processes > 1 else model
        masks = {name: mask.to(session.device) for name, mask in (held or {}).items()}
        session.progress.start(f"training ({purpose})", steps)
        for epoch in range(schedule.epochs):
            _mode(model, schedule)
            for pixels, labels in _shuffled(images, schedule, session, purpose, epoch):
                with accelerator.autocast():
                    loss = functional.cross_entropy(runner(pixels).float(), labels)
                optimizer.zero_grad()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                _hold(model, masks)
                decay.step()
                session.progress.advance()
            model.eval()
            if after_epoch is not None:
                after_epoch(epoch + 1)
        session.progress.finish()


@contextmanager
def _trainable(model: nn.Module) -> Iterator[None]:
    try:
        model.requires_grad_(True)
        yield
    finally:
        model.requires_grad_(False)
        for parameter in model.parameters():
            parameter.grad = None
        model.eval()


def _optimizer(model: nn.Module, schedule: Schedule, session: Session, steps: int) -> tuple[Any, Any]:
    parameters, decay = list(model.parameters()), schedule.weight_decay
    plain: torch.optim.Optimizer
    if schedule.optimizer == "adamw":
        plain = torch.optim.AdamW(parameters, lr=schedule.rate, weight_decay=decay)
    else:
        plain = torch.optim.SGD(parameters, lr=schedule.rate, momentum=0.9, weight_decay=decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(plain, steps)
    return session.accelerator.prepare_optimizer(plain), cosine


def _mode(model: nn.Module, schedule: Schedule) -> None:
    model.train()
    if schedule.freeze_statistics:
        for module in model.modules():
            if isinstance(module, _BATCH_NORMS):
                module.eval()


@torch.no_grad()
def _hold(model: nn.Module, masks: dict[str, Tensor]) -> None:
    for name, mask in masks.items():
        model.get_parameter(name).masked_fill_(mask, 0)


def _shuffled(
    images: ImageSet, schedule: Schedule, session: Session, purpose: str, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch; each process takes its share of every batch, so that the effective batch stays the same."""
    generator = session.generator("order", purpose, epoch)
    order = torch.randperm(len(images), generator=generator)
    world, rank = session.accelerator.num_processes, session.accelerator.process_index
    for start in range(0, len(order), schedule.batch_size):
        rows = order[start : start + schedule.batch_size]
        if len(rows) < max(2, world):  # BatchNorm needs two images, DDP one a process
            rows = order[-max(2, world) :]
        mine = rows[rank::world]
        pixels = images.images(mine, session.device)
        yield _shifted(pixels, schedule.shift, generator), images.labels[mine].to(session.device)


def _shifted(pixels: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    if not shift:
        return pixels
    down, right = torch.randint(0, 2 * shift + 1, (2, len(pixels)), generator=generator).to(pixels.device)
    padded = functional.pad(pixels, (shift,) * 4)
    n, _, height, width = pixels.shape
    rows = down[:, None] + torch.arange(height, device=pixels.device)
    columns = right[:, None] + torch.arange(width, device=pixels.device)
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(n, device=pixels.device)[:, None, None], rows[:, :, None], columns[:, None]
    ]
    return picked.permute(0, 3, 1, 2).contiguous()
