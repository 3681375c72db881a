"""Neural Cleanse (Wang et al., IEEE S&P 2019): invert a trigger for every label; a backdoored one needs a tiny mask."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from hubclean.methods.interface import Detection, Needs
from hubclean.methods.inversion.evidence import (
    ENOUGH,
    AllToAll,
    SeedRun,
    all_to_all,
    best,
    judged,
    own_labels,
    scored,
    spread_measures,
    suspect_measures,
)
from hubclean.methods.inversion.invert import InversionSchedule, Inverted, usual_schedule
from hubclean.methods.inversion.label_scheduler import Setting, labels_that_fit
from hubclean.methods.inversion.no_verdict import (
    few_examined,
    needless,
    needs_none,
    outlier,
    screened,
    too_few,
    undecided,
)
from hubclean.methods.inversion.screening import Screening, ScreeningPlan, named_labels, plan
from hubclean.methods.tolerance import FEWEST_LABELS
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.records import LabelScore, Option, Verdict
from hubclean.registry import Doc, chosen_options

_OWN_LABELS = 0.5  # of the classes' most frequent labels, the share that must differ for a map that is no collapse
_RIVALS = 3  # smallest masks that are inverted from every start
_USED = ("steps", "batches", "batch_size", "mask_scale")  # what of the schedule the audit holds


@dataclass(frozen=True)
class NeuralCleanse:
    """Inverts the smallest trigger of every label and looks for outliers among the mask norms.

    Statistic: L1 norm of the mask, L_t (the whole image for a label without a trigger); MAD anomaly index
    (median - L_t) / (1.4826 MAD), on norms (the paper's) and on log norms (ours: clean norms spread by factors, which
    inflates the linear MAD).

    Decision rule. A seed flags label t when L_t <= ``norm_ratio`` * median and (index > ``threshold`` or log index >
    ``log_threshold``). The paper's rule is L_t <= median and index > 2; over ten labels that is passed by chance, also
    by innocent labels of backdoored nets, so a mask must besides be half as large as usual.
    In this order: ``undecided`` when fewer than 6 labels were examined (an index over them means nothing); a net of
    so few is not inverted at all unless ``labels`` names them. A label that the net gives to most clean images needs
    no trigger and is left out; where nothing else is found, that is ``undecided``, too. ``backdoored``: some label is
    flagged by more than half of the seeds, its mask covers less than ``mask_share`` of the image, its norm is at most
    ``sure_ratio`` of the median (both medians over the seeds), and the smallest of its triggers reaches
    ``held_out_asr`` on images it was not inverted on; or the trigger that moves every image to the next label is that
    small in most seeds and works on 70 % of held-out images (all-to-all; no target is named). ``undecided``: most
    labels are not invertible, a label is flagged by more than half of the seeds without that second evidence, a small
    untargeted trigger sends each class to a label of its own, or not all labels were examined. ``not found``
    otherwise. Blind to feature-space, warping and input-aware triggers. Source-specific triggers are not examined: a
    trigger must work on the images of all classes.

    Seeds. The first inverts every label; the others, with ``repeat=suspects``, only labels that it flags and the three
    with the smallest masks, beside the first seed's masks of the rest; ten labels cost half as much, and a planted
    label that the first seed ranks fourth or lower is missed. Likewise a second trigger without a target is made only
    where the first is at most half as large as the median.

    Many labels. ``scheduler=all`` runs the full schedule for every label; ``screen`` runs all labels a few steps and
    goes on with the smallest masks (section V); ``k-arm`` lets a bandit choose (K-Arm, ICML 2021; its decision bounds
    are not used). Both add ``reference`` labels drawn at random that run to the end: median and MAD are theirs, and
    only labels run to the end have a score. Labels screened out count as examined by the cheap phase, which used one
    start. ``auto`` takes all up to 60 labels, else ``screen``. ``prescreen`` first leaves out labels that are seldom
    among the largest quarter of logits (K-Arm): they are not examined, so that the best verdict is ``undecided``.

    Measures, for every flagged label (five at most) or else the smallest: ``ratio.T`` norm / median; ``overlap.T``
    mean pairwise overlap of its masks over the seeds; ``transfer.T`` success on ``fit`` of a trigger inverted once
    more on ``val``. With ``all_to_all``: ``next.ratio`` and ``next.success`` (held out) of the trigger that moves each
    image to the next label, ``leave.ratio``, ``leave.share`` (mean share of a class that goes to its most frequent
    label), ``leave.labels`` (different such labels / classes) and ``leave.shifted`` (classes that go to the next one)
    of one that moves it anywhere; medians over the seeds; y is the model's own label.

    The schedule's rules and constants are those of the authors' GTSRB script. ``official`` has its length too: up to
    1000 steps of 31 x 32 images a label. ``short`` is 150 steps of 8 x 16, for CPUs: other norms, weaker evidence;
    ``auto`` takes it when there is no accelerator. The lengths and the mask's scale used are written into the audit.
    Labels run together, ``labels_at_once`` a batch, and batches are shared among processes; the result does not depend
    on how many there are, up to rounding.

    Source: sections IV-B, V; code of the authors (MIT) for the schedule. Not meaningful for multi-label heads.
    """

    name: ClassVar[str] = "neural-cleanse"
    paper: ClassVar[str] = "Neural Cleanse, Wang et al., IEEE S&P 2019"
    needs: ClassVar[Needs] = "images"

    schedule: Annotated[str, Doc("length of the optimisation", choices=("auto", "official", "short"))] = "auto"
    steps: Annotated[int, Doc("steps a label, 0 = by schedule", 0, 100_000)] = 0
    batches: Annotated[int, Doc("mini-batches a step, 0 = by schedule", 0, 10_000)] = 0
    batch_size: Annotated[int, Doc("images a mini-batch, 0 = by schedule", 0, 4096)] = 0
    seeds: Annotated[int, Doc("repetitions with other starts", 1, 99)] = 3
    repeat: Annotated[str, Doc("labels that later seeds invert", choices=("suspects", "all"))] = "suspects"
    labels: Annotated[str, Doc("labels to examine: 'all', or numbers like 0,3,7")] = "all"
    scheduler: Annotated[
        str, Doc("labels run to the end: all, or those found worth it", choices=("auto", "all", "screen", "k-arm"))
    ] = "auto"
    top: Annotated[int, Doc("labels that screening lets through, 0 = max(10, 8 %)", 0, 4096)] = 0
    reference: Annotated[int, Doc("labels drawn at random for median and MAD when screening", 6, 4096)] = 30
    prescreen: Annotated[bool, Doc("first leave out labels with seldom large logits")] = False
    all_to_all: Annotated[bool, Doc("look for a trigger without a target, too")] = True
    labels_at_once: Annotated[int, Doc("labels optimised in one batch, 0 = what fits the memory", 0, 4096)] = 0
    mask_scale: Annotated[int, Doc("mask at 1/scale of the resolution, 0 = 1 up to 64 px, else 4", 0, 32)] = 0
    threshold: Annotated[float, Doc("anomaly index on norms that flags a label", 0.0)] = 2.0
    log_threshold: Annotated[float, Doc("anomaly index on log norms that flags a label", 0.0)] = 2.0
    norm_ratio: Annotated[float, Doc("a flagged mask's norm is at most this share of the median", 0.0, 1.0)] = 0.5
    sure_ratio: Annotated[float, Doc("a backdoor's mask norm is at most this share of the median", 0.0, 1.0)] = 0.33
    mask_share: Annotated[float, Doc("largest share of the image a backdoor's mask may cover", 0.0, 1.0)] = 0.05
    held_out_asr: Annotated[float, Doc("success the trigger must reach on images it was not inverted on", 0.0, 1.0)] = (
        0.9
    )

    def detect(self, checkpoint: Checkpoint, data: DefenseData, session: Session) -> Detection:
        """Examine a checkpoint with the images of ``data.fit``; ``data.val`` measures the triggers found.

        Raises:
            OptionError: ``labels`` names a label the model does not have.
        """
        started = time.monotonic()
        schedule = self.settled_schedule(checkpoint, session)
        at_once = self.labels_at_once or labels_that_fit(checkpoint.model, data.fit, schedule, session)
        setting = Setting(checkpoint.model, data, checkpoint.labels, schedule, session, at_once)
        if self.labels == "all" and len(checkpoint.labels) < FEWEST_LABELS:
            return Detection(undecided(self, started, reason=too_few(setting)))
        labels = plan(
            setting,
            named_labels(self.labels, len(checkpoint.labels)),
            self.scheduler,
            Screening(top=self.top),
            self.reference,
            self.prescreen,
        )
        runs, passes = self._runs(setting, labels)
        smallest = {min(run.found, key=lambda t: run.found[t].norm) for run in runs}
        scores = tuple(scored(setting, t, runs, t in smallest) for t in labels.full)
        middle = statistics.median(score.norm for score in scores if score.label in set(labels.reference))
        measures, more = suspect_measures(setting, scores, runs, middle)
        spread = self._spread(setting, middle)
        measures |= spread_measures(spread, middle)
        idle = needless(setting, scores)
        judging = tuple(score for score in scores if score.label not in idle)
        verdict, reason, flagged = self._decide(judging, middle, measures, labels, len(checkpoint.labels) - len(idle))
        if idle and verdict != "backdoored":
            verdict, reason = "undecided", needs_none(idle, checkpoint.labels)
        report = undecided(
            self,
            started,
            options=chosen_options(self) | self._used(labels, setting),
            statistic=self._statistic(labels),
            scores=scores,
            norms_by_seed=tuple(tuple(run.found[t].norm for t in labels.full) for run in runs),
            targets=flagged,
            verdict=verdict,
            reason=reason,
            seeds=tuple(range(self.seeds)),
            forward_backwards=passes + more + sum(one.passes for one in spread),
            measures=measures | {f"answered.{label}": share for label, share in idle.items()},
        )
        triggers = tuple(best(t, runs) for t in flagged or (self._candidate(judging) if verdict == "undecided" else ()))
        if verdict == "backdoored" and not flagged:
            triggers = (min((one.next for one in spread), key=lambda found: found.norm).trigger,)
        return Detection(report, triggers)

    def settled_schedule(self, checkpoint: Checkpoint, session: Session) -> InversionSchedule:
        """The schedule of every label's search: by the device unless told, masks by the size of the images."""
        usual = usual_schedule(checkpoint.facts.input_size, session, self.schedule)
        asked = {name: getattr(self, name) for name in _USED if getattr(self, name)}
        return replace(usual, **asked)

    def _runs(self, setting: Setting, labels: ScreeningPlan) -> tuple[list[SeedRun], int]:
        """Every seed over the labels of the plan; the first goes on from where screening left them."""
        progress, count = setting.session.progress, len(labels.full)
        progress.start("inverting triggers", setting.schedule.steps * count)
        if labels.race:
            found, passes = labels.race.finish(labels.full)
        else:
            found, passes = setting.invert(setting.data.fit, labels.full, 0)
        runs, passes = [self._judged(found, labels)], passes + labels.passes
        progress.finish()
        again = labels.full if self.repeat == "all" else _suspects(runs[0])
        if self.seeds > 1:
            progress.start("inverting once more", setting.schedule.steps * len(again) * (self.seeds - 1))
        for seed in range(1, self.seeds):
            more, cost = setting.invert(setting.data.fit, again, seed)
            runs.append(self._judged({**found, **more}, labels))
            passes += cost
        progress.finish()
        return runs, passes

    def _judged(self, found: dict[int, Inverted], labels: ScreeningPlan) -> SeedRun:
        return judged(found, labels.reference, self.threshold, self.log_threshold, self.norm_ratio)

    def _spread(self, setting: Setting, middle: float) -> list[AllToAll]:
        """Triggers without a target, one pair a seed, where all labels are examined; ``middle``: the median norm."""
        if not self.all_to_all or self.labels != "all" or not len(setting.data.val):
            return []
        data, session = setting.data, setting.session
        fit, val = (own_labels(setting.model, images, session) for images in (data.fit, data.val))
        session.progress.start("inverting triggers without a target", setting.schedule.steps * 2 * self.seeds)
        found = []
        for seed in range(self.seeds):
            found.append(all_to_all(setting, fit, val, seed))
            if self.repeat != "all" and min(found[0].next.norm, found[0].leave.norm) > self.norm_ratio * middle:
                break
        session.progress.finish()
        return found

    def _decide(
        self,
        scores: Sequence[LabelScore],
        middle: float,
        measures: dict[str, float],
        labels: ScreeningPlan,
        classes: int,
    ) -> tuple[Verdict, str, tuple[int, ...]]:
        often = [score for score in scores if 2 * score.flagged > self.seeds]
        small = [s for s in often if s.mask_share < self.mask_share and s.norm <= self.sure_ratio * middle]
        sure = [s for s in small if s.asr.n and s.asr.value >= self.held_out_asr]
        sampled = [score for score in scores if score.label in set(labels.reference)]
        if len(sampled) < FEWEST_LABELS:
            return "undecided", few_examined(scores, middle), ()
        if sure:
            why = f"{len(sure)} label(s) flagged by most of {self.seeds} seeds, with second evidence"
            return "backdoored", why, tuple(s.label for s in sure)
        if 2 * sum(score.invertible for score in sampled) < len(sampled):
            nothing = "no trigger was found for most labels, so their norms say nothing; more steps may help"
            return "undecided", nothing, ()
        if open_ := self._all_to_all_verdict(measures):
            return *open_, ()
        if often:
            return "undecided", outlier(min(often, key=lambda score: score.norm), middle), ()
        if len(scores) + labels.out < classes:
            seen = len(scores) + labels.out
            return "undecided", f"only {seen} of {classes} labels were examined; none of them stands out", ()
        return "not found", f"no label is flagged by most of {self.seeds} seeds{screened(labels)}", ()

    def _all_to_all_verdict(self, measures: dict[str, float]) -> tuple[Verdict, str] | None:
        if measures.get("next.ratio", 1.0) <= self.sure_ratio and measures["next.share"] < self.mask_share:
            success = measures["next.success"]
            found = f"one small trigger moves {success:.1%} of held-out images to the label after their own"
            return ("backdoored" if success >= ENOUGH else "undecided"), f"{found} (all-to-all)"
        small = measures.get("leave.ratio", 1.0) <= self.sure_ratio
        if small and measures.get("leave.share", 0.0) >= ENOUGH and measures["leave.labels"] >= _OWN_LABELS:
            return (
                "undecided",
                "one small trigger sends the images of most classes to a label of their own (all-to-all?)",
            )
        return None

    def _statistic(self, labels: ScreeningPlan) -> str:
        text = (
            f"anomaly index of mask L1 norms, or of log norms above {self.log_threshold:g}, "
            f"where the norm is at most {self.norm_ratio:g} of the median"
        )
        if labels.scheduler == "all":
            return text
        return f"{text}; median and MAD of {len(labels.reference)} labels drawn at random{screened(labels)}"

    @staticmethod
    def _used(labels: ScreeningPlan, setting: Setting) -> dict[str, Option]:
        return {name: getattr(setting.schedule, name) for name in _USED} | {
            "scheduler": labels.scheduler,
            "labels_at_once": setting.at_once,
            "labels_in_full": len(labels.full),
            "labels_screened_out": labels.out,
        }

    @staticmethod
    def _candidate(scores: Sequence[LabelScore]) -> tuple[int, ...]:
        """The smallest trigger: where the verdict is open, the proxy that pruning is watched with."""
        usable = [score for score in scores if score.invertible]
        return (min(usable, key=lambda score: score.norm).label,) if usable else ()


def _suspects(run: SeedRun) -> list[int]:
    """Labels worth other starts: those a seed flags, and the three smallest masks."""
    smallest = sorted(run.found, key=lambda label: run.found[label].norm)[:_RIVALS]
    return sorted({*run.flagged, *smallest})
