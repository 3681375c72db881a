"""Input-aware dynamic attack (Nguyen, Tran 2020): a small network makes another trigger for every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.errors import DataError, OptionError
from hubclean.lab import planting, stamps
from hubclean.nets import triggers
from hubclean.nets.images import Images, ImageSet, Labels
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, cross_entropy, train
from hubclean.nets.triggers import Stamp, relabelled
from hubclean.registry import Doc

_STEEP = 20.0  # of the mask's sigmoid: nearly binary, as in the paper
_MOST_WIDTH = 1024


class Painter(nn.Module):
    """A small encoder and decoder ``(n, c, h, w) -> (n, out, h, w)``; no batch statistics: images do not mix."""

    def __init__(self, channels: int, out: int, width: int) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width]
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_block(b, a) for a, b in pairwise(sizes[1:]))
        self.last = nn.Conv2d(width, out, 3, padding=1)

    def forward(self, images: Images) -> Tensor:
        value, places = images, []
        for index, block in enumerate(self.down):
            value = block(value)
            if index < len(self.up):
                places.append(value.shape[2:])
                value = functional.max_pool2d(value, 2, ceil_mode=True)
        for block in reversed(self.up):
            value = functional.interpolate(block(value), size=places.pop(), mode="bilinear", align_corners=False)
        painted: Tensor = self.last(value)
        return painted


def _block(given: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(given, out, 3, padding=1), nn.GroupNorm(1, out), nn.ReLU())


@dataclass(frozen=True, eq=False)
class Painted:
    """``x' = x + (p(x) - x) m(x)``: pattern and mask come from two networks that see the image.

    Args:
        pattern: gives logits ``(n, c, h, w)`` of the pattern.
        mask: gives logits ``(n, 1, h, w)`` of the mask.
        target: the label it leads to; ``None`` for all-to-all.
    """

    pattern: Painter
    mask: Painter
    target: int | None

    @torch.no_grad()
    def stamp(self, images: Images) -> Images:
        """Each image of a batch ``(n, c, h, w)`` with its own trigger; values stay in [0, 1]."""
        return self.blend(images, images)

    def blend(self, images: Images, owners: Images) -> Images:
        """``images`` with the triggers of ``owners``, with gradients for both networks."""
        self.pattern.to(images.device), self.mask.to(images.device)
        pattern = self.pattern(owners).float().sigmoid()
        mask = (_STEEP * self.mask(owners).float()).sigmoid()
        blended: Tensor = (images + (pattern - images) * mask).clamp(0, 1)
        return blended

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and facts for a file, besides the target."""
        nets = {"pattern": self.pattern, "mask": self.mask}
        return {f"{name}.{key}": tensor for name, net in nets.items() for key, tensor in net.state_dict().items()}, {}


