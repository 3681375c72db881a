"""Tables of pictures as Hugging Face ``datasets`` reads them: opened, columns found, rows decoded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hubclean.errors import DataError, HubcleanError
from hubclean.escaping import printable
from hubclean.nets.labels.matching import Labelling, Matching, rows_matched
from hubclean.nets.session import Session

_HELD_OUT_FIRST = ("test", "validation", "valid", "val", "train")


_MOST_CLASSES = 1_000_000


UNLABELLED = ("the images have no labels: clean accuracy is not measured, and methods see the model's own answers",)


_UNREADABLE = 64  # damaged images tolerated, and at most one in twenty


def open_table(source: str, split: str | None) -> tuple[str, str, Any]:
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


def columns_of(table: Any, labelled: bool = True) -> tuple[str, str]:
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


def pictures_of(table: Any, column: str) -> Any:
    """The image column alone; arrays come as arrays and not as lists of lists."""
    import datasets

    alone = table.select_columns([column])
    return alone if isinstance(table.features[column], datasets.Image) else alone.with_format("numpy", dtype="uint8")


def classes_of(table: Any, column: str) -> tuple[list[str], list[int]]:
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


def targets_of(
    table: Any, column: str, labels: tuple[str, ...], labelling: Labelling | None = None
) -> tuple[list[int | None], Matching | None]:
    """Label number of every row, and how classes were matched; -1 without a column, ``None`` for a row left out.

    Raises:
        LabelError: a class goes to no label.
    """
    if not column:
        return [-1] * len(table), None
    classes, numbers = classes_of(table, column)
    return rows_matched(classes, numbers, labels, labelling, _numbered(table, column))


def _numbered(table: Any, column: str) -> bool:
    """Whether a column holds numbers without names."""
    kind = table.features[column]
    return not hasattr(kind, "names") and getattr(kind, "dtype", "") not in ("string", "large_string")


def decoded(
    table: Any, column: str, order: list[int], prepare: Callable[[Any], torch.Tensor], session: Session
) -> tuple[torch.Tensor, list[int]]:
    """Decode and prepare the rows ``order``; damaged images are left out, and too many of them refuse the set."""
    images: list[torch.Tensor] = []
    kept: list[int] = []
    pictures = pictures_of(table, column)
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
