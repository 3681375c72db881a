"""I-BAU (Zeng et al., ICLR 2022): one perturbation for all images, unlearned along an implicit hypergradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.methods.adversarial import AdversarialOptions, averaged, evaluating
from hubclean.methods.interface import Cleansing, Needs
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Images, ImageSet, Labels
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, shuffled
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc

_A_VALUE = 10 / (3 * 32 * 32) ** 0.5  # the paper's radius, taken for its CIFAR-10 and GTSRB, by value of an image
_REACH = 0.02  # L2 length of the steps, with pixels in [0, 1], by which second derivatives are taken


@dataclass(frozen=True)
class IBAU(AdversarialOptions):
    """Solves min over w of max over |d| <= r of H(d, w) = mean CE(f_w(clip(x + d)), y), d one image for all of them.

    Every round (an epoch) first finds d from 0 by gradient ascent on H - c |d|^2 over ``fit``, held in the ball of
    radius r in L2; then steps the weights once a batch along the hypergradient of
    E(d, w) = share H(d, w) + (1 - share) H(0, w). Since d answers to w, it has a second part:

        dE/dw + (dPhi/dw)^T v,   v = (I - dPhi/dd)^-T dE/dd,   Phi(d, w) = d + s d/dd (H(d, w) - c |d|^2)

    The inverse is ``terms`` steps of v <- (dPhi/dd)^T v + dE/dd from 0; ``terms=0`` leaves that part out. Second
    derivatives are central differences of first ones along v, so that any net has them.
    """

    name: ClassVar[str] = "i-bau"
    paper: ClassVar[str] = "I-BAU, Zeng et al., ICLR 2022"
    needs: ClassVar[Needs] = "labels"

    epochs: Annotated[int, Doc("rounds, each with a new perturbation and one epoch of steps against it", 1, 10_000)] = (
        20
    )
    radius: Annotated[
        float, Doc("L2 norm of the perturbation, pixels in [0, 1]; 0 = that of 0.18 a value, 10 at 3x32x32", 0.0, 1e5)
    ] = 0.0
    share: Annotated[float, Doc("weight of the perturbed images in the loss; clean ones have the rest", 0.0, 1.0)] = 0.1
    terms: Annotated[int, Doc("steps of the hypergradient's fixed point; 0 = without its second part", 0, 1000)] = 1
    steps: Annotated[int, Doc("steps of a round's search, at least: it runs over fit so often", 1, 1_000_000)] = 1
    ascent: Annotated[float, Doc("rate of that search", 0.0, 100_000.0)] = 10.0
    inner_rate: Annotated[float, Doc("s, the rate in the hypergradient's fixed point", 0.0, 1000.0)] = 0.5
    shrinkage: Annotated[float, Doc("c, the weight of the perturbation's squared norm", 0.0, 100.0)] = 0.001

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        copy.model.to(session.device)
        rounds = UniversalRounds(self, copy.model, data.fit, self.schedule(copy, len(data.fit)), session)
        return self.tuned_against(rounds, checkpoint, copy, data, triggers, session, self.name)


@dataclass
class UniversalRounds:
    """One run: the ``perturbation`` ``(1, c, h, w)`` of the present round, and what it costs.

    ``losses`` holds, for every round, H on ``images`` at 0 and at the perturbation, before the round's steps.
    """

    options: IBAU
    model: nn.Module
    images: ImageSet
    schedule: Schedule
    session: Session
    perturbation: Tensor = field(default_factory=lambda: torch.zeros(1))
    losses: list[tuple[float, float]] = field(default_factory=list)
    passes: float = 0.0

    @property
    def radius(self) -> float:
        """The largest L2 norm of the perturbation."""
        return self.options.radius or _A_VALUE * self.images.pixels[0].numel() ** 0.5

    def before_epoch(self, epoch: int) -> None:
        """Find the round's perturbation on the net as it is."""
        start = d = torch.zeros_like(self.images.images(slice(0, 1), self.session.device))
        done, purpose = 0, f"i-bau search {epoch}"
        with evaluating(self.model):
            while done < self.options.steps:
                for pixels, labels in self._batches(purpose, done):
                    slope = self._slope(pixels, labels, d)
                    d = d + self.options.ascent * (slope - 2 * self.options.shrinkage * d)
                    d, done = d * (self.radius / d.norm().clamp(min=1e-12)).clamp(max=1), done + 1
            self.losses.append((self.raised(start), self.raised(d)))
        self.perturbation = d

    @torch.no_grad()
    def raised(self, d: Tensor) -> float:
        """H(d) on all images."""
        total = torch.zeros(2, device=self.session.device)
        for pixels, labels in self._batches("i-bau loss", 0):
            with self.session.accelerator.autocast():
                logits = self.model((pixels + d).clamp(0, 1)).float()
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            total += torch.stack([loss, torch.ones_like(loss) * len(labels)])
            self.passes += len(labels) / 3
        total = averaged(total, self.session)
        return float(total[0] / total[1])

    def _batches(self, purpose: str, number: int) -> Iterator[tuple[Images, Labels]]:
        plain = replace(self.schedule, shift=0, flip=False)
        return shuffled(self.images, plain, self.session, purpose, number)

    def _slope(self, pixels: Images, labels: Labels, d: Tensor) -> Tensor:
        """The gradient of a batch's H at ``d``, over all processes."""
        d = d.detach().requires_grad_()
        with self.session.accelerator.autocast():
            logits = self.model((pixels + d).clamp(0, 1)).float()
        total = functional.cross_entropy(logits, labels, reduction="sum")  # a mean's gradient is lost in half precision
        (slope,) = torch.autograd.grad(total, d)
        self.passes += len(labels)
        return averaged(slope / len(labels), self.session)

    def loss(self, model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
        """A scalar whose gradient at the weights is the hypergradient."""
        share, d = self.options.share, self.perturbation
        terms = [(share, d)] if share == 1 else [(share, d), (1 - share, torch.zeros_like(d))]
        if self.options.terms:
            v = self._answer(pixels, labels)
            length = v.norm().clamp(min=1e-12)
            weight, reach = float(self.options.inner_rate * length / (2 * _REACH)), v * (_REACH / length)
            terms += [(weight, d + reach), (-weight, d - reach)]  # (dPhi/dw)^T v, as a difference
        logits = model(torch.cat([(pixels + shift).clamp(0, 1) for _, shift in terms])).float()
        self.passes += (len(terms) - 1) * len(labels)
        losses = [functional.cross_entropy(part, labels) for part in logits.split(len(labels))]
        return torch.stack([weight * loss for (weight, _), loss in zip(terms, losses, strict=True)]).sum()

    def _answer(self, pixels: Images, labels: Labels) -> Tensor:
        """v, by the fixed point's steps."""
        d, rate, shrinkage = self.perturbation, self.options.inner_rate, self.options.shrinkage
        with evaluating(self.model):
            direct = self.options.share * self._slope(pixels, labels, d)
            v = direct
            for _ in range(self.options.terms - 1):
                length = v.norm().clamp(min=1e-12)
                ahead, behind = (self._slope(pixels, labels, d + sign * v * (_REACH / length)) for sign in (1, -1))
                curved = (ahead - behind) * (length / (2 * _REACH))
                v = v + rate * (curved - 2 * shrinkage * v) + direct
        return v

    def told(self) -> str:
        """How far the perturbation raised the loss in the first and in the last round."""
        (one, other), (clean, moved) = self.losses[0], self.losses[-1]
        return (
            f"universal perturbation within L2 {self.radius:.3g}: loss on fit {one:.2f} without and {other:.2f} "
            f"with it in round 1, {clean:.2f} and {moved:.2f} in round {len(self.losses)}"
        )
