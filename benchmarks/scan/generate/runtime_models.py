"""GGUF, TFLite, Core ML and OpenVINO models by their libraries, small: ``python runtime_models.py FOLDER``.

In a venv of its own: gguf, flatbuffers and tflite (the schema; the model is put together from it), coremltools,
openvino, onnx; FOLDER holds what ``onnx_models.py`` wrote.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import tflite


def gguf_models(folder: Path) -> None:
    """A tiny projector and one with a tokenizer and a template."""
    import gguf

    for name, quantized in (("mmproj-f16.gguf", False), ("chat-q8_0.gguf", True)):
        writer = gguf.GGUFWriter(folder / name, "clip" if not quantized else "llama")
        writer.add_name("tiny")
        writer.add_block_count(1)
        if quantized:
            writer.add_tokenizer_model("gpt2")
            writer.add_token_list([f"token{n}" for n in range(300)])
            writer.add_token_scores([0.5] * 300)
            writer.add_token_types([1] * 300)
            writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] | trim }}{% endfor %}")
            values = gguf.quantize(np.ones((4, 64), np.float32), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor("blk.0.w", values, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor("v.patch_embd.weight", np.ones((3, 5), np.float16))
        writer.add_tensor("v.norm", np.ones(7, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def tflite_model(custom: str = "", options: bytes = b"", tensor: int = 1) -> bytes:
    """A model of one operator on three tensors, put together with the schema's own functions."""
    build = flatbuffers.Builder(1024)

    def vector(start, rows):
        start(build, len(rows))
        for row in reversed(rows):
            build.PrependUOffsetTRelative(row)
        return build.EndVector()

    buffers = []
    for data in (b"", np.ones(4, np.float32).tobytes()):
        body = build.CreateByteVector(data) if data else None
        tflite.BufferStart(build)
        if body:
            tflite.BufferAddData(build, body)
        buffers.append(tflite.BufferEnd(build))
    names, tensors = [build.CreateString(f"t{n}") for n in range(3)], []
    shape = build.CreateNumpyVector(np.array([1, 4], np.int32))
    for n, name in enumerate(names):
        tflite.TensorStart(build)
        tflite.TensorAddShape(build, shape)
        tflite.TensorAddBuffer(build, 1 if n == 1 else 0)
        tflite.TensorAddName(build, name)
        tensors.append(tflite.TensorEnd(build))
    inputs = build.CreateNumpyVector(np.array([0, tensor], np.int32))
    outputs, ends = (build.CreateNumpyVector(np.array([n], np.int32)) for n in (2, 0))
    given = build.CreateByteVector(options) if options else None
    tflite.OperatorStart(build)
    tflite.OperatorAddInputs(build, inputs)
    tflite.OperatorAddOutputs(build, outputs)
    if given:
        tflite.OperatorAddCustomOptions(build, given)
    operators = vector(tflite.SubGraphStartOperatorsVector, [tflite.OperatorEnd(build)])
    rows = vector(tflite.SubGraphStartTensorsVector, tensors)
    tflite.SubGraphStart(build)
    tflite.SubGraphAddTensors(build, rows)
    tflite.SubGraphAddInputs(build, ends)
    tflite.SubGraphAddOutputs(build, outputs)
    tflite.SubGraphAddOperators(build, operators)
    graphs = vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(build)])
    name = build.CreateString(custom) if custom else None
    tflite.OperatorCodeStart(build)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(build, 32 if custom else 0)
    tflite.OperatorCodeAddBuiltinCode(build, 32 if custom else 0)
    if name:
        tflite.OperatorCodeAddCustomCode(build, name)
    codes = vector(tflite.ModelStartOperatorCodesVector, [tflite.OperatorCodeEnd(build)])
    held = vector(tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(build)
    tflite.ModelAddVersion(build, 3)
    tflite.ModelAddOperatorCodes(build, codes)
    tflite.ModelAddSubgraphs(build, graphs)
    tflite.ModelAddBuffers(build, held)
    build.Finish(tflite.ModelEnd(build), b"TFL3")
    return bytes(build.Output())


def tflite_models(folder: Path) -> None:
    """A plain one, one with labels in a zip behind it, and the bad twins."""
    (folder / "add.tflite").write_bytes(tflite_model())
    (folder / "detect.tflite").write_bytes(tflite_model("TFLite_Detection_PostProcess"))
    (folder / "labels.tflite").write_bytes(tflite_model())
    with zipfile.ZipFile(folder / "labels.tflite", "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    bad = folder / "bad"
    bad.mkdir(exist_ok=True)
    (bad / "custom.tflite").write_bytes(tflite_model("MyOp"))
    (bad / "flex.tflite").write_bytes(tflite_model("FlexErf", b"\x03Erf\x00\x12\x03Erf"))
    (bad / "readfile.tflite").write_bytes(tflite_model("FlexReadFile"))
    (bad / "hidden.tflite").write_bytes(tflite_model("FlexErf", b"\x03Erf\x00\x0a\x01a\x12\x09WriteFile\x00"))
    (bad / "index.tflite").write_bytes(tflite_model(tensor=77))
    (bad / "negative.tflite").write_bytes(tflite_model(tensor=-2))


def coreml_models(folder: Path) -> None:
    """A neural network and a package of an ML program; a custom layer."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb
    from coremltools.models import datatypes, neural_network

    build = neural_network.NeuralNetworkBuilder([("x", datatypes.Array(4))], [("y", datatypes.Array(2))])
    build.add_inner_product("fc", np.ones((2, 4)), np.zeros(2), 4, 2, True, "x", "y")
    (folder / "network.mlmodel").write_bytes(build.spec.SerializeToString())
    layer = build.spec.neuralNetwork.layers.add()
    layer.name, layer.custom.className = "mine", "AAPLMyLayer"
    layer.input.append("x")
    layer.output.append("z")
    (folder / "bad").mkdir(exist_ok=True)
    (folder / "bad" / "custom.mlmodel").write_bytes(build.spec.SerializeToString())

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 64))])
    def program(x):
        return mb.linear(x=x, weight=np.random.default_rng(0).random((32, 64), np.float32))

    ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS16).save(
        str(folder / "program.mlpackage")
    )


def openvino_models(folder: Path, onnx: Path) -> None:
    """The traced ONNX model as an IR."""
    import openvino

    model = openvino.convert_model(onnx)
    for key in list(model.get_rt_info().keys()):
        del model.rt_info[key]
    openvino.save_model(model, folder / "openvino_model.xml")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for kind in ("gguf", "tflite", "coreml", "openvino"):
        (place / kind).mkdir(parents=True, exist_ok=True)
    for step in (
        lambda: gguf_models(place / "gguf"),
        lambda: tflite_models(place / "tflite"),
        lambda: coreml_models(place / "coreml"),
        lambda: openvino_models(place / "openvino", place / "traced.onnx"),
    ):
        try:
            step()
        except Exception as error:
            print("FAILED", type(error), error)
