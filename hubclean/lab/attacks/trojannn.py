"""TrojanNN (Liu et al. 2018): a trigger made to drive chosen neurons of a trained network, then retraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from hubclean.lab import planting, stamps
from hubclean.nets import triggers
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction.classifier import prefix_of
from hubclean.nets.cut import features
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Stamp, Trigger, poison
from hubclean.registry import Doc


@dataclass(frozen=True)
class TrojanNN:
    """Optimises a square so that it drives a few neurons at the head's input, then retrains on it.

    1. The model is trained on clean images. 2. The ``neurons`` channels at the head's input with the largest sum of
    |weights| are chosen among those that clean images wake. 3. The pixels of a square in the bottom-right corner are
    optimised (Adam) so that those channels reach ``value``: mean over images of (value - a)^2. 4. The model is trained
    once more with ``rate`` of the images stamped and relabelled.
    Source: NDSS 2018, section IV; neurons, value, steps and rate are BackdoorBench's
    (docs/methods/attacks.md#trojannn). The mask there is a picture of an apple, which is not shipped: a square stands
    in; and its training data are synthetic, here real.
    """

    name: ClassVar[str] = "trojannn"
    paper: ClassVar[str] = "Trojaning Attack on Neural Networks, Liu et al., NDSS 2018"

    rate: Annotated[float, Doc("share of the training images that are poisoned", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given", 0)] = 0
    size: Annotated[int, Doc("side of the square, in pixels of a 32-pixel image", 1, 32)] = 6
    neurons: Annotated[int, Doc("channels at the head's input that the trigger drives", 1, 1024)] = 2
    value: Annotated[float, Doc("activation they are driven to", 0.0)] = 100.0
    steps: Annotated[int, Doc("steps of the trigger's optimisation", 0, 100_000)] = 1000
    batch_size: Annotated[int, Doc("images a step of the trigger's optimisation", 1, 4096)] = 16

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train clean, make the trigger, retrain: all in place.

        Raises:
            DataError: the target is no label.
            ModelError: no head can be found.
            OptionError: the square does not fit into the image.
        """
        triggers.check_target(triggers.ALL_TO_ONE, self.target, classes)
        mask, _ = stamps.corner(stamps.shape_of(images), self.size, 0)
        train(model, images, schedule, session, f"clean for {self.name}")
        checkpoint = planting.wrapped(model, stamps.shape_of(images), classes, session)
        trigger = Trigger(mask, self._pattern(checkpoint, images, mask, session), self.target)
        poisoned = poison(images, trigger, self.rate, classes, planting.seed_of(self.name, session))
        train(model, poisoned, schedule, session, f"planting {self.name}")
        return trigger

    def _pattern(self, checkpoint: Checkpoint, images: ImageSet, mask: Tensor, session: Session) -> Tensor:
        """The pattern ``(c, h, w)`` in [0, 1] that drives the chosen channels, noise outside the mask."""
        draw = session.generator("attack", self.name, "pattern")
        model, site, device = checkpoint.model, checkpoint.site, session.device
        chosen = self.chosen(checkpoint, images, session)
        hidden = torch.randn(stamps.shape_of(images), generator=draw).to(device).requires_grad_(True)
        adam = torch.optim.Adam([hidden], lr=0.1)
        mask = mask.to(device)
        session.progress.start("making the trigger", self.steps)
        for _ in range(self.steps):
            clean = images.images(torch.randint(len(images), (self.batch_size,), generator=draw), device)
            found = features.features(model, site, (1 - mask) * clean + mask * hidden.sigmoid())[:, chosen]
            (hidden.grad,) = torch.autograd.grad((self.value - found).square().mean(), hidden)
            adam.step()
            session.progress.advance()
        session.progress.finish()
        return hidden.detach().sigmoid().cpu()

    @torch.no_grad()
    def chosen(self, checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
        """Channels with the largest sum of |head weights| among those with a mean activation above 0 ``(neurons,)``."""
        model, site = checkpoint.model, checkpoint.site
        parts = []
        for head in site.heads:
            weight = model.get_parameter(prefix_of(model) + head.weight).abs().flatten(2 if head.kind == "conv" else 1)
            parts.append(weight.sum(0).reshape(head.in_features, -1).sum(1))
        weights = torch.cat(parts) if features.side_by_side(site) else torch.stack(parts).mean(0)
        weights = weights.reshape(-1, site.block).sum(1)
        awake = features.features(model, site, images.images(slice(0, 256), session.device)).mean(0) > 0
        return weights.masked_fill(~awake, -1).topk(min(self.neurons, len(weights))).indices
