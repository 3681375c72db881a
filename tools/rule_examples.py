"""A small repo for every rule of the static scan that makes it fire, written byte by byte. None is ever loaded."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable

Files = dict[str, bytes]


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _call(module: str, name: str, argument: str = "id") -> bytes:
    return f"c{module}\n{name}\n".encode() + b"(" + _text(argument) + b"tR"


def _pickle(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def _tensor(numel: int = 4) -> bytes:
    """A tensor of ``numel`` floats on storage 0, as torch writes it."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu")
    storage += b"J" + struct.pack("<i", numel) + b"tQ"
    shape = b"(J" + struct.pack("<i", numel) + b"t(J" + struct.pack("<i", 1) + b"t"
    rest = b"J" + struct.pack("<i", 0) + shape + b"\x89ccollections\nOrderedDict\n(tR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


WEIGHTS = _pickle(b"}" + _text("weight") + _tensor() + b"s")


def _zip(members: Files, link: str = "", squeeze: bool = False) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
            info.external_attr = (0o120777 if name == link else 0o100644) << 16
            archive.writestr(info, content)
    return body.getvalue()


def _torch_zip(storage: int = 16, more: Files | None = None) -> bytes:
    members = {"archive/data.pkl": WEIGHTS, "archive/data/0": bytes(storage), "archive/version": b"3\n"}
    return _zip(members | (more or {}))


def _script(line: bytes) -> bytes:
    """What ``torch.jit.save`` writes, with one line of code."""
    code = b"class M(Module):\n  def forward(self: __torch__.M, x: Tensor) -> Tensor:\n    " + line + b"\n"
    return _torch_zip(more={"archive/constants.pkl": _pickle(b")"), "archive/code/__torch__.py": code})


def _arrow(schema: bytes) -> bytes:
    return b"ARROW1\0\0" + bytes(16) + schema + struct.pack("<I", len(schema)) + b"ARROW1"


def _renamed(archive: bytes) -> bytes:
    """The member's local record has another name than the directory."""
    return archive.replace(b"data.pkl", b"dat4.pkl", 1)


def _header(text: str, data: int = 4) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + bytes(data)


_ENTRY = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
SAFE = _header("{" + _ENTRY + "}")


def _npy(descr: str) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + _pickle(_call("posix", "system"))


def _config(**fields: object) -> Files:
    return {"config.json": json.dumps(fields).encode(), "model.safetensors": SAFE}


def _index(shard: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {"a": shard}}).encode()


def _field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protobuf message; integers and lengths below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    body = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(body)]) + body


def _onnx(domain: str = "", kind: str = "Relu", **entries: str) -> Files:
    """A model of one node and, with entries, of one tensor that lies elsewhere."""
    node = _field(1, "x") + _field(2, "y") + _field(4, kind) + (_field(7, domain) if domain else b"")
    rows = b"".join(_field(13, _field(1, key) + _field(2, value)) for key, value in entries.items())
    graph = _field(1, node) + (_field(5, _field(8, "w") + rows + _field(14, 1)) if entries else b"")
    body = _field(1, 9) + _field(2, "example") + _field(7, graph) + _field(8, _field(1, "") + _field(2, 17))
    return {"model.onnx": body, "model.safetensors": SAFE}


def _keras(name: str, module: str | None = None, function: str = "", **fields: object) -> bytes:
    """A ``.keras`` file whose config is one object."""
    config = {"module": module, "class_name": name, "config": function or fields, "registered_name": function or None}
    return _zip({"config.json": json.dumps(config).encode()})


def hdf5(outside: str = "", **texts: bytes) -> bytes:
    """An HDF5 file of version 2 whose root object has texts as attributes, and its numbers in another file."""
    messages = b""
    for name, value in texts.items():
        head = struct.pack("<BBHHH", 2, 0, len(name) + 1, 8, 4)
        body = head + name.encode() + b"\0" + struct.pack("<BBHI", 0x13, 0, 0, len(value)) + b"\x02\0\0\0" + value
        messages += struct.pack("<BHB", 12, len(body), 0) + body
    if outside:
        body = struct.pack("<B3xHHQ3Q", 1, 1, 1, 256, 0, 0, 4)
        messages += struct.pack("<BHB", 7, len(body), 0) + body
    root = b"OHDR\x02\x02" + struct.pack("<I", len(messages)) + messages + bytes(4)
    head = b"\x89HDF\r\n\x1a\n\x02\x08\x08\0" + struct.pack("<4Q", 0, 2**64 - 1, 512, 48) + bytes(4)
    heap = b"HEAP" + bytes(4) + struct.pack("<3Q", 128, 0, 288) + outside.encode()
    return ((head + root).ljust(256, b"\0") + heap).ljust(512, b"\0")


def _tfjs(path: str) -> bytes:
    weights = [{"name": "a", "shape": [1], "dtype": "float32"}]
    manifest = [{"paths": [path], "weights": weights}]
    return json.dumps({"format": "graph-model", "modelTopology": {}, "weightsManifest": manifest}).encode()


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 346000000\n"

