"""The main job: load, detect, cleanse, measure before and after, write one folder."""

from __future__ import annotations

import datetime
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean import adapters, checkpoints, judging, retuning, scanning
from hubclean.datasets import Sizes, Splits
from hubclean.deep import Method, lacking, load_with_data, method_options, needs_labels
from hubclean.delivery import deliver
from hubclean.errors import OptionError, RefusedError
from hubclean.folders import check_free
from hubclean.guards import guarded
from hubclean.memory import fitted
from hubclean.metrics import measure
from hubclean.planting import check_fits
from hubclean.records import (
    SEVERITIES,
    Audit,
    CleansingReport,
    FileHash,
    Metrics,
    Retuning,
    ScanReport,
    Skipped,
    StageReport,
)
from hubclean.registry import build, chosen, file_names
from hubclean.repos import Repo, open_target
from hubclean.tensors import Checkpoint, Cleansing, Detection, Session, Stage, Stamp, Trigger
from hubclean.version import versions

# Detector and defense where nobody names them.
_DEFAULTS, _WITHOUT_IMAGES = ("neural-cleanse", "fine-pruning"), ("mm-bd", "clp")
_NONE, _FEDERATED = "skip", "federated-pruning"
_MOST_RETUNED = 3  # each is a short training


@dataclass(frozen=True)
class CleanOptions:
    """What ``hubclean clean`` can be told, beyond target, data and output folder.

    Args:
        detectors: registered ones, or ``skip`` alone; none named = ``neural-cleanse``, without images ``mm-bd``.
        defense: a registered defense; ``None`` = ``fine-pruning``, without images ``clp``.
        given: ``KEY=VALUE`` options of both, as on the command line.
        split: which split of the images; ``None`` = the most held-out one.
        sizes: images for fit, val and test.
        planted: triggers the caller knows. They measure ASR and are never shown to a detector or defense.
        hooks: a folder with adapters of the user's own.
        retune: measure whether a trigger that is known or recovered comes back (``retuning.check``).
        ballots, feedback: files of participants, for a defense that counts them; without another one named that is
            ``federated-pruning``.
        ready: a defense that is made already (the federated one needs its clients), in place of ``defense``.
        command: what repeats the run, where that is no ``hubclean clean``.
    """

    detectors: tuple[str, ...] = ()
    defense: str | None = None
    given: tuple[str, ...] = ()
    split: str | None = None
    sizes: Sizes = Sizes()
    planted: tuple[Stamp, ...] = ()
    hooks: Path | None = None
    retune: bool = True
    ballots: tuple[Path, ...] = ()
    feedback: tuple[Path, ...] = ()
    ready: Any = None
    command: str = ""

    def settled(self, data: str | None) -> CleanOptions:
        """The same with detector and defense named."""
        detector, defense = _DEFAULTS if data is not None else _WITHOUT_IMAGES
        defense = _FEDERATED if self.ballots else defense
        return replace(self, detectors=self.detectors or (detector,), defense=self.defense or defense)


@dataclass(frozen=True)
class CleanResult:
    """What ``clean`` made: the folder, the audit in it, and warnings that are worth reading."""

    folder: Path
    audit: Audit
    warnings: tuple[str, ...] = ()


