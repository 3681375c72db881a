"""Repos with weights twice, as safetensors and as pickle: do both hold the same tensors?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from hubclean.errors import BudgetError, DeadlineError, FormatError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.budget import spend
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
        tables: dict[str, dict[str, Shapes]] = {}  # of each folder that has safetensors, by file

        def header(entry: RepoEntry) -> Judgement:
            held = tables.setdefault(_folder(entry), {})
            held[entry.path] = {}
            with contextlib.suppress(FormatError, BudgetError):  # the scanner of safetensors reports those
                tensors = read_header(reader, entry, reader.headers).tensors
                spend(len(tensors))
                held[entry.path] = {row.name: row.shape for row in tensors}
            yield from ()

        safe: dict[str, Shapes] = {}  # the tensors of a whole folder, put together once

        def compared(entry: RepoEntry) -> Judgement:
            folder = _folder(entry)
            pickled = _unwrapped(_from_pickle(reader, entry))
            if pickled and folder not in safe:
                held = tables[folder].values()
                joined = {name: shape for tensors in held for name, shape in tensors.items()} if all(held) else {}
                safe[folder] = _unwrapped(joined)
            if pickled and safe[folder]:
                for what in differences(safe[folder], pickled):
                    yield finding(Problem("HC-REP-002", what), entry.path)

        yield from each([entry for entry in files if suffix(entry.path) == ".safetensors"], header)
        yield from each([entry for entry in files if _folder(entry) in tables and _is_pickled(entry)], compared)


def _folder(entry: RepoEntry) -> str:
    return entry.path.rpartition("/")[0]


def differences(left: Shapes, right: Shapes) -> list[str]:
    """Where the tensors of safetensors and of a pickle disagree; a shape of ``None`` is not known."""
    rows: list[str] = []
    spend(len(left) + len(right))
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


def _is_pickled(entry: RepoEntry) -> bool:
    """Whether a file is a whole pickled checkpoint by its name; a shard of one says nothing, its index does."""
    name = entry.path.rsplit("/", 1)[-1].lower()
    if name.endswith(_PICKLED_INDEX):
        return entry.size <= MAX_HEADER
    return suffix(name) in _WEIGHTS and name.startswith(("pytorch_model.", "model.", "checkpoint."))


def _from_pickle(reader: Reader, entry: RepoEntry) -> Shapes:
    """The tensors of a whole checkpoint."""
    if entry.path.lower().endswith(_PICKLED_INDEX):
        try:
            root, _ = read_json(reader.read(entry.path, MAX_HEADER))
        except JsonProblem:
            return {}
        shards: object = root.get("weight_map") if isinstance(root, dict) else None
        return dict.fromkeys(shards) if isinstance(shards, Mapping) else {}
    try:
        found = state_dict(_root(reader, entry))
    except DeadlineError:
        raise
    except Exception:  # its own scanner reports a pickle that cannot be read or followed
        return {}
    return {name: record.size for name, record in found.tensors.items()}


def _root(reader: Reader, entry: RepoEntry) -> Value:
    """What a loader would unpickle from the file."""
    source = RepoSource(reader, entry)
    if format_of(reader, entry) != "zip":
        return read_pickles(source).root
    pickle = read_zip(source).pickle
    return pickle.root if pickle else None
