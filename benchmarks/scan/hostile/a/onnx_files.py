"""ONNX: data outside of the repo, operators that reach the host."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import field
from benchmarks.scan.hostile.onnx_bytes import attribute, graph, model, node, tensor
from benchmarks.scan.hostile.ordinary import vit

DATA = "onnx.load and onnxruntime before their checks (CVE-2022-25882, CVE-2024-27318) read the file as weights"
CARD = "# ONNX\n"


def _outside(label: str, location: str, loader: str = DATA) -> Case:
    return bad(
        label, loader, lambda: {"model.onnx": model(graph(initializers=field(5, tensor(location)))), "README.md": CARD}
    )


def _model(label: str, body: bytes, loader: str = DATA) -> Case:
    return bad(label, loader, lambda: {"model.onnx": body, "README.md": CARD})


BRANCH = field(
    1,
    node(
        "If",
        attribute("then_branch", 6, 5, graph(initializers=field(5, tensor("../../x"))))
        + attribute("else_branch", 6, 5, graph()),
    ),
)
CONSTANT = field(1, node("Constant", attribute("value", 5, 4, tensor("/etc/shadow"))))
LAST = field(13, field(1, "location") + field(2, "w.bin"))
SPARSE = field(15, field(1, tensor("../x")) + field(2, tensor()) + field(3, 6))
FUNCTION = field(
    25,
    field(1, "F")
    + field(4, "x")
    + field(5, "y")
    + field(7, node("Constant", attribute("value", 5, 4, tensor("../../../x"))))
    + field(9, field(2, 17))
    + field(10, "local"),
)
AZURE = node("AzureTextInvoker", attribute("model_uri", 4, 3, "http://127.0.0.1:9/x"), "com.microsoft.extensions")
CONTEXT = node(
    "EPContext",
    attribute("embed_mode", 3, 2, 0) + attribute("ep_cache_context", 4, 3, "../../../engine.bin"),
    "com.microsoft",
)

CASES: tuple[Case, ...] = (
    _outside("above-the-repo", "../../../../etc/passwd"),
    _outside("absolute", "/etc/passwd"),
    _outside("up-in-the-middle", "weights/../../x.bin"),
    _outside("windows-separators", "..\\..\\x.bin", "on Windows: " + DATA),
    _outside("windows-drive", "C:\\Users\\x.bin", "on Windows: " + DATA),
    _model("in-a-branch", model(graph(BRANCH))),
    _model("in-a-constant", model(graph(CONSTANT))),
    _model(
        "location-twice",
        model(graph(initializers=field(5, tensor("../../x", LAST)))),
        DATA + "; the last location counts",
    ),
    _model("sparse-values", model(graph(initializers=SPARSE))),
    _model("in-a-local-function", model(graph(field(1, node("F", domain="local"))), FUNCTION, ("", "local"))),
    _model(
        "calls-a-host",
        model(graph(field(1, AZURE)), domains=("", "com.microsoft.extensions")),
        "onnxruntime with onnxruntime-extensions sends what the model is given to the address in model_uri",
    ),
    _model(
        "compiled-context-outside",
        model(graph(field(1, CONTEXT)), domains=("", "com.microsoft")),
        "onnxruntime's EPContext loads the compiled engine from that path into the device's driver",
    ),
    # twins
    twin(
        "plain", "onnxruntime", lambda: {"model.onnx": model(graph(initializers=field(5, tensor()))), "README.md": CARD}
    ),
    twin(
        "data-beside",
        "onnxruntime",
        lambda: {
            "model.onnx": model(graph(initializers=field(5, tensor("model.onnx_data")))),
            "model.onnx_data": bytes(24),
            "README.md": CARD,
        },
    ),
    twin(
        "contrib-operator",
        "onnxruntime",
        lambda: {
            "model.onnx": model(
                graph(field(1, node("FusedMatMul", domain="com.microsoft"))), domains=("", "com.microsoft")
            ),
            "README.md": CARD,
        },
    ),
    twin(
        "beside-transformers",
        "optimum",
        lambda: vit({"onnx/model.onnx": model(graph(initializers=field(5, tensor())))}),
    ),
)
