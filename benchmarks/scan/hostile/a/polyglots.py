"""Files that are one thing by their first bytes and another for the loader that opens them."""

from __future__ import annotations

import json
import struct

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import gguf, headed, npy, safetensors, zipped
from benchmarks.scan.hostile.hdf5_bytes import Group, hdf5
from benchmarks.scan.hostile.ordinary import vit, vit_bin, weights
from benchmarks.scan.hostile.pickle_bytes import EVIL, SYSTEM, WEIGHTS, torch_zip

OPENS = "torch.load(weights_only=False) by the name .bin: not a zip, so its start is unpickled: os.system"
LAMBDA = {
    "class_name": "Lambda",
    "config": {"name": "l", "function": ["4wEAAAA=\n", None, None], "function_type": "lambda"},
}
SEQUENTIAL = {"class_name": "Sequential", "config": {"name": "s", "layers": [LAMBDA]}}


def _safetensors_and_pickle() -> bytes:
    """The length of the header is the opcode BINUNICODE and its length; texts of 126 signs lead out of the header.

    The header is valid JSON: one metadata text of printable signs. Behind it, as tensor bytes, the pickle goes on.
    """
    first, front = 48, b'{"__metadata__":{"note":"'
    size = 0x58 + 256 * first
    body = front + b"x" * (5 + first - 8 - len(front))  # the first text ends here, at byte 5 + first of the file
    last = b'"},"w":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}}'
    room = size - len(body) - len(last)
    chunks = (b"U~" + b"x" * 126) * ((room - 40) // 128)
    rest = room - len(chunks)
    chunks += (b"U" + bytes([48]) + b"x" * 48) * ((rest - 34) // 50)
    rest = room - len(chunks)
    leap = rest + len(last) - 2  # the last text swallows the end of the header
    chunks += b"U" + bytes([leap]) + b"x" * (rest - 2)
    header = body + chunks + last
    assert len(header) == size
    assert 34 < leap < 127
    json.loads(header)
    return headed(header, (SYSTEM + b".").ljust(64, b"\0"), size)


def _behind_short_text(magic: bytes) -> bytes:
    """SHORT_BINSTRING over bytes 2 to 8, where TFLite has its magic; then the call."""
    return b"U\x06\x00\x00" + magic + SYSTEM + b"."


KERAS: dict[str, bytes | str] = {
    "config.json": json.dumps(
        {
            "module": "keras",
            "class_name": "Sequential",
            "config": {
                "name": "s",
                "layers": [
                    {
                        "module": "keras.layers",
                        "class_name": "Lambda",
                        "config": {
                            "name": "l",
                            "function": {
                                "class_name": "__lambda__",
                                "config": {"code": "4wEAAAA=\n", "defaults": None, "closure": None},
                            },
                        },
                    }
                ],
            },
        }
    ),
    "metadata.json": '{"keras_version": "3.4.1"}',
    "model.weights.h5": hdf5(Group({}, {})),
}
ZIPPED = zipped(KERAS)
KERAS_LOAD = (
    "keras.saving.load_model(safe_mode=False), or Keras before 2.13: zipfile finds the zip from the end, Lambda code"
    " runs"
)

CASES: tuple[Case, ...] = (
    bad("safetensors-that-is-a-pickle", OPENS, lambda: vit_bin(_safetensors_and_pickle())),
    bad("safetensors-pickle-outside-the-load-set", OPENS, lambda: vit({"checkpoint.pt": _safetensors_and_pickle()})),
    bad(
        "gguf-magic-on-a-pickle",
        OPENS + " (BINFLOAT reads 'GUF' as part of a number)",
        lambda: vit_bin(b"GGUF\x03\x00\x00\x00\x00" + b"0" + SYSTEM + b"."),
    ),
    bad("tflite-magic-on-a-pickle", OPENS, lambda: vit_bin(_behind_short_text(b"TFL3"))),
    bad(
        "gif-magic-on-a-pickle",
        "pickle.load: BINFLOAT reads 'IF89a...' as a number, then os.system",
        lambda: vit({"thumb.pkl": b"GIF89a\x01\x00\x01" + b"0" + SYSTEM + b"."}),
    ),
    bad("keras-zip-behind-safetensors", KERAS_LOAD, lambda: vit({"head.keras": weights() + ZIPPED})),
    bad(
        "keras-zip-behind-a-picture",
        KERAS_LOAD,
        lambda: vit({"head.keras": b"\x89PNG\r\n\x1a\n" + bytes(200) + ZIPPED}),
    ),
    bad("keras-zip-behind-gguf", KERAS_LOAD, lambda: vit({"head.keras": gguf({"general.name": "x"}) + ZIPPED})),
    bad(
        "zip-of-pickle-behind-npy",
        "zipfile and 'python -m zipfile' unpack it, then torch.load",
        lambda: vit({"mean.npy": npy("'<f4'", bytes(4)) + torch_zip(SYSTEM)}),
    ),
    bad(
        "zip-in-the-tensors",
        "zipfile and torch.jit.load find the zip from the end",
        lambda: vit({"model.safetensors": _wrapped(torch_zip(SYSTEM))}),
    ),
    bad(
        "pickle-as-a-tensor-without-ending",
        "torch.load(weights_only=False) of the file named data",
        lambda: vit({"cache/data": EVIL}),
    ),
    bad(
        "hdf5-behind-a-user-block",
        "h5py and Keras find HDF5 at byte 512; Lambda code runs",
        lambda: vit(
            {
                "head.h5": hdf5(
                    Group({"model_config": json.dumps(SEQUENTIAL), "keras_version": "2.12.0"}),
                    b"notes of the author".ljust(512, b"\0"),
                )
            }
        ),
    ),
    bad(
        "hdf5-behind-gguf",
        "h5py and Keras find HDF5 at byte 1024; Lambda code runs",
        lambda: vit(
            {"head.h5": hdf5(Group({"model_config": json.dumps(SEQUENTIAL)}), gguf({"a": "b"}).ljust(1024, b"\0"))}
        ),
    ),
    # twins
    twin(
        "texts-full-of-opcodes",
        "safetensors: metadata of many signs",
        lambda: vit(
            {
                "model.safetensors": safetensors(
                    {"classifier.weight": (2, 3), "classifier.bias": (2,)}, {"format": "pt", "note": "U~" + "cos" * 300}
                )
            }
        ),
    ),
    twin("picture-with-much-behind", "PIL", lambda: vit({"logo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8})),
    twin("hdf5-with-a-user-block", "h5py", lambda: vit({"features.h5": hdf5(Group({}, {"features": 8}), bytes(512))})),
    twin("bytes-of-a-cache", "numpy.fromfile", lambda: vit({"cache/features.bin": struct.pack("<64f", *range(64))})),
    twin(
        "weights-under-another-name",
        "torch.load",
        lambda: vit_bin(torch_zip(WEIGHTS), {"model_best": torch_zip(WEIGHTS)}),
    ),
)


def _wrapped(data: bytes) -> bytes:
    """One tensor of bytes."""
    entry = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    return headed(json.dumps({"blob": entry}), data)
