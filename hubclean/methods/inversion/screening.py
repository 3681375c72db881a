"""Which of many labels get a full inversion: a cheap phase on all of them, or a bandit that favours promising ones.

Neural Cleanse, S&P 2019, section V (labels screened by mask norm), and K-Arm, ICML 2021 (the bandit). Neither decides
anything: labels screened out have no index, and median and MAD must come from a random sample of labels that ran to
the full budget (``reference_sample``), since those of the smallest masks are biased low.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hubclean.errors import OptionError
from hubclean.methods.inversion.invert import InversionSchedule
from hubclean.methods.inversion.label_scheduler import Race, Setting
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.wording import option

_SIZE = 224 * 224  # the bandit's constant was chosen for images of so many pixels
_GAIN = 1e4
_MANY_LABELS = 60  # up to here all of them run to the end
_MOST_LABELS = 2000  # a mask and a pattern of 224 pixels a side are kept for each and every seed, 2.4 MB a label


@dataclass(frozen=True)
class Screening:
    """The numbers of screening.

    Args:
        top: labels that go on to the full schedule; 0 = max(10, 8 % of the labels), the paper's 100 of 1,283.
        overlap: share of the top labels that must stay the same from one step to the next (the paper's 50 of 100).
        patience: for so many steps in a row.
        max_iter: longest cheap phase in steps; 0 = a fifth of the schedule.
        arms: labels that the bandit advances together.
        explore: share of them drawn by chance.
        warm_up: fewest steps of every label before the bandit chooses.
    """

    top: int = 0
    overlap: float = 0.5
    patience: int = 10
    max_iter: int = 0
    arms: int = 16
    explore: float = 0.3
    warm_up: int = 2

    def wanted(self, labels: int) -> int:
        """How many of so many labels go on."""
        return min(labels, self.top or max(10, -(-8 * labels // 100)))

    def longest(self, schedule: InversionSchedule) -> int:
        """The most steps of the cheap phase."""
        return min(schedule.steps, self.max_iter or max(1, schedule.steps // 5))


def reference_sample(labels: list[int], count: int, session: Session) -> list[int]:
    """``count`` labels drawn at random, the same in every run with the session's seed."""
    order = torch.randperm(len(labels), generator=session.generator("reference labels")).tolist()
    return sorted(labels[row] for row in order[:count])


def screen(race: Race, rule: Screening) -> Race:
    """All labels for a few steps, until the labels with the smallest masks stay the same; they are the candidates.

    After each step the ``top`` labels with the smallest mask so far are taken. The phase ends once more than
    ``overlap`` of them were among those of the step before, for ``patience`` steps in a row, or after ``max_iter``
    steps. Ours: a mask counts from when it reaches the success asked for (before, no mask is smaller than one that
    does), and steps count from when all of these masks are half of what they were: all masks begin alike, and until
    lambda has begun none is made small, so that nothing but their order at the start would be seen to be stable.
    """
    count = rule.wanted(len(race.labels))
    top: set[int] = set()
    calm = 0
    for table, halved in _together(race, rule.longest(race.setting.schedule)):
        now = set(_ranked(table)[:count].tolist())
        calm = calm + 1 if bool(halved[sorted(now)].all()) and len(now & top) > rule.overlap * count else 0
        top = now
        if calm >= rule.patience:
            break
    race.candidates = sorted(race.labels[row] for row in top)
    return race


def k_arm(race: Race, rule: Screening) -> Race:
    """A bandit over labels (K-Arm, ICML 2021), ``arms`` of them a round, until the ``top`` smallest masks are through.

    First all labels take ``warm_up`` steps (there, two epochs), and on until half of all masks are half of what they
    were, at most ``max_iter``. Then each round takes the labels with the largest (L0 - L) / t + 1e4 / L, where L is the
    smallest norm so far, L0 the first, t the steps taken, and norms are those of a 224 px image; ``explore`` of them
    are drawn by chance. A label is through when the schedule stops it. It ends when the ``top`` labels with the
    smallest masks are through; they are the candidates. K-Arm's decision by fixed bounds is not taken over.
    """
    draws = race.setting.session.generator("k-arm", race.seed)
    count, pixels = rule.wanted(len(race.labels)), float(torch.tensor(race.setting.data.fit.pixels.shape[2:]).prod())
    first = torch.full((len(race.labels),), torch.inf)
    for step, (table, halved) in enumerate(_together(race, rule.longest(race.setting.schedule)), 1):
        first = torch.where(first.isinf(), table[:, 0], first)
        if step >= rule.warm_up and 2 * int(halved.sum()) >= len(halved):
            break
    while True:
        table = race.standing()
        first = torch.where(first.isinf(), table[:, 0], first)
        through, top = table[:, 3] == 2, _ranked(table)[:count]
        if bool(through[top].all()):
            race.candidates = sorted(race.labels[row] for row in top.tolist())
            return race
        value = bandit_value(table, first, pixels).masked_fill(through, -torch.inf)
        open_, slots = int((~through).sum()), min(rule.arms, int((~through).sum()))
        chance = int((torch.rand(slots, generator=draws) < rule.explore).sum())
        best = value.argsort(descending=True, stable=True)[:open_]
        drawn = best[slots - chance :][torch.randperm(open_ - slots + chance, generator=draws)[:chance]]
        race.advance(sorted([*best[: slots - chance].tolist(), *drawn.tolist()]))


def _together(race: Race, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Advance all labels step by step; after each, where they stand, and whose mask is half of its first."""
    first = torch.full((len(race.labels),), torch.inf)
    rows = list(range(len(race.labels)))
    for _ in range(steps):
        race.advance(rows)
        table = race.standing()
        first = torch.where(first.isinf(), table[:, 0], first)
        yield table, first.isfinite() & (table[:, 0] <= first / 2)
        rows = (table[:, 3] < 2).nonzero().flatten().tolist()


def bandit_value(table: Tensor, first: Tensor, pixels: float) -> Tensor:
    """What a label's next step promises: how fast its norm fell, and how small it is."""
    scale, found = _SIZE / pixels, table[:, 0].isfinite()
    norm = torch.where(found, table[:, 0], pixels).clamp_min(0.01) * scale
    gain = torch.where(found, first * scale - norm, 0)
    return gain / table[:, 2].clamp_min(1) + _GAIN / norm


def _ranked(table: Tensor) -> Tensor:
    """Rows by the smallest norm that reached success; those without any come last, by the norm they have."""
    most = table[:, 1].max() + table[table[:, 0].isfinite(), 0].sum() + 1
    return torch.where(table[:, 0].isfinite(), table[:, 0], most + table[:, 1]).argsort(stable=True)


@torch.no_grad()
def likely(model: nn.Module, images: ImageSet, session: Session, share: float = 0.25, often: float = 0.95) -> list[int]:
    """K-Arm's pre-screening: labels among the ``share`` of largest logits in more than ``often`` of all clean images.

    A backdoor to label t lifts t's logit for most images; the label of a source-specific one it may not.
    """
    model.to(session.device).eval()
    counts = torch.zeros(0)
    for pixels, _ in images.batches(session.batch_size, session.device):
        with session.accelerator.autocast():
            logits = model(pixels).float()
        kept = logits.topk(max(1, round(share * logits.shape[1])), dim=1).indices.flatten()
        batch = kept.bincount(minlength=logits.shape[1]).cpu()
        counts = batch + (counts if len(counts) else 0)
    return (counts > often * len(images)).nonzero().flatten().tolist()


@dataclass(frozen=True)
class ScreeningPlan:
    """Which labels run to the end.

    Args:
        scheduler: ``all``, ``screen`` or ``k-arm``.
        full: labels run to the end, those of ``reference`` too.
        reference: the random sample of labels that median and MAD come from.
        out: how many labels were screened out.
        race: where screening left the labels; ``None`` when all run.
    """

    scheduler: str
    full: list[int]
    reference: list[int]
    out: int = 0
    race: Race | None = None

    @property
    def passes(self) -> int:
        """Images that screening sent forward and backward."""
        return self.race.passes if self.race else 0


def plan(
    setting: Setting, labels: list[int], scheduler: str, rule: Screening, reference: int, prescreen: bool = False
) -> ScreeningPlan:
    """Choose the labels to run to the end, by screening where there are many.

    Args:
        scheduler: ``all``, ``screen`` or ``k-arm``; ``auto`` is ``all`` up to 60 labels, else ``screen``.
        reference: size of the random sample of labels.
        prescreen: screen only what ``likely`` lets through (all labels, where it lets through none); the others are
            not examined.

    Raises:
        OptionError: ``prescreen`` without screening.
    """
    if scheduler == "auto":
        scheduler = "all" if len(labels) <= _MANY_LABELS else "screen"
    if scheduler == "all" and prescreen:
        raise OptionError("prescreen leaves labels out before screening: choose scheduler=screen or k-arm")
    if scheduler == "all":
        return ScreeningPlan(scheduler, labels, labels)
    session = setting.session
    sample = reference_sample(labels, reference, session)
    good = set(likely(setting.model, setting.data.fit, session)) & set(labels) if prescreen else set()
    race = Race(setting, sorted({*(good or labels), *sample}))
    total = rule.longest(setting.schedule) * len(race.labels)
    if scheduler == "k-arm":  # as much again for its candidates, and for what it spends beside them
        total += 2 * setting.schedule.steps * rule.wanted(len(race.labels))
    session.progress.start("screening labels", total)
    (screen if scheduler == "screen" else k_arm)(race, rule)
    session.progress.finish()
    full = sorted({*race.candidates, *sample})
    return ScreeningPlan(scheduler, full, sample, len(race.labels) - len(full), race)


def named_labels(text: str, classes: int) -> list[int]:
    """The labels that ``all`` or numbers like ``0,3,7`` mean.

    Raises:
        OptionError: not of that form, a label that does not exist, or more labels than memory and time allow.
    """
    if text == "all":
        if classes > _MOST_LABELS:
            raise OptionError(
                f"inverting a trigger for each of {classes:,} labels would take days and fill the memory: name "
                f"up to {_MOST_LABELS:,} of them (labels=0,3,7), or leave the detector out"
                f" ({option('detectors', ['skip'])})"
            )
        return list(range(classes))
    try:
        wanted = sorted({int(label) for label in text.split(",")})
    except ValueError as error:
        raise OptionError(f"labels={text!r} is neither 'all' nor numbers like 0,3,7") from error
    if not wanted or wanted[0] < 0 or wanted[-1] >= classes:
        raise OptionError(f"labels={text!r}: this model has labels 0 to {classes - 1}")
    return wanted
