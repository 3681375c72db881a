"""Tokenizers: SentencePiece field by field, long vocabularies in JSON condensed before they are parsed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning import reader
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.tokenizing.sentencepiece import BrokenModel, read_sentencepiece
from hubclean.scanning.formats.tokenizing.vocabulary import BrokenText, condensed
from hubclean.scanning.scanners import config_code
from support import ROOT
from support.scanned_files import written

FIXTURES = ROOT / "tests/scanning/fixtures/sentencepiece"
NAMES = sorted(path.name for path in FIXTURES.iterdir())
MODEL = {"type": "BPE", "vocab": {f"p{n}": n for n in range(3000)}, "merges": [["a", f"b{n}"] for n in range(3000)]}
TOKENIZER = {"version": "1.0", "added_tokens": [{"id": 0, "content": "<s>"}], "normalizer": None, "model": MODEL}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
    max_leaves=40,
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["spiece.model", "source.spm"])
def test_models_of_the_library_pass(name: str, path: str, tmp_path: Path) -> None:
    report = scan(written(tmp_path / "repo", {path: (FIXTURES / name).read_bytes()}))
    assert report.exit_code == 0, report


@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x0a\x05\x00", b"\x08\x01", b"\x0b\x00", b"\x1a\x06\x12\x04\xff\xff\xff\xff"]
)
def test_other_bytes_named_like_a_model_are_not_checked(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(BrokenModel):
        read_sentencepiece(body)
    assert scan(written(tmp_path / "repo", {"spiece.model": b"\x00" + body})).exit_code == 2


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(NAMES), changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=5))
def test_a_mutated_model_is_read_or_broken(name: str, changes: list[tuple[int, int]]) -> None:
    body = bytearray((FIXTURES / name).read_bytes()[:3000])
    for at, value in changes:
        body[at % len(body)] = value
    with contextlib.suppress(BrokenModel):
        assert read_sentencepiece(bytes(body)).pieces


@pytest.mark.parametrize("indent", [None, 2])
def test_a_long_vocabulary_is_condensed_and_judged(
    indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_code, "MOST_VALUES", 1000)
    text = json.dumps(TOKENIZER, indent=indent).encode()
    assert len(condensed(text, 1 << 20)) < 1000
    report = scan(written(tmp_path / "good", {"tokenizer.json": text}))
    assert report.exit_code == 0, report
    bad = json.dumps({**TOKENIZER, "auto_map": {"AutoTokenizer": "org/code--tok.Tok"}}, indent=indent).encode()
    report = scan(written(tmp_path / "bad", {"tokenizer.json": bad}))
    assert {row.rule for row in report.findings} == {"HC-CFG-001"}


def test_a_text_beyond_the_largest_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "STREAMED", 9 << 20)
    for size, code in ((8 << 20, 0), (10 << 20, 2)):
        text = json.dumps({"model": {"vocab": {f"p{n}": n for n in range(size // 32)}}}, indent=2).encode()
        text = text[:-1] + b" " * (size + 1000 - len(text)) + b"}"
        report = scan(written(tmp_path / str(size), {"tokenizer.json": text}))
        assert report.exit_code == code, report


def test_nothing_is_dropped_that_a_loader_could_follow() -> None:
    rows = {
        "a": 1,
        "b": 2,
        "url": "https://x",
        "list": ["a", "b", "https://x", "c", "org/repo"],
        "z": [["a", "b/c"], ["d", "e"]],
    }
    kept = json.loads(condensed(json.dumps(rows).encode(), 1000))
    assert kept["url"] == "https://x"
    assert {"https://x", "org/repo"} < set(kept["list"])
    assert kept["z"] == [["a", "b/c"]]


@settings(max_examples=300, deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 0, 2]), plain=st.booleans())
def test_what_is_left_is_a_part_of_what_was(value: object, indent: int | None, plain: bool) -> None:
    left = json.loads(condensed(json.dumps(value, indent=indent, ensure_ascii=plain).encode(), 1 << 20))
    _part(left, value)


def _part(left: object, whole: object) -> None:
    if isinstance(left, dict):
        assert isinstance(whole, dict)
        for key, value in left.items():
            _part(value, whole[key])
        for key in whole.keys() - left.keys():
            assert isinstance(whole[key], (int, float)), key
            assert not isinstance(whole[key], bool)
    elif isinstance(left, list):
        assert isinstance(whole, list)
        assert len(left) <= len(whole)
    else:
        assert left == whole


@given(text=st.binary(max_size=60))
def test_any_bytes_are_condensed_or_broken(text: bytes) -> None:
    try:
        assert len(condensed(text, 100)) <= len(text)
    except BrokenText:
        assert b'"' in text
