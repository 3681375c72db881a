"""Label maps as people write them: JSON, CSV of any kind, and what is none of these."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import HubcleanError, OptionError
from hubclean.nets.labels.map_files import as_text, label_map, read_label_map

WANTED = (("zero", "0"), ("one", 1), ("noise", None))


@pytest.mark.parametrize(
    ("name", "text", "pairs"),
    [
        ("a.json", '{"zero": "0", "one": 1, "noise": null}', WANTED),
        ("a.json", '\ufeff{"zero ": " 0", "one": 1, "noise": ""}', WANTED),
        ("a.txt", '{"zero": "0", "one": 1, "noise": null}', WANTED),
        ("a.csv", "class,label\nzero,0\none,1\nnoise,\n", (("zero", "0"), ("one", "1"), ("noise", None))),
        ("a.csv", "zero;0\r\n\r\n one ;1\r\n", (("zero", "0"), ("one", "1"))),
        ("a.tsv", "zero\t0\n", (("zero", "0"),)),
        ("a.csv", '"tench, Tinca tinca",0\n"a ""b""",cat\n', (("tench, Tinca tinca", "0"), ('a "b"', "cat"))),
    ],
)
def test_a_map_is_read(name: str, text: str, pairs: object, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_label_map(tmp_path / name) == pairs


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "no valid JSON"),
        ("a.json", b"[1]", "no JSON object"),
        ("a.json", b"{}", "0 entries"),
        ("a.json", b'{"a": 1, "a": 2}', "named twice"),
        ("a.json", b'{"a": 1.5}', "no class name with a label"),
        ("a.json", b'{"a": true}', "no class name with a label"),
        ("a.json", b'{"a": {"b": 1}}', "no class name with a label"),
        ("a.json", b"[" * 100_000, "no valid JSON"),
        ("a.csv", b"a,b\nc\n", "row 2 has 1 cells"),
        ("a.csv", b"\xff\xfe", "not UTF-8"),
        ("a.csv", b"", "0 entries"),
    ],
)
def test_what_is_no_map_is_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OptionError, match=message) as refused:
        read_label_map(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_map_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'gone\.json' cannot be read"):
        read_label_map(tmp_path / "gone.json")


@given(
    st.dictionaries(st.text(max_size=10), st.one_of(st.none(), st.integers(0, 99), st.text(max_size=10)), min_size=1)
)
def test_a_written_map_reads_back(pairs: dict[str, str | int | None]) -> None:
    try:
        wanted = label_map(pairs)
    except HubcleanError:  # two names that differ in blanks alone
        return
    assert label_map(json.loads(as_text(wanted))) == wanted


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "map.csv")
        place.write_text(text, encoding="utf-8", errors="replace")
        with contextlib.suppress(OptionError):
            assert read_label_map(place)
