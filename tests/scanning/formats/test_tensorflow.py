"""Parsers of TensorFlow's formats against changed files: they end, and raise nothing of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning.formats.tensorflow.bundle import read_bundle
from hubclean.scanning.formats.tensorflow.graphs import leaves, read_graph
from hubclean.scanning.formats.tensorflow.keras_config import keras_problems
from hubclean.scanning.formats.tensorflow.keras_names import plain_operation, standing
from hubclean.scanning.formats.tensorflow.text_graphs import read_text_graph
from hubclean.scanning.formats.tensorflow.tfjs import read_manifest
from hubclean.scanning.formats.tensorflow.tfrecord import read_records
from hubclean.scanning.sources import BytesSource
from support import ROOT

FOLDER = ROOT / "tests" / "scanning" / "fixtures" / "tensorflow"
FILES = sorted(place for place in FOLDER.rglob("*") if place.is_file() and place.stat().st_size < 100_000)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from(["Lambda", "os", "function"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["class_name", "module", "config", "registered_name", "function", "function_type", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), place=st.sampled_from(FILES))
def test_a_changed_file_never_breaks_a_parser(data: st.DataObject, place: Path) -> None:
    body = bytearray(place.read_bytes())
    for _ in range(data.draw(st.integers(0, 5)) if body else 0):
        at = data.draw(st.integers(0, len(body) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=6))
        body[at : at + len(patch)] = patch
    source = BytesSource(bytes(body[: data.draw(st.integers(len(body) // 2, len(body)))]))
    for name in ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb", "frozen.pb", "a.meta"):
        read_graph(source, name)
    read_bundle(source)
    read_records(source)
    read_text_graph(source.data.decode("utf-8", "replace"))


@given(value=json_values)
def test_any_json_as_a_config(value: Any) -> None:
    problems, why = keras_problems(json.dumps(value).encode(), None, "config")
    assert why == ""
    assert all(problem.rule.startswith("HC-KER-") for problem in problems)
    read_manifest({"weightsManifest": value, "modelTopology": value}, b"{}", "model.json", {})
    read_manifest({"weightsManifest": [{"paths": ["a"], "weights": value}]}, b"{}", "model.json", {"a": 4})


@pytest.mark.parametrize(
    ("module", "name", "function", "registered", "expected"),
    [
        (None, "Dense", False, "Dense", "own"),
        (None, "Net", False, "pkg>Net", "custom"),
        ("keras.layers", "Dense", False, "Dense", "own"),
        ("keras.src.applications.convnext", "LayerScale", False, "LayerScale", "own"),
        ("keras.src.applications.convnext", "decode_predictions", True, "x", "reaches"),
        ("keras.callbacks", "CSVLogger", False, "CSVLogger", "reaches"),
        ("keras.ops", "relu", True, "relu", "own"),
        ("keras.losses", "deserialize", True, "deserialize", "reaches"),
        ("keras_hub.src.utils.preset_utils", "get_file", True, "get_file", "outside"),
        ("keraslike.layers", "Dense", False, "Dense", "outside"),
        ("tensorflow.python.framework.tensor_spec", "TensorSpec", False, "TensorSpec", "own"),
        ("tensorflow.python.ops.io_ops", "ReadFile", False, "a>ReadFile", "outside"),
        ("subprocess", "Popen", False, "a>Popen", "dangerous"),
        ("builtins", "relu", True, "relu", "own"),
        ("builtins", "my_loss", True, "my_loss", "custom"),
    ],
)
def test_standing(module: str | None, name: str, function: bool, registered: str, expected: str) -> None:
    assert standing(module, name, function, registered) == expected


@pytest.mark.parametrize("symbol", ["io.read_file", "py_function", "data.Dataset", "a.b", "raw_ops.PyFunc", "", "nn."])
def test_operations_that_are_not_plain(symbol: str) -> None:
    assert not plain_operation(symbol)


@pytest.mark.parametrize("path", ["/a", "..", "a/../../b", "C:\\a", "gs://a/b", "~/a", "\\\\host\\a"])
def test_paths_that_leave(path: str) -> None:
    assert leaves(path)
    assert not leaves("assets/vocab.txt")


def test_messages_within_messages_cost_no_more_than_their_bytes() -> None:
    body = b""
    for _ in range(5000):
        size = len(body) + 0
        length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
        body = b"\x0a" + length + body
    read_graph(BytesSource(body), "frozen.pb")
