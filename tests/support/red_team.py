"""Hostile files of our own making, by kind: what they call prints a line at most, and nothing here loads one.

Keys are paths whose last part is the file's name; those of pickles say what is odd, and the file is called ``x.bin``.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from support.hostile_pickles import SYSTEM, pickles
from support.pickled import (
    EVIL,
    PLAIN,
    call,
    stream,
    torch_zip,
)
from support.scanned_files import npy, safetensors, zipped

Files = dict[str, bytes]


def tar(members: Files, mode: str = "w", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=mode) as archive:  # type: ignore[call-overload]
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.type, info.linkname = len(content), kind, link
            archive.addfile(info, io.BytesIO(content))
    return body.getvalue()


def zipped_as(members: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", method) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    return body.getvalue()


def object_array(body: bytes = EVIL) -> bytes:
    return npy("'|O'", body)


def padded(body: bytes, at: int, suffix: bytes = b"") -> bytes:
    """Safetensors whose header is padded with blanks and whose tensor's bytes are as given."""
    header = {"a": {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}}
    words = json.dumps(header).encode()
    words += b" " * (at - len(words))
    return len(words).to_bytes(8, "little") + words + body + suffix


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "m.pkl.gz": gzip.compress,
    "m.joblib": zlib.compress,
    "m.pkl.bz2": bz2.compress,
    "m.pkl.xz": lzma.compress,
    "m.pkl.lzma": lambda body: lzma.compress(body, lzma.FORMAT_ALONE),
    "m.tar": lambda body: tar({"a/b.pkl": body}),
    "m.tar.gz": lambda body: tar({"a/b.pkl": body}, "w:gz"),
    "m.tgz": lambda body: tar({"b.bin": torch_zip(body)}, "w:gz"),
    "m.tar.xz": lambda body: tar({"a/b.npz": zipped_as({"x.npy": object_array(body)})}, "w:xz"),
    "m.tar.bz2": lambda body: tar({"a/b.npy": object_array(body)}, "w:bz2"),
    "m.zip": lambda body: zipped_as({"a/b.pkl": body}),
    "stored.zip": lambda body: zipped_as({"a/b.bin": torch_zip(body)}, zipfile.ZIP_STORED),
    "lzma.zip": lambda body: zipped_as({"a/b.pkl": body}, zipfile.ZIP_LZMA),
    "tgz.zip": lambda body: zipped_as({"a/b.tar.gz": tar({"c.pkl": body}, "w:gz")}),
    "gz.zip": lambda body: zipped_as({"a/b.pkl.gz": gzip.compress(body)}),
    "tar.zip": lambda body: zipped_as({"a/b.tar": tar({"c.pkl": body})}),
    "zip.tgz": lambda body: tar({"b.zip": zipped_as({"c.pkl": body})}, "w:gz"),
    "twice.gz": lambda body: gzip.compress(gzip.compress(body)),
    "two_members.pkl.gz": lambda body: gzip.compress(stream(b"N")) + gzip.compress(body),
    "m.npz": lambda body: zipped_as({"x.npy": object_array(body)}),
    "m.npy": object_array,
    "m.nemo": lambda body: tar({"model_weights.ckpt": torch_zip(body)}),
    "noending": lambda body: body,
    "README.md": lambda body: body,
    "logo.png": lambda body: body,
    "config.json": lambda body: body,
    "model.safetensors": lambda body: body,
    "model.onnx": lambda body: body,
    "m.dat": lambda body: zipped_as({"a.pkl": body}),
    "m.h5": lambda body: body,
    "x.txt": lambda body: gzip.compress(body),
    "model.gguf": lambda body: torch_zip(body),
}  # fmt: skip


def containers() -> Files:
    """The same pickle in every container, under names that promise it and names that do not."""
    return {path: pack(EVIL) for path, pack in PACKED.items()}


