"""Pickles in the constants of a pickle."""

from __future__ import annotations

import base64
import bz2
import gzip
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest

from hubclean.scanning.engine import scan
from support.pickled import EVIL
from support.scanned_files import written

WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "as they are": bytes,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "lz4": lz4.frame.compress,
    "base64": base64.b64encode,
    "gzip of gzip": lambda body: gzip.compress(gzip.compress(body)),
    "zlib of base64": lambda body: zlib.compress(base64.b64encode(body)),
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("kind", [bytes, str])
def test_what_they_would_call_is_told(how: str, kind: type, tmp_path: Path) -> None:
    """Only what runs something: plain data in the same wrapping is nothing to speak of."""
    for held, code in ((EVIL, 1), (pickle.dumps({"a": [1, 2, 3]} | dict.fromkeys(range(9))), 0)):
        packed = WRAPPED[how](held)
        value = packed if kind is bytes else packed.decode("latin-1")
        report = scan(written(tmp_path / str(code), {"a.pkl": pickle.dumps({"state": value})}) / "a.pkl")
        assert report.exit_code == code, report.findings
        assert ("HC-PKL-001" in {row.rule for row in report.findings}) == bool(code)


def test_words_that_begin_so_are_words(tmp_path: Path) -> None:
    words = [b"x^2 + y^2 = z^2", b"BZhang wrote it", b"gAmma rays, many", b"x\x9c but no stream"]
    assert scan(written(tmp_path, {"a.pkl": pickle.dumps(words)}) / "a.pkl").exit_code == 0


def test_a_bomb_in_a_constant_is_left(tmp_path: Path) -> None:
    body = pickle.dumps([zlib.compress(bytes(64 << 20))])
    assert scan(written(tmp_path, {"a.pkl": body}) / "a.pkl").exit_code == 0
