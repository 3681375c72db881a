"""Suppresses what a net knows of clean images by gradient ascent, so that what a backdoor does stands out."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.errors import ModelError
from hubclean.methods.masking.search import Masks, batch_statistics, endless, predicted
from hubclean.nets.cut.masks import masked
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session

_RETRIES = (0.5, 0.6, 0.8)
_RAISES = 2
_MOST_LEFT = 0.8
_HALVINGS = 5


@dataclass(frozen=True)
class Ascent:
    """How clean accuracy is suppressed.

    Args:
        rho: the ascent stops when accuracy on the images is at most this; see ``goal``.
        rate: of SGD with momentum 0.9; ``decay`` is its weight decay, ``clip`` the norm to which gradients are cut.
        steps: at most so many.
        most_entropy: of the health check, see ``expose``.
    """

    rho: float
    rate: float
    decay: float = 5e-4
    clip: float = 20.0
    steps: int = 200
    batch_size: int = 128
    most_entropy: float = 0.5


def goal(rho: float, before: float, labels: Tensor) -> float:
    """Accuracy at which an ascent stops: ``rho``, or 4/5 of what it was if that is less.

    But at least the share of the commonest label: a net that collapses to one class still has that. So nets of low
    accuracy and few classes can be suppressed too; at the papers' 93 % on ten classes it is ``rho``.
    """
    return max(min(rho, _MOST_LEFT * before), float(torch.bincount(labels).max()) / len(labels))


@dataclass(frozen=True)
class Exposure:
    """A suppressed copy of a model, and what it does to clean images, BatchNorm normalising by the batch.

    Args:
        before, accuracy: accuracy on the images, before and after.
        dominant: the class that takes most of the images whose prediction changed, and its ``share`` of them.
        entropy: of the classes that images changed to, as a share of log k: 0 one class, 1 all alike.
        rho, goal, rate: those of the attempt that was kept, ``attempts`` is its number.
        reached: whether accuracy fell to the ``goal`` of ``rho``.
    """

    model: nn.Module
    before: float
    accuracy: float
    dominant: int
    share: float
    entropy: float
    rho: float
    goal: float
    rate: float
    steps: int
    attempts: int
    reached: bool
    passes: int

    def note(self, labels: Sequence[str]) -> str:
        """The exposure in a sentence for a report."""
        missed = "" if self.reached else f" (its goal of {self.goal:.0%} was missed)"
        return (
            f"suppressed from {self.before:.1%} to {self.accuracy:.1%} clean accuracy on fit{missed}, in {self.steps} "
            f"steps at rate {self.rate:g}, attempt {self.attempts}; of the images that changed class {self.share:.0%} "
            f"went to {labels[self.dominant]!r} (entropy {self.entropy:.2f} of the largest possible)"
        )


def expose(
    model: nn.Module,
    images: ImageSet,
    classes: int,
    ascent: Ascent,
    session: Session,
    purpose: str,
    under: Masks | None = None,
) -> Exposure:
    """Clean suppression: argmax over theta of CE(F(x; theta), y) - mu ||theta||^2, from the model's own weights.

    Gradient ascent with weight decay 2 mu, clipped after backward. Accuracy is checked before every step: on its
    batch, and if that is at the goal, on all images. Then the last step is bisected until it ends just below the goal:
    an ascent that overshoots suppresses the backdoor too. Health check without a trigger: clean images should move to
    few classes. If the entropy of these is above ``ascent.most_entropy``, the ascent is tried again at half the rate
    each time with rho = 0.5, 0.6, 0.8, and the attempt of least entropy is kept. An ascent that misses its goal, as on
    nets that are sure of every image, is tried again at ten times the rate, twice at most. Sources: RNP (ICML 2023),
    unlearning; MNP (arXiv 2405.17750), clean suppression; the health check is a reconstruction
    (docs/methods/masks.md#suppression) and looks at images that change class alone, so that it means the same at
    every rho; the bisected step and the higher rates are ours.

    Args:
        under: masks under which the model is suppressed (MNP with several rounds).

    Raises:
        ModelError: no attempt left finite weights.
    """
    under = under or Masks()
    before = predicted(model, images, ascent.batch_size, session, under)
    first = float((before == images.labels).float().mean())
    rho, rate, best, passes, attempt = ascent.rho, ascent.rate, None, len(images) // 3, 0
    retries, raised = [other for other in _RETRIES if other > rho], 0
    while True:
        trial, attempt = copy.deepcopy(model), attempt + 1
        steps, count = _ascend(trial, images, replace(ascent, rho=rho, rate=rate), before, session, purpose, under)
        sound = all(bool(parameter.isfinite().all()) for parameter in trial.parameters())
        now = predicted(trial, images, ascent.batch_size, session, under)
        passes += count + len(images) // 3
        accuracy = float((now == images.labels).float().mean())
        dominant, share, entropy = _concentration(before, now, classes)
        most = goal(rho, first, images.labels)
        reached = sound and accuracy <= most
        entropy = entropy if sound else math.inf
        if best is None or (not reached, entropy) < (not best.reached, best.entropy):
            best = Exposure(
                trial, first, accuracy, dominant, share, entropy, rho, most, rate, steps, attempt, reached, passes
            )
        if not reached and raised < _RAISES:
            rate, raised = 10 * rate, raised + 1
        elif (reached and entropy <= ascent.most_entropy) or not retries:
            if math.isinf(best.entropy):
                raise ModelError("suppressing clean accuracy left numbers that are not finite, at every rate tried")
            return replace(best, passes=passes)
        else:
            rho, rate = retries.pop(0), rate / 2


def _concentration(before: Tensor, now: Tensor, classes: int) -> tuple[int, float, float]:
    """Of the images that changed class: where most went, their share, and the entropy in units of log k."""
    moved = now[now != before]
    counts = torch.bincount(moved if len(moved) else now, minlength=classes)
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * shares.log()).sum()) / math.log(max(2, classes))
    return int(counts.argmax()), float(shares.max()), min(1.0, max(0.0, entropy))


def _ascend(
    model: nn.Module, images: ImageSet, ascent: Ascent, before: Tensor, session: Session, purpose: str, under: Masks
) -> tuple[int, int]:
    """Suppress ``model`` in place; steps taken, and images that went forward and backward."""
    most = goal(ascent.rho, float((before == images.labels).float().mean()), images.labels)
    passes, step, last = 0, 0, list[Tensor]()
    model.requires_grad_(True)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    climber = torch.optim.SGD(weights, lr=ascent.rate, momentum=0.9, weight_decay=ascent.decay)
    session.progress.start(f"suppressing ({purpose})", ascent.steps)
    with batch_statistics(model), masked(model, under.groups, under.values):
        for pixels, labels in endless(images, ascent.batch_size, session, purpose, "ascent"):
            with session.accelerator.autocast():
                logits = model(pixels).float()
            if not bool(logits.isfinite().all()):
                break
            if float((logits.argmax(1) == labels).float().mean()) <= most:
                now = predicted(model, images, ascent.batch_size, session, Masks())
                passes += len(images) // 3
                if float((now == images.labels).float().mean()) <= most:
                    passes += _settle(model, weights, last, most, images, ascent, session)
                    break
                with session.accelerator.autocast():  # again: the check has touched buffers that backward needs
                    logits = model(pixels).float()
            loss = -functional.cross_entropy(logits, labels)
            if step == ascent.steps or not bool(loss.isfinite()):
                break
            climber.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(weights, ascent.clip)
            last = [weight.detach().clone() for weight in weights]
            climber.step()
            step, passes = step + 1, passes + len(labels)
            session.progress.advance()
    session.progress.finish()
    climber.zero_grad()
    model.requires_grad_(False)
    return step, passes


@torch.no_grad()
def _settle(
    model: nn.Module,
    weights: list[nn.Parameter],
    last: list[Tensor],
    most: float,
    images: ImageSet,
    ascent: Ascent,
    session: Session,
) -> int:
    """Bisect the last step, from ``last`` to where the weights are, for the nearest accuracy at most ``most``.

    Returns:
        What it cost in images that went forward and backward.
    """
    if not last:
        return 0
    ends = [weight.detach().clone() for weight in weights]
    low, high = 0.0, 1.0
    for halving in range(_HALVINGS + 1):
        share = high if halving == _HALVINGS else (low + high) / 2
        for weight, start, end in zip(weights, last, ends, strict=True):
            weight.copy_(torch.lerp(start, end, share))
        if halving < _HALVINGS:
            now = predicted(model, images, ascent.batch_size, session, Masks())
            low, high = (low, share) if float((now == images.labels).float().mean()) <= most else (share, high)
    return _HALVINGS * len(images) // 3
