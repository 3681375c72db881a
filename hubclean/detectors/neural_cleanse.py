"""Neural Cleanse (Wang et al., IEEE S&P 2019): invert a trigger for every label; a backdoored one needs a tiny mask."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.errors import OptionError
from hubclean.metrics import anomaly_index, attack_rates, log_anomaly_index
from hubclean.records import DetectionReport, LabelScore, Rate, Verdict
from hubclean.registry import Doc, chosen
from hubclean.tensors import Checkpoint, DefenseData, Detection, Needs, Session, Trigger
from hubclean.triggers import InversionSchedule, Inverted, invert

_FEWEST_LABELS = 6
_MOST_LABELS = 2000  # a mask and a pattern of 224 pixels a side are kept for each and every seed, 2.4 MB a label
_USED = ("steps", "batches", "batch_size", "mask_scale")  # what of the schedule the audit holds


@dataclass(frozen=True)
class _Run:
    """One seed: what was inverted, and both indices, by label."""

    found: dict[int, Inverted]
    index: dict[int, float]
    log_index: dict[int, float]
    flagged: frozenset[int]


@dataclass(frozen=True)
class NeuralCleanse:
    """Inverts the smallest trigger of every label and looks for outliers among the mask norms.

    Statistic: L1 norm of the mask, L_t (the whole image for a label without a trigger); MAD anomaly index
    (median - L_t) / (1.4826 MAD), on norms (the paper's) and on log norms (ours: clean norms spread by factors, which
    inflates the linear MAD).

    Decision rule. A seed flags label t when L_t <= ``norm_ratio`` * median and (index > ``threshold`` or log index >
    ``log_threshold``). The paper's rule is L_t <= median and index > 2; over ten labels that is passed by chance, also
    by innocent labels of backdoored nets, so a mask must besides be half as large as usual.
    In this order: ``undecided`` when fewer than 6 labels were examined (an index over them means nothing; the ratio of
    smallest to median norm is given instead). ``backdoored``: some label is flagged by more than half of the seeds,
    its mask covers less than ``mask_share`` of the image, its norm is at most ``sure_ratio`` of the median (both
    medians over the seeds), and the smallest of its triggers reaches ``held_out_asr`` on images it was not inverted
    on. ``undecided``: most labels are not invertible, a label is flagged by more than half of the seeds without that
    second evidence, or not all labels were examined. ``not found`` otherwise. Blind to feature-space, warping and
    input-aware triggers, weak on source-specific and all-to-all ones.

    The schedule's rules and constants are those of the authors' GTSRB script. ``official`` has its length too: up to
    1000 steps of 31 x 32 images a label. ``short`` is 150 steps of 8 x 16, for CPUs: other norms, weaker evidence;
    ``auto`` takes it when there is no accelerator. The lengths and the mask's scale used are written into the audit.
    Labels run together, ``labels_at_once`` a batch, and batches are shared among processes; the result does not depend
    on how many there are.

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
    labels: Annotated[str, Doc("labels to examine: 'all', or numbers like 0,3,7")] = "all"
    labels_at_once: Annotated[int, Doc("labels optimised in one batch", 1, 4096)] = 16
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
        classes = len(checkpoint.labels)
        targets = self._targets(classes)
        schedule = self._schedule(checkpoint, session)
        session.progress.start("inverting triggers", schedule.steps * len(targets) * self.seeds)
        runs, passes = [], 0
        for seed in range(self.seeds):
            found, count = self._invert(checkpoint, data, targets, schedule, session, seed)
            runs.append(self._judge(found, targets))
            passes += count
        session.progress.finish()
        best = {t: min((run.found[t] for run in runs), key=lambda found: found.norm).trigger for t in targets}
        scores = tuple(self._score(t, runs, best[t], checkpoint, data, session) for t in targets)
        verdict, reason, flagged = self._decide(scores, runs, classes)
        report = DetectionReport(
            detector=self.name,
            paper=self.paper,
            options=chosen(self) | {name: getattr(schedule, name) for name in _USED},
            statistic=f"anomaly index of mask L1 norms, or of log norms above {self.log_threshold:g}, "
            f"where the norm is at most {self.norm_ratio:g} of the median",
            threshold=self.threshold,
            scores=scores,
            norms_by_seed=tuple(tuple(run.found[t].norm for t in targets) for run in runs),
            targets=flagged,
            verdict=verdict,
            reason=reason,
            seeds=tuple(range(self.seeds)),
            forward_backwards=passes,
            seconds=time.monotonic() - started,
        )
        suspects = flagged or (self._candidate(scores) if verdict == "undecided" else ())
        return Detection(report, tuple(best[t] for t in suspects))

    def _targets(self, classes: int) -> list[int]:
        if self.labels == "all":
            if classes > _MOST_LABELS:
                raise OptionError(
                    f"inverting a trigger for each of {classes:,} labels would take days and fill the memory: name "
                    f"up to {_MOST_LABELS:,} of them (labels=0,3,7), or leave the detector out (--detector skip)"
                )
            return list(range(classes))
        try:
            wanted = sorted({int(label) for label in self.labels.split(",")})
        except ValueError as error:
            raise OptionError(f"labels={self.labels!r} is neither 'all' nor numbers like 0,3,7") from error
        if not wanted or wanted[0] < 0 or wanted[-1] >= classes:
            raise OptionError(f"labels={self.labels!r}: this model has labels 0 to {classes - 1}")
        return wanted

    def _schedule(self, checkpoint: Checkpoint, session: Session) -> InversionSchedule:
        short = self.schedule == "short" or (self.schedule == "auto" and session.device.type == "cpu")
        steps, batches, batch_size = (150, 8, 16) if short else (1000, 31, 32)
        scale = self.mask_scale or (1 if min(checkpoint.facts.input_size[1:]) <= 64 else 4)
        return InversionSchedule(
            self.steps or steps, self.batches or batches, self.batch_size or batch_size, mask_scale=scale
        )

    def _invert(
        self,
        checkpoint: Checkpoint,
        data: DefenseData,
        targets: list[int],
        schedule: InversionSchedule,
        session: Session,
        seed: int,
    ) -> tuple[dict[int, Inverted], int]:
        """All labels of one seed. Groups of labels are the unit of work: any number of processes gives one result."""
        from accelerate.utils import gather_object

        groups = [targets[i : i + self.labels_at_once] for i in range(0, len(targets), self.labels_at_once)]
        mine = groups[session.accelerator.process_index :: session.accelerator.num_processes]
        pairs = [invert(checkpoint.model, data.fit, group, schedule, session, seed) for group in mine]
        if session.accelerator.num_processes > 1:
            pairs = gather_object(pairs)
        return {t: one for found, _ in pairs for t, one in found.items()}, sum(count for _, count in pairs)

    def _judge(self, found: dict[int, Inverted], targets: list[int]) -> _Run:
        norms = [found[t].norm for t in targets]
        most = self.norm_ratio * statistics.median(norms)
        index = dict(zip(targets, anomaly_index(norms), strict=True))
        log_index = dict(zip(targets, log_anomaly_index(norms), strict=True))
        outliers = (t for t in targets if index[t] > self.threshold or log_index[t] > self.log_threshold)
        return _Run(
            found, index, log_index, frozenset(t for t in outliers if found[t].norm <= most and found[t].invertible)
        )

    def _score(
        self,
        label: int,
        runs: list[_Run],
        trigger: Trigger,
        checkpoint: Checkpoint,
        data: DefenseData,
        session: Session,
    ) -> LabelScore:
        norm = statistics.median(run.found[label].norm for run in runs)
        flagged = sum(label in run.flagged for run in runs)
        smallest = any(min(run.found, key=lambda t: run.found[t].norm) == label for run in runs)
        # Held-out success costs a pass over val: measured for labels that are candidates, the others have no trial.
        asr = Rate.of(0, 0)
        if flagged or smallest:
            asr, _ = attack_rates(checkpoint.model, data.val, trigger, len(checkpoint.labels), session)
        return LabelScore(
            label=label,
            name=checkpoint.labels[label],
            norm=norm,
            mask_share=norm / trigger.mask.numel(),
            index=statistics.median(run.index[label] for run in runs),
            log_index=statistics.median(run.log_index[label] for run in runs),
            asr=asr,
            flagged=flagged,
            invertible=2 * sum(run.found[label].invertible for run in runs) > len(runs),
        )

    def _decide(
        self, scores: Sequence[LabelScore], runs: list[_Run], classes: int
    ) -> tuple[Verdict, str, tuple[int, ...]]:
        often = [score for score in scores if 2 * score.flagged > len(runs)]
        most = self.sure_ratio * statistics.median(score.norm for score in scores)
        small = [s for s in often if s.mask_share < self.mask_share and s.norm <= most]
        sure = [s for s in small if s.asr.n and s.asr.value >= self.held_out_asr]
        if len(scores) < _FEWEST_LABELS:
            norms = [score.norm for score in scores]
            ratio = min(norms) / max(statistics.median(norms), 0.01)
            return (
                "undecided",
                f"{len(scores)} labels are too few for an anomaly index; smallest / median norm = {ratio:.2f}",
                (),
            )
        if sure:
            return (
                "backdoored",
                f"{len(sure)} label(s) flagged by most of {len(runs)} seeds, with second evidence",
                tuple(s.label for s in sure),
            )
        if 2 * sum(score.invertible for score in scores) < len(scores):
            return (
                "undecided",
                "no trigger was found for most labels, so their norms say nothing; more steps may help",
                (),
            )
        if often:
            weak = min(often, key=lambda score: score.norm)
            ratio = weak.norm / max(statistics.median(score.norm for score in scores), 0.01)
            asr = f"{weak.asr.value:.1%}" if weak.asr.n else "not measured (no image of another class)"
            evidence = f"its mask covers {weak.mask_share:.1%}, {ratio:.2f} of the median, held-out ASR {asr}"
            return "undecided", f"label {weak.label} is an outlier without second evidence: {evidence}", ()
        if len(scores) < classes:
            return "undecided", f"only {len(scores)} of {classes} labels were examined; none of them stands out", ()
        return "not found", f"no label is flagged by most of {len(runs)} seeds", ()

    @staticmethod
    def _candidate(scores: Sequence[LabelScore]) -> tuple[int, ...]:
        """The smallest trigger: where the verdict is open, the proxy that pruning is watched with."""
        usable = [score for score in scores if score.invertible]
        return (min(usable, key=lambda score: score.norm).label,) if usable else ()
