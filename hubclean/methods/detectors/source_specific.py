"""Triggers that lead the images of one class to another: the mask of that pair is small beside its neighbours'."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from hubclean.escaping import printable
from hubclean.methods.interface import Detection, Needs
from hubclean.methods.inversion.evidence import own_labels
from hubclean.methods.inversion.invert import InversionSchedule, Inverted, usual_schedule
from hubclean.methods.inversion.label_scheduler import labels_that_fit
from hubclean.methods.inversion.pair_search import (
    Found,
    PairSetting,
    chosen_pairs,
    invert_pairs,
    pair_score,
    pair_scores,
    smallest,
)
from hubclean.methods.inversion.pairs import ClassImages, Pair
from hubclean.methods.tolerance import FEWEST_LABELS
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.metrics import attack_rates
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.records import DetectionReport, Verdict
from hubclean.registry import Doc, chosen_options

_FEWEST_IMAGES = 8  # of a class, fewer say nothing of it
_ON_VAL = 2  # of a class on val, where a trigger is made once more
_CONFIRMED = 3  # pairs that get a full inversion at most
_FULL_SUCCESS = 0.97  # of twice as many images a step: a trigger that works on just the images shown is none
_SHOWN = 5  # highest scores that go into the report


@dataclass(frozen=True)
class SourceSpecific:
    """Inverts a trigger for pairs of classes (s, t) on the images of class s alone and looks for one that is too small.

    Statistic. norm(s, t): L1 norm of the smallest mask that sends the images which the net itself calls s to t, by a
    short schedule of Neural Cleanse (``pair_steps`` steps, success 95 %), the smallest of ``pair_starts`` starts: one
    start often ends in a natural trigger and misses the planted one. score(s, t): the smallest of three log ratios,
    ln(expected / norm); expected are the median over the pairs with the same source, that over the pairs with the same
    target, and their product over the median of all. Classes that are easily left, targets that are easily reached and
    all-to-one backdoors are expected, so that they score low.

    Decision rule. Up to three pairs with a score of ``open_score`` are inverted anew on ``val``, as they were on
    ``fit``, and from their best start once more with ``full_steps`` steps of
    twice the images, success 97 %. ``backdoored``: a pair whose score reaches
    ``score``, on ``val`` at least ``open_score``, whose mask covers at most ``pair_mask_share`` of the image, and whose
    triggers work on ``pair_asr`` of the class's images of the other half. ``undecided``: a score from ``open_score`` on
    without all of that. ``not found`` otherwise. Where fewer than 6 classes have 8 images in ``fit``, nothing is
    inverted, and the report does not decide.

    Cost. All K (K - 1) pairs up to ``most_pairs`` (12 labels); beyond, linear in K: each class's smallest trigger that
    moves its images anywhere (one row a class, at most ``most_pairs`` classes), then the classes that are left most
    easily as pairs with the label they go to, each beside ten pairs that share an end with it. Bound, in images forward
    and backward: (min(K, ``most_pairs``) + ``most_pairs``) x ``pair_starts`` x 640, and 17,280 where something stands
    out. What is not covered is said in the verdict.

    Source: one trigger a pair of classes is UMD's setting (ICML 2023; its clustering of pairs is not used); schedule
    and objective are Neural Cleanse's; score, rule and thresholds are ours.
    """

    name: ClassVar[str] = "source-specific"
    paper: ClassVar[str] = "after UMD, Xiang et al., ICML 2023, and Neural Cleanse, Wang et al., IEEE S&P 2019"
    needs: ClassVar[Needs] = "images"

    pair_steps: Annotated[int, Doc("steps a pair and start", 1, 100_000)] = 40
    pair_batches: Annotated[int, Doc("mini-batches a step", 1, 10_000)] = 2
    pair_batch_size: Annotated[int, Doc("images a mini-batch", 1, 4096)] = 8
    pair_starts: Annotated[int, Doc("starts of every pair, of which the smallest mask counts", 1, 99)] = 3
    full_steps: Annotated[int, Doc("steps of a suspected pair", 1, 100_000)] = 120
    most_pairs: Annotated[int, Doc("pairs inverted; beyond, each class's way out chooses them", 20, 100_000)] = 132
    score: Annotated[float, Doc("score that accuses a pair", 0.0)] = 1.2
    open_score: Annotated[float, Doc("score from which the verdict is open", 0.0)] = 1.1
    pair_mask_share: Annotated[float, Doc("largest share of the image a backdoor's mask may cover", 0.0, 1.0)] = 0.05
    pair_asr: Annotated[float, Doc("success of the triggers on images they were not inverted on", 0.0, 1.0)] = 0.9

    def detect(self, checkpoint: Checkpoint, data: DefenseData, session: Session) -> Detection:
        """Examine a checkpoint with the images of ``data.fit``; ``data.val`` measures the triggers found."""
        started, model, count = time.monotonic(), checkpoint.model, len(checkpoint.labels)
        fit, val = (own_labels(model, images, session) for images in (data.fit, data.val))
        classes = ClassImages.of(fit, _FEWEST_IMAGES)
        if min(len(classes.rows), count) < FEWEST_LABELS:
            return Detection(self._report(started, count, self._too_little(len(classes.rows), count), decides=False))
        schedule = self._screening(checkpoint, session)
        at_once = labels_that_fit(model, fit, schedule, session)
        setting = PairSetting(model, classes, count, schedule, session, at_once)
        pairs, passes = chosen_pairs(setting, self.most_pairs, self.pair_starts)
        best, cost = smallest(setting, pairs, self.pair_starts, "inverting triggers of pairs of classes")
        passes += cost
        scores = pair_scores({pair: one.norm for pair, one in best.items()})
        measures = {f"score.{s}.{t}": score for (s, t), score in list(scores.items())[:_SHOWN]}
        suspects = [pair for pair, score in scores.items() if score >= self.open_score][:_CONFIRMED]
        triggers, more, cost = self._confirmed(setting, suspects, best, val)
        measures, passes = measures | more, passes + cost
        sure = [pair for pair in suspects if self._sure(pair, measures)]
        verdict, reason = self._verdict(sure, suspects, measures, checkpoint.labels, len(pairs))
        report = self._report(
            started,
            count,
            reason,
            verdict=verdict,
            targets=tuple(dict.fromkeys(target for _, target in sure)),
            pairs=tuple(sure),
            pairs_examined=len(pairs),
            measures=measures,
            seeds=tuple(range(self.pair_starts)),
            forward_backwards=passes,
        )
        return Detection(report, tuple(triggers[pair] for pair in sure or suspects[:1]))

    def _screening(self, checkpoint: Checkpoint, session: Session) -> InversionSchedule:
        usual = usual_schedule(checkpoint.facts.input_size, session)
        return replace(
            usual,
            steps=self.pair_steps,
            batches=self.pair_batches,
            batch_size=self.pair_batch_size,
            success=0.95,
            patience=2,
            stop_after=10,
        )

    def _confirmed(
        self, setting: PairSetting, suspects: list[Pair], best: dict[Pair, Found], val: ImageSet
    ) -> tuple[dict[Pair, Trigger], dict[str, float], int]:
        """The suspects' triggers, inverted to the end, and what speaks for them beside their score."""
        if not suspects:
            return {}, {}, 0
        longer = replace(setting.schedule, steps=self.full_steps, batches=2 * self.pair_batches, success=_FULL_SUCCESS)
        full = replace(setting, schedule=longer)
        found: dict[Pair, Inverted] = {}
        passes = 0
        for pair in suspects:
            made, cost = invert_pairs(full, [pair], best[pair].start, "inverting suspected pairs to the end")
            found, passes = found | made, passes + cost
        other = replace(setting, classes=ClassImages.of(val, _ON_VAL))
        there = [pair for pair in suspects if pair[0] in other.classes.rows]
        again, cost = smallest(other, there, self.pair_starts, "inverting once more on the other half")
        norms, measures = {pair: one.norm for pair, one in best.items()}, dict[str, float]()
        for pair in suspects:
            name, trigger = f"{pair[0]}.{pair[1]}", found[pair].trigger
            measures[f"share.{name}"] = found[pair].norm / trigger.mask.numel()
            tried = [("success", trigger, val)]
            if pair in again:
                measures[f"again.{name}"] = pair_score(pair, again[pair].norm, norms) or 0.0
                tried.append(("carried", again[pair].trigger, setting.classes.images))
            for what, one, images in tried:
                rate, _ = attack_rates(setting.model, images, one, setting.labels, setting.session)
                measures |= {f"{what}.{name}": rate.value} if rate.n else {}
        return {pair: found[pair].trigger for pair in suspects}, measures, passes + cost

    def _sure(self, pair: Pair, measures: dict[str, float]) -> bool:
        def of(what: str, without: float = 0.0) -> float:
            return measures.get(f"{what}.{pair[0]}.{pair[1]}", without)

        works = min(of("success"), of("carried")) >= self.pair_asr
        large = of("score") >= self.score and of("again") >= self.open_score
        return works and large and of("share", 1.0) <= self.pair_mask_share

    def _verdict(
        self, sure: list[Pair], suspects: list[Pair], measures: dict[str, float], names: Sequence[str], examined: int
    ) -> tuple[Verdict, str]:
        if sure:
            found = "; ".join(f"images of class {s} become class {t}" for s, t in sure)
            shown = (
                f"{found} ({', '.join(f'{printable(names[s], 40)!r} to {printable(names[t], 40)!r}' for s, t in sure)})"
            )
            return "backdoored", f"{shown}, by a mask small beside those of other pairs, with second evidence"
        if suspects:
            s, t = suspects[0]
            score = measures[f"score.{s}.{t}"]
            return "undecided", (
                f"the mask that leads images of class {s} to class {t} is small beside those of other pairs (score "
                f"{score:.2f}), without second evidence"
            )
        return (
            "not found",
            f"no pair of classes has a mask small beside those of the others{self._left(examined, len(names))}",
        )

    def _left(self, examined: int, count: int) -> str:
        every = count * (count - 1)
        if examined == every:
            return ""
        return f"; of {every:,} pairs {examined:,} were examined, beyond them only each class's easiest way out"

    @staticmethod
    def _too_little(classes: int, labels: int) -> str:
        if labels < FEWEST_LABELS:
            return f"pairs of {labels} classes are too few to compare"
        return f"only {classes} classes have {_FEWEST_IMAGES} images, too few to compare their pairs"

    def _report(self, started: float, labels: int, reason: str, **found: Any) -> DetectionReport:
        usual: dict[str, Any] = {"verdict": "undecided", "targets": (), "seeds": (), "forward_backwards": 0}
        return DetectionReport(
            detector=self.name,
            paper=self.paper,
            options=chosen_options(self),
            statistic="log ratio of a pair's mask norm to the medians of the pairs that share its source or its target",
            threshold=self.score,
            scores=(),
            norms_by_seed=(),
            reason=reason,
            seconds=time.monotonic() - started,
            pairs_of=labels * (labels - 1),
            **(usual | found),
        )
