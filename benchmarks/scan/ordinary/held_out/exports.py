"""Exports: right is exit 0 where safetensors lie beside, else 0 or 2 in words; never 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.scan.ordinary import other_formats as other
from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import classifier
from benchmarks.scan.ordinary.exports import NONE, configured
from benchmarks.scan.ordinary.kinds import kind


def keras_net() -> object:
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


@kind("keras-3-all-files", *NONE)
def keras_files(folder: Path) -> None:
    """By Keras 3 itself: model.keras, model.h5, weights.weights.h5, model.json, compiled with metrics."""
    model = keras_net()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])  # type: ignore[attr-defined]
    for name in ("model.keras", "model.h5"):
        model.save(folder / name)  # type: ignore[attr-defined]
    model.save_weights(folder / "model.weights.h5")  # type: ignore[attr-defined]
    (folder / "model.json").write_text(model.to_json())  # type: ignore[attr-defined]
    beside.card(folder, library="keras")


@kind("keras-hub-preset", *NONE)
def keras_hub(folder: Path) -> None:
    """KerasHub: config.json, task.json, preprocessor.json, image_converter.json, model.weights.h5, metadata.json."""
    keras_net().save_weights(folder / "model.weights.h5")  # type: ignore[attr-defined]
    backbone = {"name": "res_net_backbone", "trainable": True, "stackwise_num_blocks": [2, 2], "block_type": "basic"}
    own = "keras_hub.src.models.resnet"
    config = {"module": f"{own}.resnet_backbone", "class_name": "ResNetBackbone", "config": backbone}
    config["registered_name"] = "keras_hub>ResNetBackbone"
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    inner = {"module": f"{own}.resnet_image_classifier", "class_name": "ResNetImageClassifier"}
    inner |= {"config": {"backbone": config, "activation": "softmax"}, "registered_name": "keras_hub>X"}
    (folder / "task.json").write_text(json.dumps(inner, indent=4))
    converter = {
        "module": f"{own}.resnet_image_converter",
        "class_name": "ResNetImageConverter",
        "config": {"scale": 1},
    }
    (folder / "image_converter.json").write_text(json.dumps(converter, indent=4))
    (folder / "preprocessor.json").write_text(json.dumps(converter, indent=4))
    (folder / "metadata.json").write_text(json.dumps({"keras_version": "3.5.0", "keras_hub_version": "0.17"}))
    beside.card(folder, library="keras-hub")


@kind("transformers-js-int8-beside")
def transformers_js(folder: Path) -> None:
    """onnx/ with encoder, decoder and int8 files, external data, quantize_config.json, .ort, beside safetensors."""
    classifier(folder, "safetensors")
    for name in ("vision_encoder_int8", "decoder_model_merged_q4", "embed_tokens_fp16"):
        other.onnx_model(folder / f"onnx/{name}.onnx", operators="com.microsoft")
    other.onnx_model(folder / "onnx/model_fp16.onnx", external="model_fp16.onnx.data")
    other.onnx_model(folder / "onnx/big.onnx", external="big.onnx_data_1")
    (folder / "quantize_config.json").write_text(json.dumps({"modes": ["int8"], "per_model_config": {}}))
    (folder / "onnx/model.ort").write_bytes(b"\x28\x00\x00\x00ORTM" + bytes(200))


@kind("openvino-by-itself", *NONE)
def openvino(folder: Path) -> None:
    """By OpenVINO itself: openvino_model.xml and .bin, FP16; openvino_tokenizer.xml of its extension by hand."""
    configured(folder)
    import openvino as ov

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    model = ov.convert_model(net, example_input=torch.ones(1, 3, 8, 8))
    ov.save_model(model, str(folder / "openvino_model.xml"))
    (folder / "openvino_config.json").write_text(json.dumps({"dtype": "int8", "optimum_version": "1.23"}))
    (folder / "openvino_tokenizer.xml").write_text(
        '<?xml version="1.0"?>\n<net name="tokenizer" version="11"><layers>'
        '<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?" element_type="string"/>'
        '<output><port id="0" precision="STRING"><dim>-1</dim></port></output></layer>'
        '<layer id="1" name="y" type="StringTensorUnpack" version="extension"><data mode="begins"/></layer>'
        "</layers><edges/></net>\n"
    )
    (folder / "openvino_tokenizer.bin").write_bytes(bytes(range(200)))


@kind("core-ml-by-itself", *NONE)
def core_ml(folder: Path) -> None:
    """By coremltools itself: an ML program in a package, a neural network in one file."""
    import coremltools as ct

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    traced = torch.jit.trace(net.eval(), torch.ones(1, 3, 8, 8))
    shape = [ct.TensorType(shape=(1, 3, 8, 8))]
    ct.convert(traced, inputs=shape, convert_to="neuralnetwork").save(str(folder / "model.mlmodel"))
    try:
        ct.convert(traced, inputs=shape, convert_to="mlprogram").save(str(folder / "model.mlpackage"))
    except Exception as error:
        print("no ML program:", str(error)[:200])
    beside.card(folder, library="coreml")


@kind("neuron-and-habana", *NONE)
def neuron(folder: Path) -> None:
    """AWS Neuron: model.neuron (TorchScript), config.json with its compiler's options."""
    configured(folder)
    torch.jit.trace(torch.nn.Linear(4, 2), torch.ones(1, 4)).save(str(folder / "model.neuron"))
    config = json.loads((folder / "config.json").read_text())
    config["neuron"] = {"compiler_type": "neuronx-cc", "dynamic_batch_size": False, "model_type": "vit"}
    (folder / "config.json").write_text(json.dumps(config))


