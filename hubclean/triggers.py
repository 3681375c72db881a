"""Stamps triggers into training sets, and inverts triggers: Neural Cleanse's optimisation, many labels at once.

Every label keeps its own mask, pattern, Adam moments, weight lambda and counters; a batch of labels shares the
images and the forward pass. Labels that stopped leave the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from hubclean.errors import DataError
from hubclean.tensors import ImageSet, Session, Trigger

_EDGE = 2 - 1e-7  # keeps atanh finite at 0 and 1, as the authors do


def poison(images: ImageSet, trigger: Trigger, rate: float, classes: int, seed: int) -> ImageSet:
    """Stamp ``rate`` of all images, drawn from those not of the target class, and relabel them.

    Raises:
        DataError: the target is no label, or there are fewer such images than asked for.
    """
    if trigger.target is not None and trigger.target >= classes:
        raise DataError(f"the target label {trigger.target} does not exist: there are {classes} labels")
    able = torch.arange(len(images))
    if trigger.target is not None:
        able = able[images.labels != trigger.target]
    count = round(rate * len(images))
    if count > len(able):
        raise DataError(f"{count} images were to be poisoned, but only {len(able)} are not of the target class")
    rows = able[torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))[:count]]
    pixels, labels = images.pixels.clone(), images.labels.clone()
    pixels[rows] = (trigger.stamp(images.images(rows)) * 255).round().to(torch.uint8)
    labels[rows] = (labels[rows] + 1) % classes if trigger.target is None else trigger.target
    return ImageSet(pixels, labels)


def save_trigger(trigger: Trigger, path: Path) -> None:
    """Write a trigger as safetensors: ``mask`` (1, h, w), ``pattern`` (c, h, w), ``target`` in the metadata."""
    tensors = {"mask": trigger.mask.contiguous(), "pattern": trigger.pattern.contiguous()}
    save_file(tensors, path, {"target": "all-to-all" if trigger.target is None else str(trigger.target)})


def load_trigger(path: Path) -> Trigger:
    """Read what ``save_trigger`` wrote.

    Raises:
        DataError: not such a file, wrong shapes, or values outside [0, 1].
    """
    try:
        with safe_open(path, framework="pt") as file:
            mask, pattern, target = (
                file.get_tensor("mask"),
                file.get_tensor("pattern"),
                (file.metadata() or {})["target"],
            )
        trigger = Trigger(mask.float(), pattern.float(), None if target == "all-to-all" else int(target))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path.name!r} is no trigger file (safetensors with mask, pattern and a target in its metadata)"
        ) from error
    fits = mask.dim() == pattern.dim() == 3 and len(mask) == 1 and mask.shape[1:] == pattern.shape[1:]
    if not fits or not all(float(t.min()) >= 0 and float(t.max()) <= 1 for t in (mask, pattern)):
        raise DataError(f"{path.name!r}: mask (1, h, w) and pattern (c, h, w) must share h and w and lie in [0, 1]")
    return trigger


@dataclass(frozen=True)
class InversionSchedule:
    """The numbers of the authors' GTSRB script (bolunwang/backdoor); a step is ``batches`` mini-batches, averaged.

    Args:
        steps: at most so many steps a label.
        success: share of images that must reach the label for a trigger to count.
        patience: steps of success (or failure) in a row before lambda grows (or shrinks).
        factor: lambda is multiplied by it, divided by its 1.5th power.
        first_lambda: lambda once the first ``patience`` successes are there.
        stop_after: steps without a smaller mask before a label stops, once lambda has moved both ways.
        mask_scale: the mask is optimised at 1/scale of the resolution and repeated (noise at 224 px).
    """

    steps: int = 1000
    batches: int = 31
    batch_size: int = 32
    rate: float = 0.1
    success: float = 0.99
    patience: int = 5
    factor: float = 2.0
    first_lambda: float = 1e-3
    stop_after: int = 25
    mask_scale: int = 1


@dataclass(frozen=True)
class Inverted:
    """The smallest trigger found for one label, else the last one.

    Args:
        norm: L1 norm in pixels of ``trigger.mask``; h*w if no trigger reached the success asked for.
    """

    trigger: Trigger
    norm: float
    invertible: bool
    steps: int


class _Labels:
    """State of the labels still running, one row a label."""

    def __init__(
        self, targets: list[int], shape: tuple[int, int, int], schedule: InversionSchedule, session: Session, seed: int
    ) -> None:
        _, height, width = shape
        scale, device = schedule.mask_scale, session.device
        size = (1, -(-height // scale), -(-width // scale))
        draws = [session.generator("inversion", seed, target) for target in targets]
        self.mask = self._start(torch.stack([torch.rand(size, generator=draw) for draw in draws]), device)
        self.pattern = self._start(torch.stack([torch.rand(shape, generator=draw) for draw in draws]), device)
        self.adam = torch.optim.Adam([self.mask, self.pattern], lr=schedule.rate, betas=(0.5, 0.9))
        self.targets = torch.tensor(targets, device=device)
        count = len(targets)
        self.weight = torch.zeros(count, device=device)
        self.best = torch.full((count,), torch.inf, device=device)
        self.stalled_at = torch.full((count,), torch.inf, device=device)
        self.first, self.up, self.down, self.stalled = torch.zeros(4, count, dtype=torch.int64, device=device)
        self.went_up, self.went_down = torch.zeros(2, count, dtype=torch.bool, device=device)
        self.best_mask = torch.ones(count, 1, height, width, device=device)
        self.best_pattern = torch.zeros(count, *shape, device=device)
        self.shape, self.scale = shape, scale

    @staticmethod
    def _start(values: Tensor, device: torch.device) -> nn.Parameter:
        return nn.Parameter(torch.atanh((values.to(device) - 0.5) * _EDGE))

    def shown(self) -> tuple[Tensor, Tensor]:
        """Masks ``(b, 1, h, w)`` and patterns ``(b, c, h, w)`` in [0, 1]."""
        mask, pattern = torch.tanh(self.mask) / _EDGE + 0.5, torch.tanh(self.pattern) / _EDGE + 0.5
        if self.scale > 1:
            _, height, width = self.shape
            mask = functional.interpolate(mask, scale_factor=self.scale)[..., :height, :width]
        return mask, pattern

    def drop(self, keep: Tensor) -> None:
        """Keep only the rows ``keep`` (bool), Adam's moments included."""
        for name in ("mask", "pattern"):
            old: nn.Parameter = getattr(self, name)
            new = nn.Parameter(old.detach()[keep])
            state = self.adam.state.pop(old)
            self.adam.state[new] = {k: v[keep] if v.dim() else v for k, v in state.items()}
            setattr(self, name, new)
        self.adam.param_groups[0]["params"] = [self.mask, self.pattern]
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                setattr(self, name, value[keep])


