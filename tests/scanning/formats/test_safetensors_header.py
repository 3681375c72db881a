"""Safetensors headers and shard indexes: our verdict must be the reference parser's, and never an odd exception."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize, safe_open

from hubclean.errors import BudgetError, FormatError, HubcleanError
from hubclean.hub.repos import LocalRepo
from hubclean.scanning.formats.safetensors_header import (
    AHEAD,
    header_stop,
    index_problems,
    parse_header,
    parse_index,
    read_header,
    read_header_file,
)
from support import ROOT


def raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def row(start: int, stop: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def judge(file: bytes) -> Any:
    return parse_header(file[: header_stop(file, len(file))], len(file))


def test_tensors_come_in_file_order_with_offsets_into_the_file() -> None:
    file = raw({"b": row(4, 12, [2, 1]), "__metadata__": {"format": "pt"}, "a": row(0, 4, [])}, b"AAAABBBBBBBB")
    header = judge(file)
    assert [tensor.name for tensor in header.tensors] == ["a", "b"]
    assert [file[tensor.start : tensor.stop] for tensor in header.tensors] == [b"AAAA", b"BBBBBBBB"]
    assert header.tensors[1].shape == (2, 1)
    assert header.metadata == {"format": "pt"}
    assert (header.size, header.problems) == (len(file), ())


BROKEN = {
    "overlap": raw({"a": row(0, 8, [2]), "b": row(4, 12, [2])}, bytes(12)),
    "hole": raw({"a": row(0, 4, [1]), "b": row(8, 12, [1])}, bytes(12)),
    "trailing bytes": raw({"a": row(0, 4, [1])}, bytes(5)),
    "truncated": raw({"a": row(0, 4, [1])}, bytes(3)),
    "shape": raw({"a": row(0, 4, [2])}, bytes(4)),
    "overflow": raw({"a": row(0, 4, [2**40, 2**40])}, bytes(4)),
    "negative": raw({"a": row(0, 4, [-1])}, bytes(4)),
    "dtype": raw({"a": row(0, 4, [1], "F31")}, bytes(4)),
    "metadata": raw({"__metadata__": {"a": 1}}),
    "not utf-8": raw(b'{"\xff":1}'),
    "not json": raw(b"{"),
    "list": raw(b"[]"),
    "past the end": (100).to_bytes(8, "little") + b"{}",
    "2^63": (2**63).to_bytes(8, "little") + b"{}",
    "empty": b"",
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_reference_parser_rejects_is_rejected(name: str) -> None:
    with pytest.raises(SafetensorError):
        deserialize(BROKEN[name])
    with pytest.raises(FormatError):
        judge(BROKEN[name])


def test_a_rejection_reads_the_same_every_time() -> None:
    rows = {f"weight_{i}": row(0, 4, [1]) for i in range(8)}
    said = set()
    for _ in range(12):
        with pytest.raises(FormatError) as caught:
            judge(raw(rows, bytes(4)))
        said.add(str(caught.value))
    assert len(said) == 1
    assert "invalid offset" in said.pop()


def test_a_bad_layout_is_rejected_for_itself_although_the_weights_are_never_read() -> None:
    """Our trick relies on the parser looking at the layout before the length of the file."""
    file = raw({"a": row(0, 8 << 30, [2 << 30]), "b": row(4, 12, [2])})
    with pytest.raises(FormatError, match="offset"):
        parse_header(file, len(file) + (8 << 30))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b'{"__metadata__":{"k":"1","k":"2"},"a":%s}' % json.dumps(row(0, 4, [1])).encode(), "'k' is given twice"),
        (json.dumps({"a": row(0, 4, [1]) | {"code": 1}}).encode(), "unknown fields: code"),
        (b" " + json.dumps({"a": row(0, 4, [1])}).encode(), "does not start with"),
        (json.dumps({"a": ["F32", [1], [0, 4]]}).encode(), "as a list"),
    ],
)
def test_what_the_reference_parser_lets_pass_comes_back_as_a_problem(header: bytes, said: str) -> None:
    deserialize(raw(header, bytes(4)))
    (problem,) = judge(raw(header, bytes(4))).problems
    assert said in problem


def test_a_tensor_given_twice_is_named_however_its_name_is_spelled() -> None:
    entry = json.dumps(row(0, 4, [1])).encode()
    header = judge(raw(b'{"a":%s,"\\u0061":%s}' % (entry, entry), bytes(4)))
    assert header.twice == ("a",)
    assert not header.problems


def test_long_headers_are_read_in_two_requests_and_only_the_header(tmp_path: Path) -> None:
    header = {f"layer{i}.weight": row(4 * i, 4 * i + 4, [1]) for i in range(2000)}
    body = raw(header, bytes(8000)) + b""
    (tmp_path / "model.safetensors").write_bytes(body)
    repo = LocalRepo(tmp_path)
    assert len(read_header(repo, repo.files()[0]).tensors) == 2000
    assert repo.requests == 2
    assert AHEAD < repo.bytes_read == len(body) - 8000


def test_a_short_header_is_read_in_one_request(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(raw({"a": row(0, 4 << 20, [1 << 20])}, bytes(4 << 20)))
    repo = LocalRepo(tmp_path)
    assert read_header(repo, repo.files()[0]).tensors[0].stop == repo.files()[0].size
    assert (repo.requests, repo.bytes_read) == (1, AHEAD)


def test_a_header_beyond_the_budget_is_not_read() -> None:
    with pytest.raises(BudgetError):
        header_stop((9 << 20).to_bytes(8, "little"), 1 << 30)


def test_files_on_disk_are_judged_alike(tmp_path: Path) -> None:
    place = tmp_path / "x.safetensors"
    place.write_bytes(raw({"a": row(0, 4, [1])}, bytes(4)))
    repo = LocalRepo(place)
    assert read_header_file(place) == read_header(repo, repo.files()[0])
    place.write_bytes(BROKEN["overlap"])
    with pytest.raises(FormatError):
        read_header_file(place)


def test_neither_numpy_nor_torch_is_imported() -> None:
    code = (
        "import sys; from hubclean.scanning.formats.safetensors_header import parse_header;"
        't = b\'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}\';'
        "parse_header(len(t).to_bytes(8, 'little') + t, len(t) + 12);"
        "print({'numpy', 'torch'} & set(sys.modules))"
    )
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip() == "set()"


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "U8", "F4", "X"]),
        "shape": st.lists(st.integers(-1, 3), max_size=3),
        "data_offsets": st.lists(st.integers(-1, 24), min_size=1, max_size=3),
    }
)
headers = st.dictionaries(names, entries | st.none() | st.integers() | st.lists(st.integers(), max_size=3), max_size=4)


@st.composite
def layouts(draw: st.DrawFn) -> bytes:
    """Good files, now and then with one number changed or bytes cut off or added."""
    header, end = {}, 0
    for name in draw(st.lists(names.filter(lambda name: name != "__metadata__"), max_size=4, unique=True)):
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        size = 4
        for side in shape:
            size *= side
        header[name] = row(end, end + size, shape)
        end += size
    if header and draw(st.booleans()):
        header[draw(st.sampled_from(sorted(header)))]["data_offsets"][draw(st.integers(0, 1))] += draw(
            st.integers(-4, 4)
        )
    return raw(header, bytes(max(0, end + draw(st.sampled_from([0, 0, 0, -1, 1])))))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.builds(raw, headers, st.binary(max_size=24)), layouts()))
def test_our_verdict_is_that_of_the_reference_parser(file: bytes) -> None:
    try:
        deserialize(file)
        accepted = True
    except SafetensorError:
        accepted = False
    try:
        judge(file)
        ours = True
    except HubcleanError:
        ours = False
    assert ours == accepted


@settings(max_examples=20, deadline=None)
@given(file=layouts())
def test_our_verdict_is_that_of_safe_open(file: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("st") / "x.safetensors"
    place.write_bytes(file)
    try:
        with safe_open(place, framework="numpy") as opened:
            keys: set[str] | None = set(opened.keys())
    except SafetensorError:
        keys = None
    try:
        ours: set[str] | None = {tensor.name for tensor in read_header_file(place).tensors}
    except HubcleanError:
        ours = None
    assert ours == keys


def test_an_index_maps_tensors_to_shards() -> None:
    text = json.dumps({"metadata": {"total_size": 8}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}})
    assert parse_index(text.encode()) == {"a": "m-1.safetensors", "b": "m-2.safetensors"}


@pytest.mark.parametrize("shard", ["../m.safetensors", "/etc/m", "x/m", "..", "", "c:\\m", "a\\b", "m\0"])
def test_an_index_that_leaves_its_folder_is_rejected(shard: str) -> None:
    with pytest.raises(FormatError, match="outside"):
        parse_index(json.dumps({"weight_map": {"a": shard}}).encode())


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"weight_map":[]}', b'{"weight_map":{"a":1}}', b'{"weight_map":{"a":"m","a":"n"}}', b"\xff"],
)
def test_an_index_that_is_none_is_rejected(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_index(text)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.recursive(st.none() | names, lambda x: st.dictionaries(names, x)).map(
    lambda tree: json.dumps({"weight_map": tree}).encode())))  # fmt: skip
def test_the_index_parser_fails_in_one_way_only(text: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert all(isinstance(shard, str) and "/" not in shard for shard in parse_index(text).values())


def test_index_and_shards_are_compared_both_ways() -> None:
    shards = {"a": "1", "b": "1", "c": "2"}
    assert index_problems(shards, {"1": ["a", "b"], "2": ["c"]}, {"1", "2"}) == ()
    problems = " ".join(index_problems(shards, {"1": ["a", "x"]}, {"1"}))
    assert 'shard "2" is missing' in problems
    assert '"1" lacks "b"' in problems
    assert '"1" also holds "x"' in problems
