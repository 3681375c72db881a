"""The main job: load, detect, cleanse, measure before and after, write one folder."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean.cleansing import fidelity, rechecking, retuning, verdict
from hubclean.cleansing.chosen_methods import Method, lacking, method_options, needs_labels
from hubclean.cleansing.inputs import load_with_data, open_scanned
from hubclean.cleansing.label_check import check_labels
from hubclean.cleansing.options import WITHOUT_IMAGES, CleanOptions, repeating
from hubclean.cleansing.output_folder import deliver, inherited_notes
from hubclean.errors import OptionError
from hubclean.hub.repos import Repo
from hubclean.methods.defenses.none import NoDefense
from hubclean.methods.interface import Cleansing, Detection, Stage
from hubclean.methods.runtime_filter import filtered
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import ImageSource, Splits
from hubclean.nets.labels.matching import Labelling
from hubclean.nets.memory import fitted
from hubclean.nets.metrics import measure, predictions
from hubclean.nets.own_net import on_disk
from hubclean.nets.session import Session
from hubclean.nets.triggers import Stamp, Trigger, check_fits
from hubclean.records import (
    Audit,
    CleansingReport,
    DataReport,
    DetectionReport,
    Fidelity,
    Metrics,
    Retuning,
    ScanReport,
    Skipped,
    StageReport,
)
from hubclean.registry import build_method, chosen_options
from hubclean.version import versions
from hubclean.whole_folder import check_free
from hubclean.wording import option

_NONE, _BEFORE = "skip", "before"
_LEFT = "nothing was found, so the weights stay as they were; --always runs {} all the same"
_MOST_RETUNED = 3  # each is a short training


@dataclass(frozen=True)
class CleanResult:
    """What ``clean`` made.

    Args:
        folder: where it lies: weights, card, audit, triggers, pictures.
        audit: the record in it; ``audit.exit_code`` is that of the command.
        checkpoint: the kept stage in memory; ``checkpoint.model`` takes pixels in [0, 1].
        warnings: worth reading.
    """

    folder: Path
    audit: Audit
    checkpoint: Checkpoint
    warnings: tuple[str, ...] = ()


def clean(
    target: str | Repo | Checkpoint,
    data: ImageSource | None,
    out: Path,
    session: Session,
    options: CleanOptions | None = None,
    revision: str | None = None,
) -> CleanResult:
    """Detect, cleanse and measure one checkpoint, and write the sanitized folder ``out``.

    Args:
        target: what ``open_target`` takes, an open repo, or a checkpoint from ``wrap``.
        data: images, see ``datasets.load_images``. The numbers reported come from its test part only; with ``None``, or
            where the images have no labels, they are not measured.

    Raises:
        OptionError: no such method or option, or a method needs images and there are none.
        RefusedError: the static scan has findings that count, or did not check what will be loaded; nothing was.
        HubcleanError: anything else that kept it from finishing; then ``out`` does not exist.
    """
    started, options = time.monotonic(), (options or CleanOptions()).settled(data is not None)
    check_free(out)
    methods, names = _made(options, data is not None), options.labelling
    checkpoint, scan = open_scanned(target, revision, options.hooks, options)
    with on_disk(checkpoint) as stored:
        result = _cleaned(stored, scan, data, out, session, options, methods, names, started)
    if checkpoint.folder is None:  # the temporary files are gone
        return replace(result, checkpoint=replace(result.checkpoint, folder=out))
    return result


def _cleaned(
    checkpoint: Checkpoint,
    scan: ScanReport | None,
    data: ImageSource | None,
    out: Path,
    session: Session,
    options: CleanOptions,
    methods: tuple[tuple[Any, ...], Any],
    names: Labelling,
    started: float,
) -> CleanResult:
    """The same for a checkpoint whose files are on disk, with detectors and defense made."""
    detectors, defense = methods
    noted = inherited_notes(checkpoint)
    session = fitted(session, checkpoint.model, checkpoint.facts.input_size)
    for stamp in options.planted:
        check_fits(stamp, checkpoint.facts.input_size, len(checkpoint.labels))
    labelled = needs_labels((*detectors, defense))
    columns = {"image_column": options.image_column, "label_column": options.label_column}
    loaded = load_with_data(checkpoint, data, options.split, options.sizes, session, labelled, names, **columns)
    check = check_labels(checkpoint, loaded.splits, session, options.accept_accuracy)
    splits = replace(loaded.splits, report=replace(loaded.splits.report, check=check))
    detections: tuple[Detection, ...] = tuple(one.detect(checkpoint, splits.defense, session) for one in detectors)
    recovered = tuple(trigger for detection in detections for trigger in detection.triggers)
    reports = tuple(detection.report for detection in detections)
    judgement = verdict.judge(reports, verdict.measured_errors()) if reports else None
    leave = judgement is not None and judgement.verdict == "not found" and not options.always
    chosen = NoDefense() if leave else defense
    report, cleansing, kept = _cleanse(checkpoint, chosen, splits, recovered, options.planted, session)
    if leave:
        report = replace(report, notes=(_LEFT.format(type(defense).name), *report.notes))
    retuned, why = _retuned(checkpoint, cleansing, splits, recovered, options, session)
    deciding = [one for one, done in zip(detectors, reports, strict=True) if done.decides]
    found = rechecking.gather(checkpoint, cleansing, report, judgement, deciding, splits, session)
    audit = _audit(checkpoint, scan, splits.report, reports, report, session)
    audit = replace(
        audit,
        command=options.command or repeating(checkpoint, splits.report, options, session),
        judgement=judgement,
        retuning=retuned,
        probes=found.probes,
        rechecks=found.rechecks,
        skipped=(*audit.skipped, *why, *found.skipped),
        fidelity=kept,
        seconds=time.monotonic() - started,
    )
    if session.accelerator.is_main_process:
        audit = deliver(out, audit, checkpoint, cleansing, detections, splits.test, session)
    session.accelerator.wait_for_everyone()
    return CleanResult(out, audit, cleansing.checkpoint, (*audit.data.warnings, *noted))


def _audit(
    checkpoint: Checkpoint,
    scan: ScanReport | None,
    data: DataReport,
    reports: tuple[DetectionReport, ...],
    cleansing: CleansingReport,
    session: Session,
) -> Audit:
    """The record, but for what ``clean`` alone knows and the files that are still to be written."""
    skipped = [] if scan else [Skipped("scan", "the model was handed over in memory")]
    skipped += [] if reports else [Skipped("detection", f"not asked for ({option('detectors', ['skip'])})")]
    return Audit(
        origin=checkpoint.origin,
        command="",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=checkpoint.facts,
        site=checkpoint.site,
        data=data,
        scan=scan,
        detections=reports,
        cleansing=cleansing,
        skipped=tuple(skipped),
        inputs=checkpoint.merging.inputs if checkpoint.merging else loading.input_hashes(checkpoint),
        outputs=(),
        versions=versions(),
        device=str(session.device),
        seed=session.seed,
        seconds=0.0,
        conversion=checkpoint.conversion,
        merging=checkpoint.merging,
    )


def _made(options: CleanOptions, data: bool) -> tuple[tuple[Any, ...], Any]:
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
    *detectors, defense = [build_method(*one, texts[one]) for one in names] + ([options.ready] if options.ready else [])
    if lack := lacking((*detectors, defense), data):
        raise OptionError(
            f"{' and '.join(lack)}: give {option('data')}; without it {option('detectors', [WITHOUT_IMAGES[0]])} and "
            f"{option('defense', WITHOUT_IMAGES[1])} can run"
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
        return (), (Skipped("retuning check", f"not asked for ({option('retune', False)})"),)
    if not stamps:
        return (), (Skipped("retuning check", "no trigger is known or was recovered"),)
    if not len(splits.test):
        return (), (Skipped("retuning check", "there are no labelled test images"),)
    if cleansing.stage.filters:
        return (), (Skipped("retuning check", "what is kept works behind a runtime filter only"),)
    kept, fit = cleansing.checkpoint, splits.defense.fit
    return retuning.check_retuning(kept, checkpoint, stamps, fit, splits.test, session), ()  # type: ignore[arg-type]


def _cleanse(
    checkpoint: Checkpoint,
    defense: object,
    splits: Splits,
    recovered: tuple[Trigger, ...],
    planted: tuple[Stamp, ...],
    session: Session,
) -> tuple[CleansingReport, Cleansing, Fidelity]:
    """Run the defense and measure every stage alike, on test images that nobody tuned on."""
    images = splits.test if splits.labelled else splits.defense.val
    answers = {}

    def measured(stage: Stage) -> tuple[Metrics, ...]:
        one = stage.checkpoint
        model = filtered(one, stage.filters) if stage.filters else one.model
        answers[stage.name] = said = predictions(model, images, session)
        known = said if splits.labelled else None
        return measure(model, splits.test, len(checkpoint.labels), session, planted, recovered, known)

    before = measured(Stage(_BEFORE, checkpoint))
    started = time.monotonic()
    cleansing: Cleansing = defense.cleanse(checkpoint, splits.defense, recovered, session)  # type: ignore[attr-defined]
    seconds = time.monotonic() - started
    cleansing = replace(
        cleansing,
        stages=tuple(
            replace(stage, checkpoint=loading.as_written(checkpoint, stage.checkpoint)) for stage in cleansing.stages
        ),
    )
    stages = tuple(StageReport(stage.name, measured(stage), "") for stage in cleansing.stages)
    report = CleansingReport(
        defense=type(defense).name,  # type: ignore[attr-defined]
        paper=type(defense).paper,  # type: ignore[attr-defined]
        options=chosen_options(defense),
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
    kept = fidelity.fidelity(
        answers[_BEFORE],
        answers[cleansing.kept],
        images.labels if splits.labelled else None,
        fidelity.tolerance_of(defense),
        len(checkpoint.labels),
        splits.report,
    )
    return report, cleansing, kept
