"""``auto``: tries defenses in a documented order within a tolerance and a budget of time, and keeps the best."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from hubclean.errors import HubcleanError, OptionError
from hubclean.escaping import printable
from hubclean.measurements import TrialReport
from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.inversion.anew import aims_of, invert_anew
from hubclean.methods.inversion.invert import usual_schedule
from hubclean.methods.shared_options import MaxDrop
from hubclean.methods.tolerance import within
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy, success_rates
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc, build_method, methods, options_of

_STARTS = 201  # no detector has so many seeds, and the final probes have others
_ORDER = "fine-pruning,nc-unlearn,ft-sam,nc-prune,fst,mnp"
_BLIND = "sau"  # goes first where no trigger was recovered (docs/methods/tuning.md#where-no-trigger-was-recovered)


@dataclass(frozen=True)
class Auto:
    """Runs the defenses of ``order`` one after the other and keeps the stage that leaves least of the triggers.

    Every stage of every defense is judged on ``val`` alone, by clean accuracy and by the largest ASR among the triggers
    that a detector recovered and ``fresh`` more for each of their labels, inverted anew on ``val`` from other starts:
    no defense sees those, so that one made from a recovered trigger (nc-unlearn, nc-prune) is not judged by it alone.
    Accepted are stages that lose at most ``max_drop`` of the clean accuracy; among them the one with the lowest ASR is
    kept, at a tie of less than 0.005 the one with the higher accuracy. It stops early once an accepted stage has an ASR
    of at most ``enough``, and begins no further defense after ``budget`` seconds. ``max_drop`` is handed to every
    defense that has one. The planted trigger is never seen; the others stand in for it.

    Without a recovered trigger only accuracy can judge: the first defense that works without triggers and stays within
    the tolerance is kept; before those of the default ``order`` it tries ``sau``, which needs none. If nothing is
    accepted the checkpoint stays as it was, and a note says so. Filters (``nc-filter``) change no weights and are not
    tried. No paper; the order follows the bench (docs/results/defenses.md): what was most often within tolerance with a
    low planted ASR comes first.
    """

    name: ClassVar[str] = "auto"
    paper: ClassVar[str] = "none: hubclean's own choice among the other defenses"
    needs: ClassVar[Needs] = "labels"

    order: Annotated[str, Doc("defenses to try, in this order, separated by commas")] = _ORDER
    max_drop: MaxDrop = 0.04
    enough: Annotated[float, Doc("stop at an ASR on val of at most this", 0.0, 1.0)] = 0.05
    fresh: Annotated[int, Doc("triggers inverted anew for every label, to judge by", 0, 20)] = 2
    budget: Annotated[float, Doc("seconds after which no further defense begins", 0.0)] = 3600.0

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Try, judge on ``val``, keep the best.

        Raises:
            OptionError: ``order`` names no defense, an unknown one, or ``auto`` itself.
        """
        defenses = [build_method("defenses", name, self._shared(name)) for name in self._names(triggers)]
        started = time.monotonic()
        judges, inverting = self._judges(checkpoint, data, triggers, session)
        before = clean_accuracy(checkpoint.model, data.val, session)
        rows: list[TrialReport] = []
        best: tuple[TrialReport, Cleansing, Stage] | None = None
        for defense in defenses:
            over = _agreed(time.monotonic() - started > self.budget, session)
            if over or (best and self._enough(best[0], judges)):
                break
            begun = time.monotonic()
            try:
                result: Cleansing = defense.cleanse(checkpoint, data, triggers, session)
            except (HubcleanError, torch.OutOfMemoryError) as error:  # what the others found stands
                note = f"failed: {printable(str(error), 200)}"
                rows.append(TrialReport(defense.name, "", before, 0.0, None, False, _since(begun), 0, note))
                continue
            for stage in result.stages:
                row = self._judged(defense.name, stage, result, before.value, data, judges, session, _since(begun))
                rows.append(row)
                touched = row.stage != "unchanged"
                if row.accepted and touched and (best is None or _better(row, best[0])):
                    best = row, result, stage
        skipped = len(defenses) - len({row.defense for row in rows})
        kept = self._kept(checkpoint, best, tuple(rows), skipped)
        return replace(kept, passes=kept.passes + inverting)

    def _judges(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> tuple[tuple[Trigger, ...], int]:
        """The triggers that stages are judged by, and how many images went forward and backward to find them."""
        aims = aims_of(triggers)
        if not aims or not self.fresh:
            return triggers, 0
        schedule, made, passes = usual_schedule(checkpoint.facts.input_size, session), list(triggers), 0
        session.progress.start("inverting triggers to judge by", schedule.steps * len(aims) * self.fresh)
        for seed in range(_STARTS, _STARTS + self.fresh):
            found, cost = invert_anew(checkpoint.model, data.val, aims, schedule, session, seed)
            made += [one.trigger for one in found]
            passes += cost
        session.progress.finish()
        return tuple(made), passes

    def _names(self, triggers: tuple[Trigger, ...]) -> list[str]:
        names = [name.strip() for name in self.order.split(",") if name.strip()]
        known = sorted(methods("defenses").keys() - {self.name})
        wrong = [name for name in names if name not in known]
        if wrong or not names:
            raise OptionError(f"auto: order={self.order} must name defenses among {', '.join(known)}")
        return names if triggers or self.order != _ORDER else [_BLIND, *names]

    def _shared(self, name: str) -> dict[str, str]:
        known = {row.name for row in options_of(methods("defenses")[name])}
        return {"max_drop": str(self.max_drop)} if "max_drop" in known else {}

    def _judged(
        self,
        name: str,
        stage: Stage,
        result: Cleansing,
        before: float,
        data: DefenseData,
        triggers: tuple[Trigger, ...],
        session: Session,
        seconds: float,
    ) -> TrialReport:
        model, classes = stage.checkpoint.model, len(stage.checkpoint.labels)
        accuracy = clean_accuracy(model, data.val, session)
        rates = success_rates(model, data.val, triggers, classes, session)
        return TrialReport(
            defense=name,
            stage=stage.name,
            clean_accuracy=accuracy,
            drop=before - accuracy.value,
            asr=max((rate.value for rate in rates if rate.n), default=None),
            accepted=within(before, accuracy.value, self.max_drop),
            seconds=seconds,
            passes=result.passes,
            note=result.notes[-1] if result.notes else "",
        )

    def _enough(self, row: TrialReport, triggers: tuple[Trigger, ...]) -> bool:
        return not triggers or (row.asr is not None and row.asr <= self.enough)

    def _kept(
        self,
        checkpoint: Checkpoint,
        best: tuple[TrialReport, Cleansing, Stage] | None,
        rows: tuple[TrialReport, ...],
        skipped: int,
    ) -> Cleansing:
        passes = sum({row.defense: row.passes for row in rows}.values())
        left = (f"{skipped} of the defenses in the order were not needed or not reached",) if skipped else ()
        if best is None:
            note = f"no defense stayed within a loss of {self.max_drop:.0%} on val: the checkpoint is unchanged"
            stages = (Stage("unchanged", checkpoint.copy()),)
            return Cleansing(stages, "unchanged", notes=(note, *left), passes=passes, trials=rows)
        row, result, stage = best
        asr = "no trigger to judge by" if row.asr is None else f"the worst trigger's ASR on val {row.asr:.1%}"
        note = f"{row.defense} ({row.stage}) is kept: {asr}, clean accuracy on val {row.clean_accuracy.value:.1%}"
        kept = replace(stage, name=row.defense if row.stage == row.defense else f"{row.defense} {row.stage}")
        return Cleansing(
            stages=(kept,),
            kept=kept.name,
            curve=result.curve,
            notes=(note, *result.notes, *left),
            cut=result.cut,
            passes=passes,
            trials=rows,
        )


def _agreed(said: bool, session: Session) -> bool:
    """What the first process says: clocks differ, and all of them must run the same defenses."""
    from accelerate.utils import broadcast_object_list

    return bool(broadcast_object_list([said])[0]) if session.accelerator.num_processes > 1 else said


def _since(begun: float) -> float:
    return time.monotonic() - begun


def _better(one: TrialReport, other: TrialReport) -> bool:
    left, right = one.asr or 0.0, other.asr or 0.0
    if abs(left - right) < 0.005:
        return one.clean_accuracy.value > other.clean_accuracy.value
    return left < right
