"""Labels under inversion: parked in the host's memory, advanced a step at a time, shared among processes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hubclean.methods.inversion.invert import (
    InversionSchedule,
    Inverted,
    advance,
    begin,
    draws,
    image_order,
    invert,
    resume,
)
from hubclean.methods.inversion.label_states import LabelStates
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.memory import budget, bytes_an_image
from hubclean.nets.session import Session

_MOST_AT_ONCE = {"cpu": 16}  # more gained nothing there; elsewhere 256


@dataclass(frozen=True)
class Setting:
    """What an inversion works on, whatever the label.

    Args:
        model: takes pixels in [0, 1].
        data: triggers are inverted on ``fit`` and tried on ``val``.
        names: of the labels.
        at_once: labels in one batch.
    """

    model: nn.Module
    data: DefenseData
    names: tuple[str, ...]
    schedule: InversionSchedule
    session: Session
    at_once: int

    def invert(self, images: ImageSet, targets: list[int], seed: int) -> tuple[dict[int, Inverted], int]:
        """``invert.invert``, ``at_once`` labels a batch; batches are the unit of work that processes share."""
        world = self.session.accelerator.num_processes
        size = min(self.at_once, max(1, -(-len(targets) // world)))
        groups = [targets[i : i + size] for i in range(0, len(targets), size)]
        mine = groups[self.session.accelerator.process_index :: world]
        done = [invert(self.model, images, group, self.schedule, self.session, seed) for group in mine]
        pairs = [pair for some in gathered(self.session, done) for pair in some]
        found = {target: one for some, _ in pairs for target, one in some.items()}
        return {target: found[target] for target in targets}, sum(count for _, count in pairs)


@dataclass
class Race:
    """Labels under way, parked in the host's memory; each process holds those whose turn is its own.

    ``passes`` counts the images that ``advance`` sent forward and backward, in all processes.
    """

    setting: Setting
    labels: list[int]
    seed: int = 0
    passes: int = 0
    candidates: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        setting, accelerator = self.setting, self.setting.session.accelerator
        self._mine = {
            row: place
            for place, row in enumerate(range(accelerator.process_index, len(self.labels), accelerator.num_processes))
        }
        mine = [self.labels[row] for row in self._mine]
        self._state: LabelStates = begin(setting.data.fit, mine, setting.schedule, setting.session, self.seed)
        self._order = image_order(setting.session, self.seed)
        self._pixels = setting.data.fit.pixels.to(setting.session.device)
        self._own = setting.data.fit.labels.to(setting.session.device)
        setting.model.to(setting.session.device).eval()

    def advance(self, rows: Iterable[int]) -> None:
        """One step of the labels numbered ``rows``, all with the same images, a batch of labels at a time."""
        model, schedule, session = self.setting.model, self.setting.schedule, self.setting.session
        rows = list(rows)
        places, before = [self._mine[row] for row in rows if row in self._mine], self._order.get_state()
        draws(len(self._pixels), schedule, self._order)  # every process goes on alike, with labels or without
        for group in self._groups(places):
            moving = self._state.select(group).to(session.device)
            order = torch.Generator().set_state(before)
            advance(model, self._pixels, self._own, moving, schedule, session, order)
            self._state.put(group, moving)
        self.passes += len(rows) * schedule.batches * schedule.batch_size
        session.progress.advance(len(rows))

    def standing(self) -> Tensor:
        """By label ``(k, 4)``: best norm (inf without any), norm now, steps taken, phase.

        The phase is 0 before lambda has begun, 1 once it has, 2 when the label is through.
        """
        state = self._state
        over = state.stopped | (state.steps >= self.setting.schedule.steps)
        now = torch.tanh(state.mask).add(1).sum((1, 2, 3)) / 2 * state.scale**2
        phase = torch.where(over, 2.0, (state.weight > 0).float())
        mine = torch.stack([state.best, now, state.steps.float(), phase], 1)
        table = torch.zeros(len(self.labels), 4)
        for rows, values in gathered(self.setting.session, (list(self._mine), mine)):
            table[rows] = values
        return table

    def finish(self, labels: list[int]) -> tuple[dict[int, Inverted], int]:
        """Run ``labels`` to the end of the schedule from where they are, and give the memory of all back.

        Returns:
            The result by label, and how many images went forward and backward, in all processes.
        """
        wanted = set(labels)
        places = [place for row, place in self._mine.items() if self.labels[row] in wanted]
        found: dict[int, Inverted] = {}
        setting, passes = self.setting, 0
        for group in self._groups(places):
            state, order = self._state.select(group), torch.Generator().set_state(self._order.get_state())
            done, count = resume(setting.model, setting.data.fit, state, setting.schedule, setting.session, order)
            found, passes = found | done, passes + count
        self._state, self._mine = self._state.select(torch.zeros(0, dtype=torch.int64)), {}
        pairs = gathered(setting.session, (found, passes))
        everything = {target: one for some, _ in pairs for target, one in some.items()}
        return {label: everything[label] for label in labels}, sum(count for _, count in pairs)

    def _groups(self, places: list[int]) -> list[Tensor]:
        return [torch.tensor(places[i : i + self.setting.at_once]) for i in range(0, len(places), self.setting.at_once)]


def labels_that_fit(model: nn.Module, images: ImageSet, schedule: InversionSchedule, session: Session) -> int:
    """How many labels one batch may hold: their images' saved activations and states within a budget of bytes.

    See ``memory.budget``; measured with one image forward. The smallest of all processes', which share the labels out.
    """
    device, shape = session.device, tuple(images.pixels.shape[1:])
    pixels = math.prod(shape)
    images_of_a_label = schedule.batch_size * (bytes_an_image(model, shape, session) + 4 * 4 * pixels)
    state = 10 * 4 * pixels
    fits = max(1, min(_MOST_AT_ONCE.get(device.type, 256), budget(session) // (images_of_a_label + state)))
    smallest: int = min(gathered(session, fits))
    return smallest


def gathered(session: Session, mine: object) -> list:  # type: ignore[type-arg]
    """``mine`` of every process."""
    from accelerate.utils import gather_object

    return list(gather_object([mine])) if session.accelerator.num_processes > 1 else [mine]
