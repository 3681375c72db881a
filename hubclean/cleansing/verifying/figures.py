"""The figures of an audit, measured once more: clean accuracy, and what the stored triggers do. Needs torch.

On the images of the audit, which its fingerprint tells from others, the same figures must come out but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from hubclean.cleansing.inputs import load_with_data, open_scanned
from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.errors import DataError
from hubclean.hub.audited_folder import AUDIT
from hubclean.hub.repos import Repo
from hubclean.methods.runtime_filter import PATH as FILTER
from hubclean.methods.runtime_filter import filtered, load_filters
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import ImageSource, Sizes, Splits
from hubclean.nets.labels.lookup import Rule
from hubclean.nets.labels.matching import LabelMap, labelling
from hubclean.nets.memory import fitted
from hubclean.nets.metrics import measure
from hubclean.nets.session import Session
from hubclean.nets.triggers import Stamp, Trigger, check_fits, load_trigger
from hubclean.records import Audit, Metrics, Rate
from hubclean.wording import option

_LARGEST_TRIGGER = 64 << 20


@dataclass(frozen=True)
class Images:
    """What a user can say of the images; sizes, seed and the rest are the audit's.

    Args:
        data, split, image_column, label_column, label_map, labels_by: as for ``clean``.
        planted: the triggers that whoever ran ``clean`` knew, in the order of the audit.
        hooks: a folder with adapters of the user's own.
    """

    data: ImageSource
    split: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    label_map: LabelMap = None
    labels_by: Rule | None = None
    planted: tuple[Stamp, ...] = ()
    hooks: Path | None = None


@dataclass(slots=True)
class _Found:
    places: list[Place] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def check_figures(repo: Repo, original: Repo | None, audit: Audit, images: Images, session: Session) -> Check:
    """Measure the checkpoint, and its original where it could be opened, and compare with the audit.

    Raises:
        RefusedError: the static scan lets nothing be loaded. HubcleanError: model or images cannot be read.
    """
    if not audit.data.test:
        raise DataError("the audit states no figure that was measured on images")
    session = replace(session, seed=audit.seed)
    checkpoint = open_scanned(repo, None, images.hooks)[0]
    splits = _splits(checkpoint, audit, images, session)
    same, found = splits.report.fingerprint == audit.data.fingerprint, _Found()
    for stamp in images.planted:
        check_fits(stamp, checkpoint.facts.input_size, len(checkpoint.labels))
    recovered = _triggers(repo, audit, checkpoint, found)
    for name, where in (("after", repo), ("before", None if audit.merging else original)):
        if where is None:
            found.left.append("what the original did before: it could not be opened, or has to be merged first")
            continue
        one = checkpoint if where is repo else open_scanned(where, None, images.hooks)[0]
        guarded = name == "after" and bool(audit.cleansing.guard)
        model = filtered(one, load_filters(repo.fetch([FILTER]), one)) if guarded else one.model
        now = fitted(session, one.model, one.facts.input_size)
        planted = images.planted
        measured = measure(model, splits.test, len(one.labels), now, planted, recovered or ())
        _compare(name, getattr(audit.cleansing, name), measured, len(planted), recovered is not None, same, found)
    which = "the images of the audit" if same else "other images than those of the audit"
    said = f"on {which}, {len(splits.test)} of them: {'; '.join(found.said)}"
    return concluded("figures", said, found.places, found.points, found.left)


def _splits(checkpoint: Checkpoint, audit: Audit, images: Images, session: Session) -> Splits:
    data, by = audit.data, images.labels_by
    if by is None and images.label_map is None and data.matched_by in ("position", "number"):
        by = data.matched_by
    split = images.split or (data.split if data.source != "memory" else None)
    columns = {"image_column": images.image_column, "label_column": images.label_column}
    if not isinstance(images.data, (str, Path)):
        split = images.split
    loaded = load_with_data(
        checkpoint,
        images.data,
        split,
        Sizes(data.fit, data.val, data.test),
        session,
        True,
        labelling(by, images.label_map),
        **columns,
    )
    return loaded.splits


def _triggers(repo: Repo, audit: Audit, checkpoint: Checkpoint, found: _Found) -> tuple[Trigger, ...] | None:
    """The recovered triggers in the order of the audit's figures; ``None`` where the files are not one for each."""
    rows = [row for row in audit.cleansing.after if row.asr_of == "recovered"]
    sizes, paths = {entry.path: entry.size for entry in repo.files()}, []
    for detection in audit.detections:
        start = f"hubclean/{detection.detector}-label-"
        mine = sorted(
            row.path for row in audit.outputs if row.path.startswith(start) and row.path.endswith(".safetensors")
        )
        order = {f"{start}{target}.safetensors": place for place, target in enumerate(detection.targets)}
        paths += sorted(mine, key=lambda path, order=order: order.get(path, len(order)))  # type: ignore[misc]
    if len(paths) != len(rows) or any(sizes.get(path, 1 << 60) > _LARGEST_TRIGGER for path in paths):
        found.points.append(f"the audit has figures of {len(rows)} recovered triggers, and {len(paths)} are stored")
        return None
    folder = repo.fetch(paths) if paths else Path()
    triggers = tuple(load_trigger(folder / path) for path in paths)
    for trigger in triggers:
        check_fits(trigger, checkpoint.facts.input_size, len(checkpoint.labels))
    return triggers


def _compare(
    when: str,
    stated: tuple[Metrics, ...],
    measured: tuple[Metrics, ...],
    planted: int,
    all_stored: bool,
    same: bool,
    found: _Found,
) -> None:
    """Compare one side of the audit's table, accuracy first, then trigger by trigger."""
    parts = [f"accuracy {_shown(measured[0].clean_accuracy)}"]
    _judge(f"cleansing.{when}[0].clean_accuracy", stated[0].clean_accuracy, measured[0].clean_accuracy, same, found)
    for kind in ("planted", "recovered"):
        mine = [(index, row) for index, row in enumerate(stated) if row.asr_of == kind]
        theirs = [row for row in measured if row.asr_of == kind]
        if mine and kind == "planted" and planted != len(mine):
            found.left.append(
                f"what {len(mine)} planted triggers do: their files are with whoever ran clean ({option('planted')})"
            )
            continue
        if len(mine) != len(theirs) or not (all_stored or kind == "planted"):
            continue
        for (index, row), now in zip(mine, theirs, strict=True):
            for name in ("asr", "robust_accuracy"):
                said, got = getattr(row, name), getattr(now, name)
                if said is not None and got is not None:
                    _judge(f"cleansing.{when}[{index}].{name}", said, got, same, found)
            parts.append(f"attack success, {kind} trigger {_shown(now.asr)}")
    found.said.append(f"{when} {', '.join(parts)}")


def _judge(where: str, stated: Rate, measured: Rate, same: bool, found: _Found) -> None:
    """One rate. On the same images it must be of as many trials, and lie in the stated interval."""
    inside = stated.low - 1e-9 <= measured.value <= stated.high + 1e-9
    what = f"{where}: states {_shown(stated)}, measured {_shown(measured)}"
    if same and (measured.n != stated.n or not inside):
        found.places.append(Place(AUDIT, f"{what} on the same images"))
    elif not same and (measured.high < stated.low or stated.high < measured.low):
        found.places.append(Place(AUDIT, f"{what} on other images, and the intervals do not meet"))
    elif not inside:
        found.points.append(f"{what} on other images: outside the stated interval")


def _shown(rate: Rate | None) -> str:
    if rate is None or not rate.n:
        return "not measured"
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}] n={rate.n}"
