"""Keras and TensorFlow once more."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import zipped
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
    with_attribute,
)
from benchmarks.scan.hostile.ordinary import vit

CARD = "# Model\n"
UNSAFE = "Keras before 3.9 (CVE-2025-1550) imports the module and calls what it names"
RUNS = "Keras before 2.13, or safe_mode=False: the marshalled code runs"
CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAAA\n", "defaults": None, "closure": None}}
OLD_LAMBDA = {
    "class_name": "Lambda",
    "config": {"name": "l", "function": ["4wEAAAAA\n", None, None], "function_type": "lambda"},
}
OLD_DENSE = {"class_name": "Dense", "config": {"name": "d", "units": 2}}


def _file(label: str, config: dict[str, Any], loader: str = UNSAFE) -> Case:
    return bad(label, loader, lambda: {"head.keras": keras(config), "README.md": CARD})


def _old(label: str, body: bytes, loader: str = RUNS, path: str = "weights.h5") -> Case:
    return bad(label, loader, lambda: {path: body, "README.md": CARD})


def _graph(label: str, body: bytes, loader: str) -> Case:
    return bad(label, loader, lambda: {"saved_model.pb": body, "README.md": CARD})


CASES: tuple[Case, ...] = (
    _file("activation-is-code", sequential(layer("Dense", {"units": 2, "activation": CODE})), RUNS),
    _file(
        "metric-is-code",
        sequential(DENSE, compile_config={"optimizer": "adam", "loss": "mse", "metrics": [CODE]}),
        RUNS,
    ),
    _file(
        "lambda-by-its-full-path",
        sequential(layer("Lambda", {"function": CODE}, "keras.src.layers.core.lambda_layer")),
        RUNS,
    ),
    _file(
        "regularizer-of-another-module",
        sequential(
            layer(
                "Dense",
                {
                    "units": 2,
                    "kernel_regularizer": {
                        "module": "pty",
                        "class_name": "function",
                        "config": "spawn",
                        "registered_name": "spawn",
                    },
                },
            )
        ),
    ),
    _file(
        "optimizer-of-another-module",
        sequential(
            DENSE,
            compile_config={
                "optimizer": {
                    "module": "subprocess",
                    "class_name": "Popen",
                    "config": {"args": ["true"]},
                    "registered_name": None,
                }
            },
        ),
    ),
    _file(
        "loading-function-of-keras",
        sequential(
            layer(
                "Lambda",
                {
                    "function": function("keras.models", "load_model"),
                    "arguments": {"filepath": "/tmp/x", "safe_mode": False},
                },
            )
        ),
        "Keras 3.0 to 3.10: a function of Keras itself loads another model unsafely",
    ),
    _file(
        "archive-of-keras",
        sequential(layer("Lambda", {"function": function("keras.src.utils.file_utils", "extract_archive")})),
        "Keras 3.0 to 3.10: unpacks any archive anywhere",
    ),
    _file(
        "integers-from-a-key",
        sequential(layer("IntegerLookup", {"vocabulary": "~/.ssh/id_rsa"})),
        "Keras before 3.12 reads the file",
    ),
    _file(
        "module-that-acts",
        sequential(layer("Window", {"units": 2}, "idlelib.idle", "w>Window")),
        "Keras before 3.9 imports idlelib.idle, which starts IDLE",
    ),
    bad(
        "folder-of-a-preset",
        RUNS,
        lambda: {
            "config.json": {
                "module": "keras_hub.src.models.vit.vit_backbone",
                "class_name": "ViTBackbone",
                "config": {"name": "b", "layers": [layer("Lambda", {"function": CODE})]},
                "registered_name": "keras_hub>ViTBackbone",
            },
            "metadata.json": {"keras_version": "3.5.0"},
            "model.weights.h5": WEIGHTS,
            "README.md": CARD,
        },
    ),
    bad(
        "task-of-a-preset",
        UNSAFE,
        lambda: {
            "config.json": sequential(DENSE),
            "task.json": sequential(layer("Popen", {"args": "x"}, "subprocess")),
            "metadata.json": {"keras_version": "3.5.0"},
            "model.weights.h5": WEIGHTS,
            "README.md": CARD,
        },
    ),
    bad(
        "second-config-in-the-zip",
        "zipfile takes the last of both members: " + RUNS,
        lambda: {"m.keras": _two_configs(), "README.md": CARD},
    ),
    _old(
        "lambda-in-a-wrapper",
        old(old_model(OLD_DENSE, {"class_name": "TimeDistributed", "config": {"layer": OLD_LAMBDA}})),
    ),
    _old(
        "lambda-in-the-loss",
        old(
            old_model(OLD_DENSE),
            training_config=json.dumps({"loss": {"class_name": "__lambda__", "config": CODE["config"]}}),
        ),
    ),
    _old(
        "network-share",
        hdf5(Group({}, {"model_weights": ("\\\\host\\share\\x.h5", "/")})),
        "h5py on Windows asks that host, with the user's credentials",
    ),
    _old(
        "external-link-deep-inside",
        hdf5(Group({"keras_version": "2.4"}, {"a": Group({}, {"b": Group({}, {"c": ("../../x.h5", "/d")})})})),
        "h5py follows links to other files",
        "tf_model.h5",
    ),
    _old(
        "storage-outside-deep-inside",
        hdf5(Group({}, {"a": Group({}, {"w": (16, "../../../etc/shadow", 0)})})),
        "h5py reads that file",
    ),
    _graph(
        "prints-into-a-file", with_attribute("PrintV2", "output_stream", "file:///tmp/x"), "a call appends to a file"
    ),
    _graph("reads-a-database", saved_model("LMDBReader", "ReaderReadV2"), "a call reads files of the machine"),
    _graph("writes-summaries", saved_model("SummaryWriter", "CreateSummaryFileWriter"), "a call makes files"),
    # twins
    twin(
        "functional",
        "keras",
        lambda: {
            "m.keras": keras(
                {
                    "module": "keras.src.models.functional",
                    "class_name": "Functional",
                    "registered_name": "Functional",
                    "config": {
                        "name": "f",
                        "layers": [
                            layer("InputLayer", {"batch_shape": [None, 3]}),
                            layer(
                                "Dense",
                                {
                                    "units": 2,
                                    "activation": "relu",
                                    "kernel_regularizer": {
                                        "module": "keras.regularizers",
                                        "class_name": "L2",
                                        "config": {"l2": 0.01},
                                        "registered_name": None,
                                    },
                                },
                            ),
                        ],
                        "input_layers": [["input", 0, 0]],
                        "output_layers": [["dense", 0, 0]],
                    },
                }
            ),
            "README.md": CARD,
        },
    ),
    twin(
        "old-functional",
        "keras 2",
        lambda: {
            "m.h5": old(
                {"class_name": "Functional", "config": {"name": "f", "layers": [OLD_DENSE]}},
                training_config=json.dumps(
                    {
                        "loss": "mse",
                        "metrics": [
                            [
                                {
                                    "class_name": "MeanMetricWrapper",
                                    "config": {"name": "accuracy", "fn": "categorical_accuracy"},
                                }
                            ]
                        ],
                    }
                ),
            ),
            "README.md": CARD,
        },
    ),
    twin(
        "preset",
        "keras_hub",
        lambda: {
            "config.json": {
                "module": "keras_hub.src.models.vit.vit_backbone",
                "class_name": "ViTBackbone",
                "config": {"name": "b", "patch_size": 16},
                "registered_name": "keras_hub>ViTBackbone",
            },
            "metadata.json": {"keras_version": "3.5.0"},
            "model.weights.h5": WEIGHTS,
            "README.md": CARD,
        },
    ),
    twin(
        "weights-of-tensorflow-beside",
        "transformers 4",
        lambda: vit(
            {
                "tf_model.h5": hdf5(
                    Group({"layer_names": "vit"}, {"vit": Group({}, {"embeddings": Group({}, {"kernel:0": 6})})})
                )
            }
        ),
    ),
    twin(
        "serving",
        "tf.saved_model.load",
        lambda: {
            "saved_model.pb": saved_model(
                "VarHandleOp",
                "ReadVariableOp",
                "Conv2D",
                "RestoreV2",
                "SaveV2",
                "MergeV2Checkpoints",
                "ShardedFilename",
                "NoOp",
                library=True,
            ),
            "README.md": CARD,
        },
    ),
    twin(
        "print-to-the-screen",
        "tf.saved_model.load",
        lambda: {"saved_model.pb": with_attribute("PrintV2", "output_stream", "stderr"), "README.md": CARD},
    ),
)


def _two_configs() -> bytes:
    """The second is called otherwise until its name is changed in the bytes."""
    evil = json.dumps(sequential(layer("Lambda", {"function": CODE})))
    held = {"config.json": json.dumps(sequential(DENSE)), "xonfig.json": evil, "metadata.json": "{}"}
    first = zipped(held | {"model.weights.h5": WEIGHTS})
    return first.replace(b"xonfig.json", b"config.json")
