"""Repos with weights twice, as safetensors and as pickle: do both hold the same tensors?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from hubclean.errors import BudgetError, FormatError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.safetensors_header import MAX_HEADER, read_header
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.state_dict import state_dict
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.pickles.values import Value
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, format_of
from hubclean.scanning.sources import RepoSource

Shapes = Mapping[str, tuple[int, ...] | None]

_PICKLED_INDEX = ".bin.index.json"
_WEIGHTS = (".bin", ".pt", ".pth")
_WRAPPERS = ("module.", "model.", "state_dict.")


@dataclass(frozen=True)
class WeightsAgree:
    """Compares tensor names and shapes of safetensors headers with those of pickles in the same folder.

    HC-REP-002: a tensor that only one of them has, or that has another shape. Of pickles, torch's files of either
    format and the index of shards are walked, and never loaded; where no weights are found, nothing is said.
    """

    name: ClassVar[str] = "weights-agree"
    paper: ClassVar[str] = "transformers documentation, use_safetensors (which of two weight files a loader takes)"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        folders: dict[str, list[RepoEntry]] = {}
        for entry in files:
            folders.setdefault(entry.path.rpartition("/")[0], []).append(entry)
        for entries in folders.values():
            headers: dict[str, Shapes] = {}

            def header(entry: RepoEntry, headers: dict[str, Shapes] = headers) -> Judgement:
                if suffix(entry.path) == ".safetensors":
                    headers[entry.path] = {}
                    with contextlib.suppress(FormatError, BudgetError):  # the scanner of safetensors reports those
                        headers[entry.path] = {
                            row.name: row.shape for row in read_header(reader, entry, reader.headers).tensors
                        }
                yield from ()

            def compared(entry: RepoEntry, headers: dict[str, Shapes] = headers) -> Judgement:
                if headers and all(headers.values()):
                    safe = {name: shape for tensors in headers.values() for name, shape in tensors.items()}
                    for what in differences(safe, _from_pickle(reader, entry)):
                        yield finding(Problem("HC-REP-002", what), entry.path)

            yield from each(entries, header)
            yield from each(entries, compared)


def differences(safe: Shapes, pickled: Shapes) -> list[str]:
    """Where two sets of tensors disagree; a shape of ``None`` is not known. Wrappers in front of names do not count."""
    left, right = _unwrapped(safe), _unwrapped(pickled)
    rows: list[str] = []
    if not right:
        return rows
    for text, only in (("only in safetensors", left.keys() - right), ("only in this pickle", right.keys() - left)):
        if only:
            rows.append(f"{len(only)} of {len({*left, *right})} tensors are {text}, {min(only)[:80]!r} for one")
    odd = [name for name in sorted(left.keys() & right) if None not in (left[name], right[name])]
    odd = [name for name in odd if left[name] != right[name]]
    if odd:
        name = odd[0]
        rows.append(
            f"{len(odd)} tensors have other shapes than in safetensors: {name[:80]!r} {right[name]}, not {left[name]}"
        )
    return rows


def _unwrapped(tensors: Shapes) -> Shapes:
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): shape for name, shape in tensors.items()}
    return tensors


def _from_pickle(reader: Reader, entry: RepoEntry) -> Shapes:
    """The tensors of a whole checkpoint; a shard of one says nothing on its own, its index does."""
    name = entry.path.rsplit("/", 1)[-1].lower()
    if name.endswith(_PICKLED_INDEX) and entry.size <= MAX_HEADER:
        try:
            root, _ = read_json(reader.read(entry.path, MAX_HEADER))
        except JsonProblem:
            return {}
        shards: object = root.get("weight_map") if isinstance(root, dict) else None
        return dict.fromkeys(shards) if isinstance(shards, Mapping) else {}
    if suffix(name) in _WEIGHTS and name.startswith(("pytorch_model.", "model.", "checkpoint.")):
        with contextlib.suppress(Exception):  # its own scanner reports a pickle that cannot be read or followed
            found = state_dict(_root(reader, entry))
            return {name: record.size for name, record in found.tensors.items()}
    return {}


def _root(reader: Reader, entry: RepoEntry) -> Value:
    """What a loader would unpickle from the file."""
    source = RepoSource(reader, entry)
    if format_of(reader, entry) != "zip":
        return read_pickles(source).root
    pickle = read_zip(source).pickle
    return pickle.root if pickle else None
