"""TFLite models: operators, indexes and buffers, by range. Source: tensorflow/lite/schema/schema.fbs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hubclean.errors import BudgetError
from hubclean.scanning.formats.graphs.flatbuffer import BrokenFlatbuffer, Flatbuffer
from hubclean.scanning.sources import Source

MOST_OPTIONS = 64 << 10  # bytes of an operator's options that are looked at
CUSTOM = 32  # BuiltinOperator
# Operators that run other subgraphs: the fields of their options that name one.
_CALLS = {118: (0, 1), 119: (0, 1), 129: (0,)}  # IF, WHILE, CALL_ONCE
# Operators of TensorFlow that leave the graph; as Flex operators they stand in the options as a NodeDef.
REACHING = (
    "ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "PyFuncStateless", "Save", "SaveV2", "SaveSlices", "Restore",
    "RestoreV2", "RestoreSlice", "MergeV2Checkpoints", "MatchingFiles", "WholeFileReader", "WholeFileReaderV2",
    "TextLineReader", "TextLineReaderV2", "FixedLengthRecordReader", "TFRecordReader", "TextLineDataset",
    "TFRecordDataset", "FixedLengthRecordDataset", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2",
    "PrintV2", "SummaryWriter", "CreateSummaryFileWriter", "LoadDataset", "SaveDataset", "DebugIdentityV2",
    "RemoteCall", "RpcCall", "Rpc", "TryRpc",
)  # fmt: skip


@dataclass(slots=True)
class TfliteModel:
    """What a walk saw.

    Args:
        custom: names of custom operators, to how many nodes have them.
        reaching: operators of TensorFlow that read or write files or call Python, found in Flex operators.
        wild: indexes that point outside of their tables, with the offset of what holds them.
        cut: buffers that end behind the file.
    """

    operators: int = 0
    custom: Counter[str] = field(default_factory=Counter)
    reaching: set[str] = field(default_factory=set)
    subgraphs: int = 0
    tensors: int = 0
    wild: list[tuple[str, int]] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)


def read_tflite(source: Source) -> TfliteModel:
    """Walk a model.

    Raises:
        BrokenFlatbuffer: an offset leads outside the file, or it is no such model.
        BudgetError: more to read than allowed.
    """
    flat, found = Flatbuffer(source), TfliteModel()
    if flat.at(4, 4) != b"TFL3":
        raise BrokenFlatbuffer("no TFLite model of schema 3")
    model = flat.root()
    codes = [_code(flat, table) for table in flat.tables(model, 1)]
    graphs = flat.tables(model, 2)
    buffers = flat.tables(model, 4)
    found.subgraphs = len(graphs)
    if not graphs:
        raise BrokenFlatbuffer("a model without a graph")
    calls: dict[int, set[int]] = {}
    for number, graph in enumerate(graphs):
        calls[number] = _graph(flat, graph, codes, (len(buffers), len(graphs)), found)
    if _circle(calls):
        found.wild.append(("subgraphs that run each other in a circle (CVE-2021-29591)", model))
    for table in buffers:
        _buffer(flat, table, found)
    return found


def _code(flat: Flatbuffer, table: int) -> tuple[int, str]:
    """The number of an operator (of old files a byte) and the name of a custom one."""
    number = max(flat.value(table, 3), flat.value(table, 0, 1))
    return number, flat.text(table, 1)


def _graph(
    flat: Flatbuffer, graph: int, codes: list[tuple[int, str]], most: tuple[int, int], found: TfliteModel
) -> set[int]:
    """Tensors and operators of one subgraph; returns the subgraphs that it runs."""
    tensors = flat.tables(graph, 0)
    found.tensors += len(tensors)
    for table in tensors:
        if flat.value(table, 2, signed=False) >= max(most[0], 1):
            found.wild.append(("a tensor whose buffer does not exist", table))
    for index in (1, 2):
        if any(not 0 <= row < len(tensors) for row in flat.numbers(graph, index)):
            found.wild.append(("a graph whose inputs or outputs are no tensors of it", graph))
    calls: set[int] = set()
    for table in flat.tables(graph, 3):
        found.operators += 1
        code = flat.value(table, 0, signed=False)
        if code >= len(codes):
            found.wild.append(("an operator of a kind that does not exist", table))
            continue
        if any(not -1 <= row < len(tensors) for row in flat.numbers(table, 1)) or any(
            not 0 <= row < len(tensors) for row in flat.numbers(table, 2)
        ):
            found.wild.append(("an operator on tensors that do not exist (CVE-2020-15211)", table))
        number, name = codes[code]
        if number == CUSTOM:
            _custom(flat, table, name, found)
        elif number in _CALLS and (options := flat.table(table, 4)):
            calls |= {flat.value(options, index) for index in _CALLS[number]}
    if any(not 0 <= row < most[1] for row in calls):
        found.wild.append(("an operator that runs a subgraph that does not exist", graph))
    return calls


def _custom(flat: Flatbuffer, table: int, name: str, found: TfliteModel) -> None:
    found.custom[name] += 1
    if not name.startswith("Flex"):
        return
    first, length = flat.vector(table, 5, 1)
    if length > MOST_OPTIONS:
        raise BudgetError(f"an operator with options of {length:,} bytes")
    options = flat.at(first, length) if first else b""
    for kind in REACHING:
        body = kind.encode()
        if name == f"Flex{kind}" or b"\x12" + bytes([len(body)]) + body in options:
            found.reaching.add(kind)


def _buffer(flat: Flatbuffer, table: int, found: TfliteModel) -> None:
    """A buffer lies in the table, or (models above 2 GB) behind it at an offset."""
    try:
        flat.vector(table, 0, 1)
    except BrokenFlatbuffer as error:
        found.cut.append(str(error))
    offset, size = flat.value(table, 1, 8, signed=False), flat.value(table, 2, 8, signed=False)
    if offset > 1 and offset + size > flat.size:
        if max(offset, size) >= 1 << 48:
            found.wild.append((f"a buffer of {size:,} bytes at {offset:,}", table))
        else:
            found.cut.append(f"a buffer of {size:,} bytes at {offset:,} ends behind the file")


def _circle(calls: dict[int, set[int]]) -> bool:
    """Whether a subgraph runs itself, through others too."""
    callers: dict[int, list[int]] = {}
    waits = {graph: len(rows & calls.keys()) for graph, rows in calls.items()}
    for graph, rows in calls.items():
        for row in rows & calls.keys():
            callers.setdefault(row, []).append(graph)
    ready, done = [graph for graph, count in waits.items() if not count], 0
    while ready:
        done += 1
        for caller in callers.get(ready.pop(), ()):
            waits[caller] -= 1
            if not waits[caller]:
                ready.append(caller)
    return done < len(calls)
