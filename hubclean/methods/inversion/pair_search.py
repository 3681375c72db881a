"""Which pairs of classes are searched for a trigger, and how small a pair's mask is beside those of its neighbours.

All pairs where there are few classes. Else, linear in the classes: for each class the smallest trigger that moves its
images anywhere is made first, and the label it leads to is that class's candidate; the smallest of these are inverted
as pairs, beside other pairs of the same source and of the same target, drawn at random, that they are compared with.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log

import torch
from torch import nn

from hubclean.methods.inversion.invert import LEAVE, InversionSchedule, Inverted
from hubclean.methods.inversion.pairs import ClassImages, Pair, PairRace
from hubclean.nets.metrics import predictions
from hubclean.nets.session import Session

_FLOOR = 0.5  # norms below half a pixel are not told apart
_FEWEST_BESIDE = 3  # pairs that share an end, from which a median is taken
_BESIDE = 5  # drawn for each end of a candidate where not all pairs are inverted


@dataclass(frozen=True)
class PairSetting:
    """What a search works on.

    Args:
        classes: the images that triggers are inverted on.
        labels: how many the net has.
        at_once: pairs in one batch.
    """

    model: nn.Module
    classes: ClassImages
    labels: int
    schedule: InversionSchedule
    session: Session
    at_once: int

    def race(self, pairs: list[Pair], seed: int) -> PairRace:
        """Begin the inversion of ``pairs``."""
        return PairRace(self.model, self.classes, pairs, self.schedule, self.session, seed, self.at_once)


def invert_pairs(setting: PairSetting, pairs: list[Pair], seed: int, purpose: str) -> tuple[dict[Pair, Inverted], int]:
    """Invert ``pairs`` to the end of the schedule; how many images went forward and backward."""
    setting.session.progress.start(purpose, setting.schedule.steps * len(pairs))
    race = setting.race(pairs, seed)
    found = race.run(pairs, setting.schedule.steps)
    setting.session.progress.finish()
    return found, race.passes


@dataclass(frozen=True)
class Found(Inverted):
    """The smallest of the triggers that several starts found; ``start`` is its own."""

    start: int = 0


def smallest(setting: PairSetting, pairs: list[Pair], starts: int, purpose: str) -> tuple[dict[Pair, Found], int]:
    """Invert ``pairs`` from ``starts`` starts and keep each one's smallest; one start often misses a planted trigger.

    Returns:
        By pair, and how many images went forward and backward.
    """
    best: dict[Pair, Found] = {}
    passes = 0
    for start in range(starts if pairs else 0):
        found, cost = invert_pairs(setting, pairs, start, purpose)
        passes += cost
        for pair, one in found.items():
            if pair not in best or one.norm < best[pair].norm:
                best[pair] = Found(one.trigger, one.norm, one.invertible, one.steps, start)
    return best, passes


def chosen_pairs(setting: PairSetting, most: int, starts: int) -> tuple[list[Pair], int]:
    """The pairs to invert, at most ``most``, and the passes that choosing them took.

    The sources are the classes with images enough; targets are all labels.
    """
    sources = sorted(setting.classes.rows)
    everything = [(s, t) for s in sources for t in range(setting.labels) if s != t]
    if len(everything) <= most:
        return everything, 0
    draw = setting.session.generator("sources of pairs")
    tried = sorted(sources[row] for row in torch.randperm(len(sources), generator=draw)[:most].tolist())
    out, passes = smallest(setting, [(s, LEAVE) for s in tried], starts, "looking for each class's way out")
    passes += sum(len(setting.classes.rows[s]) for s in tried) // 3
    ways = [(s, _destination(setting, s, one)) for (s, _), one in sorted(out.items(), key=lambda row: row[1].norm)]
    pairs: dict[Pair, None] = {}
    for source, target in ways:
        if target != source:
            group = [(source, target), (target, source), *_beside((source, target), sources, setting)]
            new = [pair for pair in group if pair not in pairs and pair[0] in setting.classes.rows]
            if len(pairs) + len(new) > most:
                break
            pairs |= dict.fromkeys(new)
    return sorted(pairs), passes


def _destination(setting: PairSetting, source: int, found: Inverted) -> int:
    """The label that a trigger sends most images of a class to."""
    images = setting.classes.images.subset(setting.classes.rows[source])
    said = predictions(setting.model, images, setting.session, found.trigger.stamp)
    return int(said.bincount(minlength=setting.labels).argmax())


def _beside(pair: Pair, sources: list[int], setting: PairSetting) -> list[Pair]:
    """Pairs drawn at random that share an end with ``pair``."""
    source, target = pair
    draw = setting.session.generator("pairs beside", *pair)
    others = [label for label in range(setting.labels) if label not in pair]
    origins = [label for label in sources if label not in pair]
    targets = [others[row] for row in torch.randperm(len(others), generator=draw)[:_BESIDE].tolist()]
    froms = [origins[row] for row in torch.randperm(len(origins), generator=draw)[:_BESIDE].tolist()]
    return [*((source, label) for label in targets), *((label, target) for label in froms)]


def pair_score(pair: Pair, norm: float, norms: Mapping[Pair, float]) -> float | None:
    """How much smaller a pair's mask is than those beside it: the smallest of three log ratios of expected to found.

    Expected are the median norm of the pairs with the same source, that of the pairs with the same target, and the
    product of both over the median of all. A class that is easily moved anywhere is small in the second sense alone,
    the target of an all-to-one backdoor in the first alone, and such a class beside such a target not in the third.

    Args:
        norms: those of other pairs, and perhaps of this one, which does not count.

    Returns:
        ``None`` where fewer than three pairs share an end.
    """
    source, target = pair
    beside = ([n for (s, t), n in norms.items() if s == source and t != target],
              [n for (s, t), n in norms.items() if t == target and s != source])  # fmt: skip
    if min(map(len, beside)) < _FEWEST_BESIDE:
        return None
    by_source, by_target, overall = (
        statistics.median(log(max(n, _FLOOR)) for n in some) for some in (*beside, norms.values())
    )
    return min(by_source, by_target, by_source + by_target - overall) - log(max(norm, _FLOOR))


def pair_scores(norms: Mapping[Pair, float], pairs: Collection[Pair] | None = None) -> dict[Pair, float]:
    """The score of every pair that has one, the largest first."""
    rows = ((pair, pair_score(pair, norms[pair], norms)) for pair in (norms if pairs is None else pairs))
    return dict(sorted(((p, s) for p, s in rows if s is not None), key=lambda row: (-row[1], row[0])))
