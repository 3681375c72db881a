"""Safetensors headers and shard indexes, read by range and judged strictly, without torch and numpy.

The reference parser (the Rust library behind ``safetensors``) judges the header; what it lets pass although
readers may disagree on it (a key given twice, unknown fields, leading white space) comes back as ``problems``.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors

from hubclean.errors import BudgetError, DeadlineError, FormatError
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.scanning.formats.strict_json import JsonProblem, read_json, values_in

AHEAD = 64 << 10  # one read of this many bytes holds the length and the header of most classifiers
MAX_HEADER = 8 << 20
MOST_TENSORS = 100_000  # of one file, and of all files of a repo together; each is ten values of JSON

_LENGTH = 8
# Of tensors with the same offsets the parser names any one, another in each run: left out, so that reports repeat.
_AT_RANDOM = re.compile(r"(invalid offset for tensor) .*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file: its bytes are ``start..stop-1`` of the file (not of the data section).

    ``dtype`` is the format's own name (``F32``, ``BF16``, ``I64`` ...).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A header the reference parser accepts.

    Args:
        tensors: in file order.
        metadata: the ``__metadata__`` strings.
        size: bytes of the whole file.
        data_start: where the tensors begin (8 + header length).
        problems: what the reference parser accepts and other readers may read differently.
        twice: names of tensors that are given twice, at most 20; which one holds is the reader's own choice.
    """

    tensors: tuple[TensorEntry, ...]
    metadata: dict[str, str]
    size: int
    data_start: int
    problems: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()


class Headers:
    """The headers of one repo by path, and what was wrong with those that were refused: each is judged once."""

    def __init__(self) -> None:
        self._kept: dict[str, SafetensorsHeader | FormatError | BudgetError] = {}
        self._tensors = 0

    def of(self, path: str, judge: Callable[[], SafetensorsHeader]) -> SafetensorsHeader:
        """The header of a file, by ``judge`` when it is asked for first.

        Raises:
            FormatError, BudgetError: what ``judge`` raised; or the repo holds too many tensors.
        """
        if path not in self._kept:
            try:
                self._kept[path] = self._counted(judge())
            except DeadlineError:
                raise
            except (FormatError, BudgetError) as error:
                self._kept[path] = error
        kept = self._kept[path]
        if isinstance(kept, SafetensorsHeader):
            return kept
        raise kept

    def forget(self, path: str) -> None:
        """The file is to be judged again."""
        if isinstance(header := self._kept.pop(path, None), SafetensorsHeader):
            self._tensors -= len(header.tensors)

    def _counted(self, header: SafetensorsHeader) -> SafetensorsHeader:
        if self._tensors + len(header.tensors) > MOST_TENSORS:
            raise BudgetError(f"with this file the repo has more than the {MOST_TENSORS:,} tensors that are looked at")
        self._tensors += len(header.tensors)
        return header


def read_header(repo: Repo, entry: RepoEntry, kept: Headers | None = None) -> SafetensorsHeader:
    """Read and judge the header of a safetensors file in one range read, two if it is longer than ``AHEAD``.

    Args:
        kept: headers of the repo that were read before; this one is looked for among them, and kept.

    Raises:
        FormatError: the reference parser rejects the header; its message is quoted.
        BudgetError: the header is longer than ``MAX_HEADER`` bytes, or it or the repo holds too many tensors.
        IntegrityError, TransportError: the bytes could not be read.
    """
    kept = Headers() if kept is None else kept
    return kept.of(entry.path, lambda: parse_header(header_bytes(repo, entry), entry.size))


def header_bytes(repo: Repo, entry: RepoEntry) -> bytes:
    """The file up to the end of its header, not judged yet.

    Raises:
        FormatError, BudgetError: the header ends behind the file, or is too long.
        IntegrityError, TransportError: the bytes could not be read.
    """
    head = repo.read_range(entry.path, 0, min(entry.size, AHEAD))
    stop = header_stop(head, entry.size)
    if stop > len(head):
        head += repo.read_range(entry.path, len(head), stop)
    return head[:stop]


