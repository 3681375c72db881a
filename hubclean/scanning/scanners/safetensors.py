"""Safetensors headers by range read, and shard indexes: judged by the reference parser and beyond it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import safetensors

from hubclean.errors import BudgetError, FormatError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.registry import Doc
from hubclean.scanning.budget import spend
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.safetensors_header import (
    MAX_HEADER,
    LeavesRepo,
    SafetensorsHeader,
    index_problems,
    parse_index,
    read_header,
)
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, format_of, not_checked, ok

INDEXES = re.compile(r"\.index(\.[^/]*)?\.json$", re.IGNORECASE)  # with a variant, of any framework


@dataclass(frozen=True)
class SafetensorsHeaders:
    """Reads the header of every safetensors file, not its weights, and compares shards with their index.

    HC-ST-001 the reference parser rejects the header, HC-ST-002 readers may disagree on it, HC-ST-003 header or
    tensor count out of proportion, HC-ST-004 the index names shards that are missing, elsewhere or different.
    """

    name: ClassVar[str] = "safetensors-header"
    paper: ClassVar[str] = "Trail of Bits, safetensors security review (2023); safetensors#401, PR 686 and 775"
    handles: ClassVar[frozenset[str]] = frozenset({".safetensors"})

    most_tensors: Annotated[int, Doc("more tensors than this in one file are out of proportion", 1)] = 50_000

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        headers: dict[str, SafetensorsHeader] = {}

        def judge(entry: RepoEntry) -> Judgement:
            if suffix(entry.path) != ".safetensors" and format_of(reader, entry) != "safetensors":
                return
            if format_of(reader, entry) == "lfs-pointer":
                return  # the listing says so
            try:
                headers[entry.path] = header = read_header(reader, entry, reader.headers)
            except FormatError as error:
                yield finding(Problem("HC-ST-001", f"rejected: {error}"), entry.path)
            except BudgetError as error:
                yield finding(Problem("HC-ST-003", str(error), advice="ask the author for a new export"), entry.path)
                yield from not_checked(entry, str(error))
            else:
                yield from self._accepted(entry, header)

        def judge_index(entry: RepoEntry) -> Judgement:
            if INDEXES.search(entry.path):
                yield from _index(reader, entry, headers)

        yield from each(files, judge)
        yield from each(files, judge_index)

    def _accepted(self, entry: RepoEntry, header: SafetensorsHeader) -> Judgement:
        for name in header.twice:
            what = f"tensor {name[:80]!r} is given twice: readers take one or the other"
            yield finding(Problem("HC-ST-002", what, severity="high"), entry.path)
        for problem in header.problems:
            yield finding(Problem("HC-ST-002", problem), entry.path)
        heavy = header.data_start > 1 << 20 and header.data_start > entry.size // 2
        if heavy or len(header.tensors) > self.most_tensors:
            what = f"{len(header.tensors)} tensors, {header.data_start} bytes of header, {entry.size} bytes in all"
            yield finding(Problem("HC-ST-003", what, advice="ask the author what the header is for"), entry.path)
        judge = f"safetensors {safetensors.__version__}"
        yield ok(entry, f"header of {len(header.tensors)} tensors accepted by {judge}; weights not read")


def _index(reader: Reader, entry: RepoEntry, headers: dict[str, SafetensorsHeader]) -> Judgement:
    folder = entry.path.rpartition("/")[0]
    beside = set(reader.folders.get(folder, ()))
    advice = "do not load it; ask the author for a complete export"
    try:
        shards = parse_index(reader.read(entry.path, MAX_HEADER))
    except FormatError as error:
        leaves = isinstance(error, LeavesRepo) or None
        yield finding(Problem("HC-ST-004", str(error), advice=advice, hostile=leaves), entry.path)
        return
    names = set(shards.values())
    if reader.alone:
        yield from not_checked(entry, "an index alone: its shards are not part of this target")
        return
    paths = {name: f"{folder}/{name}" if folder else name for name in names}
    found = {name: headers[path] for name, path in paths.items() if path in headers}
    spend(len(shards) + sum(len(header.tensors) for header in found.values()))
    read = {name: [tensor.name for tensor in header.tensors] for name, header in found.items()}
    for problem in index_problems(shards, read, beside):
        yield finding(Problem("HC-ST-004", problem, advice=advice), entry.path)
    how = "compared with their headers" if read else "all there"
    yield ok(entry, f"{len(shards)} tensors in {len(names)} shards, {how}")