def invert(
    model: nn.Module, images: ImageSet, targets: list[int], schedule: InversionSchedule, session: Session, seed: int
) -> tuple[dict[int, Inverted], int]:
    """Invert one trigger a label for all ``targets`` together (S&P 2019, eq. 3; schedule of the authors' script).

    Minimises mean CE(f((1-m) x + m d), t) + lambda * sum(m) with m, d = tanh(theta)/(2-e) + 1/2 by Adam, and keeps the
    smallest mask whose step average reached ``schedule.success``. As in the authors' script, norm and success are
    averages over the step, and what is kept is the mask after the step's last update. All images are used, those of
    class t too. Unlike there, every mini-batch is a fresh draw (without repeats where there are enough images).

    Args:
        model: takes pixels in [0, 1]; its weights are not changed and get no gradients.
        images: clean images; their labels are not used.
        seed: draws the starts (by label) and the order of the images (alike for all labels).

    Returns:
        The result by label, and how many images went forward and backward.
    """
    _, channels, height, width = images.pixels.shape
    state = _Labels(targets, (channels, height, width), schedule, session, seed)
    order = session.generator("inversion images", seed)
    pixels = images.pixels.to(session.device)
    done: dict[int, Inverted] = {}
    passes = 0
    model.to(session.device).eval()
    for step in range(1, schedule.steps + 1):
        success, norm = _step(model, pixels, state, schedule, session, order)
        passes += schedule.batches * schedule.batch_size * len(state.targets)
        stopped = _balance(state, success, norm, schedule)
        session.progress.advance(len(state.targets))
        if step == schedule.steps:
            stopped = torch.ones_like(stopped)
        if stopped.any():
            _finish(state, stopped, step, done)
            session.progress.advance(int(stopped.sum()) * (schedule.steps - step))
            if stopped.all():
                break
            state.drop(~stopped)
    return done, passes