@kind("tensorflow-1-checkpoint", *NONE)
def tensorflow_one(folder: Path) -> None:
    """model.ckpt.data, .index, .meta, checkpoint, frozen_inference_graph.pb, pipeline.config, label_map.pbtxt."""
    other.saved_model(folder / "saved_model")
    (folder / "model.ckpt-1000.data-00000-of-00001").write_bytes(np.ones(30, "float32").tobytes())
    index = next((folder / "saved_model/variables").glob("*.index"))
    (folder / "model.ckpt-1000.index").write_bytes(index.read_bytes())
    node = b"\x0a\x05input\x12\x0bPlaceholder"
    graph = b"\x0a" + bytes([len(node)]) + node
    (folder / "frozen_inference_graph.pb").write_bytes(graph)
    meta = b"\x12" + bytes([len(graph)]) + graph
    (folder / "model.ckpt-1000.meta").write_bytes(meta)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1000"\n')
    (folder / "pipeline.config").write_text("model {\n  ssd {\n    num_classes: 3\n  }\n}\n")
    (folder / "label_map.pbtxt").write_text('item {\n  id: 1\n  name: "cat"\n}\n')
    beside.card(folder, "object-detection", "tf")


@kind("jax-orbax-and-big-vision", *NONE)
def jax(folder: Path) -> None:
    """Orbax: _METADATA, manifest.ocdbt, d/; big_vision's .npz with slashes in its keys; a msgpack checkpoint."""
    import msgpack

    np.savez(folder / "ViT-B_16.npz", **{"Transformer/encoderblock_0/LayerNorm_0/bias": np.ones(4, "float32")})
    at = folder / "checkpoint_0/default"
    (at / "ocdbt.process_0/d").mkdir(parents=True)
    (at / "d").mkdir()
    (at / "_METADATA").write_text(json.dumps({"tree_metadata": {}, "use_zarr3": False}))
    (at / "_sharding").write_text("{}")
    (at / "manifest.ocdbt").write_bytes(b"\x0c\xdb\x3a\x2a" + bytes(range(120)))
    (at / "d/0123456789abcdef").write_bytes(b"\x0c\xdb\x1c\xde" + bytes(range(200)))
    (folder / "checkpoint_0/_CHECKPOINT_METADATA").write_text('{"item_handlers": "x"}')
    (folder / "commit_success.txt").write_text("ok")
    (folder / "checkpoint_10").write_bytes(msgpack.packb({"params": {"w": [1.0, 2.0]}, "step": 10}))
    beside.card(folder, library="jax")


@kind("edge-runtimes-beside")
def edge(folder: Path) -> None:
    """NCNN, MNN, RKNN, ExecuTorch, Paddle, Caffe, Darknet, Hailo, MLX and Axelera files beside safetensors."""
    classifier(folder, "safetensors")
    raw = np.linspace(-1, 1, 300, dtype="float32").tobytes()
    for name in ("ncnn/model.ncnn.bin", "model.mnn", "model.rknn", "model.pdiparams", "yolov4.weights", "x.caffemodel"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    (folder / "ncnn/model.ncnn.param").write_text(
        "7767517\n2 2\nInput in0 0 1 in0\nConvolution conv 1 1 in0 out0 0=4\n"
    )
    (folder / "model.pdmodel").write_bytes(b"\x0a\x04\x08\x00\x10\xff" + bytes(range(100)))
    (folder / "model.pte").write_bytes(b"\x30\x00\x00\x00ET12" + bytes(200))
    (folder / "deploy.prototxt").write_text('name: "x"\nlayer {\n  type: "Python"\n}\n')
    (folder / "yolov4.cfg").write_text("[net]\nbatch=64\n")
    (folder / "coco.names").write_text("person\nimport\n")
    (folder / "shape_predictor.dat").write_bytes(b"\x01\x02" + raw)
    (folder / "haarcascade.xml").write_text('<?xml version="1.0"?><opencv_storage/>\n')
    np.savez(folder / "weights.npz", **{"layers.0.weight": np.ones(3, "float16")})
    (folder / "metadata.yaml").write_text("names:\n  0: cat\nimgsz: [640, 640]\n")


@kind("face-models-onnx", *NONE)
def faces(folder: Path) -> None:
    """Several ONNX files in the root and a zip of them, opset of ML with strings, TensorRT caches."""
    import zipfile

    for name in ("det_10g", "w600k_r50"):
        other.onnx_model(folder / f"{name}.onnx")
    other.onnx_model(folder / "classifier.onnx", operators="ai.onnx.ml")
    with zipfile.ZipFile(folder / "buffalo_l.zip", "w") as archive:
        archive.write(folder / "det_10g.onnx", "det_10g.onnx")
    beside.card(folder, library="onnx")
