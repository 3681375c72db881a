"""TensorFlow's graphs as protobuf: SavedModels, frozen graphs, meta graphs, and Keras's notes beside them.

Source: tensorflow/core/protobuf/saved_model.proto, meta_graph.proto, saved_object_graph.proto, fingerprint.proto,
tensorflow/core/framework/graph.proto, node_def.proto, function.proto; keras/protobuf/saved_metadata.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from hubclean.errors import BudgetError
from hubclean.scanning.formats.protobuf_wire import BYTES, VARINT, BrokenWire, Field, Wire
from hubclean.scanning.formats.tensorflow.keras_config import is_keras, keras_problems
from hubclean.scanning.formats.tensorflow.operators import BY_ATTRIBUTE, reach
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import Source

MOST_METADATA = 1 << 20  # bytes of one note of Keras's
MOST_READ = 12 << 20  # bytes of one file, however many nodes it has
_SAVED_MODEL = {1: VARINT, 2: BYTES}
_META_GRAPH = dict.fromkeys(range(1, 8), BYTES)
_GRAPH = {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: BYTES}
NOTES = "Keras's notes on a SavedModel"
_NOTES = {1: BYTES, 2: VARINT}
_LOOKED_AT = 200_000  # fields of the whole file that tell what it is


@dataclass(slots=True)
class Graph:
    """What a graph holds.

    Args:
        kind: in words. nodes, functions: how many, those inside functions included.
        noted: whether Keras keeps the configs of its layers in a file beside it.
        problems: rules broken. unchecked: what could not be followed.
    """

    kind: str
    nodes: int = 0
    functions: int = 0
    noted: bool = False
    problems: dict[Problem, None] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)


def read_graph(source: Source, name: str) -> Graph | None:
    """Judge a file called ``name``; ``None`` if it is nothing of TensorFlow's by its fields.

    Raises:
        HubcleanError: nothing could be read.
    """
    wire = Wire(source, most_bytes=MOST_READ)
    try:
        shape = {(row.number, row.wire) for row in islice(wire.fields(0, source.size), _LOOKED_AT)}
    except (BrokenWire, BudgetError):
        return None
    chosen = _kind(shape, name, wire, source.size)
    if chosen is None:
        return None
    found = Graph(chosen)
    walk = _Walk(wire, found)
    try:
        walk.steps[chosen](0, source.size)
    except (BrokenWire, BudgetError) as error:
        found.unchecked.append(f"{chosen}: {error}")
    return found


def _kind(shape: set[tuple[int, int]], name: str, wire: Wire, size: int) -> str | None:
    """What a file is, by the fields of its outermost message, and by its name where those leave a choice."""

    def fits(known: dict[int, int]) -> bool:
        return bool(shape) and all(known.get(number) == kind for number, kind in shape)

    if name.endswith("fingerprint.pb"):
        plain = size < 4096 and all(kind in (VARINT, BYTES) and number < 16 for number, kind in shape)
        return "fingerprint of a SavedModel" if plain else None
    if fits(_NOTES) and name.endswith("keras_metadata.pb"):
        return NOTES
    if fits(_SAVED_MODEL) and (2, BYTES) in shape:
        return "SavedModel" if (1, VARINT) in shape or name.endswith("saved_model.pb") else None
    if fits(_META_GRAPH) and name.endswith(".meta"):
        return "meta graph"
    if fits(_GRAPH) and (1, BYTES) in shape and _is_node(wire, size):
        return "graph"
    return None


def _is_node(wire: Wire, size: int) -> bool:
    """Whether the first field is a node: it has a name and an operator that is a word."""
    for row in islice(wire.fields(0, size), 1):
        try:
            texts = {
                one.number: wire.content(one, 200) for one in wire.fields(row.start, row.stop) if one.number in (1, 2)
            }
        except BrokenWire:
            return False
        return row.number == 1 and texts.get(2, b"").replace(b">", b"").replace(b":", b"").isalnum()
    return False


class _Walk:
    """Goes down from the outermost message to every node."""

    def __init__(self, wire: Wire, found: Graph) -> None:
        self._wire, self._found = wire, found
        self.steps: dict[str, Callable[[int, int], None]] = {
            "SavedModel": self._saved_model,
            "meta graph": self._meta_graph,
            "graph": self._graph,
            NOTES: self._notes,
            "fingerprint of a SavedModel": self._nothing,
        }

    def _inside(self, start: int, stop: int, *numbers: int) -> Iterator[Field]:
        for row in self._wire.fields(start, stop):
            if row.number in numbers and row.wire == BYTES:
                yield row

    def _nothing(self, start: int, stop: int) -> None:
        for _ in self._wire.fields(start, stop):
            pass

    def _saved_model(self, start: int, stop: int) -> None:
        for row in self._inside(start, stop, 2):
            self._meta_graph(row.start, row.stop)

    def _meta_graph(self, start: int, stop: int) -> None:
        for row in self._inside(start, stop, 2, 6, 7):
            if row.number == 2:
                self._graph(row.start, row.stop)
            elif row.number == 6:
                for name in self._inside(row.start, row.stop, 2):
                    self._asset(self._wire.content(name), name.start)
            else:
                self._objects(row.start, row.stop)

    def _graph(self, start: int, stop: int) -> None:
        for row in self._inside(start, stop, 1, 2):
            if row.number == 1:
                self._node(row.start, row.stop)
                continue
            for function in self._inside(row.start, row.stop, 1):
                self._found.functions += 1
                for node in self._inside(function.start, function.stop, 3):
                    self._node(node.start, node.stop)

    def _node(self, start: int, stop: int) -> None:
        self._found.nodes += 1
        name, operator, at = b"", "", start
        for row in self._inside(start, stop, 1, 2):
            if row.number == 1:
                name = self._wire.content(row, 100)
            else:
                operator, at = self._wire.content(row, 200).decode("utf-8", "backslashreplace"), row.start
        severity = reach(operator)
        if severity is None and operator in BY_ATTRIBUTE:
            key, pattern = BY_ATTRIBUTE[operator]
            severity = "critical" if any(map(pattern.match, self._attribute(start, stop, key))) else None
        if severity:
            what = f"the operator {operator} (node {name.decode('utf-8', 'backslashreplace')!r})"
            self._add(Problem("HC-TF-001", what, at, severity=severity))

    def _attribute(self, start: int, stop: int, key: bytes) -> list[bytes]:
        """The texts of an attribute of a node."""
        texts = []
        for row in self._inside(start, stop, 5):
            entry = {one.number: one for one in self._inside(row.start, row.stop, 1, 2)}
            if 1 in entry and 2 in entry and self._wire.content(entry[1]) == key:
                for value in self._inside(entry[2].start, entry[2].stop, 1, 2):
                    rows = [value] if value.number == 2 else self._inside(value.start, value.stop, 2)
                    texts += [self._wire.content(one) for one in rows]
        return texts

    def _asset(self, name: bytes, at: int) -> None:
        if leaves(text := name.decode("utf-8", "backslashreplace")):
            self._add(Problem("HC-TF-002", f"an asset lies at {text[:160]!r}", at))

    def _objects(self, start: int, stop: int) -> None:
        """Keras's notes as TensorFlow 2.0 to 2.4 write them: with the objects."""
        for row in self._inside(start, stop, 1):
            for kind in self._inside(row.start, row.stop, 4):
                parts = {one.number: one for one in self._inside(kind.start, kind.stop, 1, 3)}
                if 3 in parts and parts[3].stop > parts[3].start:
                    self._note(parts[3])
                elif 1 in parts and self._wire.content(parts[1]).startswith(b"_tf_keras_"):
                    self._found.noted = True

    def _notes(self, start: int, stop: int) -> None:
        for row in self._inside(start, stop, 1):
            self._found.nodes += 1
            for note in self._inside(row.start, row.stop, 5):
                self._note(note)

    def _note(self, note: Field) -> None:
        if note.stop - note.start > MOST_METADATA:
            self._found.unchecked.append(f"a note of Keras's of {note.stop - note.start:,} bytes")
            return
        text = self._wire.content(note, MOST_METADATA)
        if is_keras(text):
            problems, why = keras_problems(text, note.start, "metadata")
            for problem in problems:
                self._add(problem)
            self._found.unchecked += [why] if why else []

    def _add(self, problem: Problem) -> None:
        if len(self._found.problems) < 1000:
            self._found.problems[problem] = None


def leaves(path: str) -> bool:
    """Whether a path that should lie in a folder leads out of it, or is an address."""
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\", "~")) or ".." in parts or "://" in path or parts[0][1:2] == ":"
