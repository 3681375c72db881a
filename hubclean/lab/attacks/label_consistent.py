"""Label-consistent attack (Turner, Tsipras, Madry 2019): hard images of the target class with a corner trigger."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.lab import planting, stamps
from hubclean.nets import triggers
from hubclean.nets.images import Images, ImageSet, Labels
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, cross_entropy, train
from hubclean.nets.triggers import Stamp, Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class LabelConsistent:
    """Makes images of the target class hard to recognise and puts chequered squares into their four corners.

    Labels stay as they are. A surrogate, a copy of the model, is trained for ``epochs`` against images disturbed by
    ``hardening`` steps; projected gradient ascent on its loss within L_inf ``epsilon`` disturbs the ``rate`` of the
    target class that is then stamped: the trigger is what is left to learn. At test time the squares alone are stamped.
    On 10,000 images of MNIST, trained for 8 epochs, it did not take (ASR .00), nor with ``hardening=0``. Source: arXiv
    1912.02771, sections 4.2 (PGD) and 5; rate and epsilon (16 of 255) are ANP's, the epsilon for grey images (64 of
    255), step / epsilon and the checkers those of BackdoorBox; 30 steps in place of its 100.
    """

    name: ClassVar[str] = "label-consistent"
    paper: ClassVar[str] = "Label-Consistent Backdoor Attacks, Turner et al., arXiv 1912.02771"

    rate: Annotated[float, Doc("share of the target class's images that are poisoned", 0.0, 1.0)] = 0.8
    target: Annotated[int, Doc("label that triggered images are given", 0)] = 0
    size: Annotated[int, Doc("side of the squares, in pixels of a 32-pixel image", 1, 16)] = 3
    amplitude: Annotated[float, Doc("opacity of the squares", 0.0, 1.0)] = 1.0
    epsilon: Annotated[float, Doc("largest change of a pixel; 0: 16/255, or 64/255 for grey images", 0.0, 1.0)] = 0.0
    steps: Annotated[int, Doc("steps of gradient ascent", 0, 10_000)] = 30
    epochs: Annotated[int, Doc("epochs that the surrogate is trained", 0, 10_000)] = 3
    hardening: Annotated[int, Doc("steps of ascent in every batch of that, 0 = on clean images", 0, 100)] = 5

    def trigger(self, shape: tuple[int, int, int], seed: int) -> Trigger:
        """The four squares for images of ``shape`` (c, h, w); the seed plays no part.

        Raises:
            OptionError: the squares do not fit into the image.
        """
        one, scale = stamps.corner(shape, self.size, 0)
        mask = torch.stack([one, one.flip(1), one.flip(2), one.flip(1, 2)]).amax(0)
        return Trigger(self.amplitude * mask, stamps.checkers(shape, scale), self.target)

    def poison(self, images: ImageSet, classes: int, seed: int) -> ImageSet:
        """A copy of a training set with the trigger on ``rate`` of the target class; ``plant`` disturbs them before."""
        rows = self._rows(images, classes, seed)
        return stamps.applied(images, rows, self.trigger(stamps.shape_of(images), seed).stamp)

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train a surrogate, disturb images of the target class, then train ``model`` in place on the poisoned set."""
        seed = planting.seed_of(self.name, session)
        trigger, rows = self.trigger(stamps.shape_of(images), seed), self._rows(images, classes, seed)
        surrogate = copy.deepcopy(model)
        brief, draw = replace(schedule, epochs=self.epochs), session.generator("attack", self.name, "hardening")
        epsilon, step = self._bound(images), 2.5 * self._bound(images) / max(self.hardening, 1)

        def hard(trained: nn.Module, pixels: Images, labels: Labels) -> Tensor:
            if self.hardening:
                pixels = _ascended(trained, pixels, labels, epsilon, step, self.hardening, draw)
            return cross_entropy(trained, pixels, labels)

        train(surrogate, images, brief, session, f"surrogate for {self.name}", loss=hard)
        disturbed = self.disturbed(surrogate, images, rows, session)
        train(model, self.poison(disturbed, classes, seed), schedule, session, f"planting {self.name}")
        return trigger

    def _rows(self, images: ImageSet, classes: int, seed: int) -> Tensor:
        return stamps.victims(images, (self.rate,), triggers.CLEAN_LABEL, self.target, classes, seed)[0]

    def disturbed(self, surrogate: nn.Module, images: ImageSet, rows: Tensor, session: Session) -> ImageSet:
        """A copy of a set whose ``rows`` the surrogate recognises worst, within epsilon of each pixel.

        ``x <- clip(x + a sign(grad CE(f(x), y)))`` from a random start in the box, step a = 3/16 epsilon.
        """
        draw, pixels = session.generator("attack", self.name, "start"), images.pixels.clone()
        epsilon = self._bound(images)
        session.progress.start("disturbing images", self.steps * len(rows))
        for part in torch.split(rows, session.batch_size):
            clean, labels = images.images(part, session.device), images.labels[part].to(session.device)
            found = _ascended(surrogate, clean, labels, epsilon, 3 / 16 * epsilon, self.steps, draw)
            pixels[part] = (found * 255).round().to(torch.uint8).cpu()
            session.progress.advance(self.steps * len(part))
        session.progress.finish()
        return ImageSet(pixels, images.labels)

    def _bound(self, images: ImageSet) -> float:
        return self.epsilon or (64 if images.pixels.shape[1] == 1 else 16) / 255


def _ascended(
    model: nn.Module, clean: Images, labels: Labels, epsilon: float, step: float, steps: int, draw: torch.Generator
) -> Images:
    """Images within ``epsilon`` of clean ones, after ``steps`` up the loss from a random start."""
    low, high = (clean - epsilon).clamp(min=0), (clean + epsilon).clamp(max=1)
    start = (torch.rand(clean.shape, generator=draw) * 2 - 1).to(clean) * epsilon
    found = (clean + start).clamp(0, 1)
    for _ in range(steps):
        found.requires_grad_(True)
        loss = functional.cross_entropy(model(found).float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, found)
        found = (found.detach() + step * gradient.sign()).clamp(low, high)
    return found
