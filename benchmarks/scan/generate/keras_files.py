"""Small files of Keras, TensorFlow and h5py for tests/scanning/fixtures, by the real libraries.

python -m venv /somewhere && /somewhere/bin/pip install h5py keras tensorflow-cpu tf_keras tensorboard
/somewhere/bin/pip install --no-deps tensorflowjs
/somewhere/bin/python benchmarks/scan/generate/keras_files.py tests/scanning/fixtures
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil
import sys
import types
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
import h5py
import keras
import numpy as np
import tensorflow as tf
import tf_keras


def twice() -> object:
    """A lambda that does not know in which file it was written."""
    return eval(compile("lambda x: x * 2", "generated", "eval"))


def keras_models(good: Path, bad: Path) -> None:
    """Keras 3 and tf_keras in their formats."""
    of = keras.layers

    def save(model: keras.Model, name: str) -> None:
        for ending in (".keras", ".h5"):
            model.save(good / f"{name}{ending}")

    blocks = [of.Rescaling(1 / 255), of.RandomFlip(), of.Conv2D(2, 3, kernel_regularizer="l2"), of.BatchNormalization()]
    head = [of.GlobalAveragePooling2D(), of.Dropout(0.2), of.Dense(3, "softmax", kernel_constraint="max_norm")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *blocks, *head])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, ["accuracy"])
    save(model, "sequential")
    model.save_weights(good / "sequential.weights.h5")
    start = keras.Input((8, 8, 3))
    value = keras.ops.relu(of.Conv2D(2, 3, padding="same")(start)) * 2
    value = keras.ops.reshape(value, (-1, 128))[:, 1:]
    save(keras.Model(start, of.Dense(2, activation=keras.activations.gelu)(value)), "operations")
    words = keras.Input((1,), dtype="string")
    save(keras.Model(words, of.Embedding(4, 2)(of.StringLookup(vocabulary=["a", "b"])(words))), "lookup")

    @keras.saving.register_keras_serializable("my_pkg")
    class Mine(of.Layer):
        pass

    save(keras.Sequential([keras.Input((3,)), Mine(), of.Dense(2)]), "custom")
    model = keras.Sequential([keras.Input((3,)), of.Lambda(twice())])
    model.save(bad / "lambda.keras")
    model.save(bad / "lambda.h5")
    old = tf_keras.layers
    start = tf_keras.Input((8, 8, 3))
    value = tf.reshape(tf.nn.relu(old.Conv2D(2, 3)(start)) + 1.0, (-1, 72))
    model = tf_keras.Model(start, tf.math.sqrt(value)[:, 3:])
    model.compile("adam", "mse")
    model.save(good / "keras2.h5")
    model.save(good / "keras2.keras")
    model = tf_keras.Sequential([tf_keras.Input((3,)), old.Lambda(twice())])
    model.save(bad / "keras2_lambda.h5")
    model.save(bad / "keras2_lambda.keras")


def saved_models(good: Path, bad: Path) -> None:
    """SavedModels of Keras and of plain TensorFlow, checkpoints, frozen graphs."""
    dense = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    dense.save(good / "keras2_saved")
    dense.save_weights(good / "checkpoint" / "model.ckpt")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).export(good / "keras3_export", verbose=False)
    number = [tf.TensorSpec([], tf.float32)]

    def calls(name: str, body: object, folder: Path) -> None:
        module = tf.Module()
        module.run = tf.function(body, input_signature=number)
        tf.saved_model.save(module, folder / name)

    def prints(value: tf.Tensor) -> tf.Tensor:
        tf.print(value)
        return value

    def prints_to_file(value: tf.Tensor) -> tf.Tensor:
        tf.print(value, output_stream="file:///tmp/a")
        return value

    def writes(value: tf.Tensor) -> tf.Tensor:
        tf.io.write_file("/tmp/a", "b")
        return value

    calls("prints", prints, good)
    calls("prints_to_file", prints_to_file, bad)
    calls("writes", writes, bad)
    calls("reads", lambda value: tf.io.read_file("/etc/passwd"), bad)
    calls("python", lambda value: tf.py_function(lambda one: one, [value], tf.float32), bad)
    old = tf.compat.v1
    with old.Graph().as_default() as graph, old.Session() as session:
        start = old.placeholder("float32", [None, 3], "x")
        product = tf.matmul(start, old.get_variable("w", [3, 2]), name="y")
        session.run(old.global_variables_initializer())
        old.train.Saver().save(session, str(good / "tf1" / "model.ckpt"), 1)
        old.saved_model.simple_save(session, str(good / "tf1_saved"), {"x": start}, {"y": product})
        frozen = old.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["y"])
        tf.io.write_graph(frozen, str(good / "tf1"), "frozen.pb", as_text=False)
        tf.io.write_graph(frozen, str(good / "tf1"), "graph.pbtxt")
    for folder in (good / "tf1" / "checkpoint",):
        folder.write_text('model_checkpoint_path: "model.ckpt-1"\nall_model_checkpoint_paths: "model.ckpt-1"\n')


def events(good: Path) -> None:
    """TensorBoard's logs and examples."""
    writer = tf.summary.create_file_writer(str(good / "logs"))
    with writer.as_default():
        for step in range(5):
            tf.summary.scalar("loss", 1 / (step + 1), step)
        tf.summary.image("image", np.zeros((1, 8, 8, 3)), 0)
        tf.summary.text("text", "# words", 0)
    writer.close()
    (place,) = (good / "logs").iterdir()
    place.rename(good / "events.out.tfevents.1700000000.host.1.0.v2")
    shutil.rmtree(good / "logs")
    with tf.io.TFRecordWriter(str(good / "train.tfrecord")) as records:
        numbers = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
        for _ in range(3):
            records.write(tf.train.Example(features=tf.train.Features(feature={"x": numbers})).SerializeToString())


