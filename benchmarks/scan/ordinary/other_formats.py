"""Files of other frameworks: by their libraries, from a cache that another environment made, or by hand."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

CACHE = "HUBCLEAN_OLD_FRAMEWORKS"  # the folder that old_frameworks.py filled


def cached(name: str) -> Path | None:
    """A file or folder that ``old_frameworks.py`` made."""
    place = Path(os.environ.get(CACHE, "/nowhere")) / name
    return place if place.exists() else None


def copied(name: str, place: Path) -> bool:
    """Take it from the cache; whether it is there."""
    found = cached(name)
    if found is None:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(found, place, dirs_exist_ok=True) if found.is_dir() else shutil.copy(found, place)
    return True


def tf_weights(folder: Path, name: str, net: Any) -> None:
    """tf_model.h5, as Keras writes the weights of a model: one group a layer, the names in attributes."""
    if copied(f"{name}/tf_model.h5", folder / "tf_model.h5"):
        return
    import h5py

    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [name.encode(), b"classifier"]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.15.0"
        group = file.create_group(name)
        names = []
        for key, tensor in net.state_dict().items():
            path = f"tf_{name}_model/{key.replace('.', '/')}:0"
            group.create_dataset(path, data=tensor.float().numpy())
            names.append(path.encode())
        group.attrs["weight_names"] = names
        file.create_group("classifier").attrs["weight_names"] = []
        top = file.create_group("top_level_model_weights")
        top.attrs["weight_names"] = []


def flax_weights(folder: Path, name: str, net: Any) -> None:
    """flax_model.msgpack: nested maps, arrays as extension 1 that holds (shape, dtype, bytes)."""
    if copied(f"{name}/flax_model.msgpack", folder / "flax_model.msgpack"):
        return
    import msgpack

    tree: dict[str, Any] = {}
    for key, tensor in net.state_dict().items():
        *parts, last = key.split(".")
        here = tree
        for part in parts:
            here = here.setdefault(part, {})
        array = tensor.numpy()
        packed = msgpack.packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True)
        here[last] = msgpack.ExtType(1, packed)
    (folder / "flax_model.msgpack").write_bytes(msgpack.packb(tree, strict_types=True))


def onnx_model(place: Path, *, operators: str = "", external: str = "") -> None:
    """An image classifier in ONNX; with ``operators`` a node of that domain too, or its weights in another file."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    place.parent.mkdir(parents=True, exist_ok=True)
    weights = numpy_helper.from_array(
        np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype("float32"), "conv.weight"
    )
    head = numpy_helper.from_array(np.random.default_rng(1).normal(size=(4, 2)).astype("float32"), "classifier.weight")
    nodes = [
        helper.make_node("Conv", ["pixel_values", "conv.weight"], ["c"], "/conv/Conv", kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"], "/pool/GlobalAveragePool"),
        helper.make_node("Flatten", ["g"], ["f"], "/Flatten"),
        helper.make_node("MatMul", ["f", "classifier.weight"], ["m"], "/classifier/MatMul"),
    ]
    last = "m"
    if operators:
        nodes.append(helper.make_node("Gelu", ["m"], ["logits"], "/Gelu", domain=operators))
        last = "logits"
    else:
        nodes.append(helper.make_node("Identity", ["m"], ["logits"], "/Identity"))
        last = "logits"
    given = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch_size", 3, "height", "width"])
    wanted = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch_size", 2])
    graph = helper.make_graph(nodes, "main_graph", [given], [wanted], [weights, head])
    domains = [helper.make_opsetid("", 14), *([helper.make_opsetid(operators, 1)] if operators else [])]
    model = helper.make_model(graph, producer_name="pytorch", producer_version="2.1.0", opset_imports=domains)
    if external:
        onnx.save_model(model, str(place), save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save_model(model, str(place))


def tflite(place: Path) -> None:
    """A TFLite file: from the cache, else the head of a flatbuffer."""
    if not copied("tflite/model.tflite", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        body = struct.pack("<I4s", 28, b"TFL3") + bytes(20)
        table = struct.pack("<HHHHHH", 12, 12, 4, 0, 0, 8) + struct.pack("<iII", 12, 3, 0)
        place.write_bytes(body + table + bytes(64))


def keras_file(place: Path, with_lambda: bool = False) -> None:
    """``.keras`` (a zip of JSON and HDF5) or ``.h5`` of a whole model."""
    stem = "lambda" if with_lambda else "model"
    if copied(f"keras/{stem}{place.suffix}", place):
        return
    by_hand_keras(place, with_lambda)


def by_hand_keras(place: Path, with_lambda: bool) -> None:
    """The same without TensorFlow: model_config as Keras 2.15 serialises it, one dense layer of weights."""
    import zipfile

    import h5py
    import numpy as np

    place.parent.mkdir(parents=True, exist_ok=True)
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "input_1"}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "linear", "use_bias": True}},
    ]
    if with_lambda:
        code = "4wEAAAAAAAAAAAAAAAEAAAACAAAAQwAAAHMIAAAAfABkARQAUwApAk7pAgAAAKkAKQHaAXhyAgAAAHIC\n"
        config = {"name": "lambda", "function": [code, None, None], "function_type": "lambda", "module": "__main__"}
        layers.insert(1, {"class_name": "Lambda", "config": config})
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    body = io.BytesIO()
    with h5py.File(body, "w") as file:
        if place.suffix == ".h5":
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.15.0"
        group = file.create_group("model_weights" if place.suffix == ".h5" else "layers/dense/vars")
        group.create_dataset("dense/kernel:0" if place.suffix == ".h5" else "0", data=np.ones((4, 2), "float32"))
    if place.suffix == ".h5":
        place.write_bytes(body.getvalue())
        return
    meta = {"keras_version": "2.15.0", "date_saved": "2024-01-01@00:00:00"}
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("metadata.json", json.dumps(meta))
        archive.writestr("config.json", json.dumps(config | {"module": "keras", "registered_name": None}))
        archive.writestr("model.weights.h5", body.getvalue())


