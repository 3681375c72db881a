"""Pickles in the constants of a pickle."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest

from hubclean.scanning.engine import scan
from support.pickled import EVIL
from support.scanned_files import written, zipped

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


def test_pickles_in_the_texts_of_json_are_told_too(tmp_path: Path) -> None:
    """stable-baselines3 keeps them so, in a zip; other JSON files may be read likewise."""
    harmless = {"clip": {":serialized:": base64.b64encode(pickle.dumps({"a": [1, 2, 3]})).decode()}, "b": "gAlaxies"}
    evil = {"clip": {":serialized:": base64.b64encode(b"\x80\x04" + EVIL[2:]).decode()}}
    for held, code in ((harmless, 0), (evil, 1)):
        body = json.dumps(held).encode()
        for name, whole in (("agent.zip", zipped(data=body)), ("state.json", body)):
            report = scan(written(tmp_path / f"{code}{name}", {name: whole}) / name)
            assert ("HC-PKL-001" in {row.rule for row in report.findings}) == bool(code), report.findings


def test_more_of_them_than_are_looked_at_is_not_checked(tmp_path: Path) -> None:
    row = base64.b64encode(pickle.dumps({"a": list(range(9))})).decode()
    report = scan(written(tmp_path, {"state.json": json.dumps([row] * 1001).encode()}) / "state.json")
    assert report.exit_code == 2


def test_words_that_begin_so_are_words(tmp_path: Path) -> None:
    words = [b"x^2 + y^2 = z^2", b"BZhang wrote it", b"gAmma rays, many", b"x\x9c but no stream"]
    assert scan(written(tmp_path, {"a.pkl": pickle.dumps(words)}) / "a.pkl").exit_code == 0


def test_a_bomb_in_a_constant_is_left(tmp_path: Path) -> None:
    body = pickle.dumps([zlib.compress(bytes(64 << 20))])
    assert scan(written(tmp_path, {"a.pkl": body}) / "a.pkl").exit_code == 0


def opcodes_before(count: int) -> bytes:
    """The hostile pickle behind so many opcodes that leave nothing."""
    return EVIL[:2] + b"](" + b"K\x01" * count + b"e0" + EVIL[2:]


def deep(body: bytes, levels: int) -> bytes:
    for _ in range(levels):
        body = pickle.dumps({"x": body})
    return body


DECOYS = [pickle.dumps({"n": number, "os\nx": 1}) for number in range(40)]
CAPTIONS = [f"cats number {number}\nand more" for number in range(200)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([*DECOYS, EVIL], id="behind 40 harmless ones"),
        pytest.param([*CAPTIONS, EVIL], id="behind many texts"),
        pytest.param([EVIL + bytes(5 << 20)], id="in front of 5 MB"),
        pytest.param([opcodes_before(60_000)], id="behind 60,000 opcodes"),
        pytest.param([deep(EVIL, 6)], id="six deep"),
        pytest.param([gzip.compress(EVIL) + b"junk"], id="in a stream with junk behind"),
    ],
)
def test_none_is_passed_over_in_silence(value: list[bytes], tmp_path: Path) -> None:
    report = scan(written(tmp_path, {"a.pkl": pickle.dumps(value)}) / "a.pkl")
    assert report.exit_code == 1
    assert "HC-PKL-001" in {row.rule for row in report.findings}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param([b"cos\nx" + b"%07d" % number for number in range(10_100)], "constants may be pickles", id="many"),
        pytest.param([deep(b"cos\nsystem\n0N.", 12)], "deeper than", id="deep"),
        pytest.param([zlib.compress(bytes(3 << 20))] * 30, "larger than all need", id="large"),
    ],
)
def test_beyond_the_bounds_is_not_checked(value: list[bytes], why: str, tmp_path: Path) -> None:
    report = scan(written(tmp_path, {"a.pkl": pickle.dumps([bytes(bytearray(one)) for one in value])}) / "a.pkl")
    assert report.exit_code == 2
    assert why in report.files[0].reason


def test_texts_of_a_data_set_are_texts(tmp_path: Path) -> None:
    assert scan(written(tmp_path, {"a.pkl": pickle.dumps(CAPTIONS * 5)}) / "a.pkl").exit_code == 0
