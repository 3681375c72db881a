"""Files of two kinds once more."""

from __future__ import annotations

import json
import struct

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import field, headed, zipped
from benchmarks.scan.hostile.hdf5_bytes import Group, hdf5
from benchmarks.scan.hostile.ordinary import vit, vit_bin, weights
from benchmarks.scan.hostile.pickle_bytes import SYSTEM, torch_zip

OPENS = "torch.load(weights_only=False) and pickle.load unpickle its start: os.system"
LAMBDA = {
    "class_name": "Lambda",
    "config": {"name": "l", "function": ["4wEAAAA=\n", None, None], "function_type": "lambda"},
}
MODEL = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": [LAMBDA]}})
KERAS = zipped(
    {"config.json": MODEL, "metadata.json": '{"keras_version": "3.4.1"}', "model.weights.h5": hdf5(Group({}, {}))}
)
FINDS = "Keras before 2.13 or safe_mode=False: zipfile finds the zip from the end, Lambda code runs"
BITMAP = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + bytes(68)
ONNX = field(1, 8) + field(2, "pytorch") + field(7, field(2, "g")) + field(8, field(2, 17))

CASES: tuple[Case, ...] = (
    bad(
        "bitmap-that-is-a-pickle",
        OPENS + "; BINBYTES swallows the header",
        lambda: vit({"best.pt": BITMAP + SYSTEM + b"."}),
    ),
    bad(
        "grib-that-is-a-pickle",
        OPENS + "; BINFLOAT swallows the magic",
        lambda: vit({"weather.pkl": b"GRIB\0\0\0\x02\0" + SYSTEM + b"."}),
    ),
    bad(
        "core-ml-like-text", OPENS, lambda: vit_bin(b"U\x0e" + b"\x08\x01\x12\x05proto\0\0\0\0\0"[:14] + SYSTEM + b".")
    ),
    bad("keras-behind-onnx", FINDS, lambda: vit({"head.keras": ONNX + KERAS})),
    bad("keras-behind-a-text", FINDS, lambda: vit({"head.keras": b"Notes of the run.\n" * 20 + KERAS})),
    bad(
        "keras-with-a-long-comment",
        FINDS,
        lambda: vit(
            {
                "head.keras": (
                    weights()
                    + zipped(
                        {"config.json": MODEL, "metadata.json": "{}", "model.weights.h5": b""}, comment=b"x" * 60000
                    )
                )
            }
        ),
    ),
    bad(
        "keras-behind-safetensors-named-so",
        "Keras opens what its caller names; zipfile finds the zip from the end",
        lambda: vit({"extra.safetensors": weights() + KERAS}),
    ),
    bad(
        "lambda-behind-2048-bytes",
        "h5py finds HDF5 at byte 2048; Lambda code runs",
        lambda: vit({"head.h5": hdf5(Group({"model_config": MODEL}), b"# notes\n".ljust(2048, b" "))}),
    ),
    bad(
        "torch-zip-behind-a-font",
        "zipfile and torch.jit.load find the directory from the end",
        lambda: vit({"fonts/a.ttf": b"\0\1\0\0\0\2" + bytes(300) + torch_zip(SYSTEM)}),
    ),
    bad(
        "zip-of-pickle-in-tensors-of-a-shard",
        "zipfile finds the zip from the end",
        lambda: vit({"part.safetensors": _blob(_commented(torch_zip(SYSTEM, root="net")))}),
    ),
    # twins
    twin(
        "bitmap",
        "PIL",
        lambda: vit(
            {
                "icon.bmp": (
                    b"BM"
                    + struct.pack("<IHHI", 58, 0, 0, 54)
                    + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
                    + bytes(4)
                )
            }
        ),
    ),
    twin(
        "keras-by-itself",
        "keras",
        lambda: vit(
            {
                "head.keras": zipped(
                    {
                        "config.json": json.dumps(
                            {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": []}}
                        ),
                        "metadata.json": '{"keras_version": "3.4.1"}',
                        "model.weights.h5": hdf5(Group({}, {})),
                    }
                )
            }
        ),
    ),
    twin(
        "font-and-sound",
        "a browser",
        lambda: vit({"a.ttf": b"\0\1\0\0\0\2" + bytes(300), "a.wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)}),
    ),
    twin("bytes-as-a-tensor", "safetensors", lambda: vit({"tokens.safetensors": _blob(bytes(range(256)) * 4)})),
)


def _commented(data: bytes) -> bytes:
    """The same zip with a comment of 30,000 signs."""
    return data[:-2] + struct.pack("<H", 30000) + b"c" * 30000


def _blob(data: bytes) -> bytes:
    entry = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    return headed(json.dumps({"blob": entry}), data)