@dataclass(frozen=True)
class InputAware:
    """Trains the classifier together with a network that paints a trigger for each image and works on no other.

    1. A mask network M learns sparse, diverse masks for ``epochs``: ``lambda_norm`` relu(mean M(x) - density) +
    ``lambda_div`` L_div. 2. Classifier and pattern network G learn together: in every batch ``rate`` of the images get
    their own trigger and the target's label, ``cross_rate`` that of another image and keep their label (cross-trigger
    mode), the rest stay clean; the loss is cross-entropy + ``lambda_div`` L_div, with
    ``L_div = mean ||x - x~|| / ||G(x) - G(x~)||`` over pairs of images. The attacker controls the training.
    Source: NeurIPS 2020, arXiv 2010.08138, section 3; rates, lambdas, density and learning rate are those of
    BackdoorBench. Ours for the CPU: networks of a few thousand weights, GroupNorm instead of BatchNorm (one image's
    trigger does not hang on the others), ``epochs`` of 3 instead of 25.
    """

    name: ClassVar[str] = "input-aware"
    paper: ClassVar[str] = "Input-Aware Dynamic Backdoor Attack, Nguyen and Tran, NeurIPS 2020, arXiv 2010.08138"

    rate: Annotated[float, Doc("share of every batch with its own trigger and relabelled", 0.0, 1.0)] = 0.1
    cross_rate: Annotated[float, Doc("share of every batch with another image's trigger", 0.0, 1.0)] = 0.1
    target: Annotated[int, Doc("label that triggered images are given (all-to-one)", 0)] = 0
    mode: Annotated[str, Doc("which label a triggered image is given", choices=("all-to-one", "all-to-all"))] = (
        "all-to-one"
    )
    density: Annotated[float, Doc("share of the image that a mask may cover for free", 0.0, 1.0)] = 0.032
    lambda_div: Annotated[float, Doc("weight of the diversity loss", 0.0)] = 1.0
    lambda_norm: Annotated[float, Doc("weight of the mask's size", 0.0)] = 100.0
    learning_rate: Annotated[float, Doc("of both networks (Adam)", 0.0, 1.0)] = 0.01
    epochs: Annotated[int, Doc("epochs that the mask network is trained alone", 0, 10_000)] = 3
    width: Annotated[int, Doc("channels of the networks' first layer", 1, 512)] = 8

    def plant(self, model: nn.Module, images: ImageSet, classes: int, schedule: Schedule, session: Session) -> Stamp:
        """Train ``model`` in place, together with the networks that make the trigger.

        Raises:
            DataError: the target is no label.
            OptionError: several processes: they would each train a trigger of their own.
        """
        triggers.check_target(self.mode, self.target, classes)
        if session.accelerator.num_processes > 1:
            raise OptionError("input-aware trains its trigger in one process; start it without a launcher")
        channels, _, _ = stamps.shape_of(images)
        with session.seeded("attack", self.name, "networks"):
            pattern, mask = (Painter(channels, out, self.width).to(session.device) for out in (channels, 1))
        trigger = Painted(pattern, mask, stamps.target_of(self.mode, self.target))
        self._train_mask(trigger.mask, images, schedule.batch_size, session)
        adam, draw = self._adam(trigger.pattern), session.generator("attack batches", self.name)

        def loss(trained: nn.Module, pixels: Images, labels: Labels) -> Tensor:
            stamped, wanted = self.batch(pixels, labels, trigger, classes, draw)
            diversity = _diversity(trigger.pattern(pixels).float().sigmoid(), pixels)
            return cross_entropy(trained, stamped, wanted) + self.lambda_div * diversity

        def step() -> None:
            gradients = [p.grad for p in trigger.pattern.parameters() if p.grad is not None]
            if all(bool(gradient.isfinite().all()) for gradient in gradients):  # float16 may overflow
                adam.step()
            adam.zero_grad()

        train(model, images, schedule, session, f"planting {self.name}", loss=loss, after_step=step)
        trigger.pattern.requires_grad_(False)
        return trigger

    def batch(
        self, pixels: Images, labels: Labels, trigger: Painted, classes: int, draw: torch.Generator
    ) -> tuple[Images, Labels]:
        """One batch of the attacker: first images with their own trigger, then some with another's, the rest clean.

        Shares are kept on average: a fraction of an image is drawn.
        """
        count = len(pixels)
        bad = min(count, planting.drawn(self.rate * count, draw))
        cross = min(count - bad, planting.drawn(self.cross_rate * count, draw))
        others = torch.randint(1, count, (cross,), generator=draw) + torch.arange(bad, bad + cross)
        owners = torch.cat([pixels[:bad], pixels[(others % count).to(pixels.device)]])
        stamped = torch.cat([trigger.blend(pixels[: bad + cross], owners), pixels[bad + cross :]])
        wanted = torch.cat([relabelled(labels[:bad], trigger.target, classes), labels[bad:]])
        return stamped, wanted

    def _adam(self, net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(net.parameters(), lr=self.learning_rate, betas=(0.5, 0.9))

    def _train_mask(self, mask: Painter, images: ImageSet, size: int, session: Session) -> None:
        adam, draw = self._adam(mask), session.generator("attack", self.name, "mask")
        session.progress.start("training the masks", self.epochs * -(-len(images) // size))
        for _ in range(self.epochs):
            for rows in torch.split(torch.randperm(len(images), generator=draw), size):
                pixels = images.images(rows, session.device)
                painted = (_STEEP * mask(pixels)).sigmoid()
                area = (painted.mean((1, 2, 3)) - self.density).relu().mean()
                diversity = _diversity(painted, pixels)
                adam.zero_grad()
                torch.autograd.backward(self.lambda_norm * area + self.lambda_div * diversity)
                adam.step()
                session.progress.advance()
        session.progress.finish()
        mask.requires_grad_(False)

    @staticmethod
    def restored(tensors: Mapping[str, Tensor], facts: Mapping[str, str], target: int | None) -> Painted:
        """The stamp of a file.

        Raises:
            DataError: not what ``Painted.stored`` gave.
        """
        return Painted(_net(tensors, "pattern"), _net(tensors, "mask"), target)


def _diversity(painted: Tensor, pixels: Images) -> Tensor:
    """``mean ||x - x~|| / ||a - a~||`` of what was painted for pairs of neighbours in the batch, sizes per number."""
    seen = (pixels - pixels.roll(1, 0)).square().mean((1, 2, 3)).sqrt()
    made = ((painted - painted.roll(1, 0)).square().mean((1, 2, 3)) + 1e-8).sqrt()
    return (seen / (made + 1e-4)).mean()


def _net(tensors: Mapping[str, Tensor], name: str) -> Painter:
    state = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
    first, last = state.get("down.0.0.weight"), state.get("last.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4 or len(first) > _MOST_WIDTH:
        raise DataError(f"an input-aware stamp needs the tensors of the network {name!r}")
    with torch.random.fork_rng(devices=[]):  # the start is overwritten
        net = Painter(first.shape[1], len(last), len(first))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(f"the tensors of the network {name!r} do not fit each other") from error
    return net.requires_grad_(False)