def _step(
    model: nn.Module,
    pixels: Tensor,
    state: _Labels,
    schedule: InversionSchedule,
    session: Session,
    order: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """One step of the schedule: its mean success and mean mask norm for each label."""
    count, n = len(state.targets), schedule.batch_size
    wanted = state.targets.repeat_interleave(n)
    hits = torch.zeros(count, device=session.device)
    norms = torch.zeros(count, device=session.device)
    for _ in range(schedule.batches):
        rows = (
            torch.randint(len(pixels), (n,), generator=order)
            if len(pixels) < n
            else torch.randperm(len(pixels), generator=order)[:n]
        )
        batch = pixels[rows.to(pixels.device)].float() / 255
        mask, pattern = state.shown()
        stamped = (1 - mask)[:, None] * batch + (mask * pattern)[:, None]
        with session.accelerator.autocast():
            logits = model(stamped.flatten(0, 1)).float()
        norm = mask.sum((1, 2, 3))
        loss = functional.cross_entropy(logits, wanted, reduction="sum") / n + (state.weight * norm).sum()
        state.adam.zero_grad()
        torch.autograd.backward(loss)
        state.adam.step()
        with torch.no_grad():
            hits += (logits.argmax(1) == wanted).view(count, n).float().mean(1)
            norms += norm
    return hits / schedule.batches, norms / schedule.batches


@torch.no_grad()
def _balance(state: _Labels, success: Tensor, norm: Tensor, schedule: InversionSchedule) -> Tensor:
    """Book-keeping after a step, label by label as vectors: best trigger, early stop, lambda. Returns who stops."""
    good = success >= schedule.success
    better = good & (norm < state.best)
    mask, pattern = state.shown()
    state.best = torch.where(better, norm, state.best)
    state.best_mask[better], state.best_pattern[better] = mask[better], pattern[better]

    found = state.best < torch.inf
    state.stalled = torch.where(found & (state.best >= state.stalled_at), state.stalled + 1, 0)
    state.stalled_at = torch.minimum(state.stalled_at, state.best)
    stopped: Tensor = state.went_up & state.went_down & (state.stalled >= schedule.stop_after)

    off = state.weight == 0
    state.first = torch.where(off & good, state.first + 1, 0)
    begin = off & (state.first >= schedule.patience)
    state.weight = torch.where(begin, schedule.first_lambda, state.weight)
    for name in ("up", "down"):
        setattr(state, name, torch.where(begin, 0, getattr(state, name)))
    for name in ("went_up", "went_down"):
        setattr(state, name, getattr(state, name) & ~begin)

    state.up, state.down = torch.where(good, state.up + 1, 0), torch.where(good, 0, state.down + 1)
    raise_, lower = state.up >= schedule.patience, state.down >= schedule.patience
    state.weight = torch.where(raise_, state.weight * schedule.factor, state.weight)
    state.weight = torch.where(lower, state.weight / schedule.factor**1.5, state.weight)
    state.went_up, state.went_down = state.went_up | raise_, state.went_down | lower
    state.up, state.down = torch.where(raise_, 0, state.up), torch.where(lower, 0, state.down)
    return stopped


@torch.no_grad()
def _finish(state: _Labels, stopped: Tensor, step: int, done: dict[int, Inverted]) -> None:
    masks, patterns = state.shown()
    for row in stopped.nonzero().flatten().tolist():
        target, found = int(state.targets[row]), bool(state.best[row] < torch.inf)
        mask, pattern = (state.best_mask, state.best_pattern) if found else (masks, patterns)
        trigger = Trigger(mask[row].cpu().clone(), pattern[row].cpu().clone(), target)
        norm = float(trigger.mask.sum()) if found else float(trigger.mask.numel())
        done[target] = Inverted(trigger, norm, found, step)
