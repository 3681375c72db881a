"""Images through Hugging Face ``datasets``: class folders, parquet or arrow folders, saved sets, Hub ids, or none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hubclean.errors import DataError, HubcleanError
from hubclean.escaping import printable
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session
from hubclean.records import DataReport

_HELD_OUT_FIRST = ("test", "validation", "valid", "val", "train")
_MOST_CLASSES = 1_000_000
_UNLABELLED = ("the images have no labels: clean accuracy is not measured, and methods see the model's own answers",)
_UNREADABLE = 64  # damaged images tolerated, and at most one in twenty


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
    source: str,
    labels: tuple[str, ...],
    prepare: Callable[[Any], torch.Tensor],
    session: Session,
    split: str | None = None,
    sizes: Sizes | None = None,
    labelled: bool = True,
) -> Splits:
    """Read ``source``, match its classes with the model's, and draw the three sets with the session's seed.

    Images are pictures, or uint8 arrays in an ``Array2D`` or ``Array3D`` column for any number of channels.

    Args:
        source: a folder of class folders, a folder or file of parquet or arrow, a ``save_to_disk`` folder, or a Hub id
            ``org/data`` or ``org/data@revision``.
        labels: the model's label names in order.
        prepare: turns a PIL image, or a uint8 array from an ``Array2D`` or ``Array3D`` column, into uint8
            ``(c, h, w)`` at the model's input size.
        split: which split to use; by default the most held-out one there is (test, validation, train).
        labelled: whether labels are needed; if not, images without any will do.

    Raises:
        DataError: not readable, no image or label column, or classes that do not fit the model.
    """
    name, used, table = _open(source, split)
    image_column, label_column = _columns(table, labelled)
    rows, classes, matched, warnings = _targets(table, label_column, labels)
    sizes = sizes or Sizes()
    fit, val, test = sizes.of(len(rows)) if label_column else sizes.unlabelled(len(rows))
    order = torch.randperm(len(rows), generator=session.generator("splits")).tolist()[: fit + val + test]
    images, kept = _decode(table, image_column, order, prepare, session)
    if len(kept) < len(order):
        warnings = (*warnings, f"{len(order) - len(kept)} images could not be read and were left out of test")
    targets = torch.tensor([rows[row] for row in kept])
    whole = ImageSet(images, targets)
    parts = (
        whole.subset(torch.arange(fit)),
        whole.subset(torch.arange(fit, fit + val)),
        whole.subset(torch.arange(fit + val, len(kept))),
    )
    digest = hashlib.sha256(targets.numpy().tobytes() + hashlib.sha256(images.numpy().tobytes()).digest())
    report = DataReport(name, used, digest.hexdigest(), fit, val, len(parts[2]), classes, matched, session.seed)
    return Splits(DefenseData(parts[0], parts[1]), parts[2], report, warnings, bool(label_column))


def read_all(
    source: str, split: str | None, prepare: Callable[[Any], torch.Tensor]
) -> tuple[ImageSet, tuple[str, ...]]:
    """Every image of one split, for training a model to be attacked, and the class names.

    Raises:
        DataError: as ``load``, or what ``prepare`` returns differs in size.
    """
    _, _, table = _open(source, split)
    image_column, label_column = _columns(table)
    classes, numbers = _classes(table, label_column)
    found = [prepare(row[image_column]) for row in _pictures(table, image_column)]
    if len({image.shape for image in found}) > 1:
        raise DataError(f"the images of {source!r} differ in size or channels; name one size for all (--size)")
    images = torch.stack(found)
    return ImageSet(images, torch.tensor(numbers)), tuple(classes)


def read_matched(
    source: str, split: str | None, labels: tuple[str, ...], prepare: Callable[[Any], torch.Tensor]
) -> ImageSet:
    """Every image of one split with the model's label numbers; raises ``DataError`` as ``read_all`` and ``load``."""
    images, classes = read_all(source, split, prepare)
    return ImageSet(images.pixels, torch.tensor(_match(list(classes), labels)[0])[images.labels])


def _open(source: str, split: str | None) -> tuple[str, str, Any]:
    import datasets

    datasets.disable_progress_bars()
    place = Path(source)
    try:
        found = _local(place) if place.exists() else _from_hub(source)
    except DataError:
        raise
    except Exception as error:  # datasets raises a dozen kinds, some of pyarrow
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 160)
        raise DataError(f"the images at {source!r} cannot be read: {reason}") from error
    if isinstance(found, datasets.Dataset):
        if split and split != "all":
            raise DataError(f"{source!r} is a single set without splits, so it has no split {printable(split)!r}")
        return place.resolve().name if place.exists() else source, split or "all", found
    names = list(found)
    wanted = split or next((name for name in _HELD_OUT_FIRST if name in names), names[0])
    if wanted not in names:
        raise DataError(f"{source!r} has no split {wanted!r}; it has: {', '.join(map(printable, names))}")
    return place.resolve().name if place.exists() else source, wanted, found[wanted]