def polyglots() -> Files:
    """Two formats in one file."""
    evil = torch_zip(EVIL)
    gguf = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    return {
        "trailing/model.safetensors": safetensors() + evil,
        "tensor/model.safetensors": padded(evil, 64),
        "late/model.safetensors": padded(bytes(400_000) + evil, 64),
        "header/model.safetensors": padded(evil, 6000),
        "image/logo.png": png + evil,
        "large/logo.png": png + bytes(400_000) + evil,
        "gguf/model.gguf": gguf + evil,
        "large/model.gguf": gguf + bytes(400_000) + evil,
        "onnx/model.onnx": b"\x08\x07\x12\x04test:\x00" + evil,
        "pickle/x.bin": PLAIN + evil,
        "front/x.bin": EVIL + torch_zip(),
        "large/data": bytes(400_000) + evil,
        "large/notes.txt": b"words " * 80_000 + evil,
        "large/data.jsonl": b'{"a": 1}\n' * 50_000 + evil,
        "pdf/paper.pdf": b"%PDF-1.4\n" + bytes(300_000) + evil,
        "mp4/clip.mp4": b"\x00\x00\x00\x20ftypisom" + bytes(300_000) + evil,
        "tar/x.tar": tar({"a.txt": b"x"}) + evil,
        "npy/x.npy": npy("'<f4'", bytes(4)) + evil,
        "h5/x.h5": b"\x89HDF\r\n\x1a\n" + bytes(1000) + evil,
    }


def archives() -> Files:
    """Tricks of archives themselves."""
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("archive/data.pkl", PLAIN)
        archive.writestr("archive/data/0", bytes(16))
        archive.filelist.append(archive.filelist[0])
    flagged = bytearray(torch_zip(EVIL))
    flagged[flagged.find(b"PK\x01\x02") + 8] |= 1
    renamed = torch_zip().replace(b"archive/data.pkl", b"archive/data.txt", 1)
    return {
        "leaves.zip": zipped(**{"../../x.txt": b"x"}),
        "absolute.zip": zipped(**{"/etc/x": b"x"}),
        "drive.zip": zipped(**{"C:\\x": b"x"}),
        "twice/x.bin": twice.getvalue(),
        "flags/x.bin": bytes(flagged),
        "renamed/x.bin": renamed,
        "crc/x.bin": torch_zip().replace(PLAIN, PLAIN[:-2] + b"N.", 1),
        "leaves.tar": tar({"../x": b"x"}),
        "absolute.tar": tar({"/etc/x": b"x"}),
        "link.tar": tar({"x": b""}, kind=tarfile.SYMTYPE, link="/etc/passwd"),
        "hardlink.tar": tar({"x": b""}, kind=tarfile.LNKTYPE, link="../x"),
        "device.tar": tar({"x": b""}, kind=tarfile.CHRTYPE),
        "fifo.tar.gz": tar({"x": b""}, "w:gz", kind=tarfile.FIFOTYPE),
        "program.zip": zipped(**{"x": b"\x7fELF" + bytes(100)}),
        "bomb.zip": zipped_as({"x.txt": bytes(12 << 20)}),
    }


def others() -> Files:
    """Formats of other libraries."""
    keras = json.dumps({"class_name": "Lambda", "module": "keras.layers", "config": {"function": {
        "class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}}).encode()  # fmt: skip
    module = json.dumps({"module": "os", "class_name": "system", "config": {}}).encode()
    skops = json.dumps(
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "system"}
    ).encode()
    return {
        "lambda.keras": zipped(**{"config.json": keras, "metadata.json": b"{}", "model.weights.h5": b""}),
        "module.keras": zipped(**{"config.json": module, "metadata.json": b"{}", "model.weights.h5": b""}),
        "model.skops": zipped(**{"schema.json": skops}),
        "lone.msgpack": EVIL,
        "auto/config.json": json.dumps({"auto_map": {"AutoModel": "evil/repo--x.Y"}}).encode(),
        "template/tokenizer_config.json": json.dumps({"chat_template": "{{ x['_' ~ '_class_' ~ '_'] }}"}).encode(),
        "template/chat_template.jinja": b"{% set n = '_' * 2 %}{{ x[n ~ 'class' ~ n] }}",
        "late.joblib": gzip.compress(stream(call("joblib.numpy_pickle", "NumpyArrayWrapper") + b"0" + SYSTEM)),
        "x.dill": stream(call("dill._dill", "_create_function", b"N")),
        "x.cloudpickle.pkl": stream(call("cloudpickle.cloudpickle", "_make_function", b"N")),
    }


KINDS: dict[str, Callable[[], Files]] = {
    "pickles": pickles,
    "containers": containers,
    "polyglots": polyglots,
    "archives": archives,
    "others": others,
}
