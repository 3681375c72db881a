"""Inverts triggers once more from other starts, for those that must judge a repair and not make it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from torch import nn

from hubclean.methods.inversion.evidence import FOUND, own_labels
from hubclean.methods.inversion.invert import NEXT, InversionSchedule, Inverted, invert
from hubclean.methods.inversion.pairs import ClassImages, PairRace
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger

Aim = tuple[int | None, int | None]  # source class (None: all), target (None: the next label)
_AT_ONCE = 16
_FEWEST = 2  # images of a class, one of which no class needs to be known


def aims_of(triggers: Iterable[Trigger]) -> list[Aim]:
    """What triggers aim at, each aim once, in order."""
    aims = {(trigger.source, trigger.target) for trigger in triggers}
    return sorted(aims, key=lambda aim: tuple(-1 if end is None else end for end in aim))


def invert_anew(
    model: nn.Module, images: ImageSet, aims: Sequence[Aim], schedule: InversionSchedule, session: Session, seed: int
) -> tuple[list[Inverted], int]:
    """One trigger an aim, those that could be inverted; a source class without two images here has none.

    All-to-all triggers count from 90 % success, as where they are detected; if there is one, so do all.

    Returns:
        The triggers, and how many images went forward and backward.
    """
    whole = [NEXT if target is None else target for source, target in aims if source is None]
    found: list[Inverted] = []
    passes = 0
    if whole:
        asked = replace(schedule, success=FOUND) if NEXT in whole else schedule
        made, passes = invert(model, images, whole, asked, session, seed)
        found += [made[aim] for aim in whole]
    classes = ClassImages.of(own_labels(model, images, session), _FEWEST)
    pairs = [(s, t) for s, t in aims if s is not None and t is not None and s in classes.rows]
    if pairs:
        race = PairRace(model, classes, pairs, schedule, session, seed, _AT_ONCE)
        found += race.run(pairs, schedule.steps).values()
        passes += race.passes
    return [one for one in found if one.invertible], passes
