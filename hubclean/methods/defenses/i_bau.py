"""I-BAU (Zeng et al., ICLR 2022): one perturbation for all images, unlearned along an implicit hypergradient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hubclean.errors import ModelError
from hubclean.escaping import printable
from hubclean.methods.adversarial import AdversarialOptions, averaged, evaluating
from hubclean.methods.interface import Cleansing, Needs
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Images, ImageSet, Labels
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, shuffled
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class IBAU(AdversarialOptions):
    """Solves min over w of max over |d| <= r of H(d, w) = mean CE(f_w(clip(x + d)), y), d one image for all of them.

    Every round (an epoch) first finds d from 0 by gradient ascent on H - c |d|^2 over ``fit``, held in the ball of
    radius r in L2; then steps the weights once a batch along the hypergradient of
    E(d, w) = share H(d, w) + (1 - share) H(0, w). Since d answers to w, it has a second part:

        dE/dw + (dPhi/dw)^T v,   v = (I - dPhi/dd)^-T dE/dd,   Phi(d, w) = d + s d/dd (H(d, w) - c |d|^2)

    The inverse is ``terms`` steps of v <- (dPhi/dd)^T v + dE/dd from 0. ``terms=0`` leaves that part out and needs no
    second derivatives.
    """

    name: ClassVar[str] = "i-bau"
    paper: ClassVar[str] = "I-BAU, Zeng et al., ICLR 2022"
    needs: ClassVar[Needs] = "labels"

    epochs: Annotated[int, Doc("rounds, each with a new perturbation and one epoch of steps against it", 1, 10_000)] = 5
    radius: Annotated[float, Doc("L2 norm of the perturbation, at most; pixels are in [0, 1]", 0.001, 10_000.0)] = 10.0
    share: Annotated[float, Doc("weight of the perturbed images in the loss; clean ones have the rest", 0.0, 1.0)] = 1.0
    terms: Annotated[int, Doc("steps of the hypergradient's fixed point; 0 = without its second part", 0, 1000)] = 5
    steps: Annotated[int, Doc("steps of a round's search, at least: it runs over fit so often", 1, 1_000_000)] = 50
    ascent: Annotated[float, Doc("rate of that search", 0.0, 100_000.0)] = 10.0
    inner_rate: Annotated[float, Doc("s, the rate in the hypergradient's fixed point", 0.0, 1000.0)] = 0.1
    shrinkage: Annotated[float, Doc("c, the weight of the perturbation's squared norm", 0.0, 100.0)] = 0.001

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed.

        Raises:
            ModelError: the net has an operator without second derivatives, and ``terms`` is not 0.
        """
        copy = checkpoint.copy()
        copy.model.to(session.device)
        rounds = UniversalRounds(self, copy.model, data.fit, self.schedule(copy, len(data.fit)), session)
        return self.tuned_against(rounds, checkpoint, copy, data, triggers, session, self.name)


@dataclass
class UniversalRounds:
    """One run: the ``perturbation`` ``(1, c, h, w)`` of the present round, and what it costs.

    ``losses`` holds, for every round, H at 0 and at the perturbation, before the round's steps (the search's first and
    last batch).
    """

    options: IBAU
    model: nn.Module
    images: ImageSet
    schedule: Schedule
    session: Session
    perturbation: Tensor = field(default_factory=lambda: torch.zeros(1))
    losses: list[tuple[float, float]] = field(default_factory=list)
    passes: float = 0.0

    def before_epoch(self, epoch: int) -> None:
        """Find the round's perturbation on the net as it is."""
        d = torch.zeros_like(self.images.images(slice(0, 1), self.session.device))
        plain, values = replace(self.schedule, shift=0, flip=False), list[Tensor]()
        with evaluating(self.model):
            while len(values) < self.options.steps:
                purpose = f"i-bau search {epoch}"
                for pixels, labels in shuffled(self.images, plain, self.session, purpose, len(values)):
                    value, slope = self._slope(pixels, labels, d)
                    d = d + self.options.ascent * (slope - 2 * self.options.shrinkage * d)
                    d = d * (self.options.radius / d.norm().clamp(min=1e-12)).clamp(max=1)
                    values.append(value)
        self.perturbation = d
        self.losses.append((float(values[0]), float(values[-1])))

    def _slope(self, pixels: Images, labels: Labels, d: Tensor) -> tuple[Tensor, Tensor]:
        """H of a batch and its gradient at ``d``, over all processes."""
        d = d.detach().requires_grad_()
        with self.session.accelerator.autocast():
            logits = self.model((pixels + d).clamp(0, 1)).float()
        total = functional.cross_entropy(logits, labels, reduction="sum")  # a mean's gradient is lost in half precision
        (slope,) = torch.autograd.grad(total, d)
        self.passes += len(labels)
        return averaged(total / len(labels), self.session), averaged(slope / len(labels), self.session)

    def loss(self, model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
        """A scalar whose gradient at the weights is the hypergradient; its value is E and a constant."""
        share, d = self.options.share, self.perturbation.detach().requires_grad_()
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivatives
            moved = (pixels + d).clamp(0, 1)
            logits = model(moved if share == 1 else torch.cat([moved, pixels])).float()
        self.passes += len(logits) - len(labels)
        inner = functional.cross_entropy(logits[: len(labels)], labels)
        outer = inner
        if share < 1:
            outer = share * inner + (1 - share) * functional.cross_entropy(logits[len(labels) :], labels)
        if self.options.terms:
            self.passes += (1 + self.options.terms) * len(labels)
            outer = outer + self._answer(inner, d)
        return outer

    def _answer(self, inner: Tensor, d: Tensor) -> Tensor:
        """Phi^T v with v held fixed: its gradient at the weights is how d answers to them."""
        rate, shrinkage = self.options.inner_rate, self.options.shrinkage
        try:
            (slope,) = torch.autograd.grad(inner, d, create_graph=True)
            step = d + rate * (slope - 2 * shrinkage * d)
            direct = averaged(self.options.share * slope, self.session)
            v = direct
            for _ in range(self.options.terms - 1):
                (product,) = torch.autograd.grad(step, d, v, retain_graph=True)
                v = averaged(product, self.session) + direct
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            text = f"i-bau needs second derivatives, and the net has none ({printable(str(error), 120)}); take terms=0"
            raise ModelError(text) from error
        return (step * v).sum()

    def told(self) -> str:
        """How far the perturbation raised the loss in the first and in the last round."""
        (one, other), (clean, moved) = self.losses[0], self.losses[-1]
        return (
            f"universal perturbation within L2 {self.options.radius:g}: loss on fit {one:.2f} without and {other:.2f} "
            f"with it in round 1, {clean:.2f} and {moved:.2f} in round {len(self.losses)}"
        )
