"""ONNX models by the libraries that people use, small: ``python onnx_models.py FOLDER``.

In a venv of its own: torch, onnx, onnxscript, onnxruntime. Stack traces and paths, which torch writes into a model, are
taken out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper


class Net(torch.nn.Module):
    """A block of a convolutional net and one of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, 4), torch.nn.BatchNorm2d(8), torch.nn.GELU())
        self.block = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter notes of the machine."""
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    for row in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        row.ClearField("metadata_props")
        row.ClearField("doc_string")
    for function in model.functions:
        function.ClearField("metadata_props")
        for row in function.node:
            row.ClearField("metadata_props")
            row.ClearField("doc_string")
    return model


def exported(folder: Path) -> None:
    """Both exporters of torch; all tensors beside; what onnxruntime makes of it (com.microsoft), int8 and fp16."""
    torch.manual_seed(0)
    net, image = Net().eval(), (torch.zeros(1, 3, 16, 16),)
    torch.onnx.export(net, image, str(folder / "traced.onnx"), dynamo=False)
    torch.onnx.export(net, image, str(folder / "dynamo.onnx"), dynamo=True, external_data=False)
    for name in ("traced.onnx", "dynamo.onnx"):
        onnx.save(plain(onnx.load(folder / name)), folder / name)
    beside = onnx.load(folder / "traced.onnx")
    options = {"all_tensors_to_one_file": True, "location": "beside.onnx_data", "size_threshold": 64}
    onnx.save(beside, folder / "beside.onnx", save_as_external_data=True, **options)
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(folder / "traced.onnx", folder / "model_quantized.onnx")
    session = onnxruntime.SessionOptions()
    session.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(folder / "traced.onnx", session, providers=["CPUExecutionProvider"])


def built(folder: Path) -> None:
    """Subgraphs, a sparse tensor, a local function, a training graph: what exporters write rarely."""
    value = helper.make_tensor_value_info
    flag, out = value("flag", TensorProto.BOOL, []), value("out", TensorProto.FLOAT, [2])
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(2, np.float32)))
    then = helper.make_graph([constant], "then", [], [value("c", TensorProto.FLOAT, [2])])
    call = helper.make_node("Double", ["s"], ["d"], domain="pkg.blocks")
    other = helper.make_graph([call], "else", [], [value("d", TensorProto.FLOAT, [2])])
    branch = helper.make_node("If", ["flag"], ["out"], then_branch=then, else_branch=other)
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [1]),
        [2],
    )
    graph = helper.make_graph([branch], "net", [flag], [out], sparse_initializer=[sparse])
    add = helper.make_node("Add", ["x", "x"], ["y"])
    opset = helper.make_opsetid("", 17)
    double = helper.make_function("pkg.blocks", "Double", ["x"], ["y"], [add], [opset])
    opsets = [opset, helper.make_opsetid("pkg.blocks", 1)]
    model = helper.make_model(graph, functions=[double], opset_imports=opsets, ir_version=9)
    training = model.training_info.add()
    training.algorithm.CopyFrom(then)
    onnx.save(model, folder / "subgraphs.onnx")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    exported(place)
    built(place)
