"""Images in three sets: from whatever ``sources`` reads, from memory, or none at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from hubclean.errors import DataError, LabelError
from hubclean.nets import own_images
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.labels.matching import Labelling, Matching, match, rows_matched
from hubclean.nets.own_images import OwnImages
from hubclean.nets.session import Session, open_session
from hubclean.nets.sources import drawing
from hubclean.nets.sources.pictures import Classes, Pictures, Request
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

    @property
    def most(self) -> int:
        """How many images are drawn at most."""
        given = (self.fit, 1000), (self.val, 1000), (self.test, 5000)
        return sum(most if size is None else size for size, most in given)


UNLABELLED = ("the images have no labels: clean accuracy is not measured, and methods see the model's own answers",)


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
    image_column: str | None = None,
    label_column: str | None = None,
    labelling: Labelling | None = None,
) -> Splits:
    """Read ``source``, match its classes with the model's, and draw the three sets with the session's seed.

    Images are pictures, or uint8 arrays in an ``Array2D`` or ``Array3D`` column for any number of channels.

    Args:
        source: whatever ``sources.opening.open_pictures`` reads; or images in memory: see ``own_images.OwnImages``.
        labels: the model's label names in order.
        prepare: turns a PIL image, or a uint8 array from an ``Array2D`` or ``Array3D`` column, into uint8
            ``(c, h, w)`` at the model's input size.
        split: which split to use; by default the most held-out one there is (test, validation, train), where labels
            are needed the most held-out one that has some.
        labelled: whether labels are needed; if not, images without any will do.
        shape: the model's input size (c, h, w), needed for images in memory.
        image_column, label_column: of a table, where names and the model's labels do not decide.
        labelling: how classes are matched with labels; images in memory without class names have label numbers.

    Raises:
        LabelError: a class goes to no label.
        DataError: not readable, or no image or label column.
    """
    sizes = sizes or Sizes()
    if isinstance(source, (str, Path)) or hasattr(source, "features") or isinstance(source, dict):
        request = Request(split, image_column, label_column, labels, labelled, sizes.most)
        return _from_pictures(_opened(source, request), labels, prepare, session, sizes, labelling)
    if split or image_column or label_column:
        raise DataError("images in memory have no splits" if split else "images in memory have no columns")
    assert shape is not None
    wanted = sizes.of(own_images.count(source))
    order = _drawn(own_images.count(source), sum(wanted), session)
    told = labelling is not None and bool(labelling.by or labelling.mapping)
    names = own_images.class_names(source, () if told else labels)
    session.progress.start("reading images", len(order))
    rows = []
    for index in order:
        rows.append(own_images.row(source, index, shape, len(names) or len(labels), prepare))
        session.progress.advance()
    session.progress.finish()
    numbers = [label for _, label in rows]
    matching = match(names, labels, labelling).checked() if names else None
    places = [matching.places[number] for number in numbers] if matching else numbers
    kept = [row for row, place in enumerate(places) if place is not None]
    if len(kept) <= sum(wanted[:2]):
        raise DataError(f"the label map leaves {len(kept)} of {len(rows)} drawn images: too few for fit, val and test")
    whole = ImageSet(torch.stack([rows[row][0] for row in kept]), torch.tensor([places[row] for row in kept]))
    how = matching.how if matching else "index"
    said = ("memory", "all", len(names) or len(labels), how)
    made = _shared(whole, wanted[:2], said, session)
    text = f"{len(kept):,} of {own_images.count(source):,} images in memory, labels by {how}"
    report = replace(made.report, taken=text, covered=len(set(whole.labels.tolist())))
    return replace(made, report=replace(report, matches=_matches(matching)))


def _opened(source: Any, request: Request) -> Pictures:
    """Pictures of a place, or of a table of Hugging Face ``datasets`` that is open already."""
    from hubclean.nets.sources import opening  # which brings pyarrow, that tensors in memory do without

    if isinstance(source, (str, Path)):
        return opening.open_pictures(str(source), request)
    return opening.open_dataset(source, request)


def _from_pictures(
    pictures: Pictures,
    labels: tuple[str, ...],
    prepare: Callable[[Any], torch.Tensor],
    session: Session,
    sizes: Sizes,
    labelling: Labelling | None = None,
) -> Splits:
    places, matching, warnings = _places(pictures.classes, labels, labelling)
    labelled = matching is not None
    able = [row for row, place in enumerate(places) if place is not None]
    warnings += _told(matching, len(places) - len(able))
    fit, val, test = sizes.of(len(able)) if labelled else sizes.unlabelled(len(able))
    order = [able[row] for row in _drawn(len(able), len(able), session)]
    images, kept, bad = drawing.drawn(pictures, order, fit + val + test, prepare, session)
    if len(kept) < fit + val + labelled:
        raise DataError(f"only {len(kept)} images can be read, too few for fit {fit} + val {val} and a test image")
    if bad:
        warnings = (*warnings, f"{bad} {'image' if bad == 1 else 'images'} could not be read and were left out")
    how = (len(matching.places), matching.how) if matching else (0, "none")
    said = (pictures.source, pictures.split, *how)
    whole = ImageSet(images, torch.tensor([places[row] for row in kept]))
    made = _shared(whole, (fit, val), said, session, warnings, labelled)
    text, left = drawing.line(pictures, len(kept), bad)
    report = replace(made.report, taken=text, left=left, covered=matching.covered if matching else 0)
    return replace(made, report=replace(report, matches=_matches(matching)))


def _places(
    classes: Classes, labels: tuple[str, ...], labelling: Labelling | None
) -> tuple[list[int | None], Matching | None, tuple[str, ...]]:
    """The label of every picture, ``None`` for one that is left out, how they were matched, and why they are not used.

    Without labels, or where they fit none and are not needed, all are -1.
    """
    if classes.kind == "none":
        return [-1] * len(classes.numbers), None, ()
    try:
        rows, found = rows_matched(classes.names, classes.numbers, labels, labelling, classes.kind == "number")
    except LabelError as error:
        if labelling is None or labelling.needed:
            raise
        return [-1] * len(classes.numbers), None, (f"the labels of the images are not used: {error}",)
    return rows, found, ()


def _told(matching: Matching | None, left_out: int) -> tuple[str, ...]:
    """What the user should read about the labels."""
    if matching is None:
        return UNLABELLED
    out = [name for name, place in matching.pairs if place is None]
    classes = f"{len(out)} class{'es' * (len(out) != 1)}"
    some = (f"{left_out} images of {classes} are left out, as the label map says",) if out else ()
    return (*matching.notes, *some)


def _matches(matching: Matching | None) -> tuple[ClassMatch, ...]:
    """For the record; numbers say nothing that the labels do not."""
    return tuple(ClassMatch(*pair) for pair in matching.pairs) if matching and matching.how != "index" else ()


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
    source: str, split: str | None, prepare: Callable[[Any], torch.Tensor], labels: tuple[str, ...] = ()
) -> tuple[ImageSet, tuple[str, ...]]:
    """Every image of one split that can be read, and the class names; ``labels`` as in ``load_images``.

    Raises:
        DataError: as ``load_images``, or what ``prepare`` returns differs in size.
    """
    images, classes = _read(source, Request(split, labels=labels), prepare)
    return images, classes.names


def _read(source: str, request: Request, prepare: Callable[[Any], torch.Tensor]) -> tuple[ImageSet, Classes]:
    """Every picture of one split that can be read, with the numbers of its classes."""
    pictures = _opened(source, request)
    shapes = set()

    def prepared(value: Any) -> torch.Tensor:
        image = prepare(value)
        shapes.add(image.shape)
        if len(shapes) > 1:
            raise DataError(f"the images of {source!r} differ in size or channels; name one size for all (--size)")
        return image

    rows = range(len(pictures))
    images, kept, _ = drawing.drawn(pictures, rows, len(rows), prepared, open_session("cpu"))
    numbers = torch.tensor([pictures.classes.numbers[row] for row in kept])
    return ImageSet(images, numbers), pictures.classes


def read_matched(
    source: str, split: str | None, labels: tuple[str, ...], prepare: Callable[[Any], torch.Tensor]
) -> ImageSet:
    """Every image of one split with the model's label numbers; raises ``DataError`` as ``load_images``."""
    images, classes = _read(source, Request(split, labels=labels), prepare)
    rows, _ = rows_matched(classes.names, images.labels.tolist(), labels, numbers=classes.kind == "number")
    return ImageSet(images.pixels, torch.tensor(rows))
