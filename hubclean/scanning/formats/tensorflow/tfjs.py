"""TensorFlow.js: ``model.json`` and the files of plain numbers that its manifest names.

Source: tfjs-core/src/io/types.ts, tfjs-core/src/io/weights_loader.ts, tensorflowjs/write_weights.py.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from hubclean.hub.repos import Repo, RepoEntry
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.tensorflow.graphs import leaves
from hubclean.scanning.formats.tensorflow.keras_config import keras_problems
from hubclean.scanning.formats.tensorflow.operators import reach
from hubclean.scanning.rules import Problem

MOST_PATHS = 10_000
LARGEST = 8 << 20  # bytes of a model.json
_SIZES = {
    "float32": 4, "int32": 4, "complex64": 8, "bool": 1, "uint8": 1, "uint16": 2, "float16": 2, "int8": 1, "int64": 8,
    "float64": 8, "uint32": 4, "int16": 2,
}  # fmt: skip


@dataclass(slots=True)
class Manifest:
    """What a ``model.json`` names.

    Args:
        shards: path in the repo -> why it is no plain data; empty if it is.
        problems: rules broken. unchecked: what could not be told.
    """

    shards: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def is_tfjs(text: bytes) -> bool:
    """Whether JSON may be a model of TensorFlow.js."""
    return b'"weightsManifest"' in text or b'"modelTopology"' in text


def is_named(entry: RepoEntry) -> bool:
    """Whether a file is looked into by its name and size."""
    return entry.path.lower().endswith(".json") and 0 < entry.size <= LARGEST


def manifest_of(repo: Repo, entry: RepoEntry, sizes: Mapping[str, int]) -> Manifest | None:
    """What a ``model.json`` names; ``None`` if it is none.

    Raises:
        HubcleanError: it could not be read.
    """
    text = repo.read(entry.path, LARGEST)
    if not is_tfjs(text):
        return None
    try:
        root, twice = read_json(text)
    except JsonProblem:
        return None  # the scanner of configs says so
    found = read_manifest(root, text, entry.path, sizes)
    if found is not None and any(key in ("weightsManifest", "paths", "weights") for key, _ in twice):
        found.unchecked.append("its manifest is given twice")
        found.shards = dict.fromkeys(found.shards, "its manifest is given twice")
    return found


def read_manifest(root: object, text: bytes, path: str, sizes: Mapping[str, int]) -> Manifest | None:
    """Judge a parsed ``model.json`` that lies at ``path`` among files of these sizes; ``None`` if it is none."""
    if not isinstance(root, dict) or not isinstance(root.get("weightsManifest"), list):
        return None
    found = Manifest()
    for group in root["weightsManifest"]:
        paths = group.get("paths") if isinstance(group, dict) else None
        if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
            found.unchecked.append("a group of weights without paths")
        elif len(found.shards) + len(paths) > MOST_PATHS:
            found.unchecked.append(f"more than {MOST_PATHS:,} files of weights")
        else:
            _group(paths, group.get("weights"), path, sizes, found)
    topology = root.get("modelTopology")
    if isinstance(topology, dict) and isinstance(topology.get("node"), list):
        _nodes([*topology["node"], *_functions(topology.get("library"))], found)
    problems, why = keras_problems(text, None, "model.json")
    found.problems += problems
    found.unchecked += [why] if why else []
    return found


def _group(paths: list[str], weights: object, path: str, sizes: Mapping[str, int], found: Manifest) -> None:
    places = []
    for name in paths:
        if leaves(name) or "\\" in name:
            found.problems.append(Problem("HC-TF-002", f"weights lie at {name[:160]!r}"))
            return
        places.append(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)))
    told = [_bytes(one) for one in weights] if isinstance(weights, list) else [None]
    missing = [place for place in places if place not in sizes]
    why = ""
    if missing:
        found.unchecked.append(f"{missing[0][:80]!r} is not there")
        why = "other files of the same weights are not there"
    elif None not in told and sum(size for size in told if size is not None) != sum(sizes[place] for place in places):
        why = "the manifest tells of another number of bytes"
    elif None in told:
        why = "the manifest does not tell how many bytes there are"
    for place in places:
        if place in sizes:
            found.shards[place] = found.shards.get(place, "") or why


def _bytes(weight: object) -> int | None:
    """How many bytes a tensor takes; ``None`` for texts, whose lengths the manifest does not tell."""
    if not isinstance(weight, dict):
        return None
    shape, kind = weight.get("shape"), weight.get("dtype")
    packed = weight.get("quantization")
    if isinstance(packed, dict):
        kind = packed.get("dtype", kind)
    if not isinstance(shape, list) or not all(type(one) is int and 0 <= one < 1 << 40 for one in shape):
        return None
    return prod(shape) * _SIZES[kind] if isinstance(kind, str) and kind in _SIZES and len(shape) < 20 else None


def _functions(library: object) -> list[object]:
    rows = library.get("function") if isinstance(library, dict) else None
    nodes: list[object] = []
    for row in rows if isinstance(rows, list) else ():
        inside = row.get("nodeDef") if isinstance(row, dict) else None
        nodes += inside if isinstance(inside, list) else ()
    return nodes


def _nodes(nodes: list[object], found: Manifest) -> None:
    for node in nodes:
        operator = node.get("op") if isinstance(node, dict) else None
        if isinstance(operator, str) and (severity := reach(operator)):
            found.problems.append(Problem("HC-TF-001", f"the operator {operator[:80]}", severity=severity))
