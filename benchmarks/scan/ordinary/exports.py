"""Repos without torch weights: right is exit 0, or 2 in words ("ONNX only"), never 1."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.scan.ordinary import other_formats as other
from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import VIT, classifier, labels, net
from benchmarks.scan.ordinary.kinds import kind

NONE = ("-", (0, 2))


def configured(folder: Path) -> None:
    """config.json, processor and card of a classifier whose weights are elsewhere."""
    net("ViTConfig", "ViTForImageClassification", **VIT, **labels()).config.save_pretrained(folder)
    beside.image_processor(folder)
    beside.card(folder, library="transformers.js")


@kind("xenova", *NONE)
def xenova(folder: Path) -> None:
    configured(folder)
    other.onnx_model(folder / "onnx/model.onnx")
    other.onnx_model(folder / "onnx/model_quantized.onnx", operators="com.microsoft")
    (folder / "quantize_config.json").write_text(json.dumps({"per_channel": True, "reduce_range": True}))


@kind("onnx-community", *NONE)
def onnx_community(folder: Path) -> None:
    configured(folder)
    for name in ("model", "model_bnb4", "model_fp16", "model_int8", "model_q4", "model_q4f16", "model_uint8"):
        other.onnx_model(folder / f"onnx/{name}.onnx", operators="" if name == "model" else "com.microsoft")


@kind("optimum-onnx-only", *NONE)
def optimum(folder: Path) -> None:
    configured(folder)
    other.onnx_model(folder / "model.onnx", external="model.onnx_data")
    (folder / "ort_config.json").write_text(json.dumps({"one_external_file": True, "opset": 14}, indent=2))


@kind("onnx-only-root", *NONE)
def onnx_only(folder: Path) -> None:
    other.onnx_model(folder / "model.onnx")
    (folder / "selected_tags.csv").write_text("tag_id,name,category,count\n1,import,0,5\n")
    beside.card(folder, library="onnx")


@kind("keras-push", *NONE)
def keras_push(folder: Path) -> None:
    """``push_to_hub_keras``: saved_model.pb, keras_metadata.pb, variables/, model.png, metadata.json."""
    other.saved_model(folder)
    beside.image(folder / "model.png")
    (folder / "metadata.json").write_text(json.dumps({"name": "model"}))
    beside.card(folder, library="keras")


@kind("keras-file", *NONE)
def keras_file(folder: Path) -> None:
    other.keras_file(folder / "model.keras")
    (folder / "class_names.json").write_text(json.dumps(["cat", "dog"]))
    beside.card(folder, library="keras")


@kind("keras-h5", *NONE)
def keras_h5(folder: Path) -> None:
    other.keras_file(folder / "model.h5")
    beside.card(folder, library="tf-keras")


@kind("tensorflow-transformers-only", *NONE)
def tf_only(folder: Path) -> None:
    classifier(folder, "tf")


@kind("flax-only", *NONE)
def flax_only(folder: Path) -> None:
    classifier(folder, "flax")


@kind("core-ml-only", *NONE, by_hand=("model.mlmodel",))
def core_ml(folder: Path) -> None:
    other.core_ml(folder / "model.mlmodel")
    beside.card(folder, library="coreml")


@kind("tflite-only", *NONE)
def tflite(folder: Path) -> None:
    other.tflite(folder / "model.tflite")
    (folder / "labels.txt").write_text("cat\ndog\n")
    beside.card(folder, library="tflite")


@kind("openvino-only", *NONE, by_hand=("openvino_model.xml", "openvino_model.bin"))
def openvino(folder: Path) -> None:
    configured(folder)
    other.open_vino(folder)


@kind("gguf-vision", *NONE)
def gguf(folder: Path) -> None:
    template = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    other.gguf(folder / "mmproj-model-f16.gguf")
    other.gguf(folder / "model-Q4_K_M.gguf", template)
    beside.card(folder, library="gguf")


@kind("tfjs", *NONE, by_hand=("model.json", "group1-shard1of1.bin"))
def tfjs(folder: Path) -> None:
    layer = {"class_name": "Dense", "config": {"units": 2, "name": "dense", "activation": "softmax"}}
    topology = {
        "keras_version": "2.15.0",
        "backend": "tensorflow",
        "model_config": {"class_name": "Sequential", "config": {"layers": [layer]}},
    }
    weights = [{"name": "dense/kernel", "shape": [4, 2], "dtype": "float32"}]
    text = {
        "format": "layers-model",
        "generatedBy": "keras v2.15.0",
        "convertedBy": "TensorFlow.js Converter v4.20.0",
        "modelTopology": topology,
        "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": weights}],
    }
    (folder / "model.json").write_text(json.dumps(text))
    (folder / "group1-shard1of1.bin").write_bytes(bytes(range(32)))
    beside.card(folder, library="tf-keras")


@kind("sklearn-skops", *NONE)
def skops(folder: Path) -> None:
    import skops.io

    skops.io.dump(probe(), folder / "model.skops")
    (folder / "config.json").write_text(
        json.dumps({"sklearn": {"model": {"file": "model.skops"}, "model_format": "skops"}})
    )
    beside.card(folder, library="sklearn")


def probe() -> object:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])


@kind("sklearn-joblib", "-", (0, 2))
def joblib(folder: Path) -> None:
    """A linear probe by joblib: a pickle of a listed estimator, which holds state and no more."""
    import joblib

    joblib.dump(probe(), folder / "probe.joblib")
    joblib.dump(probe(), folder / "probe_compressed.joblib", compress=3)
    (folder / "config.json").write_text(
        json.dumps({"sklearn": {"model": {"file": "probe.joblib"}, "model_format": "pickle"}})
    )
    beside.card(folder, library="sklearn")
