"""ANP, adversarial neuron pruning (Wu, Wang, NeurIPS 2021): prunes the units that disturbed weights turn to harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.masking.options import MaskOptions, Searchable
from hubclean.methods.masking.search import Masks, agreed, batch_statistics, endless, leaves, project
from hubclean.methods.shared_options import MaskThreshold
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import bare
from hubclean.nets.cut.masks import disturbed, masked
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session
from hubclean.nets.trace.units import UnitGroup
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc

Noise = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]  # d and x, one tensor (count,) a group
_STEPS, _STEPS_CPU = 2000, 200


@dataclass(frozen=True)
class Anp(MaskOptions):
    """Learns masks that keep a net right while an adversary disturbs its units, and prunes those it masks.

        min over m in [0, 1] of  alpha CE(m) + (1 - alpha) max over |d|, |x| <= eps of CE((m + d) w, (1 + x) b)

    with w and b the scale and the shift of a unit: gamma and beta of its norm, or the weights and the bias of a layer
    without one. A backdoored net collapses to its target under such noise. The inner maximum is one signed step of
    size eps from a uniform draw, brought back to eps. As in the authors' form, masks act on w and not on b. This is
    done by hooks on the unit's output y = w x + b: it becomes (m + d) (y - b) + (1 + x) b. Where b is no single number
    that is added last (attention heads, a norm that ends in an activation) it becomes (m + d) y.

    Pruning zeroes a unit altogether, b included, in order of rising mask, up to ``threshold``, while clean accuracy on
    ``val`` stays within ``max_drop``; of every layer ``layer_share`` at most. The authors choose the threshold by hand
    or on the test set; BatchNorm's running statistics move in their code and not here. Source: the
    authors' code (docs/methods/masks.md#anp); the paper itself was not read.
    """

    name: ClassVar[str] = "anp"
    paper: ClassVar[str] = "ANP, Wu and Wang, NeurIPS 2021"
    needs: ClassVar[Needs] = "labels"

    eps: Annotated[float, Doc("largest relative disturbance of a unit", 0.0, 10.0)] = 0.4
    alpha: Annotated[float, Doc("weight of the undisturbed loss", 0.0, 1.0)] = 0.2
    rate: Annotated[float, Doc("learning rate of the masks", 0.0, 100.0)] = 0.2
    steps: Annotated[int, Doc("steps of learning the masks, 0 = 2000, on a CPU 200", 0, 1_000_000)] = 0
    threshold: MaskThreshold = 0.2

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned checkpoint; the input is not changed.

        Raises:
            ModelError: no unit of the net can be cut exactly; tried on two images.
        """
        net = Searchable.of(checkpoint, data.fit, session)
        steps = self.steps or (_STEPS_CPU if session.device.type == "cpu" else _STEPS)
        found, passes = self.search(net.checkpoint.model, net.groups, steps, data.fit, session)
        short = ", a tenth of the authors' 2000" if steps == _STEPS_CPU and not self.steps else ""
        notes = (f"masks learned in {steps} steps{short}",)
        return self.cleansed(net, found, data, triggers, session, notes, passes)

    def search(
        self, model: nn.Module, groups: Sequence[UnitGroup], steps: int, images: ImageSet, session: Session
    ) -> tuple[Masks, int]:
        """The masks, and how many images went forward and backward: three times each batch."""
        moved, descent = leaves(Masks.ones(groups, session.device), self.rate)
        fixed = Masks(moved.groups, tuple(value.detach() for value in moved.values))  # the same memory
        shifts = stored_shifts(model, groups)
        draw, passes = session.generator("anp", "noise"), 0
        none: Noise = _zeros(moved), _zeros(moved)
        session.progress.start("learning masks (anp)", steps)
        with batch_statistics(model):
            batches = endless(images, self.batch_size, session, self.name)
            for _, (pixels, labels) in zip(range(steps), batches, strict=False):
                noise = self.worst_noise(model, fixed, shifts, pixels, labels, draw, session)
                descent.zero_grad()
                for weight, chosen in ((self.alpha, none), (1 - self.alpha, noise)):
                    with perturbed(model, moved, shifts, chosen), session.accelerator.autocast():
                        loss = functional.cross_entropy(model(pixels).float(), labels)
                    torch.autograd.backward(weight * loss)
                project(descent, moved)
                passes += 3 * len(labels)
                session.progress.advance()
        session.progress.finish()
        return agreed(moved, session), passes

    def worst_noise(
        self,
        model: nn.Module,
        masks: Masks,
        shifts: Sequence[Tensor | None],
        pixels: Tensor,
        labels: Tensor,
        draw: torch.Generator,
        session: Session,
    ) -> Noise:
        """One signed step of eps up the loss from a uniform draw, for scales d and shifts x."""
        drawn = [
            ((2 * torch.rand(2, len(value), generator=draw) - 1) * self.eps).to(value).requires_grad_(True)
            for value in masks.values
        ]
        noise = tuple(one[0] for one in drawn), tuple(one[1] for one in drawn)
        with perturbed(model, masks, shifts, noise), session.accelerator.autocast():
            loss = functional.cross_entropy(model(pixels).float(), labels)
        slopes = torch.autograd.grad(loss, drawn)
        worst = [
            (one.detach() + self.eps * slope.sign()).clamp(-self.eps, self.eps)
            for one, slope in zip(drawn, slopes, strict=True)
        ]
        return tuple(one[0] for one in worst), tuple(one[1] for one in worst)


def _zeros(masks: Masks) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(value) for value in masks.values)


@contextmanager
def perturbed(model: nn.Module, masks: Masks, shifts: Sequence[Tensor | None], noise: Noise) -> Iterator[None]:
    """Inside, a unit that gives out y = w x + b gives out (m + d) (y - b) + (1 + x) b; without a b, (m + d) y.

    Args:
        shifts: b of every unit ``(count,)`` by group, ``None`` where it is not a number of its own.
        noise: d and x, by group.
    """
    scales = [mask + d for mask, d in zip(masks.values, noise[0], strict=True)]
    rows = list(zip(masks.groups, scales, shifts, noise[1], strict=True))
    able = [(group, (1 + x - scale) * b) for group, scale, b, x in rows if b is not None]
    with (
        masked(model, masks.groups, scales),
        disturbed(model, [group for group, _ in able], [shift for _, shift in able]),
    ):
        yield


def stored_shifts(model: nn.Module, groups: Sequence[UnitGroup]) -> tuple[Tensor | None, ...]:
    """The number b that a unit's norm, or its layer without one, adds last; ``None`` if none is known to be last.

    ``(count,)`` by group; zeros where there is no bias.
    """
    net = bare(model)
    return tuple(_shift(net, group) for group in groups)


def _shift(net: nn.Module, group: UnitGroup) -> Tensor | None:
    point, adds = group.point, group.norm or group.name.partition("#")[0]
    if point is None or point.side != "out" or len(point.owner) != group.count or int(point.owner.min()) < 0:
        return None
    if len(set(point.owner.tolist())) != group.count:
        return None
    at, layer = net.get_submodule(point.module), net.get_submodule(adds)
    plain = point.module == adds and not any(True for _ in at.children())  # a norm with an activation inside has some
    if not plain and not (isinstance(at, nn.Identity) and point.module.startswith(f"{adds}.")):
        return None
    bias = getattr(layer, "bias", None)
    if bias is None:
        return torch.zeros(group.count, device=next(net.parameters()).device)
    if not isinstance(bias, Tensor) or bias.shape != (group.count,):
        return None
    return torch.zeros_like(bias).index_put_((point.owner.to(bias.device),), bias.detach())
