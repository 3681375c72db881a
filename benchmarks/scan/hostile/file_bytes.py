"""Files of other formats, by hand, so that they can be wrong where a case wants it."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any, Literal


def safetensors(tensors: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None) -> bytes:
    """float32 tensors of zeros."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for key, shape in tensors.items():
        count = 1
        for side in shape:
            count *= side
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + 4 * count]}
        end += 4 * count
    return headed(json.dumps(header), bytes(end))


def headed(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header; ``length`` where it lies."""
    body = header.encode() if isinstance(header, str) else header
    body += b" " * (-len(body) % 8) if length is None else b""
    return struct.pack("<Q", len(body) if length is None else length) + body + data


def zipped(members: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path), data, compression)
        archive.comment = comment
    return out.getvalue()


def npy(descr: str, data: bytes, shape: str = "(1,)", version: int = 1, header: str | None = None) -> bytes:
    """A .npy file; ``descr`` is put into the header as it stands."""
    body = header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    wide = 2 if version == 1 else 4
    line = body.encode().ljust((-(8 + wide + len(body) + 1)) % 64 + len(body)) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(line).to_bytes(wide, "little") + line + data


def field(number: int, value: bytes | str | int) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Seven bits a byte."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def gguf_text(value: str | bytes) -> bytes:
    """A text of GGUF."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def gguf(
    pairs: Mapping[str, str | int | list[str]],
    counts: tuple[int, int] | None = None,
    infos: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """GGUF version 3; ``counts`` (tensors, pairs) where they lie."""
    body = b""
    for key, value in pairs.items():
        body += gguf_text(key)
        if isinstance(value, str):
            body += struct.pack("<I", 8) + gguf_text(value)
        elif isinstance(value, int):
            body += struct.pack("<II", 4, value)
        else:
            body += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(gguf_text, value))
    tensors, held = counts or (0, len(pairs))
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, held) + body + infos + tail


def tarred(
    members: dict[str, bytes],
    mode: Literal["w:", "w:gz", "w:xz", "w:bz2"] = "w:",
    links: tuple[tarfile.TarInfo, ...] = (),
) -> bytes:
    """A tar of files, then of links or whatever else."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in links:
            archive.addfile(info)
    return out.getvalue()
