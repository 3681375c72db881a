"""Triggers that lead the images of one class to another: the mask of that pair is small beside its neighbours'."""

from __future__ import annotations

import statistics
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
    PairSetting,
    chosen_pairs,
    invert_pairs,
    pair_score,
    pair_scores,
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


@dataclass(frozen=True)
class SourceSpecific:
    """Inverts a trigger for pairs of classes (s, t) on the images of class s alone and looks for one that is too small.

    Statistic. norm(s, t): L1 norm of the smallest mask that sends the images which the net itself calls s to t, found
    by a short schedule of Neural Cleanse (``pair_steps`` steps, success 95 %). score(s, t): the smallest of three log
    ratios, ln(expected / norm); expected are the median over the pairs with the same source, that over the pairs with
    the same target, and their product over the median of all. Classes that are easily left, targets that are easily
    reached and all-to-one backdoors are expected, so that they score low; natural near pairs (9 and 4, sneaker and bag)
    score up to about 0.9 on clean nets of ours, source-specific backdoors 1.3 and more.

    Decision rule. The ``pair_top`` highest scores are taken again from ``pair_seeds`` starts, beside the first start's
    other pairs; a pair's score is the median. Three pairs at most with a score of ``open_score`` are inverted to the
    end of Neural Cleanse's schedule, and once more on ``val``. ``backdoored``: a pair whose score reaches ``score``, in
    ``agreement`` of the starts too, whose mask covers at most ``pair_mask_share`` of the image, and whose trigger works
    on ``pair_asr`` of the class's images in ``val``, the one made there on those in ``fit``. ``undecided``: a score
    from ``open_score`` on without all of that. ``not found`` otherwise. Where fewer than 6 classes have 8 images in
    ``fit``, nothing is inverted, and the report does not decide.

    Cost. All K (K - 1) pairs up to ``most_pairs`` (12 labels); beyond, linear in K: each class's smallest trigger that
    moves its images anywhere (one row a class, at most ``most_pairs`` classes), then the classes that are left most
    easily as pairs with the label they go to, each beside ten pairs that share an end with it. Bound, in images forward
    and backward: (min(K, ``most_pairs``) + ``most_pairs`` + ``pair_seeds`` x ``pair_top``) x 640, and 6 labels' full
    schedule where something stands out. What is not covered is said in the verdict.

    Source: one trigger a pair of classes is UMD's setting (ICML 2023; its clustering of pairs is not used); schedule
    and objective are Neural Cleanse's; score, rule and thresholds are ours.
    """

    name: ClassVar[str] = "source-specific"
    paper: ClassVar[str] = "after UMD, Xiang et al., ICML 2023, and Neural Cleanse, Wang et al., IEEE S&P 2019"
    needs: ClassVar[Needs] = "images"

    pair_steps: Annotated[int, Doc("steps a pair", 1, 100_000)] = 40
    pair_batches: Annotated[int, Doc("mini-batches a step", 1, 10_000)] = 2
    pair_batch_size: Annotated[int, Doc("images a mini-batch", 1, 4096)] = 8
    pair_seeds: Annotated[int, Doc("starts of the pairs with the highest scores", 1, 99)] = 3
    pair_top: Annotated[int, Doc("pairs that are inverted from every start", 1, 4096)] = 5
    most_pairs: Annotated[
        int, Doc("pairs inverted at most; beyond, each class's way out chooses them", 20, 100_000)
    ] = 132
    full_steps: Annotated[int, Doc("steps of a suspected pair, 0 = Neural Cleanse's schedule", 0, 100_000)] = 0
    score: Annotated[float, Doc("score that accuses a pair", 0.0)] = 1.1
    open_score: Annotated[float, Doc("score from which the verdict is open", 0.0)] = 0.95
    agreement: Annotated[float, Doc("share of the seeds that must accuse a pair", 0.0, 1.0)] = 0.6
    pair_mask_share: Annotated[float, Doc("largest share of the image a backdoor's mask may cover", 0.0, 1.0)] = 0.05
    pair_asr: Annotated[float, Doc("success the trigger must reach on images it was not inverted on", 0.0, 1.0)] = 0.9

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
        pairs, passes = chosen_pairs(setting, self.most_pairs)
        found, cost = invert_pairs(setting, pairs, 0, "inverting triggers of pairs of classes")
        norms, passes = {pair: one.norm for pair, one in found.items()}, passes + cost
        by_seed, cost = self._repeated(setting, norms)
        measures = {f"score.{s}.{t}": statistics.median(rows) for (s, t), rows in by_seed.items()}
        suspects = [pair for pair, rows in by_seed.items() if statistics.median(rows) >= self.open_score]
        suspects = sorted(suspects, key=lambda pair: -statistics.median(by_seed[pair]))[:_CONFIRMED]
        triggers, more, full = self._confirmed(setting, suspects, checkpoint, val)
        for (s, t), rows in by_seed.items():
            more[f"seeds.{s}.{t}"] = sum(score >= self.score for score in rows) / len(rows)
        measures |= more
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
            seeds=tuple(range(self.pair_seeds)),
            forward_backwards=passes + cost + full,
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

    def _repeated(self, setting: PairSetting, norms: dict[Pair, float]) -> tuple[dict[Pair, list[float]], int]:
        """The scores of the ``top`` pairs by seed, beside the first seed's masks of the others."""
        top = list(pair_scores(norms))[: self.pair_top]
        by_seed, passes = {pair: [pair_scores(norms, [pair])[pair]] for pair in top}, 0
        for seed in range(1, self.pair_seeds):
            found, cost = invert_pairs(setting, top, seed, "inverting pairs once more")
            passes += cost
            for pair, one in found.items():
                score = pair_score(pair, one.norm, norms)
                assert score is not None
                by_seed[pair].append(score)
        return by_seed, passes

    def _confirmed(
        self, setting: PairSetting, suspects: list[Pair], checkpoint: Checkpoint, val: ImageSet
    ) -> tuple[dict[Pair, Trigger], dict[str, float], int]:
        """Full inversions of the suspects on ``fit``, tried on ``val``, and the other way round."""
        model, session, measures = setting.model, setting.session, dict[str, float]()
        if not suspects:
            return {}, measures, 0
        usual = usual_schedule(checkpoint.facts.input_size, session)
        full = replace(setting, schedule=replace(usual, steps=self.full_steps or usual.steps))
        found, passes = invert_pairs(full, suspects, 0, "inverting suspected pairs to the end")
        other = replace(full, classes=ClassImages.of(val, _ON_VAL))
        there = [pair for pair in suspects if pair[0] in other.classes.rows]
        again: dict[Pair, Inverted] = {}
        if there:
            again, cost = invert_pairs(other, there, self.pair_seeds, "inverting once more on the other half")
            passes += cost
        for pair in suspects:
            name, trigger = f"{pair[0]}.{pair[1]}", found[pair].trigger
            measures[f"share.{name}"] = found[pair].norm / trigger.mask.numel()
            tried = [("success", trigger, val)]
            tried += [("carried", again[pair].trigger, setting.classes.images)] if pair in again else []
            for what, one, images in tried:
                rate, _ = attack_rates(model, images, one, setting.labels, session)
                measures |= {f"{what}.{name}": rate.value} if rate.n else {}
        return {pair: found[pair].trigger for pair in suspects}, measures, passes

    def _sure(self, pair: Pair, measures: dict[str, float]) -> bool:
        def of(what: str, without: float = 0.0) -> float:
            return measures.get(f"{what}.{pair[0]}.{pair[1]}", without)

        works = min(of("success"), of("carried")) >= self.pair_asr
        large = of("score") >= self.score and of("seeds") >= self.agreement
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
