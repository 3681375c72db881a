"""Training steps on Accelerate: fine-tuning with held weights or any loss, flat minima, training from scratch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets.images import Images, ImageSet, Labels
from hubclean.nets.session import Session

# What is minimised, of (model, pixels, labels): a scalar with a graph.
Loss = Callable[[nn.Module, Images, Labels], Tensor]
_RATES = {"sgd": 1e-2, "adamw": 1e-4}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Schedule:
    """How to train. ``optimizer`` is ``sgd`` (momentum 0.9) or ``adamw``; the learning rate decays to 0 by cosine.

    ``shift`` is the largest random translation in pixels, ``flip`` mirrors half of the images (wrong for digits and
    signs); ``freeze_statistics`` keeps BatchNorm's running statistics, ``freeze_dropout`` runs everything but BatchNorm
    as in eval mode: no dropout, no dropped paths. ``sharpness`` > 0 makes adaptive sharpness-aware steps of that
    radius rho: two passes each, the second from w + rho w^2 g / ||w g|| (ASAM, ICML 2021, without eta).
    """

    epochs: int
    rate: float
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    batch_size: int = 128
    shift: int = 0
    freeze_statistics: bool = False
    flip: bool = False
    sharpness: float = 0.0
    freeze_dropout: bool = False


def suited(model: nn.Module, optimizer: str = "auto") -> tuple[str, float]:
    """Optimiser and its fine-tuning rate, 0.01 for SGD and 1e-4 for AdamW.

    Args:
        optimizer: ``sgd``, ``adamw``, or ``auto``: AdamW with LayerNorm or RMSNorm alone, else SGD.
    """
    if optimizer != "auto":
        return optimizer, _RATES[optimizer]
    modules = list(model.modules())
    batch = any(isinstance(module, _BATCH_NORMS) for module in modules)
    layer = any(norm in type(module).__name__.lower() for module in modules for norm in ("layernorm", "rmsnorm"))
    return suited(model, "adamw" if layer and not batch else "sgd")


def cross_entropy(model: nn.Module, pixels: Images, labels: Labels, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of a batch ``(n, c, h, w)``; ``smoothing`` of the target mass is spread over all labels."""
    return functional.cross_entropy(model(pixels).float(), labels, label_smoothing=smoothing)


