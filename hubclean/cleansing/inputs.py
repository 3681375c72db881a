"""The checkpoint, opened after its scan, and its images in three sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hubclean.cleansing.options import CleanOptions
from hubclean.errors import RefusedError
from hubclean.hub.repos import Repo
from hubclean.hub.subfolders import below
from hubclean.hub.targets import open_target
from hubclean.nets import datasets, loading, merging
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import adapters, preprocessing
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.labels.matching import Labelling
from hubclean.nets.metrics import predictions
from hubclean.nets.session import Session
from hubclean.records import ScanReport
from hubclean.scanning import engine
from hubclean.scanning.refusal import refusal


@dataclass(frozen=True)
class Loaded:
    """A checkpoint with its images."""

    checkpoint: Checkpoint
    splits: datasets.Splits


def load_with_data(
    checkpoint: Checkpoint,
    source: datasets.ImageSource | None,
    split: str | None,
    sizes: datasets.Sizes,
    session: Session,
    labelled: bool = True,
    labelling: Labelling | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Loaded:
    """Read the images the model's own way and draw the three sets; without a source they are empty.

    Args:
        labelled: whether a chosen method needs labels. If not, images without any will do: in ``fit`` and ``val`` the
            model's own answers stand in for them, so that accuracy on ``val`` is agreement with the original.
        labelling: how classes are matched with labels.
        image_column, label_column: of a table, where names and the model's labels do not decide.
    """
    if source is None:
        return Loaded(checkpoint, datasets.no_images(checkpoint.facts.input_size, session.seed))
    prepare = preprocessing.preprocessing(checkpoint.folder, checkpoint.facts)
    splits = datasets.load_images(
        source,
        checkpoint.labels,
        prepare,
        session,
        split,
        sizes,
        labelled,
        checkpoint.facts.input_size,
        image_column=image_column,
        label_column=label_column,
        labelling=labelling,
    )
    if not splits.labelled:
        fit, val = (
            ImageSet(part.pixels, predictions(checkpoint.model, part, session))
            for part in (splits.defense.fit, splits.defense.val)
        )
        splits = replace(splits, defense=DefenseData(fit, val))
    return Loaded(checkpoint, splits)


def open_scanned(
    target: str | Repo | Checkpoint, revision: str | None, hooks: Path | None, options: CleanOptions | None = None
) -> tuple[Checkpoint, ScanReport | None]:
    """Load a checkpoint after the static scan; one in memory is handed through without.

    Args:
        hooks: a folder with adapters of the user's own.
        options: what the scan lets pass.

    Raises:
        RefusedError: the scan has findings that count, or did not check what will be loaded; nothing was loaded.
        HubcleanError: it cannot be opened or loaded.
    """
    if isinstance(target, Checkpoint):
        return target, None
    options = options or CleanOptions()
    repo = open_target(target, revision) if isinstance(target, str) else target
    below(repo, options.subfolder)
    scan = engine.scan(
        repo,
        gate=options.gate,
        allow=options.allow,
        allow_unchecked=options.allow_unchecked,
        loader=options.loader,
        subfolder=options.subfolder,
    )
    # Where nothing can be loaded, the loading itself says best why.
    if (refused := refusal(scan)) and (refused.finding or scan.load_set.loadable):
        raise RefusedError(f"the static scan of {scan.origin}: {refused.why}; nothing was loaded (hubclean scan)")
    place, rows = below(repo, options.subfolder), adapters.load_adapters(hooks)
    return load_or_merge(place, rows, scan, options.base), scan


def load_or_merge(repo: Repo, rows: tuple[adapters.Adapter, ...], scan: ScanReport, base: str | None) -> Checkpoint:
    """Load a scanned repo; an adapter is merged onto its base, which is scanned with the same gate before.

    Args:
        base: what an adapter changes, where its config does not name it, or not as it can be opened here.

    Raises:
        RefusedError: the scan of the base has findings that count, or did not check what will be loaded.
        HubcleanError: it cannot be opened or loaded.
    """
    if base is None and not merging.is_adapter(repo):
        return loading.load_checkpoint(repo, adapters=rows)
    below = merging.base_of(repo, base)
    found = engine.scan(below, gate=scan.gate, allow=scan.allowed_names, allow_unchecked=scan.allowed_unchecked)
    if refused := refusal(found):
        raise RefusedError(f"the static scan of the base {found.origin}: {refused.why}; nothing was loaded")
    return merging.load_merged(repo, below, rows, found)