def clean(
    target: str | Repo | Checkpoint,
    data: str | None,
    out: Path,
    session: Session,
    options: CleanOptions | None = None,
    revision: str | None = None,
) -> CleanResult:
    """Detect, cleanse and measure one checkpoint, and write the sanitized folder ``out``.

    Args:
        target: what ``open_target`` takes, an open repo, or a checkpoint from ``checkpoints.wrap``.
        data: images, see ``datasets.load``. The numbers reported come from its test part only; with ``None``, or
            where the images have no labels, they are not measured.

    Raises:
        OptionError: no such method or option, or a method needs images and there are none.
        RefusedError: the static scan has findings at ``high`` or above; nothing of the repo was loaded.
        HubcleanError: anything else that kept it from finishing; then ``out`` does not exist.
    """
    started, options = time.monotonic(), (options or CleanOptions()).settled(data)
    check_free(out)
    detectors, defense = _made(options, data)
    checkpoint, scan = open_scanned(target, revision, options.hooks)
    session = fitted(session, checkpoint.model, checkpoint.facts.input_size)
    for stamp in options.planted:
        check_fits(stamp, checkpoint.facts.input_size, len(checkpoint.labels))
    labelled = needs_labels((*detectors, defense))
    loaded = load_with_data(checkpoint, data, options.split, options.sizes, session, labelled)
    splits = loaded.splits
    skipped = [] if scan else [Skipped("scan", "the model was handed over in memory")]
    skipped += [] if detectors else [Skipped("detection", "not asked for (--detector skip)")]
    detections: tuple[Detection, ...] = tuple(one.detect(checkpoint, splits.defense, session) for one in detectors)
    reports = tuple(detection.report for detection in detections)
    recovered = tuple(trigger for detection in detections for trigger in detection.triggers)
    report, cleansing = _cleanse(checkpoint, defense, splits, recovered, options.planted, session)
    retuned, why = _retuned(checkpoint, cleansing, splits, recovered, options, session)
    audit = Audit(
        origin=checkpoint.origin,
        command=options.command or _command(checkpoint, splits, options, session),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=checkpoint.facts,
        site=checkpoint.site,
        data=splits.report,
        scan=scan,
        detections=reports,
        cleansing=report,
        skipped=(*skipped, *why),
        inputs=_inputs(checkpoint),
        outputs=(),
        versions=versions(),
        device=str(session.device),
        seed=session.seed,
        seconds=time.monotonic() - started,
        judgement=judging.judge(reports, judging.measured_errors()) if reports else None,
        retuning=retuned,
        conversion=checkpoint.conversion,
    )
    if session.accelerator.is_main_process:
        audit = deliver(out, audit, checkpoint, cleansing, detections, splits.test, session)
    session.accelerator.wait_for_everyone()
    return CleanResult(out, audit, splits.warnings)


def _made(options: CleanOptions, data: str | None) -> tuple[tuple[Any, ...], Any]:
    """The detectors, unless they are left out, and the defense, with their options.

    Raises:
        OptionError: there is no such method or option, or one needs images and there are none.
    """
    assert options.defense is not None
    wanted = () if options.detectors == (_NONE,) else options.detectors
    names: list[Method] = [("detectors", name) for name in wanted]
    names += [] if options.ready else [("defenses", options.defense)]
    files = [("ballots", options.ballots), ("feedback", options.feedback)]
    paths = tuple(f"{key}=" + "\n".join(map(str, places)) for key, places in files if places)
    texts = method_options((*options.given, *paths), names)
    *detectors, defense = [build(*one, texts[one]) for one in names] + ([options.ready] if options.ready else [])
    if lack := lacking((*detectors, defense), data):
        raise OptionError(
            f"{' and '.join(lack)}: give --data; without it --detector {_WITHOUT_IMAGES[0]} and "
            f"--defense {_WITHOUT_IMAGES[1]} can run"
        )
    return tuple(detectors), defense


def _retuned(
    checkpoint: Checkpoint,
    cleansing: Cleansing,
    splits: Splits,
    recovered: tuple[Trigger, ...],
    options: CleanOptions,
    session: Session,
) -> tuple[tuple[Retuning, ...], tuple[Skipped, ...]]:
    """Whether known and recovered triggers come back, or why that was not measured."""
    stamps = [("planted", one) for one in options.planted] + [("recovered", one) for one in recovered[:_MOST_RETUNED]]
    if not options.retune:
        return (), (Skipped("retuning check", "not asked for (--no-retune)"),)
    if not stamps:
        return (), (Skipped("retuning check", "no trigger is known or was recovered"),)
    if not len(splits.test):
        return (), (Skipped("retuning check", "there are no labelled test images"),)
    if cleansing.stage.guards:
        return (), (Skipped("retuning check", "what is kept works behind a runtime guard only"),)
    kept, fit = cleansing.checkpoint, splits.defense.fit
    return retuning.check(kept, checkpoint, stamps, fit, splits.test, session), ()  # type: ignore[arg-type]


