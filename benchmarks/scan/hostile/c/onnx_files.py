"""ONNX: weights outside the repo in the odd corners of a model, and configs of its runtimes. Messages by hand."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import field, varint
from benchmarks.scan.hostile.ordinary import Repo, vit

OUTSIDE = "../../../var/tmp/weights.bin"
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00\x01\x00\x00\x00" + bytes(64)


def entry(key: str, value: str) -> bytes:
    """One key of external data."""
    return field(13, field(1, key) + field(2, value))


def tensor(name: str, outside: bytes = b"", count: int = 2) -> bytes:
    """Float numbers, in the message or elsewhere."""
    front = field(1, count) + field(2, 1) + field(8, name)
    return front + (outside + field(14, 1) if outside else field(9, bytes(4 * count)))


def node(kind: str, *attributes: bytes, domain: str = "", inputs: tuple[str, ...] = ("x",)) -> bytes:
    """A node."""
    ends = b"".join(field(1, value) for value in inputs) + field(2, "y")
    return ends + field(4, kind) + b"".join(field(5, one) for one in attributes) + (field(7, domain) if domain else b"")


def value(name: str) -> bytes:
    """An input or output of two floats."""
    shape = field(2, field(1, field(1, 2)))
    return field(1, name) + field(2, field(1, field(1, 1) + shape))


def graph(*nodes: bytes, more: bytes = b"", weights: bytes | None = None) -> bytes:
    """A graph that adds a weight."""
    held = nodes or (node("Add", inputs=("x", "w")),)
    body = b"".join(field(1, one) for one in held) + field(2, "main_graph")
    body += field(5, tensor("w") if weights is None else weights)
    return body + field(11, value("x")) + field(12, value("y")) + more


def model(main: bytes, more: bytes = b"", domains: tuple[str, ...] = ()) -> bytes:
    """A model."""
    sets = field(8, field(2, 17)) + b"".join(field(8, field(1, one) + field(2, 1)) for one in domains)
    return field(1, 8) + field(2, "pytorch") + field(3, "2.4.0") + field(7, main) + sets + more


def constant(location: str) -> bytes:
    """A node whose attribute is a tensor elsewhere."""
    held = tensor("c", entry("location", location))
    return node("Constant", field(1, "value") + field(5, held) + field(20, 4), inputs=())


def branches(inner: bytes) -> bytes:
    """An If of two branches; one holds the node."""
    arms = []
    for arm, held in (("then_branch", node("Identity")), ("else_branch", inner)):
        arms.append(field(1, arm) + field(6, field(1, held) + field(2, arm)) + field(20, 5))
    return node("If", *arms)


def overlong(location: str) -> bytes:
    """External data whose tag is written with more bytes than it needs."""
    held = field(1, "location") + field(2, location)
    return bytes([13 << 3 | 2 | 128, 128, 0]) + varint(len(held)) + held


def genai(filename: str = "model.onnx", **options: Any) -> dict[str, Any]:
    """genai_config.json of onnxruntime-genai."""
    session = {"log_id": "onnxruntime-genai", "provider_options": []} | options
    decoder = {
        "session_options": session, "filename": filename, "head_size": 64, "hidden_size": 8, "num_hidden_layers": 1,
        "inputs": {"input_ids": "input_ids"}, "outputs": {"logits": "logits"},
    }  # fmt: skip
    held = {"type": "phi3", "bos_token_id": 1, "eos_token_id": 2, "context_length": 64, "vocab_size": 32}
    return {"model": held | {"decoder": decoder}, "search": {"do_sample": False, "max_length": 64}}


def beside(body: bytes, **files: Any) -> Repo:
    """A ViT with its export; ``__`` in a name stands for the dot."""
    return vit({"onnx/model.onnx": body} | {f"onnx/{path.replace('__', '.')}": held for path, held in files.items()})


CASES = [
    bad(
        "sparse-weights",
        "ONNX Runtime makes a sparse initializer dense: its values are read from a path that leaves",
        lambda: beside(model(graph(more=field(15, field(1, tensor("s", entry("location", OUTSIDE))) + field(3, 8))))),
    ),
    bad(
        "constant-in-a-branch-of-a-function",
        "ONNX Runtime puts a local function in its place: a constant in one of "
        "its branches is read from a path that leaves",
        lambda: beside(
            model(
                graph(node("Own", domain="local")),
                field(
                    25,
                    field(1, "Own")
                    + field(4, "x")
                    + field(5, "y")
                    + field(7, branches(constant(OUTSIDE)))
                    + field(10, "local"),
                ),
                ("local",),
            )
        ),
    ),
    bad(
        "location-twice",
        "onnx and ONNX Runtime: of two locations the last holds",
        lambda: beside(
            model(graph(weights=tensor("w", entry("location", "model.onnx_data") + entry("location", OUTSIDE)))),
            model__onnx_data=bytes(8),
        ),
    ),
    bad(
        "unknown-key",
        "onnx before 1.21 (CVE-2026-34445): each key of external data becomes an attribute, basepath opens "
        "from another folder",
        lambda: beside(
            model(graph(weights=tensor("w", entry("location", "model.onnx_data") + entry("basepath", "/var/tmp")))),
            model__onnx_data=bytes(8),
        ),
    ),
    bad(
        "graph-in-two-parts",
        "protobuf merges a message that comes twice: the second part brings weights outside",
        lambda: beside(model(graph(), field(7, field(5, tensor("v", entry("location", OUTSIDE)))))),
    ),
    bad(
        "long-tag",
        "protobuf takes tags with needless bytes: weights outside",
        lambda: beside(model(graph(weights=tensor("w", overlong(OUTSIDE))))),
    ),
    bad(
        "engine-outside",
        "ONNX Runtime up to 1.17: EPContext opens the compiled engine by a path that leaves",
        lambda: beside(
            model(
                graph(
                    node(
                        "EPContext",
                        field(1, "embed_mode") + field(3, 0) + field(20, 2),
                        field(1, "ep_cache_context") + field(4, "../../../var/tmp/engine.plan") + field(20, 3),
                        domain="com.microsoft",
                    )
                ),
                domains=("com.microsoft",),
            )
        ),
    ),
    bad(
        "library-of-operators",
        "onnxruntime-genai 0.5 and later loads the native library that its config names",
        lambda: beside(
            model(graph()),
            genai_config__json=genai(custom_ops_library="libfast_attention.so"),
            libfast_attention__so=ELF,
        ),
    ),
    bad(
        "decoder-outside",
        "onnxruntime-genai joins the decoder's name to the folder and opens it",
        lambda: beside(model(graph()), genai_config__json=genai("../../../var/tmp/model.onnx")),
    ),
    twin(
        "weights-beside",
        "ONNX Runtime, transformers.js",
        lambda: beside(
            model(
                graph(
                    weights=tensor(
                        "w", entry("location", "model.onnx_data") + entry("offset", "0") + entry("length", "8")
                    )
                )
            ),
            model__onnx_data=bytes(8),
        ),
    ),
    twin(
        "optimized",
        "ONNX Runtime, after its own optimizer",
        lambda: beside(
            model(
                graph(node("FusedMatMul", domain="com.microsoft", inputs=("x", "w"))),
                field(14, field(1, "onnx.infer") + field(2, "onnxruntime.quant")),
                ("com.microsoft", "ai.onnx.ml"),
            ),
            ort_config__json={"opset": None, "optimization": {"optimization_level": 2}, "quantization": {}},
        ),
    ),
    twin("genai", "onnxruntime-genai", lambda: beside(model(graph()), genai_config__json=genai())),
]
