"""Pickles of plain values, whoever wrote them: the walk is silent, and leaves their values."""

from __future__ import annotations

import collections
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.pickles.walk import walk
from hubclean.scanning.sources import BytesSource
from support.pickled import state_dict, storage, stream, tensor


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol_are_silent(protocol: int) -> None:
    shared: list[Any] = ["a", 1]
    value = {
        "epoch": 3,
        "lr": 1e-3,
        "big": 1 << 70,
        "neg": -5,
        "flags": [True, False, None],
        "pair": (1, 2),
        "four": (1, 2, 3, 4),
        "name": "näme\n\\",
        "shared": [shared, shared],
        "bytes": b"\x00\xff" * 200,
        "metadata": collections.OrderedDict(a={"version": 1}),
        "empty": ((), [], {}),
        "long": "x" * 100_000,
    }
    if protocol < 3:
        value.pop("bytes") if protocol < 2 else None
    found = read_pickles(BytesSource(pickle.dumps(value, protocol)))
    assert found.problems == []
    assert not found.unchecked


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_arrays_and_scalars_are_silent(protocol: int) -> None:
    import numpy as np

    value = {
        "mean": np.arange(12, dtype="<f4").reshape(3, 4),
        "fortran": np.asfortranarray(np.ones((2, 3))),
        "scalar": np.float64(1.5),
        "index": np.int64(3),
        "dtype": np.dtype([("a", "<i4"), ("b", "u1", (2,))]),
    }
    assert read_pickles(BytesSource(pickle.dumps(value, protocol))).problems == []


def test_the_walk_leaves_values_for_a_tensor_reader() -> None:
    from hubclean.scanning.pickles.torch_tensors import tensors

    nested = state_dict(model=state_dict(w=tensor(storage("7", 12), (2, 3), (3, 1), 6), b=tensor(storage())))
    rows = dict(tensors(walk(stream(nested), 0, len(stream(nested))).root))
    record = rows["model", "w"]
    assert (record.storage.key, record.dtype, record.itemsize) == ("7", "float32", 4)
    assert (record.offset, record.size, record.stride) == (6, (2, 3), (3, 1))
    assert (record.storage.numel, record.storage.nbytes, record.storage.location) == (12, 48, "cpu")
    assert list(rows) == [("model", "w"), ("model", "b")]


@settings(max_examples=60, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
    protocol=st.integers(3, 5),
)
def test_what_python_writes_of_plain_values_is_silent(value: Any, protocol: int) -> None:
    assert read_pickles(BytesSource(pickle.dumps(value, protocol))).problems == []
