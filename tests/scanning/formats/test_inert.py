"""Pictures, sound, fonts: by their own first bytes, not by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubclean.scanning.engine import scan
from support.pickled import EVIL
from support.scanned_files import written

MP3 = (b"\xff\xfb\x90\x00" + bytes(413)) * 3
TTF = b"\x00\x01\x00\x00\x00\x0b\x00\x80\x00\x03\x00\x30GDEF" + bytes(40)
ICO = b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00\x01\x00\x20\x00\x10\x00\x00\x00\x16\x00\x00\x00" + bytes(16)
FILES = {
    "demo.mp4": b"\x00\x00\x00\x20ftypisom" + bytes(40),
    "photo.heic": b"\x00\x00\x00\x18ftypheic" + bytes(40),
    "photo.avif": b"\x00\x00\x00\x18ftypavif" + bytes(40),
    "a.webm": b"\x1a\x45\xdf\xa3" + bytes(40),
    "a.mp3": MP3,
    "b.mp3": b"ID3\x03\x00" + bytes(40),
    "a.wav": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
    "a.flac": b"fLaC\x00\x00\x00\x22" + bytes(40),
    "a.ogg": b"OggS\x00\x02" + bytes(40),
    "a.ttf": TTF,
    "a.woff2": b"wOF2" + bytes(40),
    "favicon.ico": ICO,
    "a.psd": b"8BPS\x00\x01" + bytes(40),
    "a.mat": b"MATLAB 5.0 MAT-file, Platform: x".ljust(124) + b"\x00\x01IM",
    "paper.pdf": b"%PDF-1.5\n%\xd0\xd4",
    ".DS_Store": b"\x00\x00\x00\x01Bud1\x00\x00\x10\x00" + bytes(40),
}


@pytest.mark.parametrize("path", FILES)
def test_each_passes_by_its_own_bytes(path: str, tmp_path: Path) -> None:
    assert scan(written(tmp_path / "good", {path: FILES[path]})).exit_code == 0
    assert scan(written(tmp_path / "name", {path: b"\x01\x02\x03" * 30})).exit_code != 0
    assert scan(written(tmp_path / "evil", {path: EVIL})).exit_code == 1


@pytest.mark.parametrize("path", ["demo.mp4", "a.ttf", "a.mp3"])
def test_a_model_that_is_a_film_is_a_disguise(path: str, tmp_path: Path) -> None:
    report = scan(written(tmp_path, {"pytorch_model.bin": FILES[path]}))
    assert "HC-FMT-001" in {row.rule for row in report.findings}
