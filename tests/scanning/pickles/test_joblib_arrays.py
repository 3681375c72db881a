"""joblib's files: raw arrays between the opcodes; what either reader would call is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.pickles.joblib_arrays import is_joblib, read_joblib
from hubclean.scanning.pickles.streams import PickleFile, read_pickles
from hubclean.scanning.sources import BytesSource
from support import ROOT

PLAIN = (ROOT / "tests/scanning/fixtures/joblib/plain.joblib").read_bytes()
CALL = b"cos\nsystem\n(S'id'\ntR."


def walked(body: bytes) -> PickleFile:
    plainly = read_pickles(BytesSource(body))
    return read_joblib(BytesSource(body), frozenset(), plainly) if is_joblib(plainly) else plainly


def test_arrays_are_passed_over() -> None:
    found = walked(PLAIN)
    assert (found.kind, found.problems, found.unchecked) == ("a joblib pickle", [], "")
    assert all(row.complete for row in found.walks)
    assert len(found.walks) == 2  # the array of objects is a second pickle


@pytest.mark.parametrize("behind", [CALL, b"\x00" * 8 + CALL])
def test_what_lies_behind_is_told(behind: bytes) -> None:
    assert walked(PLAIN + behind).problems


def test_a_cut_file_is_not_clean() -> None:
    for cut in range(1, len(PLAIN), 37):
        assert walked(PLAIN[:-cut]).problems, cut


@settings(max_examples=200, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_mutated_file_is_read(changes: list[tuple[int, int]]) -> None:
    body = bytearray(PLAIN)
    for at, value in changes:
        body[at % len(body)] = value
    assert walked(bytes(body)).walks
