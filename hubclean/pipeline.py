"""The main job: load, detect, cleanse, measure before and after, write one folder."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path

from hubclean import adapters, checkpoints, scanning
from hubclean.datasets import Sizes, Splits
from hubclean.deep import load_with_data, method_options
from hubclean.delivery import deliver
from hubclean.errors import RefusedError
from hubclean.folders import check_free
from hubclean.metrics import measure
from hubclean.records import SEVERITIES, Audit, CleansingReport, FileHash, Metrics, ScanReport, Skipped, StageReport
from hubclean.registry import build, chosen
from hubclean.repos import Repo, open_target
from hubclean.tensors import Checkpoint, Cleansing, Detection, Session, Trigger
from hubclean.version import __version__

_PACKAGES = ("torch", "timm", "transformers", "accelerate", "huggingface-hub", "safetensors", "datasets", "numpy")


@dataclass(frozen=True)
class CleanOptions:
    """What ``hubclean clean`` can be told, beyond target, data and output folder.

    Args:
        detector: a registered detector, or ``skip``.
        defense: a registered defense.
        given: ``KEY=VALUE`` options of both, as on the command line.
        split: which split of the images; ``None`` = the most held-out one.
        sizes: images for fit, val and test.
        planted: triggers the caller knows. They measure ASR and are never shown to a detector or defense.
        hooks: a folder with adapters of the user's own.
    """

    detector: str = "neural-cleanse"
    defense: str = "fine-pruning"
    given: tuple[str, ...] = ()
    split: str | None = None
    sizes: Sizes = Sizes()
    planted: tuple[Trigger, ...] = ()
    hooks: Path | None = None


@dataclass(frozen=True)
class CleanResult:
    """What ``clean`` made: the folder, the audit in it, and warnings that are worth reading."""

    folder: Path
    audit: Audit
    warnings: tuple[str, ...] = ()


def clean(
    target: str | Repo | Checkpoint,
    data: str,
    out: Path,
    session: Session,
    options: CleanOptions | None = None,
    revision: str | None = None,
) -> CleanResult:
    """Detect, cleanse and measure one checkpoint, and write the sanitized folder ``out``.

    Args:
        target: what ``open_target`` takes, an open repo, or a checkpoint from ``checkpoints.wrap``.
        data: images, see ``datasets.load``. The numbers reported come from its test part only.

    Raises:
        RefusedError: the static scan has findings at ``high`` or above; nothing of the repo was loaded.
        HubcleanError: anything else that kept it from finishing; then ``out`` does not exist.
    """
    started, options = time.monotonic(), options or CleanOptions()
    check_free(out)
    texts = method_options(options.given, _names(options))
    detector = build("detectors", options.detector, texts["detectors"]) if options.detector != "skip" else None
    defense = build("defenses", options.defense, texts["defenses"])
    checkpoint, scan = _load(target, revision, options.hooks)
    loaded = load_with_data(checkpoint, data, options.split, options.sizes, session)
    splits = loaded.splits
    detections: tuple[Detection, ...] = ()
    skipped: tuple[Skipped, ...] = () if scan else (Skipped("scan", "the model was handed over in memory"),)
    if detector is None:
        skipped = (*skipped, Skipped("detection", "not asked for (--detector skip)"))
    else:
        detections = (detector.detect(checkpoint, splits.defense, session),)
    recovered = tuple(trigger for detection in detections for trigger in detection.triggers)
    report, cleansing = _cleanse(checkpoint, defense, splits, recovered, options.planted, session)
    audit = Audit(
        origin=checkpoint.origin,
        command=_command(checkpoint, splits, options, session),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=checkpoint.facts,
        site=checkpoint.site,
        data=splits.report,
        scan=scan,
        detections=tuple(detection.report for detection in detections),
        cleansing=report,
        skipped=skipped,
        inputs=_inputs(checkpoint),
        outputs=(),
        versions=versions(),
        device=str(session.device),
        seed=session.seed,
        seconds=time.monotonic() - started,
    )
    if session.accelerator.is_main_process:
        audit = deliver(out, audit, checkpoint, cleansing, detections, splits.test, session)
    session.accelerator.wait_for_everyone()
    return CleanResult(out, audit, splits.warnings)


def _names(options: CleanOptions) -> dict[str, str]:
    names = {"defenses": options.defense}
    return names if options.detector == "skip" else {"detectors": options.detector, **names}


def _load(
    target: str | Repo | Checkpoint, revision: str | None, hooks: Path | None
) -> tuple[Checkpoint, ScanReport | None]:
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
    planted: tuple[Trigger, ...],
    session: Session,
) -> tuple[CleansingReport, Cleansing]:
    """Run the defense and measure every stage alike, on test images that nobody tuned on."""

    def measured(one: Checkpoint) -> tuple[Metrics, ...]:
        return measure(one.model, splits.test, len(checkpoint.labels), session, planted, recovered)

    before = measured(checkpoint)
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
    stages = tuple(StageReport(stage.name, measured(stage.checkpoint), "") for stage in cleansing.stages)
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
    )
    return report, cleansing


def versions() -> dict[str, str]:
    """Versions of hubclean, Python and what computes the numbers."""
    found = {"hubclean": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _inputs(checkpoint: Checkpoint) -> tuple[FileHash, ...]:
    return checkpoints.inputs(checkpoint) if checkpoint.folder else ()


def _command(checkpoint: Checkpoint, splits: Splits, options: CleanOptions, session: Session) -> str:
    """The command that repeats the run; local paths are given by their last name only."""
    report = splits.report
    words = ["hubclean", "clean", str(checkpoint.origin), "--data", report.source, "--split", report.split]
    words += ["--fit", str(report.fit), "--val", str(report.val), "--test", str(report.test)]
    words += ["--detector", options.detector, "--defense", options.defense]
    for text in options.given:
        words += ["-o", text]
    words += ["--seed", str(session.seed), "--batch-size", str(session.batch_size)]
    if session.accelerator.mixed_precision != "no":
        words += ["--mixed-precision", session.accelerator.mixed_precision]
    return shlex.join([*words, "--out", "OUT"])