def open_scanned(
    target: str | Repo | Checkpoint, revision: str | None, hooks: Path | None
) -> tuple[Checkpoint, ScanReport | None]:
    """Load a checkpoint after the static scan; one in memory is handed through without.

    Raises:
        RefusedError: the scan has findings at its gate; nothing was loaded.
        HubcleanError: it cannot be opened or loaded.
    """
    if isinstance(target, Checkpoint):
        return target, None
    repo = open_target(target, revision) if isinstance(target, str) else target
    scan = scanning.scan(repo)
    gate = SEVERITIES.index(scan.gate)
    worst = next((f for f in scan.findings if SEVERITIES.index(f.severity) >= gate), None)
    if worst is not None:
        raise RefusedError(
            f"the static scan of {repo.ref} found {worst.rule} in {worst.path!r}; nothing was loaded (hubclean scan)"
        )
    return checkpoints.load(repo, adapters=adapters.load(hooks)), scan


def _cleanse(
    checkpoint: Checkpoint,
    defense: object,
    splits: Splits,
    recovered: tuple[Trigger, ...],
    planted: tuple[Stamp, ...],
    session: Session,
) -> tuple[CleansingReport, Cleansing]:
    """Run the defense and measure every stage alike, on test images that nobody tuned on."""

    def measured(stage: Stage) -> tuple[Metrics, ...]:
        one = stage.checkpoint
        model = guarded(one, stage.guards) if stage.guards else one.model
        return measure(model, splits.test, len(checkpoint.labels), session, planted, recovered)

    before = measured(Stage("before", checkpoint))
    started = time.monotonic()
    cleansing: Cleansing = defense.cleanse(checkpoint, splits.defense, recovered, session)  # type: ignore[attr-defined]
    seconds = time.monotonic() - started
    cleansing = replace(
        cleansing,
        stages=tuple(
            replace(stage, checkpoint=checkpoints.as_written(checkpoint, stage.checkpoint))
            for stage in cleansing.stages
        ),
    )
    stages = tuple(StageReport(stage.name, measured(stage), "") for stage in cleansing.stages)
    report = CleansingReport(
        defense=type(defense).name,  # type: ignore[attr-defined]
        paper=type(defense).paper,  # type: ignore[attr-defined]
        options=chosen(defense),
        before=before,
        after=next(stage.metrics for stage in stages if stage.name == cleansing.kept),
        stages=stages,
        kept=cleansing.kept,
        curve=cleansing.curve,
        changed=(),
        notes=cleansing.notes,
        seconds=seconds,
        cut=cleansing.cut,
        passes=cleansing.passes,
        trials=cleansing.trials,
        ballots=cleansing.ballots,
    )
    return report, cleansing


def _inputs(checkpoint: Checkpoint) -> tuple[FileHash, ...]:
    return checkpoints.inputs(checkpoint) if checkpoint.folder else ()


def _command(checkpoint: Checkpoint, splits: Splits, options: CleanOptions, session: Session) -> str:
    """The command that repeats the run; local paths are given by their last name only."""
    report = splits.report
    words = ["hubclean", "clean", str(checkpoint.origin)]
    if report.fit:
        words += ["--data", report.source, "--split", report.split, "--fit", str(report.fit), "--val", str(report.val)]
    if report.test:
        words += ["--test", str(report.test)]
    for name in options.detectors:
        words += ["--detector", name]
    words += ["--defense", str(options.defense)]
    if not options.retune:
        words += ["--no-retune"]
    for text in options.given:
        key, _, value = text.partition("=")
        words += ["-o", f"{key}={file_names(value)}" if key.endswith(("ballots", "feedback")) else text]
    for name, places in (("--ballots", options.ballots), ("--feedback", options.feedback)):
        words += [word for place in places for word in (name, place.name)]
    for number, _ in enumerate(options.planted):
        words += ["--planted", f"planted-{number}.safetensors"]
    if options.hooks:
        words += ["--hooks", options.hooks.name]
    words += ["--seed", str(session.seed), "--batch-size", str(session.batch_size)]
    if session.accelerator.mixed_precision != "no":
        words += ["--mixed-precision", session.accelerator.mixed_precision]
    return shlex.join([*words, "--out", "OUT"])
