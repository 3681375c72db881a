"""The checkpoint, opened after its scan, and its images in three sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hubclean.cleansing.options import CleanOptions
from hubclean.errors import RefusedError
from hubclean.hub.repos import Repo
from hubclean.hub.targets import open_target
from hubclean.nets import datasets, loading
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
) -> Loaded:
    """Read the images the model's own way and draw the three sets; without a source they are empty.

    Args:
        labelled: whether a chosen method needs labels. If not, images without any will do: in ``fit`` and ``val`` the
            model's own answers stand in for them, so that accuracy on ``val`` is agreement with the original.
        labelling: how classes are matched with labels.
    """
    if source is None:
        return Loaded(checkpoint, datasets.no_images(checkpoint.facts.input_size, session.seed))
    prepare = preprocessing.preprocessing(checkpoint.folder, checkpoint.facts)
    splits = datasets.load_images(
        source, checkpoint.labels, prepare, session, split, sizes, labelled, checkpoint.facts.input_size, labelling
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
    repo = open_target(target, revision) if isinstance(target, str) else target
    options = options or CleanOptions()
    scan = engine.scan(
        repo,
        gate=options.gate,
        allow=options.allow,
        allow_unchecked=options.allow_unchecked,
        loader=options.loader,
    )
    # Where nothing can be loaded, the loading itself says best why.
    if (refused := refusal(scan)) and (refused.finding or scan.load_set.loadable):
        raise RefusedError(f"the static scan of {repo.ref}: {refused.why}; nothing was loaded (hubclean scan)")
    return loading.load_checkpoint(repo, adapters=adapters.load_adapters(hooks)), scan
