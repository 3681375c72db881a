"""Bytes to one picture. Formats that run a program (EPS) or are no photographs are not opened."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

from hubclean.nets.sources.pictures import Unreadable

MOST_BYTES = 128 << 20  # of one encoded picture
MOST_PIXELS = 100_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA", "PCX")


@cache
def _formats() -> list[str]:
    """Those that this Pillow knows."""
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def decoded(value: Any) -> Any:
    """A PIL image, its first frame, loaded; what is no bytes is handed through.

    Raises:
        Unreadable: no picture, a damaged one, or one of more than ``MOST_PIXELS``.
    """
    if isinstance(value, Exception):
        raise value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        return value
    from PIL import Image

    if not len(value):
        raise Unreadable("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF, palettes, and PIL's own word on large pictures
            picture = Image.open(io.BytesIO(value), formats=_formats())
            if picture.width * picture.height > MOST_PIXELS:
                raise Unreadable(f"{picture.width} x {picture.height} pixels are too many")
            picture.load()
    except Unreadable:
        raise
    except Exception as error:  # a damaged file makes PIL raise anything
        raise Unreadable(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return picture