def _local(place: Path) -> Any:
    import datasets

    if place.is_file():
        kind = {".parquet": "parquet", ".arrow": "arrow"}.get(place.suffix)
        if kind is None:
            raise DataError(f"{place.name!r} is a file, but not .parquet or .arrow; give a folder of images instead")
        return datasets.load_dataset(kind, data_files=str(place))
    if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
        return datasets.load_from_disk(str(place))
    if not any(place.iterdir()):
        raise DataError(f"the folder {place.name!r} is empty")
    return datasets.load_dataset(str(place.resolve()))


def _from_hub(source: str) -> Any:
    import datasets

    name, _, revision = source.partition("@")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise DataError(f"{source!r} is neither a folder here nor a Hub dataset id like org/data")
    return datasets.load_dataset(name, revision=revision or None)


def _columns(table: Any, labelled: bool = True) -> tuple[str, str]:
    """The columns of images and labels, the latter ``""`` where there is none and none is needed."""
    import datasets

    features = table.features
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    if not images:  # what pictures cannot hold: other than 1, 3 or 4 channels
        arrays = datasets.Array2D, datasets.Array3D
        images = [name for name, kind in features.items() if isinstance(kind, arrays)]
        if images and features[images[0]].dtype != "uint8":
            raise DataError(
                f"the array column {printable(images[0])!r} holds {features[images[0]].dtype}; "
                "images as arrays must be uint8 with values 0 to 255"
            )
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not labels:
        labels = [name for name in ("label", "labels", "fine_label", "class", "target") if name in features]
    if not images or (labelled and not labels):
        raise DataError(f"no {'label' if images else 'image'} column among {', '.join(map(printable, features))}")
    return images[0], labels[0] if labels else ""


def _pictures(table: Any, column: str) -> Any:
    """The image column alone; arrays come as arrays and not as lists of lists."""
    import datasets

    alone = table.select_columns([column])
    return alone if isinstance(table.features[column], datasets.Image) else alone.with_format("numpy", dtype="uint8")


def _classes(table: Any, column: str) -> tuple[list[str], list[int]]:
    """Class names, and each row's class number."""
    kind, values = table.features[column], table[column][:]
    if hasattr(kind, "names"):
        if any(value is None or value < 0 for value in values):
            raise DataError("some images have no label (-1); a test split without labels cannot measure anything")
        return list(kind.names), values
    if values and all(isinstance(value, str) for value in values):
        places = {name: index for index, name in enumerate(sorted(set(values)))}
        return list(places), [places[value] for value in values]
    if not values or not all(isinstance(value, int) and 0 <= value <= _MOST_CLASSES for value in values):
        raise DataError(f"the label column {printable(column)!r} holds neither class names nor numbers from 0")
    return [str(number) for number in range(max(values) + 1)], values


def _targets(table: Any, column: str, labels: tuple[str, ...]) -> tuple[list[int], int, Any, tuple[str, ...]]:
    """Label index of every row (-1 without a column), number of classes, how they were matched, and warnings."""
    if not column:
        return [-1] * len(table), 0, "none", _UNLABELLED
    classes, numbers = _classes(table, column)
    mapping, matched, warnings = _match(classes, labels)
    return [mapping[number] for number in numbers], len(classes), matched, warnings


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.split(",")[0]).strip().casefold()


def _match(classes: list[str], labels: tuple[str, ...]) -> tuple[list[int], Any, tuple[str, ...]]:
    """Label index of every class: by name where all names are found once, else by position with a warning."""
    places: dict[str, int] = {}
    for index, label in enumerate(labels):
        places.setdefault(_plain(label), index)
    names = [_plain(name) for name in classes]
    if all(name in places for name in names) and len({places[name] for name in names}) == len(names):
        return [places[name] for name in names], "name", ()
    if len(classes) > len(labels):
        raise DataError(f"the images have {len(classes)} classes, the model only {len(labels)} labels")
    unknown = next((name for name in classes if _plain(name) not in places), classes[0])
    text = (
        f"class {printable(unknown, 40)!r} is no label of the model: classes are matched by position, check the order"
    )
    return list(range(len(classes))), "index", (text,)


def _decode(
    table: Any, column: str, order: list[int], prepare: Callable[[Any], torch.Tensor], session: Session
) -> tuple[torch.Tensor, list[int]]:
    """Decode and prepare the rows ``order``; damaged images are left out, and too many of them refuse the set."""
    images: list[torch.Tensor] = []
    kept: list[int] = []
    pictures = _pictures(table, column)
    session.progress.start("reading images", len(order))
    for seen, row in enumerate(order):
        session.progress.advance()
        try:
            image = prepare(pictures[row][column])
        except HubcleanError:
            raise
        except Exception as error:  # a damaged file makes PIL raise anything, a decompression bomb an error of its own
            if seen - len(kept) >= min(_UNREADABLE, len(order) // 20):
                raise DataError(
                    f"too many images cannot be read; the last one: {printable(str(error), 120)}"
                ) from error
            continue
        images.append(image)
        kept.append(row)
    session.progress.finish()
    return torch.stack(images), kept
