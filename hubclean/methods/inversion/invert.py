"""Neural Cleanse's trigger inversion for many labels at once, one row a label; rows can be paused and resumed.

Every label keeps its own mask, pattern, Adam moments, weight lambda and counters; a batch of labels shares the
images and the forward pass, and no Python loop runs over labels. Labels that stopped leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.methods.inversion.label_states import LabelStates
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger

NEXT = -1  # aim of an all-to-all trigger: label y becomes y+1 mod k
LEAVE = -2  # aim of an untargeted trigger: any label but y


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


def usual_schedule(input_size: tuple[int, int, int], session: Session, length: str = "auto") -> InversionSchedule:
    """The schedule that the device can bear, with masks as coarse as the images allow.

    Args:
        input_size: channels, height, width of the model's input.
        length: ``official`` is the authors' 1,000 steps of 31 x 32 images, ``short`` 150 of 8 x 16; ``auto`` is short
            on a CPU.
    """
    short = length == "short" or (length == "auto" and session.device.type == "cpu")
    steps, batches, batch_size = (150, 8, 16) if short else (1000, 31, 32)
    return InversionSchedule(steps, batches, batch_size, mask_scale=1 if min(input_size[1:]) <= 64 else 4)


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
        images: clean images; their labels matter to ``NEXT`` and ``LEAVE`` alone.
        targets: labels; or ``NEXT``, which moves every image to the label after its own, and ``LEAVE``, which moves
            it anywhere else and minimises mean -log(1 - p_y) in place of the cross-entropy.
        seed: draws the starts (by label) and the order of the images (alike for all labels).

    Returns:
        The result by label, and how many images went forward and backward.
    """
    state = begin(images, targets, schedule, session, seed)
    return resume(model, images, state, schedule, session, image_order(session, seed))


def begin(
    images: ImageSet, targets: Sequence[int], schedule: InversionSchedule, session: Session, seed: int
) -> LabelStates:
    """The start of ``invert``, in the host's memory."""
    _, channels, height, width = images.pixels.shape
    draws = [session.generator("inversion", seed, target) for target in targets]
    return LabelStates(list(targets), (channels, height, width), schedule.mask_scale, draws)


def image_order(session: Session, seed: int) -> torch.Generator:
    """Draws the mini-batches of one seed."""
    return session.generator("inversion images", seed)


def resume(
    model: nn.Module,
    images: ImageSet,
    state: LabelStates,
    schedule: InversionSchedule,
    session: Session,
    order: torch.Generator,
) -> tuple[dict[int, Inverted], int]:
    """Carry labels on from where they are until each has stopped or taken ``schedule.steps`` steps; as ``invert``."""
    state = state.to(session.device)
    pixels, labels = images.pixels.to(session.device), images.labels.to(session.device)
    done: dict[int, Inverted] = {}
    passes = 0
    model.to(session.device).eval()
    while True:
        over = state.stopped | (state.steps >= schedule.steps)
        if over.any():
            left = schedule.steps - state.steps[over]
            done |= dict(zip(state.targets[over].tolist(), finished(state.select(over)), strict=True))
            session.progress.advance(int(left.sum()))
            state = state.select(~over)
        if not len(state.targets):
            return done, passes
        passes += advance(model, pixels, labels, state, schedule, session, order)
        session.progress.advance(len(state.targets))


def advance(
    model: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    state: LabelStates,
    schedule: InversionSchedule,
    session: Session,
    order: torch.Generator,
) -> int:
    """Take one step with every row of ``state``, all on the session's device, and keep the books.

    Returns:
        How many images went forward and backward.
    """
    success, norm = _step(model, pixels, labels, state, schedule, session, order)
    balance(state, success, norm, schedule)
    return schedule.batches * schedule.batch_size * len(state.targets)


@torch.no_grad()
def finished(state: LabelStates) -> list[Inverted]:
    """What every row has found so far."""
    found = (state.best < torch.inf).tolist()
    mask, pattern = (values.cpu() for values in state.shown())
    best_mask, best_pattern = state.grown(state.best_mask).cpu(), state.best_pattern.cpu()
    rows = []
    for row, (target, steps) in enumerate(zip(state.targets.tolist(), state.steps.tolist(), strict=True)):
        mine = (best_mask[row], best_pattern[row]) if found[row] else (mask[row], pattern[row])
        trigger = Trigger(mine[0].clamp(0, 1), mine[1].clamp(0, 1), None if target < 0 else target)
        norm = float(trigger.mask.sum()) if found[row] else float(trigger.mask.numel())
        rows.append(Inverted(trigger, norm, found[row], steps))
    return rows


