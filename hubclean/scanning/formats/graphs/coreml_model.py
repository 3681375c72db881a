"""Core ML models: which parts an app must bring, and where weights lie. Source: coremltools, mlmodel/format/*.proto."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.scanning.formats.protobuf_wire import BYTES, VARINT, BrokenWire, Frame, Head, Message, Wire, walk
from hubclean.scanning.sources import Source

MOST_KEPT = 10_000
_CUSTOM, _LINKED, _SERIALIZED = 555, 556, 3000
# Model.Type: what a model can be. Those not among ``inside`` hold numbers and names only.
_TYPES = frozenset(
    (200, 201, 202, 300, 301, 302, 303, 304, 400, 401, 402, 403, 404, 500, 501, 502, _CUSTOM, _LINKED, 560, 600, 601)
) | frozenset((602, 603, 604, 606, 607, 609, 610, 900, 2000, 2001, 2002, 2003, 2004, 2005, 2006, _SERIALIZED))
_INSIDE = {
    200: "wrapped", 201: "wrapped", 202: "pipeline", 303: "network", 403: "network", 500: "network", 502: "program",
    _CUSTOM: "custom_model", _LINKED: "linked",
}  # fmt: skip
_VALUES = {3: "immediate", 5: "blob"}
SCHEMA = {
    "model": Message(_INSIDE, frozenset({1}) | (_TYPES - _INSIDE.keys())),
    "wrapped": Message({1: "pipeline"}),
    "pipeline": Message({1: "model"}),
    "network": Message({1: "layer"}),
    "layer": Message({500: "custom_layer", 605: "branch", 615: "loop"}),
    "branch": Message({1: "network", 2: "network"}),
    "loop": Message({3: "network", 4: "network"}),
    "custom_layer": Message(taken=frozenset({10})),
    "custom_model": Message(taken=frozenset({10})),
    "linked": Message({1: "linked_file"}),
    "linked_file": Message({1: "linked_path", 2: "linked_path"}),
    "linked_path": Message(taken=frozenset({1})),
    "program": Message({2: "functions", 4: "attribute"}),
    "functions": Message({2: "function"}),
    "function": Message({3: "blocks", 4: "attribute"}),
    "blocks": Message({2: "block"}),
    "block": Message({3: "operation", 4: "attribute"}),
    "operation": Message({2: "input", 4: "block", 5: "attribute"}, frozenset({1})),
    "input": Message({2: "argument"}),
    "argument": Message({1: "binding"}),
    "binding": Message({2: "value"}),
    "attribute": Message({2: "value"}),
    "value": Message(_VALUES),
    "immediate": Message({2: "values", 3: "values", 4: "pairs"}),
    "values": Message({1: "value"}),
    "pairs": Message({1: "pair"}),
    "pair": Message({1: "value", 2: "value"}),
    "blob": Message(taken=frozenset({1, 2})),
}


@dataclass(slots=True)
class CoremlModel:
    """What a walk saw.

    Args:
        custom: names of classes of an app, with the offset of what names them.
        linked: paths of other models that it refers to.
        blobs: files in which weights lie, to the largest offset that is named.
        sealed: it holds a model that is not described by this format.
    """

    version: int = 0
    kinds: set[int] = field(default_factory=set)
    parts: int = 0
    custom: list[tuple[str, int]] = field(default_factory=list)
    linked: list[tuple[str, int]] = field(default_factory=list)
    blobs: dict[str, int] = field(default_factory=dict)
    sealed: bool = False


def read_coreml(source: Source) -> CoremlModel:
    """Walk a model.

    Raises:
        BrokenWire: no protobuf, or no model of a kind that is known here.
        BudgetError: too many fields, names or bytes.
    """
    found = CoremlModel()

    def done(frames: list[Frame]) -> None:
        frame = frames[-1]
        if frame.kind == "model":
            found.version = max(found.version, frame.whole(1))
            found.kinds |= frame.values.keys() & _TYPES
            found.sealed |= _SERIALIZED in frame.values
        elif frame.kind in ("custom_layer", "custom_model"):
            found.custom.append((frame.text(10), frame.start))
        elif frame.kind == "linked_path":
            found.linked.append((frame.text(1), frame.start))
        elif frame.kind in ("layer", "operation"):
            found.parts += 1
        elif frame.kind == "blob":
            name = frame.text(1)
            found.blobs[name] = max(found.blobs.get(name, 0), frame.whole(2))
        if frame.kind in _INSIDE.values():
            found.kinds.add(min(number for number, kind in _INSIDE.items() if kind == frame.kind))
        if max(len(found.custom), len(found.linked), len(found.blobs)) > MOST_KEPT:
            raise BudgetError(f"more than {MOST_KEPT:,} names")

    walk(Wire(source), SCHEMA, "model", done)
    if not found.version or not found.kinds:
        raise BrokenWire("no Core ML model of a kind that is known here")
    return found


def looks_like_coreml(head: bytes, size: int) -> bool:
    """Whether a file that begins with ``head`` is a Core ML model as coremltools writes it: version, description, type.

    Only if the description ends in ``head``; of a longer one the name must tell.
    """
    if len(head) < 8 or head[0] != 0x08 or not 0 < head[1] < 32 or head[2] != 0x12:
        return False
    try:
        for row in Wire(Head(head, size), 64).fields(0, size):
            if row.number in _TYPES and row.wire == BYTES:
                return True
            known = row.number in (1, 10) if row.wire == VARINT else row.number == 2
            if not known or row.stop > len(head):
                return False
    except (BrokenWire, BudgetError, IndexError):
        return False
    return False