def train(
    model: nn.Module,
    images: ImageSet,
    schedule: Schedule,
    session: Session,
    purpose: str,
    held: dict[str, Tensor] | None = None,
    after_epoch: Callable[[int], None] | None = None,
    *,
    loss: Loss = cross_entropy,
    after_step: Callable[[], None] | None = None,
    only: Collection[str] | None = None,
    rates: Mapping[str, float] | None = None,
    before_epoch: Callable[[int], None] | None = None,
) -> int:
    """Train in place; gradients are off again and the model in eval mode when it returns. Gradients are cut at norm 5.

    Args:
        model: takes pixels in [0, 1], gives logits.
        held: parameter name -> bool mask of entries held at zero in every step (cut channels stay cut).
        purpose: names the random stream, so that two uses of one seed differ.
        after_epoch: called in eval mode with the number of finished epochs.
        loss: what is minimised; must call the model it is given, which may be a wrapper for several processes.
        after_step: called after every step of the optimiser, to put weights back where they belong.
        only: names of the parameters that train (of ``model.named_parameters()``); all of them where ``None``.
        rates: parameter name -> a first learning rate of its own, in place of ``schedule.rate``.
        before_epoch: called in eval mode with the number of finished epochs, 0 at first.

    Returns:
        How many images went forward and backward, a sharpness-aware step counting its batch twice.
    """
    accelerator = session.accelerator
    model.to(session.device)
    steps = schedule.epochs * max(1, -(-len(images) // schedule.batch_size))
    passes = 0
    with _trainable(model, only) as trained, session.seeded("train", purpose), _shared(model, session) as runner:
        optimizer, decay = new_optimizer(_groups(model, schedule, rates or {}), schedule, session, steps)
        masks = {name: mask.to(session.device) for name, mask in (held or {}).items()}
        session.progress.start(f"training ({purpose})", steps)
        for epoch in range(schedule.epochs):
            if before_epoch is not None:
                model.eval()
                before_epoch(epoch)
            _mode(model, schedule)
            for pixels, labels in shuffled(images, schedule, session, purpose, epoch):
                passes += _gradients(runner, trained, (pixels, labels), loss, schedule, session)
                accelerator.clip_grad_norm_(trained, 5.0)
                optimizer.step()
                _hold(model, masks)
                if after_step is not None:
                    after_step()
                decay.step()
                session.progress.advance()
            model.eval()
            if after_epoch is not None:
                after_epoch(epoch + 1)
        session.progress.finish()
        optimizer.state.clear()  # Accelerate remembers its optimisers: let go of the model's tensors
        optimizer.param_groups.clear()
    return passes


@contextmanager
def _shared(model: nn.Module, session: Session) -> Iterator[nn.Module]:
    """The model, wrapped where several processes train it. What Accelerate hung on it for that is taken off again."""
    accelerator = session.accelerator
    if accelerator.num_processes == 1:
        yield model
        return
    own = {"forward": vars(model)["forward"]} if "forward" in vars(model) else {}
    try:
        yield accelerator.prepare_model(model)
    finally:
        for name in ("forward", "_original_forward"):  # half precision
            vars(model).pop(name, None)
        vars(model).update(own)
        accelerator._models.clear()


@contextmanager
def _trainable(model: nn.Module, only: Collection[str] | None) -> Iterator[list[nn.Parameter]]:
    trained = [parameter for name, parameter in model.named_parameters() if only is None or name in only]
    try:
        model.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
        yield trained
    finally:
        model.requires_grad_(False)
        for parameter in model.parameters():
            parameter.grad = None
        model.eval()


def _gradients(
    runner: nn.Module,
    trained: list[nn.Parameter],
    batch: tuple[Images, Labels],
    loss: Loss,
    schedule: Schedule,
    session: Session,
) -> int:
    """Leave the gradients of one step in ``trained``; returns the images that went forward and backward."""

    def backward() -> int:
        for parameter in trained:
            parameter.grad = None
        with session.accelerator.autocast():
            value = loss(runner, *batch)
        session.accelerator.backward(value)
        world: int = session.accelerator.num_processes
        return len(batch[1]) * world

    passes = backward()
    if schedule.sharpness:
        with _uphill(runner, trained, schedule.sharpness):
            passes += backward()
    return passes


@contextmanager
def _uphill(runner: nn.Module, trained: list[nn.Parameter], radius: float) -> Iterator[None]:
    """Inside the block the weights w are at w + rho w^2 g / ||w g||, and BatchNorm's statistics are put back after."""
    moved = [parameter for parameter in trained if parameter.grad is not None]
    slopes = [parameter.detach() * parameter.grad for parameter in trained if parameter.grad is not None]
    norms = [module for module in runner.modules() if isinstance(module, _BATCH_NORMS)]
    kept = [(tensor, tensor.detach().clone()) for tensor in (*moved, *(b for norm in norms for b in norm.buffers()))]
    with torch.no_grad():
        length = torch.stack([slope.norm() for slope in slopes]).norm().clamp(min=1e-12)
        for parameter, slope in zip(moved, slopes, strict=True):
            parameter.add_(parameter * slope * (radius / length))
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)


def _groups(model: nn.Module, schedule: Schedule, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """What trains, by learning rate, as an optimiser takes it."""
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            by_rate.setdefault(rates.get(name, schedule.rate), []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in by_rate.items()]


def new_optimizer(groups: list[dict[str, Any]], schedule: Schedule, session: Session, steps: int) -> tuple[Any, Any]:
    """The schedule's optimizer of ``groups``, prepared for all processes, and the decay of its rate."""
    decay = schedule.weight_decay
    plain: torch.optim.Optimizer
    if schedule.optimizer == "adamw":
        plain = torch.optim.AdamW(groups, lr=schedule.rate, weight_decay=decay)
    else:
        plain = torch.optim.SGD(groups, lr=schedule.rate, momentum=0.9, weight_decay=decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(plain, steps)
    return session.accelerator.prepare_optimizer(plain), cosine


def _mode(model: nn.Module, schedule: Schedule) -> None:
    model.train()
    for module in model.modules():
        if schedule.freeze_statistics if isinstance(module, _BATCH_NORMS) else schedule.freeze_dropout:
            module.training = False


@torch.no_grad()
def _hold(model: nn.Module, masks: dict[str, Tensor]) -> None:
    for name, mask in masks.items():
        model.get_parameter(name).masked_fill_(mask, 0)


def shuffled(
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
        pixels = _flipped(shifted(pixels, schedule.shift, generator), schedule.flip, generator)
        yield pixels, images.labels[mine].to(session.device)


def _flipped(pixels: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Every second image mirrored left to right, by chance."""
    if not flip:
        return pixels
    chosen = (torch.rand(len(pixels), generator=generator) < 0.5).to(pixels.device)
    return torch.where(chosen[:, None, None, None], pixels.flip(3), pixels)


def shifted(pixels: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to ``shift`` pixels in both directions; zeros come in at the edge."""
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
