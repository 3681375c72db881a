"""What is taken for a pickle: whatever a real unpickler would call something in, under any name, and no words."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.names import HEAD
from hubclean.scanning.formats.pickle_sniff import is_pickle, reads_as_pickle
from support import ROOT
from support.pickle_attacks import ATTACKS
from support.pickled import EVIL, text
from support.scanned_files import written

JUNK = (b"\n\n# Model card\nimport torch\n", b"\xff\xfe\x00", b"}" * 40, b"t" * 40)
CALLS = {case: body for case, (body, rule) in ATTACKS.items() if rule == "HC-PKL-001"}
WORDS = {
    "a.py": b"import torch\nimport os\n\nfrom torch import nn\n",
    "b.py": b"import numpy\nimport os\nclass Net(object):\n    pass\n",
    "c.yaml": b"image_size: 224\nin_chans: 3\nmean: [0.5, 0.5]\n",
    "d.csv": b"image,label\nimages/1.png,cat\nimages/2.png,dog\n",
    "requirements.txt": b"imageio\nnumpy\ntorch\n",
    "labels.txt": b"cat\ndog\nbird\nhorse\nNorfolk terrier\nRhodesian ridgeback\n",
    "classes.txt": b"ibex\nimpala\nindri\n",
    "LICENSE": b"(c) Copyright 2020\nNo Rights reserved\n",
    "vocab.txt": b"I\nF\nN\nV\nS\ncat\nis\n",
    "x.json": b"[1, 2]",
    "METADATA": b"Metadata-Version: 2.1\nName: torch\n",
}


class Calls(pickle.Unpickler):
    """C's unpickler, which finds under every name a class that notes its calls; nothing is ever imported."""

    def __init__(self, body: bytes) -> None:
        super().__init__(io.BytesIO(body))
        self.seen: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        if not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
            raise AttributeError(name)
        seen = self.seen

        class Found:
            def __new__(cls, *_: Any, **__: Any) -> Any:
                seen.append(name)
                return object.__new__(cls)

        return Found


class PythonCalls(pickle._Unpickler):  # type: ignore[misc, name-defined, unused-ignore]
    """The same for Python's own."""

    def __init__(self, body: bytes) -> None:
        super().__init__(io.BytesIO(body))
        self.seen: list[str] = []

    find_class = Calls.find_class


def calls(body: bytes) -> list[str]:
    """What real unpicklers would call, whatever happens to them afterwards."""
    seen = []
    for kind in (Calls, PythonCalls):
        reader = kind(body)
        with contextlib.suppress(Exception):
            reader.load()
        seen += reader.seen
    return seen


def taken(body: bytes) -> bool | None:
    return reads_as_pickle(body[:HEAD], len(body), False, lambda length: body[:length])


@pytest.mark.parametrize("name", WORDS)
def test_words_are_no_pickle(tmp_path: Path, name: str) -> None:
    assert sniff(WORDS[name], len(WORDS[name])) in ("text", "json")
    assert name == "labels.txt" or not is_pickle(WORDS[name], len(WORDS[name]), named=True)
    files = written(tmp_path, {name: WORDS[name]})
    assert [row for row in scan(files).findings if row.rule.startswith(("HC-PKL", "HC-FMT"))] == []


def test_no_text_of_this_repo_and_of_the_library_is_taken_for_a_pickle() -> None:
    library = Path(sysconfig.get_path("stdlib"))
    places = [*(ROOT / "hubclean").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *library.glob("*.py")]
    places += [place for place in ROOT.iterdir() if place.is_file()]
    assert len(places) > 300
    assert [place.name for place in places if taken(place.read_bytes()) is not False] == []


def test_the_counts_of_a_whole_installation_say_that_none_was_taken() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "text_files.json").read_text())
    rows = {key: row for key, row in found.items() if key != "command"}
    assert sum(row["files"] for row in rows.values()) > 40_000
    assert {key: row["taken"] for key, row in rows.items()} == {key: {} for key in rows}


@pytest.mark.parametrize("case", CALLS)
def test_a_payload_is_found_wherever_the_file_ends_and_whatever_follows(case: str) -> None:
    body = CALLS[case]
    cut = [body[:stop] for stop in range(1, len(body) + 1)]
    run = [part for part in cut if calls(part)]
    assert run or case == "a command handed to a call"
    assert [part for part in run if not taken(part)] == []
    bodies = [part + junk for junk in JUNK for part in cut]
    assert [part for part in bodies if calls(part) and not taken(part)] == []


@pytest.mark.parametrize(
    "name",
    ["README.md", "run.py", "a.csv", "LICENSE", "c.yaml", "blob", "logo.png", "model.bin", "a.p", "x.onnx", "x.h5"],
)
def test_a_broken_payload_is_flagged_under_every_name(tmp_path: Path, name: str) -> None:
    for number, body in enumerate((EVIL[2:-1], EVIL[:-1], EVIL[2:-1] + JUNK[0], b"(" + text("id") + b"ios\nsystem\n")):
        report = scan(written(tmp_path / str(number), {name: body}))
        assert report.exit_code == 1, (number, name)
        assert "HC-PKL-001" in {row.rule for row in report.findings}


OPCODES = r"""( 0 1 2 I1\n I0x1f\n I1_0\n F1_0\n L5L\n L5\n I\t7\t\n N ] } ) R t h\x00 q\x00 p0\n g0\n g1\n \x94 Va\n
o b s a \x85 P1\n . \xff (ios\nsystem\n cos\nsystem\n"""
LONG = b"\x8b\x20\x20\x00\x00" + bytes(8224)
PIECES = [word.encode().decode("unicode_escape").encode("latin-1") for word in OPCODES.split()]
PARTS = st.lists(st.sampled_from([*CALLS.values(), *PIECES, LONG, b"S'a' \n", b"cos\nsys tem\n"]), max_size=8)


@settings(max_examples=400, deadline=None)
@given(parts=PARTS, drop=st.integers(0, 3))
def test_whatever_a_real_unpickler_calls_is_taken_for_a_pickle(parts: list[bytes], drop: int) -> None:
    body = b"".join(parts)
    body = body[: len(body) - drop]
    if calls(body):
        assert taken(body), body
