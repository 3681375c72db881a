"""TensorFlow's graphs: SavedModels, frozen graphs, meta graphs, checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.tensorflow.bundle import Bundle, read_bundle, shard_name
from hubclean.scanning.formats.tensorflow.graphs import NOTES, Graph, read_graph
from hubclean.scanning.formats.tensorflow.text_graphs import LARGEST, read_text_graph
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked, ok
from hubclean.scanning.sources import RepoSource

_GRAPHS = (".pb", ".meta")
_LISTED = re.compile(r"^(all_)?model_checkpoint_(path|timestamp)s?: |^last_preserved_timestamp: |^\s*$")
_LARGEST_LIST = 64 << 10


@dataclass(frozen=True)
class SavedModels:
    """Walks every graph of TensorFlow's, functions included, by range, and says which operators reach outside.

    HC-TF-001 an operator that reads or writes files, opens connections or calls Python, HC-TF-002 an asset outside the
    folder, HC-KER-001 to HC-KER-003 for Keras's notes in it. The shards of a checkpoint are plain numbers if they are
    as long as its index says; those are not read.
    """

    name: ClassVar[str] = "saved-models"
    paper: ClassVar[str] = "tensorflow/core/protobuf/saved_model.proto; SECURITY.md of TensorFlow; CVE-2024-3660"
    handles: ClassVar[frozenset[str]] = frozenset({".pb", ".pbtxt", ".meta", ".index"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        beside = {entry.path: entry for entry in files}

        def judge(entry: RepoEntry) -> Judgement:
            kind, content = suffix(entry.path), format_of(reader, entry)
            if content in ("empty", "lfs-pointer"):
                return
            if kind in _GRAPHS and content in ("unknown", "text"):
                if (graph := read_graph(RepoSource(reader, entry), entry.path)) is not None:
                    graph.unchecked += _missing(entry, graph, beside)
                    yield from judged(entry, graph.problems, graph.unchecked, _said(graph))
            elif kind == ".pbtxt":
                yield from _text(reader, entry)
            elif entry.path.rpartition("/")[2] == "checkpoint" and content == "text":
                yield from _latest(reader, entry)
            elif kind == ".index" and (bundle := read_bundle(RepoSource(reader, entry))) is not None:
                yield from _checkpoint(entry, bundle, beside)

        yield from each(files, judge)


def _missing(entry: RepoEntry, graph: Graph, beside: dict[str, RepoEntry]) -> list[str]:
    """A graph of Keras's and its notes are one model: of a half of it nothing can be told."""
    folder = entry.path.rpartition("/")[0]
    other = "saved_model.pb" if graph.kind == NOTES else "keras_metadata.pb" if graph.noted else ""
    there = not other or (f"{folder}/{other}" if folder else other) in beside
    return [] if there else [f"the other half of the model, {other}, is not beside it"]


def _said(graph: Graph) -> str:
    return f"{graph.kind}: {graph.nodes} nodes, {graph.functions} functions; none reaches files, network or Python"


def _text(reader: Reader, entry: RepoEntry) -> Judgement:
    if entry.size > LARGEST:
        yield from not_checked(entry, f"{entry.size:,} bytes of protobuf text, more than the {LARGEST:,} that are read")
        return
    try:
        text = reader.read(entry.path, LARGEST).decode("utf-8")
    except UnicodeDecodeError as error:
        yield from not_checked(entry, f"protobuf text that is not UTF-8 at byte {error.start}")
        return
    graph = read_text_graph(text)
    said = _said(graph) if graph.nodes else "protobuf text without a graph"
    yield from judged(entry, graph.problems, graph.unchecked, said)


def _latest(reader: Reader, entry: RepoEntry) -> Judgement:
    """The file that names the newest checkpoint, often by a path of the machine that wrote it."""
    if entry.size <= _LARGEST_LIST:
        lines = reader.read(entry.path, _LARGEST_LIST).decode("utf-8", "replace").splitlines()
        if all(_LISTED.match(line) for line in lines):
            yield ok(entry, "a list of TensorFlow's checkpoints by name")


def _checkpoint(entry: RepoEntry, bundle: Bundle, beside: dict[str, RepoEntry]) -> Judgement:
    """The index, and the shards beside it."""
    if bundle.unchecked:
        yield from not_checked(entry, f"the index of a checkpoint: {bundle.unchecked}")
        return
    yield ok(entry, f"the index of a checkpoint: {bundle.tensors} tensors in {bundle.shards} files")
    for number in range(bundle.shards):
        shard = beside.get(shard_name(entry.path, number, bundle.shards))
        if shard is not None and shard.size == bundle.ends.get(number, 0):
            yield ok(shard, "numbers of a checkpoint, as long as its index says; they were not read")
        elif shard is not None:
            told = f"{shard.size:,} bytes, and its index tells of {bundle.ends.get(number, 0):,}"
            yield from not_checked(shard, f"a part of a checkpoint: {told}")
