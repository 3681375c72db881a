"""Writes what a cleansing leaves behind: weights, triggers, pictures, audit and card, as one whole folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch

from hubclean.cleansing.card import render_card
from hubclean.cleansing.hub_metadata import inherited
from hubclean.cleansing.pictures import curve_picture, norms_picture, trigger_picture
from hubclean.errors import ModelError
from hubclean.hub.audited_folder import AUDIT
from hubclean.hub.repos import sha256_of
from hubclean.methods import runtime_filter
from hubclean.methods.interface import Cleansing, Detection, Stage
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger, save_trigger
from hubclean.records import Audit, DetectionReport, FileHash, to_json
from hubclean.whole_folder import whole_folder

FOLDER = "hubclean"
_WORST_DIFFERENCE = 1e-3


def hashes(folder: Path, leave_out: tuple[str, ...] = ()) -> tuple[FileHash, ...]:
    """Path, size and sha256 of every file below ``folder``, sorted by path."""
    places = sorted(place for place in folder.rglob("*") if place.is_file())
    rows = ((place.relative_to(folder).as_posix(), place) for place in places)
    return tuple(
        FileHash(path, place.stat().st_size, sha256_of(place)) for path, place in rows if path not in leave_out
    )


def deliver(
    out: Path,
    audit: Audit,
    original: Checkpoint,
    cleansing: Cleansing,
    detections: tuple[Detection, ...],
    test: ImageSet,
    session: Session,
) -> Audit:
    """Fill ``out`` and return the audit as written (with changed tensors and output hashes).

    The kept stage becomes the checkpoint; other stages go to ``hubclean/stages/NAME``. The filters of a stage lie
    beside its weights, as ``runtime_filter.PATH``. Before anything appears, the written folder is loaded with the plain
    library and must give the same logits, and the filters are read back.

    Raises:
        OutputError: ``out`` is taken or cannot be written.
        ModelError: the written checkpoint does not load, or gives other logits than the one in memory.
        DataError: a filter of the stage is not one that can be read back.
    """
    with whole_folder(out) as folder:
        changed = loading.write_checkpoint(original, cleansing.checkpoint, folder)
        _check(cleansing.checkpoint, folder, test, session)
        stages = tuple(
            replace(report, folder=_write_stage(original, cleansing, report.name, folder))
            for report in audit.cleansing.stages
        )
        (folder / FOLDER).mkdir(exist_ok=True)
        written = _write_filters(cleansing.stage, folder)
        pictures = _pictures(folder, audit, detections, test)
        audit = replace(
            audit,
            cleansing=replace(audit.cleansing, changed=changed, stages=stages, guard=written),
            outputs=hashes(folder, ("README.md", AUDIT)),
        )
        text = json.dumps(to_json(audit), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / AUDIT).write_text(text, encoding="utf-8")
        card = _original_card(original)
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        (folder / "README.md").write_text(render_card(audit, card, pictures, digest), encoding="utf-8")
    return audit


def _check(checkpoint: Checkpoint, folder: Path, test: ImageSet, session: Session) -> None:
    images = test.images(slice(0, 8))
    if not len(images):
        images = torch.rand(2, *checkpoint.facts.input_size, generator=session.generator("delivery"))
    worst = loading.same_logits(checkpoint, folder, images)
    if not worst <= _WORST_DIFFERENCE:  # NaN too
        raise ModelError(
            f"the written checkpoint gives other logits than the one in memory (by {worst:.2g}); nothing was kept"
        )


def _write_stage(original: Checkpoint, cleansing: Cleansing, name: str, folder: Path) -> str:
    if name == cleansing.kept:
        return "."
    place = folder / FOLDER / "stages" / name
    place.mkdir(parents=True)
    stage = next(stage for stage in cleansing.stages if stage.name == name)
    loading.write_checkpoint(original, stage.checkpoint, place)
    _write_filters(stage, place)
    return place.relative_to(folder).as_posix()


def _write_filters(stage: Stage, folder: Path) -> str:
    """The filters' path inside ``folder``, where the stage's weights are already; empty if it has none."""
    if not stage.filters:
        return ""
    path = runtime_filter.save_filters(stage.filters, stage.checkpoint.site, folder)
    runtime_filter.load_filters(folder, stage.checkpoint)
    return path


def _pictures(folder: Path, audit: Audit, detections: tuple[Detection, ...], test: ImageSet) -> tuple[str, ...]:
    """Triggers as tensors and pictures, norms per label, the pruning curve. Returns paths inside ``folder``."""
    made: list[Path] = []
    base = folder / FOLDER
    for detection in detections:
        name = detection.report.detector
        for trigger in detection.triggers:
            of = "" if trigger.source is None else f"-class-{trigger.source}"
            save_trigger(trigger, base / f"{name}{of}-label-{trigger.target}.safetensors")
            made.append(base / f"{name}{of}-label-{trigger.target}.png")
            title = _title(detection.report, trigger, audit)
            example = test.images(slice(0, 1))[0].numpy() if len(test) else None
            trigger_picture(made[-1], trigger.mask[0].numpy(), trigger.pattern.numpy(), example, title)
        if detection.report.scores:
            made.append(base / f"{name}-norms.png")
            norms_picture(made[-1], detection.report, audit.model.labels)
    if len(audit.cleansing.curve) > 1:
        made.append(base / "pruning-curve.png")
        drop = audit.cleansing.options.get("max_drop")
        floor = float(drop) if isinstance(drop, (int, float)) else None
        curve_picture(made[-1], audit.cleansing.curve, audit.cleansing.cut, floor)
    return tuple(place.relative_to(folder).as_posix() for place in made)


def _title(report: DetectionReport, trigger: Trigger, audit: Audit) -> str:
    target, source, names = trigger.target, trigger.source, audit.model.labels
    where = "every next label" if target is None else f"label {target} ({names[target]})"
    where += "" if source is None else f" for images of class {source} ({names[source]})"
    state = "recovered" if target in report.targets else "smallest, not confirmed"
    return f"Trigger to {where}, {state} by {report.detector}"


def inherited_notes(original: Checkpoint) -> tuple[str, ...]:
    """What of the original's card cannot be taken over as it is, known before anything is computed."""
    return tuple(f"the original's card: {note}" for note in inherited(_original_card(original))[1])


def _original_card(original: Checkpoint) -> str | None:
    place = original.folder / "README.md" if original.folder else None
    if place is None or not place.is_file() or place.stat().st_size > 1_000_000:
        return None
    return place.read_text(encoding="utf-8", errors="replace")
