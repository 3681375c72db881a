"""Images in three sets: from class folders, parquet or arrow, saved sets, Hub ids, from memory, or none at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from hubclean.errors import DataError, LabelError
from hubclean.nets import own_images
from hubclean.nets.image_tables import (
    UNLABELLED,
    classes_of,
    columns_of,
    decoded,
    open_table,
    pictures_of,
    targets_of,
)
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.labels.matching import Labelling, Matching
from hubclean.nets.own_images import OwnImages
from hubclean.nets.session import Session
from hubclean.records import ClassMatch, DataReport

ImageSource: TypeAlias = "str | Path | OwnImages"


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets: ``fit`` for optimisers, ``val`` for stopping rules, ``test`` for the report only.

    Where images have no labels (``labelled`` is false), theirs are -1 and ``test`` is empty: nothing can be measured.
    """

    defense: DefenseData
    test: ImageSet
    report: DataReport
    warnings: tuple[str, ...] = ()
    labelled: bool = True


@dataclass(frozen=True)
class Sizes:
    """How many images each set gets; ``None`` = a quarter each for fit and val up to 1,000, test up to 5,000."""

    fit: int | None = None
    val: int | None = None
    test: int | None = None

    def of(self, rows: int) -> tuple[int, int, int]:
        """Sizes for ``rows`` images.

        Raises:
            DataError: more were asked for than there are, or a set would be empty.
        """
        fit = min(1000, rows // 4) if self.fit is None else self.fit
        val = min(1000, rows // 4) if self.val is None else self.val
        test = min(5000, rows - fit - val) if self.test is None else self.test
        if min(fit, val, test) < 1 or fit + val + test > rows:
            raise DataError(
                f"fit {fit} + val {val} + test {test} do not fit {rows} images; each set needs at least one"
            )
        return fit, val, test

    def unlabelled(self, rows: int) -> tuple[int, int, int]:
        """The same without a test set; half of the images each, up to 1,000.

        Raises:
            DataError: as ``of``.
        """
        fit = min(1000, (rows + 1) // 2) if self.fit is None else self.fit
        val = min(1000, rows - fit) if self.val is None else self.val
        if min(fit, val) < 1 or fit + val > rows:
            raise DataError(f"fit {fit} + val {val} do not fit {rows} images; each set needs at least one")
        return fit, val, 0


def no_images(shape: tuple[int, int, int], seed: int) -> Splits:
    """No image at all, of the model's input ``shape`` (c, h, w)."""
    data = DefenseData.none(shape)
    return Splits(data, data.val, DataReport("none", "none", "", 0, 0, 0, 0, "none", seed), (), False)


def load_images(
    source: ImageSource,
    labels: tuple[str, ...],
    prepare: Callable[[Any], torch.Tensor],
    session: Session,
    split: str | None = None,
    sizes: Sizes | None = None,
    labelled: bool = True,
    shape: tuple[int, int, int] | None = None,
    labelling: Labelling | None = None,
) -> Splits:
    """Read ``source``, match its classes with the model's, and draw the three sets with the session's seed.

    Images are pictures, or uint8 arrays in an ``Array2D`` or ``Array3D`` column for any number of channels.

    Args:
        source: a folder of class folders, a folder or file of parquet or arrow, a ``save_to_disk`` folder, a Hub id
            ``org/data`` or ``org/data@revision``; or images in memory: see ``own_images.OwnImages``.
        labels: the model's label names in order.
        prepare: turns a PIL image, or a uint8 array from an ``Array2D`` or ``Array3D`` column, into uint8
            ``(c, h, w)`` at the model's input size.
        split: which split to use; by default the most held-out one there is (test, validation, train).
        labelled: whether labels are needed; if not, images without any will do.
        shape: the model's input size (c, h, w), needed for images in memory.
        labelling: how classes are matched with labels; images in memory have label numbers.

    Raises:
        LabelError: a class goes to no label.
        DataError: not readable, or no image or label column.
    """
    sizes = sizes or Sizes()
    if isinstance(source, (str, Path)) or hasattr(source, "features"):
        return _from_table(source, labels, prepare, session, split, sizes, labelled, labelling)
    if split:
        raise DataError("images in memory have no splits")
    assert shape is not None
    wanted = sizes.of(own_images.count(source))
    order = _drawn(own_images.count(source), sum(wanted), session)
    session.progress.start("reading images", len(order))
    rows = []
    for index in order:
        rows.append(own_images.row(source, index, shape, len(labels), prepare))
        session.progress.advance()
    session.progress.finish()
    whole = ImageSet(torch.stack([image for image, _ in rows]), torch.tensor([label for _, label in rows]))
    splits = _shared(whole, wanted[:2], ("memory", "all", len(labels), "index"), session)
    return replace(splits, report=replace(splits.report, covered=len(set(whole.labels.tolist()))))


def _from_table(
    source: Any,
    labels: tuple[str, ...],
    prepare: Callable[[Any], torch.Tensor],
    session: Session,
    split: str | None,
    sizes: Sizes,
    labelled: bool,
    labelling: Labelling | None = None,
) -> Splits:
    """The sets from pictures that Hugging Face ``datasets`` reads, or from a table of its that is open already."""
    in_memory = not isinstance(source, (str, Path))
    name, used, table = ("memory", "all", source) if in_memory else open_table(str(source), split)
    image_column, label_column = columns_of(table, labelled)
    label_column, rows, matching, warnings = _labels_of(table, label_column, labels, labelling)
    wanted = [row for row, target in enumerate(rows) if target is not None]
    fit, val, test = sizes.of(len(wanted)) if label_column else sizes.unlabelled(len(wanted))
    order = [wanted[row] for row in _drawn(len(wanted), fit + val + test, session)]
    warnings += _told(matching, len(rows) - len(wanted))
    images, kept = decoded(table, image_column, order, prepare, session)
    if len(kept) < len(order):
        warnings = (*warnings, f"{len(order) - len(kept)} images could not be read and were left out of test")
    whole = ImageSet(images, torch.tensor([rows[row] for row in kept]))
    said = (name, used, len(matching.places) if matching else 0, matching.how if matching else "none")
    splits = _shared(whole, (fit, val), said, session, warnings, bool(label_column))
    matches = tuple(ClassMatch(*pair) for pair in matching.pairs) if matching and matching.how != "index" else ()
    covered = matching.covered if matching else 0
    return replace(splits, report=replace(splits.report, matches=matches, covered=covered))


def _labels_of(
    table: Any, column: str, labels: tuple[str, ...], labelling: Labelling | None
) -> tuple[str, list[int | None], Matching | None, tuple[str, ...]]:
    """The label column, as far as it is used, what ``targets_of`` says of it, and why it is not used."""
    try:
        return column, *targets_of(table, column, labels, labelling), ()
    except LabelError as error:
        if labelling is None or labelling.needed:
            raise
        return "", [-1] * len(table), None, (f"the labels of the images are not used: {error}",)


def _told(matching: Matching | None, left_out: int) -> tuple[str, ...]:
    """What the user should read about the labels."""
    if matching is None:
        return UNLABELLED
    out = [name for name, place in matching.pairs if place is None]
    some = (f"{left_out} images of {len(out)} classes are left out, as the label map says",) if out else ()
    return (*matching.notes, *some)


def _drawn(rows: int, wanted: int, session: Session) -> list[int]:
    return torch.randperm(rows, generator=session.generator("splits")).tolist()[:wanted]


def _shared(
    whole: ImageSet,
    sizes: tuple[int, int],
    said: tuple[str, str, int, Any],
    session: Session,
    warnings: tuple[str, ...] = (),
    labelled: bool = True,
) -> Splits:
    """The first images to ``fit`` and ``val``, all others to ``test``; ``said`` is source, split, classes, match."""
    fit, val = sizes
    parts = [whole.subset(torch.arange(*ends)) for ends in ((0, fit), (fit, fit + val), (fit + val, len(whole)))]
    digest = hashlib.sha256(whole.labels.numpy().tobytes() + hashlib.sha256(whole.pixels.numpy().tobytes()).digest())
    name, used, classes, matched = said
    sizes_read = fit, val, len(parts[2])
    report = DataReport(name, used, digest.hexdigest(), *sizes_read, classes, matched, session.seed, warnings=warnings)
    return Splits(DefenseData(parts[0], parts[1]), parts[2], report, warnings, labelled)


def read_all(
    source: str, split: str | None, prepare: Callable[[Any], torch.Tensor]
) -> tuple[ImageSet, tuple[str, ...]]:
    """Every image of one split, for training a model to be attacked, and the class names.

    Raises:
        DataError: as ``load_images``, or what ``prepare`` returns differs in size.
    """
    _, _, table = open_table(source, split)
    image_column, label_column = columns_of(table)
    classes, numbers = classes_of(table, label_column)
    return ImageSet(_every(table, image_column, prepare, source), torch.tensor(numbers)), tuple(classes)


def _every(table: Any, column: str, prepare: Callable[[Any], torch.Tensor], source: str) -> torch.Tensor:
    """All pictures of a table ``(n, c, h, w)``."""
    found = [prepare(row[column]) for row in pictures_of(table, column)]
    if len({image.shape for image in found}) > 1:
        raise DataError(f"the images of {source!r} differ in size or channels; name one size for all (--size)")
    return torch.stack(found)


def read_matched(
    source: str, split: str | None, labels: tuple[str, ...], prepare: Callable[[Any], torch.Tensor]
) -> ImageSet:
    """Every image of one split with the model's label numbers; raises ``DataError`` as ``load_images``."""
    _, _, table = open_table(source, split)
    image_column, label_column = columns_of(table)
    rows, _ = targets_of(table, label_column, labels)
    return ImageSet(_every(table, image_column, prepare, source), torch.tensor(rows))
