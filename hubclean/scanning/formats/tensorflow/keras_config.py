"""Configs of Keras, of version 1 to 3 and of TensorFlow.js: what building the model from one would run or open.

Source: keras/src/saving, keras/src/layers/core/lambda_layer.py, keras/src/layers/preprocessing/index_lookup.py,
keras/src/utils/torch_utils.py, tf_keras/src/layers/core/tf_op_layer.py; CVE-2024-3660, CVE-2025-1550, CVE-2025-8747,
CVE-2025-9905, CVE-2025-9906, CVE-2025-12058, CVE-2026-1462.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hubclean.scanning.budget import spend
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.tensorflow.keras_names import plain_operation, standing
from hubclean.scanning.pickles.allowed_names import is_dangerous
from hubclean.scanning.rules import Problem

_LOOKUPS = ("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization")
_LOADERS = {
    "TFSMLayer": "loads a SavedModel from a path (CVE-2026-1462)",
    "TorchModuleWrapper": "unpickles a torch module",
}
_WORD_KEYS = ("vocabulary", "merges", "vocabulary_file", "vocab_file")
_PATH = re.compile(r"^([/~\\]|[A-Za-z]:\\|[a-z0-9]{2,9}:)|(^|[/\\])\.\.([/\\]|$)|\.(txt|json|csv|tsv|vocab|model)$")
_KERAS_MODULE = re.compile(r"(keras|tf_keras|tensorflow|keras_hub|keras_nlp|keras_cv)(\.|$)")
_LAMBDA = re.compile(r"(^|>)Lambda$")
_OPTIMIZERS = ("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Nadam", "RMSprop", "SGD")
_OPERATIONS = ("TFOpLambda", "SlicingOpLambda")


_WORDS = (b'"class_name"', b'"module"', b'"registered_name"', b"\\u")  # or an escape that may spell one


def is_keras(text: bytes) -> bool:
    """Whether JSON may hold what ``keras_problems`` looks for."""
    return any(word in text for word in _WORDS)


def is_keras_root(text: bytes) -> bool:
    """Whether JSON is something that Keras builds objects from: at its root, or wherever an object is Keras's by its
    own fields, since ``deserialize_keras_object`` goes down through plain objects and lists."""
    try:
        root = read_json(text)[0]
    except JsonProblem:
        return False
    if isinstance(root, dict) and _names_a_class(root):
        return True
    upper = {id(value) for value in root.values()} if isinstance(root, dict) else set()
    return any(
        _names_a_class(value) and (_is_kerass_own(value) or ("module" not in value and id(value) in upper))
        for value in _objects([root])
    )


def _names_a_class(value: dict[str, Any]) -> bool:
    return isinstance(value.get("class_name"), str) and "config" in value


def _is_kerass_own(value: dict[str, Any]) -> bool:
    """Whether an object has what only Keras writes, or a module of Python itself, which no other config names."""
    module, name = value.get("module"), value["class_name"]
    if "registered_name" in value or (isinstance(module, str) and _KERAS_MODULE.match(module)):
        return True
    function = name == "function"
    called = value["config"] if function and isinstance(value["config"], str) else name
    return isinstance(module, str) and standing(module, called, function, called) == "dangerous"


def keras_problems(text: bytes, offset: int | None, where: str) -> tuple[list[Problem], str]:
    """What a Keras config in JSON would run or open, at ``offset`` of the file, under the name ``where``.

    Returns:
        The rules broken, and why it could not be judged; empty if it could.
    """
    try:
        root, twice = read_json(text)
    except JsonProblem as error:
        return [], f"{where} does not parse as JSON: {error}"
    found: dict[Problem, None] = {}
    for value in _objects([root, *(value for _, value in twice)]):
        for rule, what, severity in _object(value):
            found[Problem(rule, f"{where}: {what}", offset, severity=severity)] = None
    return list(found), ""


def _objects(roots: list[object]) -> Iterator[dict[str, Any]]:
    """Every object of JSON trees."""
    todo = roots
    while todo:
        value = todo.pop()
        spend()
        if isinstance(value, dict):
            yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


Row = tuple[str, str, Any]


def _object(value: dict[str, Any]) -> Iterator[Row]:
    yield from _code(value)
    name = value.get("class_name")
    if not isinstance(name, str):
        return
    inner = value.get("config")
    short = name.rpartition(">")[2]
    if name == "function":
        yield from _reference(value, inner, True)
    elif name == "__typespec__":
        yield from _reference(value, value.get("spec_name"), False)
    elif not name.startswith("__"):
        yield from _reference(value, name, False)
    if short in _LOADERS:
        yield "HC-KER-003", f"the layer {short} {_LOADERS[short]}", None
    if isinstance(inner, dict):
        yield from _layer(short, inner)


def _code(value: dict[str, Any]) -> Iterator[Row]:
    """Bytecode, as Keras marshals lambdas: an object of its own kind, or beside a field that says so."""
    if value.get("class_name") == "__lambda__":
        yield "HC-KER-001", "a lambda as marshalled bytecode", None
    for key, kind in value.items():
        if key.endswith("_type") and kind == "lambda":
            yield "HC-KER-001", f"{key[:40]} is lambda: marshalled bytecode", None
    inner, name = value.get("config"), value.get("class_name")
    if not isinstance(inner, dict) or not isinstance(name, str) or not _LAMBDA.search(name):
        return
    function = inner.get("function")
    if isinstance(function, list):
        yield "HC-KER-001", "a Lambda layer with marshalled bytecode", None
    elif (
        isinstance(function, str) and isinstance(module := inner.get("module"), str) and is_dangerous(module, function)
    ):
        yield "HC-KER-002", f"a Lambda layer calls {module[:80]}.{function[:80]}, of Python itself", "critical"
    elif isinstance(function, str):
        yield "HC-KER-002", f"a Lambda layer calls {function[:80]!r}, which the loading program has to have", "medium"


def _reference(value: dict[str, Any], name: object, function: bool) -> Iterator[Row]:
    module, registered = value.get("module"), value.get("registered_name")
    if not isinstance(name, str):
        return
    own = registered if isinstance(registered, str) else name
    if own.startswith("Custom>") and own[7:] in _OPTIMIZERS:
        return  # TensorFlow 2.11 and 2.12 write their own optimizers so
    kind = standing(module if isinstance(module, str) else None, name, function, own)
    shown = f"{'function' if function else 'class'} {f'{module}.' if isinstance(module, str) else ''}{name}"[:160]
    if kind == "dangerous":
        yield "HC-KER-002", f"{shown}, of Python itself (CVE-2025-1550)", "critical"
    elif kind == "outside":
        yield "HC-KER-002", f"{shown}, from outside Keras (CVE-2025-1550)", None
    elif kind == "reaches":
        yield "HC-KER-003", f"{shown}: of Keras, and no layer or operation (CVE-2025-8747)", None
    elif kind == "custom":
        yield "HC-KER-002", f"{shown} ({own[:60]}): the author's own, which the loading program has to have", "medium"


def _layer(name: str, inner: dict[str, Any]) -> Iterator[Row]:
    for key in _WORD_KEYS:
        words = inner.get(key)
        if isinstance(words, str) and words and (name in _LOOKUPS or _PATH.search(words[-400:])):
            yield "HC-KER-003", f"{name[:60]} reads {key} from {words[:80]!r} (CVE-2025-12058)", None
    if name == "KerasLayer" and isinstance(inner.get("handle"), str):
        yield "HC-KER-003", f"KerasLayer loads a SavedModel from {inner['handle'][:100]!r}", "medium"
    symbol = inner.get("function")
    if name in _OPERATIONS and isinstance(symbol, str) and not plain_operation(symbol):
        yield "HC-KER-003", f"{name} calls tf.{symbol[:80]}", None
    if name in ("ClassMethod", "InstanceMethod", "InstanceProperty"):
        yield from _method(name, inner)


def _method(name: str, inner: dict[str, Any]) -> Iterator[Row]:
    """A method of a class of TensorFlow's; ragged and sparse tensors have some that models use."""
    for key in ("class_symbol", "method_name", "attr_name"):
        text = inner.get(key)
        if isinstance(text, str) and not (plain_operation(text) and not text.startswith("_")):
            yield "HC-KER-003", f"{name} calls {text[:80]}", None
