"""What Keras and TensorFlow write: configs of models, .keras and .h5 files, saved_model.pb. By hand."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.scan.hostile.file_bytes import field, zipped
from benchmarks.scan.hostile.hdf5_bytes import Group, hdf5

WEIGHTS = hdf5(Group({}, {"layers": Group({}, {"dense": Group({}, {"vars": Group({}, {"0": 6})})})}))


def layer(
    kind: str, config: dict[str, Any], module: str = "keras.layers", registered: str | None = None
) -> dict[str, Any]:
    """A layer as Keras 3 writes it."""
    config = {"name": kind.lower(), "trainable": True} | config
    return {
        "module": module,
        "class_name": kind,
        "config": config,
        "registered_name": registered,
        "build_config": {"input_shape": [None, 3]},
    }


def function(module: str, name: str) -> dict[str, Any]:
    """A function by its name."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


DENSE = layer(
    "Dense",
    {
        "units": 2,
        "activation": "softmax",
        "use_bias": True,
        "kernel_initializer": {
            "module": "keras.initializers",
            "class_name": "GlorotUniform",
            "config": {"seed": None},
            "registered_name": None,
        },
    },
)
COMPILED = {
    "optimizer": {
        "module": "keras.optimizers",
        "class_name": "Adam",
        "config": {"learning_rate": 0.001},
        "registered_name": None,
    },
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy"],
}


def sequential(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A model's config.json."""
    first = layer("InputLayer", {"batch_shape": [None, 3], "dtype": "float32"})
    held = {"name": "sequential", "layers": [first, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": held, "registered_name": None,
            "build_config": {"input_shape": [None, 3]}, "compile_config": COMPILED} | more  # fmt: skip


def keras(config: dict[str, Any], more: dict[str, bytes | str] | None = None) -> bytes:
    """A .keras file."""
    held: dict[str, bytes | str] = {
        "metadata.json": '{"keras_version": "3.4.1", "date_saved": "2024-09-01@10:00:00"}',
        "config.json": json.dumps(config),
        "model.weights.h5": WEIGHTS,
    }
    return zipped(held | (more or {}))


def old(model: dict[str, Any], **attributes: str) -> bytes:
    """An .h5 file of Keras 2."""
    held = {"model_config": json.dumps(model), "keras_version": "2.12.0", "backend": "tensorflow"}
    return hdf5(Group(held | attributes, {"model_weights": Group({}, {"dense": Group({}, {"kernel:0": 6})})}))


def old_model(*layers: dict[str, Any]) -> dict[str, Any]:
    """A Sequential of Keras 2."""
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


def saved_model(*operations: str, library: bool = False) -> bytes:
    """saved_model.pb with nodes of these operations, in the graph or in a function of its library."""
    nodes = [field(1, f"n{index}") + field(2, kind) for index, kind in enumerate(operations)]
    plain = field(1, field(1, "x") + field(2, "Placeholder"))
    if library:
        body = field(1, field(1, "__inference_call_7")) + b"".join(field(3, node) for node in nodes)
        graph = plain + field(2, field(1, body))
    else:
        graph = plain + b"".join(field(1, node) for node in nodes)
    return field(1, 1) + field(2, field(1, field(4, "serve")) + field(2, graph))


def with_attribute(kind: str, key: str, value: str) -> bytes:
    """saved_model.pb with one node that has a text as attribute."""
    node = field(1, "n") + field(2, kind) + field(5, field(1, key) + field(2, field(2, value)))
    return field(1, 1) + field(2, field(1, field(4, "serve")) + field(2, field(1, node)))