def read_header_file(path: Path) -> SafetensorsHeader:
    """The same for a file on disk.

    Raises:
        FormatError, BudgetError: as ``read_header``.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_LENGTH)
        return parse_header(head + file.read(header_stop(head, size) - len(head)), size)


def header_stop(head: bytes, size: int) -> int:
    """Where the header of a file of ``size`` bytes ends, from its first 8 bytes.

    Raises:
        FormatError: the header would end behind the file.
        BudgetError: it is longer than ``MAX_HEADER`` bytes.
    """
    length = int.from_bytes(head[:_LENGTH], "little")
    if len(head) < _LENGTH or length > size - _LENGTH:
        raise FormatError(_verdict(head[:_LENGTH]) or "header length past the end of the file")
    if length > MAX_HEADER:
        raise BudgetError(f"a header of {length} bytes, more than the {MAX_HEADER} that are read")
    return _LENGTH + length


def parse_header(head: bytes, size: int) -> SafetensorsHeader:
    """Judge a header: ``head`` is the file up to the end of its header, ``size`` the bytes of the whole file.

    Raises:
        FormatError: rejected by the reference parser, or tensors and file size disagree.
        BudgetError: more values than ``MOST_TENSORS`` tensors have.
    """
    if header_stop(head, size) != len(head):
        raise FormatError("header too short")
    if head.count(b"{") > MOST_TENSORS + 2 or values_in(head) > 10 * MOST_TENSORS:
        raise BudgetError(f"a header of more values than {MOST_TENSORS:,} tensors have")
    if message := _verdict(head):
        raise FormatError(message)
    try:
        root, twice = read_json(head[_LENGTH:], 10 * MOST_TENSORS)
    except JsonProblem as error:
        raise FormatError(f"accepted by the reference parser, but not by Python's: {error}") from error
    if not isinstance(root, dict):
        raise FormatError("the header is not a JSON object")
    tensors_twice = {key for key, hidden in twice if isinstance(hidden, (dict, list)) and key in root}
    problems = [
        f"key {key[:80]!r} is given twice" for key in dict.fromkeys(key for key, _ in twice) if key not in tensors_twice
    ]
    if head[_LENGTH : _LENGTH + 1] != b"{":
        problems.append("the header does not start with '{' as the specification says")
    metadata = root.pop("__metadata__", None) or {}
    tensors = sorted((_tensor(name, row, len(head), problems) for name, row in root.items()), key=_place)
    end = max((tensor.stop for tensor in tensors), default=len(head))
    if end != size:
        raise FormatError(f"incomplete metadata, file not fully covered: tensors end at byte {end} of {size}")
    return SafetensorsHeader(
        tuple(tensors), metadata, size, len(head), tuple(problems[:20]), tuple(sorted(tensors_twice))
    )


def _place(tensor: TensorEntry) -> tuple[int, int, str]:
    return tensor.start, tensor.stop, tensor.name


def _tensor(name: str, row: Any, base: int, problems: list[str]) -> TensorEntry:
    if isinstance(row, list):  # the reference parser also takes the fields by position
        problems.append(f"tensor {name[:80]!r} is given as a list instead of an object")
        row = dict(zip(("dtype", "shape", "data_offsets"), row, strict=False))
    if extra := sorted(row.keys() - {"dtype", "shape", "data_offsets"}):
        problems.append(f"tensor {name[:80]!r} has unknown fields: {', '.join(extra)[:100]}")
    start, stop = row["data_offsets"]
    return TensorEntry(name, row["dtype"], tuple(row["shape"]), base + start, base + stop)


def _verdict(head: bytes) -> str | None:
    """The reference parser's complaint about a header whose tensor bytes were left out; None if it has none.

    ``safe_open`` would judge a sparse file as well, but imports numpy or torch as soon as a header is good.
    The parser checks the file's length last of all, so the complaint about missing tensor bytes means that all
    before it is in order; how that complaint is worded is learned from a header known to be good.
    """
    try:
        safetensors.deserialize(head)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        return None if str(error) == _missing_bytes() else _AT_RANDOM.sub(r"\1", str(error))
    return None


@functools.cache
def _missing_bytes() -> str:
    text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    try:
        safetensors.deserialize(len(text).to_bytes(_LENGTH, "little") + text)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        return str(error)
    raise AssertionError("safetensors accepts a file without its tensors")


_LEAVES = re.compile(r"^\s*[/\\~]|(^|[/\\])\s*\.\.\s*([/\\]|$)|^\s*[A-Za-z][A-Za-z0-9+.-]*:")


class LeavesRepo(FormatError):
    """An index that names a file outside the repo."""


def parse_index(text: bytes) -> dict[str, str]:
    """The shard of every tensor from a ``*.safetensors.index.json``; shard names are bare file names.

    Raises:
        FormatError: not such an index, a tensor given twice, or a shard outside the index's own folder.
        LeavesRepo: a shard outside the repo.
    """
    try:
        root, twice = read_json(text)
    except JsonProblem as error:
        raise FormatError(f"the index is not JSON: {error}") from error
    shards = root.get("weight_map") if isinstance(root, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise FormatError("the index has no weight_map of tensor names to file names")
    if twice:
        raise FormatError(f"the index gives {json.dumps(twice[0][0])} twice")
    for shard in shards.values():
        if _LEAVES.search(shard):
            raise LeavesRepo(f"the index names a shard outside the repo: {json.dumps(shard)}")
        if not shard or shard in (".", "..") or any(sign in shard for sign in "/\\:\0"):
            raise FormatError(f"the index names a shard outside its folder: {json.dumps(shard)}")
    return shards


def index_problems(
    shards: Mapping[str, str], headers: Mapping[str, Iterable[str]], present: set[str]
) -> tuple[str, ...]:
    """Where an index and its shards disagree.

    Args:
        shards: tensor name to shard, from ``parse_index``.
        headers: shard to the tensor names in its header, for the shards whose header could be read.
        present: names of the files that lie beside the index.
    """
    problems = [f"shard {json.dumps(shard)} is missing" for shard in sorted(set(shards.values()) - present)]
    by_shard: dict[str, set[str]] = {}
    for name, place in shards.items():
        by_shard.setdefault(place, set()).add(name)
    for shard, names in sorted(headers.items()):
        promised = by_shard.get(shard, set())
        for text, odd in (("lacks", promised - set(names)), ("also holds", set(names) - promised)):
            if odd:
                problems.append(f"shard {json.dumps(shard)} {text} {json.dumps(min(odd))} ({len(odd)} in all)")
    return tuple(problems[:20])
