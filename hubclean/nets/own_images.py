"""Images that the user holds in memory: tensors, an ``ImageSet``, or any dataset of (image, label) pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from hubclean.errors import DataError
from hubclean.nets.images import ImageSet


@runtime_checkable
class LabelledImages(Protocol):
    """Any dataset with a length whose items are an image and its label, such as ``torch.utils.data.Dataset``.

    An image is a picture (PIL), prepared by the model's own resize and crop; or a tensor or array ``(c, h, w)`` at the
    model's input size, uint8 or float in [0, 1]. A label is the number of an output of the model.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


OwnImages: TypeAlias = "ImageSet | tuple[Tensor, Tensor] | LabelledImages"
Prepare = Callable[[Any], Tensor]


def count(source: OwnImages) -> int:
    """How many images there are.

    Raises:
        DataError: ``source`` is no dataset, or a pair of tensors of different lengths.
    """
    if isinstance(source, tuple):
        if len(source) != 2 or not all(isinstance(part, Tensor) for part in source):
            raise DataError("images in memory are a pair of tensors: pixels (n, c, h, w) and labels (n,)")
        pixels, labels = source
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
        image, label = source[0][index], source[1][index]
    else:
        try:
            image, label = source[index]
        except (TypeError, ValueError) as error:
            raise DataError("an item of the dataset is not a pair of an image and its label") from error
    return _pixels(image, shape, prepare), _label(label, classes)


def _pixels(image: Any, shape: tuple[int, int, int], prepare: Prepare) -> Tensor:
    if not isinstance(image, Tensor):
        return prepare(image)  # a picture, or an array of uint8
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
        number = int(label)
    except (TypeError, ValueError) as error:
        raise DataError(f"a label is a number, not {type(label).__name__}") from error
    if not 0 <= number < classes:
        raise DataError(f"the label {number} is none of the model's: it has {classes} outputs")
    return number
