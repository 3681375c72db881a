"""Feature Shift Tuning (Min et al., NeurIPS 2023): a new head, pushed away from the old one, makes features move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.tolerance import within
from hubclean.methods.tuning import Tuned, TuningOptions, cleansed, head_weights, new_head_rates, restart_heads, tune
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Images, Labels
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import cross_entropy
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc

# The alpha rule (docs/methods/tuning.md#choosing-alpha) is ours; the paper sets alpha by data set.
GRID = (0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0)


@dataclass(frozen=True)
class FST(TuningOptions):
    """Draws the heads anew and minimises CE(f(x), y) + alpha <W, W_ori> over all weights, with |W| = |W_ori|.

    W is a head's weight (the last layer's, of a head with a hidden layer; of a 1 x 1 convolution flattened), W_ori its
    value in the checkpoint, <,> the sum of products, |.| the Frobenius norm n0. Several heads give one term each. W is
    scaled back to n0 before the first forward and after every step. The last epoch is kept, as in the paper.

    ``alpha`` > 0 is used as given; 0 searches {.2, .1, .05, .02, .01, .001, 0} for the largest whose loss of clean
    accuracy on ``val`` is at most ``max_drop``, by halving (loss is taken to grow with alpha; at most three trials).
    If none is within it, the trial with the best ``val`` accuracy is kept and the notes say so. Either way alpha is cut
    so that alpha * sum(n0^2) <= 10 log K for K labels: beyond that the cross-entropy is drowned and accuracy collapses.

    The term grows with n0^2, so that one alpha means different things in two nets. ``form=cosine`` takes
    alpha' cos(W, W_ori) with alpha' = alpha n0^2: equal on the sphere |W| = n0, with no gradient along W.

    Sources: section 3 and the authors' code (fine_tune/ft.py). The paper's alpha: .2 CIFAR-10, .1 GTSRB, .001 with 100
    and 200 classes, where the new head costs accuracy and needs more images (5 %, 15 epochs). Departures: there the
    first forward sees the unscaled head, the rate falls once an epoch (here every step), gradients are not clipped
    (here at norm 5), and images are augmented (here: ``shift``, ``flip``). The grid, the bound, the cosine, AdamW for
    nets with LayerNorm (their new head at 1e-3 or more) and frozen BatchNorm statistics below 200 images are ours.
    """

    name: ClassVar[str] = "fst"
    paper: ClassVar[str] = "Feature Shift Tuning, Min et al., NeurIPS 2023"
    needs: ClassVar[Needs] = "labels"

    alpha: Annotated[float, Doc("weight of the term that parts new and old head; 0 = search the grid", 0.0, 100.0)] = (
        0.0
    )
    form: Annotated[str, Doc("the term: product as in the paper, or its cosine", choices=("product", "cosine"))] = (
        "product"
    )
    max_drop: Annotated[float, Doc("largest loss of clean accuracy on val that the search allows", 0.0, 1.0)] = 0.03

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the tuned checkpoint; the input is not changed."""
        before = clean_accuracy(checkpoint.model, data.val, session).value
        energy = sum(float(weight.norm()) ** 2 for weight in _old_heads(checkpoint).values())
        bound = 10 * log(max(1, len(checkpoint.labels))) / max(energy, 1e-12)
        alphas = sorted({min(alpha, bound) for alpha in ((self.alpha,) if self.alpha else GRID)})
        trials: dict[float, Tuned] = {}
        low, high = 0, len(alphas)  # alphas below low are within the tolerance, from high on they are not
        while low < high:
            middle = (low + high) // 2
            alpha = alphas[middle]
            trials[alpha] = self.trial(checkpoint, alpha, data, session)
            able = within(before, trials[alpha].accuracy, self.max_drop)
            low, high = (middle + 1, high) if able else (low, middle)
        chosen = alphas[low - 1] if low else max(trials, key=lambda alpha: (trials[alpha].accuracy, alpha))
        notes = self._notes(trials, chosen, bound, energy, within=bool(low))
        spent = sum(trial.passes for trial in trials.values()) + len(data.val) // 3
        kept = trials[chosen]
        return cleansed(
            checkpoint, Tuned(kept.checkpoint, kept.accuracy, kept.epoch, spent), data, triggers, session, notes
        )

    def trial(self, checkpoint: Checkpoint, alpha: float, data: DefenseData, session: Session) -> Tuned:
        """One tuning with the shift weighted by ``alpha``, from heads that start anew on the old ones' sphere."""
        copy = checkpoint.copy()
        copy.model.to(session.device)
        old = _old_heads(copy)
        restart_heads(copy, session)
        put_back = on_the_sphere(copy.model, old)
        put_back()
        schedule = self.schedule(copy, len(data.fit))
        loss = self.loss_with_shift(copy.model, old, alpha)
        return tune(
            copy,
            data,
            schedule,
            session,
            self.name,
            loss=loss,
            after_step=put_back,
            rates=new_head_rates(copy, schedule),
        )

    def loss_with_shift(self, net: nn.Module, old: dict[str, Tensor], alpha: float) -> Callable[..., Tensor]:
        """Cross-entropy, and ``alpha`` times what each head of ``net`` has in common with its ``old`` weights."""

        def loss(model: nn.Module, pixels: Images, labels: Labels) -> Tensor:
            value = cross_entropy(model, pixels, labels)
            for name, before in old.items():
                weight = net.get_parameter(name)
                product = (weight * before).sum()
                if self.form == "cosine":
                    product = product * before.norm() / weight.norm().clamp(min=1e-12)
                value = value + alpha * product
            return value

        return loss

    def _notes(
        self, trials: dict[float, Tuned], chosen: float, bound: float, energy: float, within: bool
    ) -> tuple[str, ...]:
        notes = [f"alpha {chosen:.4g} of the {self.form} form (alpha n0^2 = {chosen * energy:.3g})"]
        if self.alpha:
            return (*notes, f"alpha was cut from {self.alpha:g} to the bound") if chosen < self.alpha else tuple(notes)
        tried = ", ".join(f"{alpha:.4g}: {trials[alpha].accuracy:.1%}" for alpha in sorted(trials, reverse=True))
        notes.append(f"val accuracy by alpha: {tried}; no alpha above {bound:.3g}")
        if not within:
            notes.append(f"no alpha stayed within {self.max_drop:.1%} of clean accuracy on val: the best one is kept")
        return tuple(notes)


def _old_heads(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Copies of the heads' weights by name."""
    return {name: checkpoint.model.get_parameter(name).detach().clone() for name in head_weights(checkpoint)}


def on_the_sphere(net: nn.Module, old: dict[str, Tensor]) -> Callable[[], None]:
    """What scales every head's weight to the norm it had."""

    @torch.no_grad()
    def put_back() -> None:
        for name, before in old.items():
            weight = net.get_parameter(name)
            weight.mul_(before.norm() / weight.norm().clamp(min=1e-12))

    return put_back
