"""What is found in pickles against real readers: torch's restricted one, and Python's with nothing behind its names."""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.allowed_names import allowed_names, resolved
from hubclean.scanning.pickles.record_names import state_names
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.rules import RULES, Problem
from hubclean.scanning.sources import BytesSource
from support.pickled import PLAIN, call, name, number, row, state_dict, storage, stream, tensor, text

pytestmark = pytest.mark.filterwarnings("ignore")
SEVERE = ("high", "critical")
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64]


def severe(problems: list[Problem]) -> list[Problem]:
    return [row for row in problems if (row.severity or RULES[row.rule].severity) in SEVERE]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Tensors as checkpoints hold them: of many types, as views, sparse, quantised, parameters with attributes."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    made = torch.zeros(shape, dtype=draw(st.sampled_from(DTYPES)))
    kind = draw(st.sampled_from(["plain", "view", "sparse", "csr", "quantised", "channels", "parameter", "attribute"]))
    if kind == "view" and made.dim():
        return made.transpose(0, -1)[:1]
    if kind == "sparse":
        return torch.eye(3).to_sparse()
    if kind == "csr":
        return torch.eye(3).to_sparse_csr()
    if kind == "quantised":
        return torch.quantize_per_tensor(torch.ones(2), 0.5, 1, torch.qint8)
    if kind == "channels":
        return torch.quantize_per_channel(torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0, torch.qint8)
    if kind == "parameter" and made.is_floating_point():
        return torch.nn.Parameter(made)
    if kind == "attribute":
        made.note = {"a": 1}  # type: ignore[attr-defined]
    return made


KEYS = st.text(max_size=4) | st.integers(-3, 1 << 40) | st.tuples(st.integers(0, 3), st.text(max_size=2))
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.complex_numbers(max_magnitude=9)
    | st.binary(max_size=8).map(bytearray) | st.sets(st.integers(0, 9), max_size=3) | tensors()
    | st.sampled_from([*DTYPES, torch.device("cpu"), torch.Size([1, 2]), torch.ones(2).untyped_storage()])
)  # fmt: skip
CHECKPOINTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(KEYS, st.integers(0, 9), max_size=3).map(collections.Counter)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=CHECKPOINTS, new=st.booleans())
def test_whatever_torch_loads_as_plain_data_is_never_severe(value: Any, new: bool) -> None:
    body = io.BytesIO()
    torch.save(value, body, _use_new_zipfile_serialization=new)
    body.seek(0)
    try:
        torch.load(body, weights_only=True)  # noqa: TID251
    except Exception:
        return  # torch writes untyped storages into its old format, and does not read them
    source = BytesSource(body.getvalue())
    found: Any = read_zip(source) if new else read_pickles(source)
    assert severe(found.problems) == []
    assert not found.unchecked


class Stub:
    """Stands for whatever a pickle makes, and does nothing."""

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def __call__(self, *given: Any, **named: Any) -> Stub:
        return Stub()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    extend = append

    def __hash__(self) -> int:
        return 0


class Recorder(pickle._Unpickler):
    """Python's own unpickler with nothing behind the names that it is asked for."""

    def __init__(self, body: bytes) -> None:
        super().__init__(io.BytesIO(body))
        self.asked: set[tuple[str, str]] = set()

    def find_class(self, module: str, attribute: str) -> Any:
        self.asked.add((module, attribute))
        return Stub

    def persistent_load(self, key: Any) -> Any:
        return Stub()


SEEDS = [
    PLAIN,
    stream(state_dict(a=tensor(storage()), b=call("collections", "OrderedDict"))),
    stream(row(call("os", "system", text("id")), number(1))),
    stream(text("os") + text("system") + b"\x93" + row(text("id")) + b"R", 4),
    stream(call("collections", "defaultdict", name("builtins", "list"))),
    pickle.dumps({"a": [1, 2.5, (None, True)], "b": {1, 2}, "c": b"xy"}, 4),
    pickle.dumps(collections.OrderedDict(a=1), 0),
    stream(call("_codecs", "encode", text("x"), text("latin1"))),
    stream(name("argparse", "Namespace") + b")\x81}" + text("lr") + number(1) + b"sb"),
]
PARTS = [b"0", b"2", b"N", b")", b"}", b"]", b"(", b"t", b"R", b"\x81", b"b", b"s", b"a", b"h\x00", b"q\x00", b"\x94",
         b".", name("os", "system"), name("builtins", "eval"), name("evil", "run"), b"\x93", text("os"), text("system"),
         b"Q", b"\x85", b"o", b"1", b"e", b"u"]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real pickle with bytes changed, cut out, doubled, or opcodes put in."""
    body = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(2, max(2, len(body) - 1)))
        how = draw(st.sampled_from(["change", "cut", "put", "put", "put", "double"]))
        if how == "change" and at < len(body):
            body[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del body[at : at + draw(st.integers(1, 4))]
        elif how == "double":
            body[at:at] = body[max(2, at - 6) : at]
        else:
            body[at:at] = draw(st.sampled_from(PARTS))
    return bytes(body)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=mutated())
def test_whatever_python_would_look_up_is_allowed_or_found(body: bytes) -> None:
    recorder = Recorder(body)
    try:
        recorder.load()
        whole = True
    except Exception:
        whole = False
    known = allowed_names() | state_names()
    foreign = {pair for pair in recorder.asked if pair not in known and resolved(*pair) not in known}
    found = read_pickles(BytesSource(body))
    if foreign:
        assert severe(found.problems) or found.unchecked, (foreign, body)
    elif whole and not severe(found.problems):
        assert found.walks[0].complete


@pytest.mark.parametrize("value", [[1, "a", 2.5], {"a": None}, (), {"x": [b"ab", 1 << 70]}])
@pytest.mark.parametrize("protocol", range(3))
def test_what_python_2_wrote_is_never_severe(value: Any, protocol: int) -> None:
    body = pickle.dumps(value, protocol, fix_imports=True)
    assert severe(read_pickles(BytesSource(body)).problems) == []
    old = body.replace(b"X\x01\x00\x00\x00", b"U\x01").replace(b"Va\n", b"S'a'\n")  # texts were bytes
    assert severe(read_pickles(BytesSource(old)).problems) == []
