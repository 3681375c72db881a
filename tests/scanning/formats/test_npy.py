"""NumPy headers: every way to spell a type that holds objects, and every plain type that numpy writes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.npy import BrokenHeader, item_size, odd_type, read_array_header
from support.pickled import EVIL
from support.scanned_files import judge, npy, written, zipped

OBJECTS = [
    "'|O'",
    "'O'",
    "'O8'",
    "'<O'",
    "'=O'",
    "'object'",
    "'object_'",
    "'O4'",
    "'i4,O'",
    "'O,i4'",
    "'2O'",
    "'(2,3)O'",
    "'i4, (2)O'",
    "'i4,(2,)object'",
    "[('a', '<i4'), ('b', '|O')]",
    "[('a', '|O', (2,))]",
    "[('a', [('b', [('c', 'O')])])]",
    "[(('title', 'a'), 'O')]",
    "('O', (2,))",
    "[('a', ('O', 3))]",
    "{'names': ['a'], 'formats': ['O']}",
    "{'names': ['a'], 'formats': ['i4,O'], 'offsets': [0]}",
    "{'a': ('O', 0)}",
    "'python_object'",
    "''",
    "None",
    "3",
    "[3]",
]
PLAIN = [
    "'<f4'",
    "'>f8'",
    "'|b1'",
    "'|u1'",
    "'|S12'",
    "'<U3'",
    "'|V16'",
    "'<c16'",
    "'<M8[ns]'",
    "'<m8[10us]'",
    "'float32'",
    "'?'",
    "'i4,f8'",
    "'3i4'",
    "'(2,3)<f4'",
    "[('a', '<i4'), ('b', '|u1', (2, 2))]",
    "[('a', [('b', '<f2')])]",
    "('<f4', (2,))",
    "{'names': ['a', 'b'], 'formats': ['<i4', '<f8'], 'offsets': [0, 8], 'itemsize': 16}",
]


@pytest.mark.parametrize("descr", OBJECTS)
def test_objects_are_seen_in_every_spelling(tmp_path: Path, descr: str) -> None:
    findings, verdicts = judge("arrays", tmp_path, {"a.npy": npy(descr)})
    assert "HC-NPY-001" in {row.rule for row in findings}
    assert "a.npy" not in verdicts


@pytest.mark.parametrize("descr", PLAIN)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_plain_types_are_silent(tmp_path: Path, descr: str, version: int) -> None:
    size = item_size(ast.literal_eval(descr))
    findings, verdicts = judge("arrays", tmp_path, {"a.npy": npy(descr, bytes(size or 8), version=version)})
    assert [row.rule for row in findings] == ([] if size else ["HC-INC-001"])
    assert verdicts["a.npy"].state == ("ok" if size else "unchecked")


@pytest.mark.parametrize(("data", "shape"), [(bytes(9), "(1,)"), (bytes(4), "(2,)"), (b"", "(1 ,1)")])
def test_what_lies_behind_an_array_or_is_missing_is_not_checked(tmp_path: Path, data: bytes, shape: str) -> None:
    files = {"a.npy": npy("'<f4'", data, shape), "b.npz": zipped(**{"a.npy": npy("'<f4'", data, shape)})}
    assert {row.path: row.state for row in scan(written(tmp_path, files)).files} == dict.fromkeys(files, "unchecked")


@pytest.mark.parametrize("descr", PLAIN)
def test_numpy_agrees_on_the_size(descr: str) -> None:
    import numpy as np

    value = ast.literal_eval(descr)
    assert item_size(value) is None or item_size(value) == np.lib.format.descr_to_dtype(value).itemsize


def test_numpy_agrees_on_what_holds_objects() -> None:
    import numpy as np

    for descr in (*OBJECTS, *PLAIN):
        value = ast.literal_eval(descr)
        try:
            holds = np.lib.format.descr_to_dtype(value).hasobject
        except (TypeError, ValueError, AttributeError, IndexError):
            continue
        if holds:
            assert odd_type(value), descr
    for name in np.sctypeDict:
        if isinstance(name, str) and not np.dtype(name).hasobject:
            assert not odd_type(np.dtype(name).str), name


BROKEN = [
    npy("'<f4'", shape="(-1,)"),
    npy("'<f4'", shape="[1]"),
    npy("__import__('os').system('id')"),
    npy("'<f4'")[:40],
    npy("(" * 100 + ")" * 100),
    npy("'<f4', 'extra': 1"),
    b"\x93NUMPY\x09\x00" + bytes(20),
    b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(20),
    b"\x93NUMPY\x01\x00\x00\x00",
]


@pytest.mark.parametrize("body", BROKEN)
def test_a_header_that_numpy_would_not_write_is_no_plain_array(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BrokenHeader):
        read_array_header(body)
    findings, _ = judge("arrays", tmp_path, {"a.npy": body})
    assert {row.rule for row in findings} == {"HC-NPY-001"}


def test_a_header_without_room_for_its_fields_counts_wherever_it_lies(tmp_path: Path) -> None:
    body = b"\x93NUMPY\x01\x00" + (2).to_bytes(2, "little") + b"{}" + bytes(64)
    (finding,), _ = judge("arrays", tmp_path, {"a.npy": body})
    assert (finding.rule, finding.hostile) == ("HC-NPY-001", True)


def test_python_2_wrote_long_numbers() -> None:
    assert read_array_header(npy("'<f4'", shape="(3L, 4L)")).shape == (3, 4)


def test_arrays_and_pickles_behind_an_array_are_judged(tmp_path: Path) -> None:
    plain = npy("'<f4'", bytes(4), "(1,)")
    for behind in (npy("'|O'", EVIL), plain * 3 + npy("'|O'", EVIL), EVIL):
        findings, _ = judge("arrays", tmp_path, {"a.npy": plain + behind})
        calls = [row for row in findings if row.rule == "HC-PKL-001"]
        assert [row.offset for row in calls] == [(plain + behind).index(b"cos\n")]
    findings, verdicts = judge("arrays", tmp_path, {"a.npy": plain * 3})
    assert (findings, verdicts["a.npy"].state, "3 arrays" in verdicts["a.npy"].reason) == ([], "ok", True)
    assert judge("arrays", tmp_path, {"a.npy": plain * 65})[1]["a.npy"].state == "unchecked"


def test_what_an_array_of_objects_calls_is_told_with_its_place(tmp_path: Path) -> None:
    body = npy("'|O'", EVIL)
    findings, _ = judge("arrays", tmp_path, {"a.npy": body})
    assert [row.offset for row in findings if row.rule == "HC-PKL-001"] == [body.index(b"cos\n")]


@settings(max_examples=80, deadline=None)
@given(header=st.binary(max_size=200) | st.text("{}[]()'OiLd:,0159 escrfotnahp_", max_size=200).map(str.encode))
def test_no_bytes_raise_anything_else(header: bytes) -> None:
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    try:
        read_array_header(body)
    except BrokenHeader:
        return
