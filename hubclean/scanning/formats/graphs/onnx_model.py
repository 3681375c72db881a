"""ONNX models read by ourselves: operators, functions and where tensors lie, by range and without their numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.scanning.formats.protobuf_wire import BYTES, VARINT, BrokenWire, Frame, Head, Message, Wire, walk
from hubclean.scanning.sources import Source

MOST_KINDS = 10_000  # different operators, functions, external tensors that are kept
# onnx/onnx.proto3: numbers of the fields that hold messages, and of those whose values are looked at.
SCHEMA = {
    "model": Message({7: "graph", 8: "opset", 20: "training", 25: "function"}, frozenset({1})),
    "opset": Message(taken=frozenset({1, 2})),
    "training": Message({1: "graph", 2: "graph"}),
    "graph": Message({1: "node", 5: "tensor", 15: "sparse"}),
    "function": Message({7: "node", 11: "attribute"}, frozenset({1, 10})),
    "node": Message({5: "attribute"}, frozenset({3, 4, 7})),
    "attribute": Message(
        {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}, frozenset({1, 3, 4})
    ),
    "sparse": Message({1: "tensor", 2: "tensor"}),
    "tensor": Message({13: "entry"}, frozenset({8, 14})),
    "entry": Message(taken=frozenset({1, 2})),
}
_EXTERNAL = 1  # TensorProto.DataLocation
_CONTEXT = "EPContext"  # com.microsoft: a graph compiled by a vendor's library, inside or in a file


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """A tensor whose numbers lie in another file: what the model says of it, key by key.

    Args:
        used: whether the model says that loaders shall look there.
        at: byte offset of the tensor in the model.
    """

    name: str
    entries: tuple[tuple[str, str], ...]
    used: bool
    at: int


@dataclass(slots=True)
class OnnxModel:
    """What a walk saw.

    Args:
        operators: (domain, type) to the number of nodes, in subgraphs and functions too.
        places: (domain, type) to the byte offset of its first node.
        functions: (domain, name) of those that the model itself defines.
        compiled: files that compiled parts of the graph lie in, with the offset of the node.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    functions: set[tuple[str, str]] = field(default_factory=set)
    tensors: int = 0
    external: list[ExternalTensor] = field(default_factory=list)
    compiled: list[tuple[str, int]] = field(default_factory=list)

    @property
    def nodes(self) -> int:
        return sum(self.operators.values())


def read_onnx(source: Source) -> OnnxModel:
    """Walk a model.

    Raises:
        BrokenWire: no protobuf, no graph in it, or nested too deep.
        BudgetError: too many fields, operators or bytes.
    """
    model = OnnxModel()
    graphs = 0

    def done(frames: list[Frame]) -> None:
        nonlocal graphs
        frame = frames[-1]
        if frame.kind == "node":
            _node(model, frame)
        elif frame.kind == "attribute" and len(frames) > 1:
            value = frame.text(4) if frame.values.get(4) else str(frame.whole(3))
            if frame.text(1) in ("ep_cache_context", "embed_mode"):
                frames[-2].found.append((frame.text(1), value))
        elif frame.kind == "entry":
            frames[-2].found.append((frame.text(1), frame.text(2)))
        elif frame.kind == "tensor":
            _tensor(model, frame)
        elif frame.kind == "function":
            model.functions.add((frame.text(10), frame.text(1)))
        elif frame.kind == "opset":
            model.opsets[frame.text(1)] = frame.whole(2)
        elif frame.kind == "graph":
            graphs += 1
        elif frame.kind == "model":
            model.ir_version = frame.whole(1)
        if max(len(model.operators), len(model.functions), len(model.external), len(model.opsets)) > MOST_KINDS:
            raise BudgetError(f"more than {MOST_KINDS:,} different operators, functions or external tensors")

    walk(Wire(source), SCHEMA, "model", done)
    if not graphs and not model.functions:
        raise BrokenWire("no ONNX model: it has no graph")
    return model


def _node(model: OnnxModel, frame: Frame) -> None:
    domain, kind = frame.text(7), frame.text(4)
    model.operators[domain, kind] += 1
    model.places.setdefault((domain, kind), frame.start)
    if kind == _CONTEXT and len(model.compiled) < MOST_KINDS:
        said = dict(frame.found)
        context = said.get("ep_cache_context", "")
        # Embedded, it is the bytes of the engine; a path among them is read by those who do not look at the mode.
        if context and (said.get("embed_mode", "1") == "0" or (len(context) < 400 and context.isprintable())):
            model.compiled.append((context, frame.start))


def _tensor(model: OnnxModel, frame: Frame) -> None:
    model.tensors += 1
    used = frame.whole(14) == _EXTERNAL
    if used or frame.found:
        model.external.append(ExternalTensor(frame.text(8), tuple(frame.found), used, frame.start))


def looks_like_onnx(head: bytes, size: int) -> bool:
    """Whether a file that begins with ``head`` is an ONNX model as every library writes it: fields in order.

    The version of the format, short strings on who made it, and a graph that fits into the file and begins like one.
    """
    if len(head) < 8 or head[0] != 0x08 or not 0 < head[1] < 64:
        return False
    try:
        for row in Wire(Head(head, size), 64).fields(0, size):
            if row.number == 7 and row.wire == BYTES:
                inner = head[row.start : row.start + 1]
                return row.value > 1 and (not inner or inner[0] in (0x0A, 0x12, 0x2A, 0x52, 0x5A, 0x62))
            known = row.number in (1, 5) if row.wire == VARINT else row.number in (2, 3, 4, 6, 8) and row.wire == BYTES
            if not known or row.stop > len(head):
                return False
    except (BrokenWire, BudgetError, IndexError):
        return False
    return False