def saved_model(folder: Path) -> None:
    """saved_model.pb, keras_metadata.pb, variables/, fingerprint.pb: from the cache, else the smallest proto."""
    if copied("keras/saved_model", folder):
        return
    (folder / "variables").mkdir(parents=True, exist_ok=True)
    tags = b"\x0a\x05serve"
    graph = b"\x12\x00"
    meta = b"\x0a" + bytes([len(tags) + 2]) + b"\x22" + bytes([len(tags) - 2 + 0]) + tags[2:]
    inner = meta + graph
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12" + bytes([len(inner)]) + inner)
    (folder / "variables/variables.index").write_bytes(bytes(40) + bytes.fromhex("57fb808b247547db"))
    (folder / "variables/variables.data-00000-of-00001").write_bytes(bytes(64))
    text = json.dumps({"class_name": "Sequential", "config": {"name": "sequential", "layers": []}})
    body = b"\x0a\x04root\x2a" + bytes([len(text)]) + text.encode()
    (folder / "keras_metadata.pb").write_bytes(b"\x0a" + bytes([len(body)]) + body)


def core_ml(place: Path) -> None:
    """A Core ML model by hand: specification version, description, an identity network (protobuf)."""
    place.parent.mkdir(parents=True, exist_ok=True)
    name = b"\x0a\x0apixel_vals"
    feature = b"\x0a" + bytes([len(name)]) + name
    place.write_bytes(b"\x08\x05\x12" + bytes([len(feature)]) + feature + b"\xa2\x1f\x00")


def open_vino(folder: Path, stem: str = "openvino_model") -> None:
    """openvino_model.xml and .bin by hand: a constant and a result."""
    folder.mkdir(parents=True, exist_ok=True)
    text = """<?xml version="1.0"?>
<net name="main_graph" version="11">
	<layers>
		<layer id="0" name="pixel_values" type="Parameter" version="opset1">
			<data shape="?,3,32,32" element_type="f32" />
			<output><port id="0" precision="FP32" names="pixel_values">
			<dim>-1</dim><dim>3</dim><dim>32</dim><dim>32</dim></port></output>
		</layer>
		<layer id="1" name="weight" type="Const" version="opset1">
			<data element_type="f32" shape="4, 3" offset="0" size="48" />
			<output><port id="0" precision="FP32"><dim>4</dim><dim>3</dim></port></output>
		</layer>
		<layer id="2" name="logits" type="Result" version="opset1">
			<input><port id="0" precision="FP32"><dim>4</dim><dim>3</dim></port></input></layer>
	</layers>
	<edges><edge from-layer="1" from-port="0" to-layer="2" to-port="0" /></edges>
	<rt_info><Runtime_version value="2024.4.0" /><optimum><optimum_intel_version value="1.20.0" /></optimum></rt_info>
</net>
"""
    (folder / f"{stem}.xml").write_text(text)
    (folder / f"{stem}.bin").write_bytes(struct.pack("<12f", *range(12)))


def gguf(place: Path, template: str = "") -> None:
    """A GGUF file by its own library: a vision tower of two tensors."""
    import numpy as np
    from gguf import GGUFWriter

    place.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(str(place), "clip")
    writer.add_name("tiny vision tower")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_uint32("clip.vision.image_size", 32)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    if template:
        writer.add_chat_template(template)
    writer.add_tensor("v.patch_embd.weight", np.ones((8, 8), "float32"))
    writer.add_tensor("v.post_ln.weight", np.ones((8,), "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
