"""Bytes to pictures: every mode that files have, and nothing that is none."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hubclean.nets.sources import decode
from hubclean.nets.sources.decode import decoded
from hubclean.nets.sources.pictures import Unreadable


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    body = io.BytesIO()
    picture.save(body, kind, **options)
    return body.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("LA", "PNG"),
        ("P", "GIF"),
        ("RGBA", "WEBP"),
        ("RGB", "BMP"),
        ("F", "TIFF"),
        ("CMYK", "TIFF"),
        ("RGB", "PPM"),
    ],
)
def test_every_mode(mode: str, kind: str) -> None:
    picture = decoded(encoded(Image.new("RGB", (6, 4), (200, 30, 60)).convert(mode), kind))
    assert picture.size == (6, 4)


def test_sixteen_bits_stay_sixteen() -> None:
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2500
    assert np.array_equal(np.asarray(decoded(encoded(Image.fromarray(values), "PNG"))), values)


def test_the_first_of_several_frames() -> None:
    frames = [Image.new("RGB", (4, 4), (shade, shade, shade)) for shade in (250, 10, 60)]
    body = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decoded(body).convert("L").getpixel((0, 0)) > 240


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>404 not found</html>",
        encoded(Image.new("RGB", (64, 64), 9), "PNG")[:60],
        encoded(Image.effect_noise((64, 64), 80), "JPEG")[:400],
        encoded(Image.new("RGB", (8, 8)), "EPS"),  # opening one runs Ghostscript
    ],
)
def test_what_is_no_whole_picture_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decoded(body)


def test_a_picture_of_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MOST_PIXELS", 100)
    with pytest.raises(Unreadable, match="11 x 10 pixels are too many"):
        decoded(encoded(Image.new("L", (11, 10)), "PNG"))
    assert decoded(encoded(Image.new("L", (10, 10)), "PNG")).size == (10, 10)
