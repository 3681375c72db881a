"""SAU (Wei et al., NeurIPS 2023): unlearns perturbations that lead the net and its original to one wrong label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.methods.adversarial import AdversarialOptions, evaluating
from hubclean.methods.interface import Cleansing, Needs
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Images, Labels, Logits
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class SAU(AdversarialOptions):
    """Shared adversarial unlearning of f against g, the net as delivered.

    For every batch, each image x gets a perturbation of its own: x' with |x' - x| <= r in L_inf, from a random corner
    of that box by ``steps`` signed steps up

        a/2 (CE(f(x'), y) + CE(g(x'), y)) - b JS(f(x') || g(x')),   x' held in [0, 1]

    so that both are fooled, and alike. Then f steps down CE(f(x), y) + l mean 1[k != y] (-log(1 - p_f(k | x'))), with
    k = argmax g(x'): what fools g shall lead f anywhere else. Where f does not follow, that term is near 0.
    """

    name: ClassVar[str] = "sau"
    paper: ClassVar[str] = "Shared Adversarial Unlearning, Wei et al., NeurIPS 2023"
    needs: ClassVar[Needs] = "labels"

    epochs: Annotated[int, Doc("epochs of fine-tuning, 8 passes each with 3 steps", 1, 10_000)] = 10
    radius: Annotated[float, Doc("largest change of a value in [0, 1]", 0.001, 1.0)] = 1.0
    steps: Annotated[int, Doc("steps of the search for a perturbation", 1, 1000)] = 3
    step_size: Annotated[float, Doc("change of a value in one of them", 0.0001, 1.0)] = 0.4
    fooled: Annotated[float, Doc("a, the search's weight of the cross-entropies", 0.0, 100.0)] = 0.01
    alike: Annotated[float, Doc("b, the search's weight of the divergence of both nets", 0.0, 100.0)] = 1.0
    unlearning: Annotated[float, Doc("l, the weight of unlearning in the loss", 0.0, 100.0)] = 0.3

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        copy = checkpoint.copy()
        original = checkpoint.model.to(session.device).eval()
        copy.model.to(session.device)
        shared = SharedPerturbations(self, copy.model, original, session)
        return self.tuned_against(shared, checkpoint, copy, data, triggers, session, self.name)


@dataclass
class SharedPerturbations:
    """One run against ``original``: finds perturbations that both nets share, and what they cost.

    ``counts`` holds, for every epoch, how many images were perturbed, how many of them fool the original, and how many
    lead both nets to one wrong label.
    """

    options: SAU
    model: nn.Module
    original: nn.Module
    session: Session
    counts: list[Tensor] = field(default_factory=list)
    passes: float = 0.0

    def __post_init__(self) -> None:
        self._corners = self.session.generator("sau corners", self.session.accelerator.process_index)

    def before_epoch(self, epoch: int) -> None:
        """Count anew."""
        self.counts.append(torch.zeros(3, dtype=torch.int64, device=self.session.device))

    def found(self, pixels: Images, labels: Labels) -> Images:
        """Perturbed images ``(n, c, h, w)`` in [0, 1], without a graph."""
        low, high = (pixels - self.options.radius).clamp(min=0), (pixels + self.options.radius).clamp(max=1)
        drawn = torch.rand(pixels.shape, generator=self._corners).to(pixels.device)
        moved = torch.where(drawn < 0.5, low, high)
        with evaluating(self.model):
            for _ in range(self.options.steps):
                moved.requires_grad_()
                (slope,) = torch.autograd.grad(self._both_fooled(moved, labels), moved)
                moved = (moved.detach() + self.options.step_size * slope.sign()).clamp(low, high)
        self.passes += 2 * self.options.steps * len(labels)
        return moved.detach()

    def _both_fooled(self, moved: Images, labels: Labels) -> Tensor:
        """What the search raises, summed over the images: each has its own perturbation."""
        with self.session.accelerator.autocast():
            ours, theirs = self.model(moved).float(), self.original(moved).float()
        fooled = functional.cross_entropy(ours, labels, reduction="sum")
        fooled = fooled + functional.cross_entropy(theirs, labels, reduction="sum")
        return self.options.fooled / 2 * fooled - self.options.alike * divergence(ours, theirs).sum()

    def loss(self, model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
        """Cross-entropy on the images, and on the perturbed ones what it takes to leave the original's wrong label."""
        moved = self.found(pixels, labels)
        with torch.no_grad():
            label = self.original(moved).argmax(1)
        logits = model(torch.cat([pixels, moved])).float()
        clean, perturbed = logits.split(len(labels))
        wrong = label != labels
        self.counts[-1] += torch.stack([wrong | True, wrong, wrong & (perturbed.argmax(1) == label)]).sum(1)
        self.passes += 4 / 3 * len(labels)
        unlearned: Tensor = (wrong * not_label(perturbed, label)).mean()
        return functional.cross_entropy(clean, labels) + self.options.unlearning * unlearned

    def told(self) -> str:
        """How many perturbed images fooled the original, and how many both, in the first and in the last epoch."""
        said = []
        for epoch in sorted({1, len(self.counts)}):
            images, wrong, both = self.counts[epoch - 1].tolist()
            said.append(
                f"in epoch {epoch} {wrong / images:.1%} fooled the original, {both / images:.1%} both nets alike"
            )
        return f"perturbations within L_inf {self.options.radius:g}: " + "; ".join(said)


def divergence(ours: Logits, theirs: Logits) -> Tensor:
    """Jensen-Shannon divergence of two nets' probabilities, in nats, one value an image."""
    one, other = ours.log_softmax(1), theirs.log_softmax(1)
    middle = torch.logaddexp(one, other) - torch.log(one.new_tensor(2.0))
    parts = (functional.kl_div(middle, side, reduction="none", log_target=True).sum(1) for side in (one, other))
    return sum(parts, one.new_zeros(len(one))) / 2


def not_label(logits: Logits, labels: Labels) -> Tensor:
    """-log(1 - p_k) of each row at its label k ``(n,)``, exact where p_k is near 1."""
    others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return logits.logsumexp(1) - others