EXAMPLES: dict[str, Callable[[], Files]] = {
    "HC-PKL-001": lambda: {"pytorch_model.bin": _pickle(_call("posix", "system"))},
    "HC-PKL-002": lambda: {"pytorch_model.bin": _pickle(_call("timm.models.resnet", "ResNet"))},
    "HC-PKL-003": lambda: {"pytorch_model.bin": b"\x80\x04\x8c\x04site\x8c\x09os.system\x93(" + _text("id") + b"tR."},
    "HC-PKL-004": lambda: {"pytorch_model.bin": _pickle(b"(" + _text("id") + b"iposix\nsystem\n")},
    "HC-PKL-005": lambda: {"pytorch_model.bin": WEIGHTS[:-20]},
    "HC-PKL-006": lambda: {"pytorch_model.bin": _pickle(b"}") + _pickle(_call("posix", "system"))},
    "HC-PKL-007": lambda: {"pytorch_model.bin": _pickle(b"]q\x00" + b"(h\x00h\x00h\x00tq\x00" * 40)},
    "HC-PKL-008": lambda: {"pytorch_model.bin": _torch_zip(storage=8)},
    "HC-PKL-009": lambda: {"pytorch_model.bin": _torch_zip()},
    "HC-PKL-010": lambda: {
        "checkpoint.pth": _pickle(b"cargparse\nNamespace\n)\x81}" + _text("lr") + b"J" + struct.pack("<i", 1) + b"sb")
    },
    "HC-ZIP-001": lambda: {"pytorch_model.bin": _renamed(_torch_zip())},
    "HC-ZIP-002": lambda: {"images.zip": _zip({"../../.bashrc": b"x"})},
    "HC-ZIP-003": lambda: {"images.zip": _zip({"zeros": bytes(32 << 20)}, squeeze=True)},
    "HC-ZIP-004": lambda: {"pytorch_model.bin": b"#!/bin/sh\nid\n".ljust(5000, b"#") + _torch_zip()},
    "HC-ZIP-005": lambda: {"pytorch_model.bin": _torch_zip(more={"archive/code/setup.py": b"import os\n"})},
    "HC-TS-001": lambda: {"model.pt": _script(b"torch.save(x, '/home/user/.bashrc')")},
    "HC-TS-002": lambda: {"model.pt": _script(b"return ops.my_lib.decode(x)")},
    "HC-ST-001": lambda: {"model.safetensors": _header("{" + _ENTRY + ',"b":' + _ENTRY.partition(":")[2] + "}")},
    "HC-ST-002": lambda: {"model.safetensors": _header("{" + _ENTRY + "," + _ENTRY + "}")},
    "HC-ST-003": lambda: {
        "model.safetensors": _header('{"__metadata__":{"x":"' + "x" * (2 << 20) + '"},' + _ENTRY + "}")
    },
    "HC-ST-004": lambda: {
        "model.safetensors.index.json": _index("model-00001-of-00002.safetensors"),
        "other.safetensors": SAFE,
    },
    "HC-NPY-001": lambda: {"means.npy": _npy("|O")},
    "HC-MSG-001": lambda: {"flax_model.msgpack": b"\x81\xa1w\xd4\x2a\x00", "model.safetensors": SAFE},
    "HC-SKO-001": lambda: {
        "model.skops": _zip({"schema.json": b'{"__module__": "os", "__class__": "system", "__loader__": "TypeNode"}'})
    },
    "HC-ARW-001": lambda: {"train.arrow": _arrow(b"ARROW:extension:name\0arrow.py_extension_type")},
    "HC-CFG-001": lambda: _config(auto_map={"AutoModelForImageClassification": "modeling_vit.ViT"}),
    "HC-CFG-002": lambda: _config(_attn_implementation="someone/fast-attention"),
    "HC-CFG-003": lambda: _config(pretrained_cfg={"url": "https://example.com/weights.pth"}),
    "HC-CFG-004": lambda: {"chat_template.jinja": b"{{ ''.__class__.__mro__[1].__subclasses__() }}"},
    "HC-CFG-005": lambda: {"config.json": b'{"num_labels": 10, "num_labels": 1000}', "model.safetensors": SAFE},
    "HC-NET-001": lambda: _onnx("org.example", "FastAttention"),
    "HC-NET-002": lambda: _onnx("ai.onnx.contrib", "PyOp"),
    "HC-NET-003": lambda: _onnx(location="../../../etc/passwd"),
    "HC-NET-004": lambda: _onnx(location="model.safetensors", __class__="x"),
    "HC-PY-001": lambda: {"modeling_vit.py": b"import os, socket\n", "model.safetensors": SAFE},
    "HC-PY-002": lambda: {
        "requirements.txt": b"--extra-index-url https://example.com/simple\ntorch\n",
        "model.safetensors": SAFE,
    },
    "HC-FMT-001": lambda: {"model.safetensors": _pickle(_call("posix", "system"))},
    "HC-FMT-002": lambda: {"model.engine": b"ftrt" + bytes(40), "model.safetensors": SAFE},
    "HC-REP-001": lambda: {"model.safetensors": _POINTER},
    "HC-REP-002": lambda: {"model.safetensors": SAFE, "pytorch_model.bin": _torch_zip()},
    "HC-REP-003": lambda: {"model.safetensors": SAFE},
    "HC-REP-004": lambda: {"cat\u202egnp.exe.txt": b"", "model.safetensors": SAFE},
    "HC-H5-001": lambda: {"model.h5": hdf5(outside="/etc/passwd")},
    "HC-H5-002": lambda: {"table.h5": hdf5(PSEUDOATOM=b"object")},
    "HC-KER-001": lambda: {"model.keras": _keras("__lambda__", value={"code": "4wAA"})},
    "HC-KER-002": lambda: {"model.keras": _keras("function", "os", "system")},
    "HC-KER-003": lambda: {"model.keras": _keras("StringLookup", "keras.layers", vocabulary="/etc/passwd")},
    "HC-TF-001": lambda: {"frozen.pb": b"\n\x0e\n\x01w\x12\x09WriteFile"},
    "HC-TF-002": lambda: {"model.json": _tfjs("https://example.com/weights.bin")},
    "HC-INC-001": lambda: {"weights.dat": b"\x01\x02\x03" * 100, "model.safetensors": SAFE},
}