def tensorflow_js(good: Path) -> None:
    """A model for TensorFlow.js, plain and quantized; the converter without the libraries that it needs for others."""
    root = Path(importlib.metadata.distribution("tensorflowjs").locate_file("tensorflowjs"))
    for name in ("tensorflowjs", "tensorflowjs.converters"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.parent.joinpath(*name.split(".")))]
        sys.modules[name] = package
    np.object, np.bool = object, bool
    convert = importlib.import_module("tensorflowjs.converters.keras_h5_conversion")
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(3)])
    model.save(good / "tfjs.h5")
    for name, packed in (("tfjs", None), ("tfjs_uint8", {"uint8": "*"})):
        with h5py.File(good / "tfjs.h5") as file:
            topology, groups = convert.h5_merged_saved_model_to_tfjs_format(file)
        (good / name).mkdir()
        convert.write_artifacts(topology, groups, str(good / name), packed)
    (good / "tfjs.h5").unlink()


def hdf5(good: Path, bad: Path) -> None:
    """What h5py writes, in its oldest and its newest format; with what it holds in a JSON file beside it."""
    for version, options in (("old", {}), ("new", {"libver": "latest", "track_order": True})):
        with h5py.File(good / f"{version}.h5", "w", **options) as file:
            file["a"] = np.zeros((3, 4), "f2")
            file.create_dataset("packed", data=np.arange(400.0).reshape(20, 20), chunks=(10, 10), compression="gzip")
            file["soft"], file["hard"] = h5py.SoftLink("/a"), file["a"]
            file.attrs["text"], file.attrs["row"] = "x" * 3000, ["a", "bb"]
            file.attrs["numbers"], file.attrs["empty"] = np.arange(4), h5py.Empty("f")
            group = file.create_group("many")
            for number in range(60):
                group.create_group(f"group{number}").attrs[f"name{number}"] = str(number)
                group.attrs[f"attribute{number}"] = np.bytes_(b"y" * number)
        with h5py.File(bad / f"{version}_link.h5", "w", **options) as file:
            file["a"] = h5py.ExternalLink("/etc/other.h5", "/secret")
        with h5py.File(bad / f"{version}_storage.h5", "w", **options) as file:
            file.create_dataset("a", (4,), "u1", external=[("/etc/passwd", 0, 4)])
        with h5py.File(bad / f"{version}_virtual.h5", "w", **options) as file:
            layout = h5py.VirtualLayout((2, 4), "f4")
            layout[0] = h5py.VirtualSource("../other.h5", "x", (4,))
            layout[1] = h5py.VirtualSource("../other.h5", "y", (4,))
            file.create_virtual_dataset("a", layout)
    with h5py.File(good / "virtual.h5", "w", libver="latest") as file:
        file["a"] = np.zeros(4, "f4")
        layout = h5py.VirtualLayout((2, 4), "f4")
        layout[0] = layout[1] = h5py.VirtualSource(file["a"])
        file.create_virtual_dataset("b", layout)
    with h5py.File(good / "large.h5", "w", libver="latest") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "x" * 70_000}})


def main() -> None:
    """Write everything below the folder that the first argument names."""
    root = Path(sys.argv[1])
    for name in ("keras", "tensorflow", "hdf5"):
        for way in ("good", "bad"):
            shutil.rmtree(root / name / way, ignore_errors=True)
            (root / name / way).mkdir(parents=True)
    keras_models(root / "keras" / "good", root / "keras" / "bad")
    saved_models(root / "tensorflow" / "good", root / "tensorflow" / "bad")
    tensorflow_js(root / "tensorflow" / "good")
    (root / "keras" / "good" / "architecture.json").write_text(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).to_json()
    )
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(twice())])
    (root / "keras" / "bad" / "lambda.json").write_text(model.to_json())
    events(root / "tensorflow" / "good")
    hdf5(root / "hdf5" / "good", root / "hdf5" / "bad")


if __name__ == "__main__":
    main()