def _step(
    model: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    state: LabelStates,
    schedule: InversionSchedule,
    session: Session,
    order: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """One step of the schedule: its mean success and mean mask norm for each label."""
    hits, norms = torch.zeros(2, len(state.targets), device=pixels.device)
    for rows in draws(len(pixels), schedule, order).to(pixels.device):
        batch = (pixels[rows].float() / 255).contiguous(memory_format=torch.channels_last)
        good, norm = update(model, batch, labels[rows], state, schedule, session)
        hits, norms = hits + good, norms + norm
    return hits / schedule.batches, norms / schedule.batches


def update(
    model: nn.Module, batch: Tensor, own: Tensor, state: LabelStates, schedule: InversionSchedule, session: Session
) -> tuple[Tensor, Tensor]:
    """One update of every row of ``state`` by a mini-batch.

    Args:
        batch: images in [0, 1], ``(n, c, h, w)`` for all rows alike or ``(b, n, c, h, w)``, each row's own.
        own: their labels, ``(n,)`` or ``(b, n)``; they matter to ``NEXT`` and ``LEAVE`` alone.

    Returns:
        By row, the share of images that were where they should be, and the mask's norm before the update.
    """
    count, n, shape = len(state.targets), batch.shape[-4], batch.shape[-3:]
    with torch.no_grad():
        mask, pattern = state.shown()
        stamped = torch.lerp(batch, pattern[:, None], mask[:, None]).flatten(0, 1)
        # Convolutions were 15 to 30 % faster so on CPUs, and tensor cores want it; the model takes either.
        stamped = stamped.contiguous(memory_format=torch.channels_last)
    stamped.requires_grad_()
    with session.accelerator.autocast():
        logits = model(stamped).float()
    loss, good = _aimed(logits, state.targets, own)
    # The gradient of the images alone is asked for: the chain rule to mask and pattern is short, and by hand it
    # keeps no copies of the batch. The sum over images is divided here, so that half precision does not underflow.
    (gradient,) = torch.autograd.grad(loss, stamped)
    state.descend(gradient.view(count, n, *shape) / n, batch, schedule.rate)
    return good.view(count, n).float().mean(1), mask.sum((1, 2, 3))


def draws(images: int, schedule: InversionSchedule, order: torch.Generator) -> Tensor:
    """Rows of the images of one step ``(batches, batch_size)``."""
    n = schedule.batch_size
    if images < n:
        return torch.stack([torch.randint(images, (n,), generator=order) for _ in range(schedule.batches)])
    return torch.stack([torch.randperm(images, generator=order)[:n] for _ in range(schedule.batches)])


def _aimed(logits: Tensor, targets: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """The loss summed over all rows of ``logits`` ``(b*n, k)``, and which of them are where they should be."""
    wanted = targets[:, None].expand(-1, own.shape[-1]).flatten()
    own = own.expand(len(targets), -1).flatten()
    wanted = torch.where(wanted == NEXT, (own + 1) % logits.shape[1], wanted)
    away = wanted == LEAVE
    loss = functional.cross_entropy(logits, torch.where(away, own, wanted), reduction="none")
    found = logits.argmax(1)
    others = logits.scatter(1, own[:, None], -torch.inf).logsumexp(1)
    loss = torch.where(away, logits.logsumexp(1) - others, loss)
    return loss.sum(), torch.where(away, found != own, found == wanted)


@torch.no_grad()
def balance(state: LabelStates, success: Tensor, norm: Tensor, schedule: InversionSchedule) -> Tensor:
    """Book-keeping after a step, label by label as vectors: best trigger, early stop, lambda. Returns who stops."""
    good = success >= schedule.success
    better = good & (norm < state.best)
    state.best = torch.where(better, norm, state.best)
    state.keep(better)
    state.steps += 1

    found = state.best < torch.inf
    state.stalled = torch.where(found & (state.best >= state.stalled_at), state.stalled + 1, 0)
    state.stalled_at = torch.minimum(state.stalled_at, state.best)
    stopped: Tensor = state.went_up & state.went_down & (state.stalled >= schedule.stop_after)
    state.stopped = stopped

    off = state.weight == 0
    state.first = torch.where(off & good, state.first + 1, 0)
    begins = off & (state.first >= schedule.patience)
    state.weight = torch.where(begins, schedule.first_lambda, state.weight)
    for name in ("up", "down"):
        setattr(state, name, torch.where(begins, 0, getattr(state, name)))
    for name in ("went_up", "went_down"):
        setattr(state, name, getattr(state, name) & ~begins)

    state.up, state.down = torch.where(good, state.up + 1, 0), torch.where(good, 0, state.down + 1)
    raise_, lower = state.up >= schedule.patience, state.down >= schedule.patience
    state.weight = torch.where(raise_, state.weight * schedule.factor, state.weight)
    state.weight = torch.where(lower, state.weight / schedule.factor**1.5, state.weight)
    state.went_up, state.went_down = state.went_up | raise_, state.went_down | lower
    state.up, state.down = torch.where(raise_, 0, state.up), torch.where(lower, 0, state.down)
    return stopped
