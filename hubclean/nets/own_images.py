"""Images that the user holds in memory: tensors, an ``ImageSet``, or any dataset of (image, label) pairs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from hubclean.errors import DataError
from hubclean.nets.images import ImageSet
from hubclean.nets.sources.folder_layout import known_names, plain


@runtime_checkable
class LabelledImages(Protocol):
    """Any dataset with a length whose items are an image and its label, such as ``torch.utils.data.Dataset``.

    An image is a picture (PIL) or a uint8 array, prepared by the model's own resize and crop; or a tensor or float
    array ``(c, h, w)`` at the model's input size, uint8 or float in [0, 1]. A label is the number of an output of the
    model; of a data set whose ``classes`` (as ``torchvision.datasets.ImageFolder`` has them) are all labels of the
    model, the number of one of these. An item may also be a mapping with ``image`` and ``label``, or ``pixel_values``
    and ``labels``.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


OwnImages: TypeAlias = "ImageSet | tuple[Tensor, Tensor] | LabelledImages"
_KEYS = (("image", "label"), ("pixel_values", "labels"), ("image", "labels"), ("img", "label"))
Prepare = Callable[[Any], Tensor]


def count(source: OwnImages) -> int:
    """How many images there are.

    Raises:
        DataError: ``source`` is no dataset, or a pair of tensors of different lengths.
    """
    if isinstance(source, tuple):
        pixels, labels = _pair(source)
        if pixels.ndim != 4 or labels.shape != pixels.shape[:1]:
            raise DataError(
                f"pixels {tuple(pixels.shape)} and labels {tuple(labels.shape)} are not (n, c, h, w) and (n,)"
            )
        return len(pixels)
    if not isinstance(source, (ImageSet, LabelledImages)):
        raise DataError(
            f"images are a path, a Hub id, two tensors or a dataset with a length, not {type(source).__name__}"
        )
    return len(source)


def class_names(source: OwnImages, labels: Sequence[str]) -> tuple[str, ...]:
    """The names behind a data set's label numbers, as ``torchvision.datasets`` keep them in ``classes``; empty where
    there are none, or where not all are among ``labels``, if these are given."""
    names = getattr(source, "classes", None)
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        return ()
    known = known_names(labels)
    return tuple(names) if not labels or all(plain(name) in known for name in names) else ()


def row(
    source: OwnImages, index: int, shape: tuple[int, int, int], classes: int, prepare: Prepare
) -> tuple[Tensor, int]:
    """One image as uint8 ``shape`` (c, h, w), and its label.

    Raises:
        DataError: no image of that shape, pixels outside their range, or no label of the model.
    """
    if isinstance(source, ImageSet):
        image, label = source.pixels[index], source.labels[index]
    elif isinstance(source, tuple):
        pixels, labels = _pair(source)
        image, label = pixels[index], labels[index]
    else:
        image, label = _item(source[index])
    return _pixels(image, shape, prepare), _label(label, classes)


def _pair(source: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Pixels and labels as tensors; arrays of numpy are as good."""
    try:
        pixels, labels = (part if isinstance(part, Tensor) else torch.from_numpy(part) for part in source)
    except (TypeError, ValueError) as error:
        raise DataError("images in memory are a pair of tensors: pixels (n, c, h, w) and labels (n,)") from error
    return pixels, labels


def _item(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        for image, label in _KEYS:
            if image in item and label in item:
                return item[image], item[label]
        raise DataError("an item of the dataset has no image and label, such as 'image' and 'label'")
    try:
        image, label = item
    except (TypeError, ValueError) as error:
        raise DataError("an item of the dataset is not a pair of an image and its label") from error
    return image, label


def _pixels(picture: Any, shape: tuple[int, int, int], prepare: Prepare) -> Tensor:
    if isinstance(picture, Tensor):
        image = picture
    elif getattr(getattr(picture, "dtype", None), "kind", "") == "f":
        image = torch.from_numpy(picture)
    else:
        return prepare(picture)  # a picture, or an array of uint8
    if tuple(image.shape) != shape:
        raise DataError(f"an image is of shape {tuple(image.shape)}, the model takes {shape}")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point() or not bool(((image >= 0) & (image <= 1)).all()):
        raise DataError(
            "images as tensors are uint8, or float in [0, 1]; these hold other values: if they are normalised, hand "
            "over the pixels and tell hubclean.wrap the mean and std"
        )
    return (image * 255).round().to(torch.uint8)


def _label(label: Any, classes: int) -> int:
    try:
        value: Any = label.item() if isinstance(label, Tensor) else label
        whole = isinstance(value, float) and value.is_integer()  # as many sets of tensors keep their labels
        number = int(value) if whole else operator.index(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"a label is a whole number, not {label!r:.40} ({type(label).__name__})") from error
    if not 0 <= number < classes:
        raise DataError(f"the label {number} is none of the model's: it has {classes} outputs")
    return number
