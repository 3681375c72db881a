"""What a file is, from its first bytes. Content decides; a name only says what was promised (docs/scan/policy.md)."""

from __future__ import annotations

import re

from hubclean.scanning.formats.graphs.coreml_model import looks_like_coreml
from hubclean.scanning.formats.graphs.onnx_model import looks_like_onnx
from hubclean.scanning.formats.inert import inert
from hubclean.scanning.formats.names import LFS_POINTER
from hubclean.scanning.formats.pickle_sniff import is_pickle
from hubclean.scanning.formats.tensorflow.tfrecord import is_tfrecord

PROGRAMS = {
    b"\x7fELF": "ELF",
    b"\xcf\xfa\xed\xfe": "Mach-O",
    b"\xce\xfa\xed\xfe": "Mach-O",
    b"\xca\xfe\xba\xbe": "Mach-O or Java",
}
HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_PLACES = (512, 1024, 2048)  # behind a user block, as MATLAB 7.3 writes one; larger ones double on
_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (
    ("lfs-pointer", 0, LFS_POINTER),
    ("zip", 0, b"PK\x03\x04"),
    ("zip", 0, b"PK\x05\x06"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("rar", 0, b"Rar!\x1a\x07"),
    ("gzip", 0, b"\x1f\x8b"),
    ("bzip2", 0, b"BZh"),
    ("xz", 0, b"\xfd7zXZ\x00"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("lz4", 0, b"\x04\x22\x4d\x18"),
    ("numpy", 0, b"\x93NUMPY"),
    ("hdf5", 0, HDF5),
    ("gguf", 0, b"GGUF"),
    ("tflite", 4, b"TFL3"),
    ("parquet", 0, b"PAR1"),
    ("arrow", 0, b"ARROW1"),
    *(("executable", 0, signature) for signature in PROGRAMS),
    ("image", 0, b"\x89PNG\r\n\x1a\n"),
    ("image", 0, b"\xff\xd8\xff"),
    ("image", 0, b"GIF8"),
    ("image", 0, b"BM"),
    ("image", 0, b"II*\x00"),
    ("image", 0, b"MM\x00*"),
    ("image", 8, b"WEBP"),
    ("pdf", 0, b"%PDF-"),
    ("tar", 257, b"ustar"),
)
_WRITTEN = ("lfs-pointer", "executable", "pdf")  # formats that may be plain text from end to end
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def sniff(head: bytes, size: int) -> str:
    """Name the format of a file of ``size`` bytes from its first bytes (up to ``HEAD`` of them).

    One of: ``empty``, ``lfs-pointer``, ``safetensors``, ``pickle``, ``zip``, ``7z``, ``rar``, ``gzip``, ``bzip2``,
    ``xz``, ``zstd``, ``lz4``, ``tar``, ``numpy``, ``hdf5``, ``gguf``, ``tflite``, ``parquet``, ``arrow``,
    ``executable``, ``image``, ``media``, ``font``, ``ds-store``, ``matlab``, ``pdf``, ``onnx``, ``coreml``, ``json``,
    ``text``, ``unknown``.
    """
    if not size:
        return "empty"
    if _is_safetensors(head, size):
        return "safetensors"
    # A text may begin with "BM25" or "GGUF"; no binary format does without a control sign in its first bytes.
    text = _is_text(head, cut=len(head) < size)
    for name, offset, signature in _SIGNATURES:
        if head.startswith(signature, offset) and (not text or name in _WRITTEN):
            return name
    if (kind := inert(head, size)) and not text:
        return kind
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return "pickle"
    if head[:2] == b"MZ" and len(head) >= 64 and _CONTROL.search(head[:64]):
        return "executable"
    if is_pickle(head, size):
        return "pickle"
    if looks_like_onnx(head, size):
        return "onnx"
    if looks_like_coreml(head, size):
        return "coreml"
    if any(head.startswith(HDF5, at) for at in HDF5_PLACES):
        return "hdf5"
    if text:
        return "json" if head.lstrip()[:1] in (b"{", b"[") else "text"
    return "unknown"


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    opened = head[8:].lstrip(b" \t\r\n")
    if len(head) < 10 or length > size - 8 or opened[:1] != b"{":
        return False
    # The checksum of a TFRecord's length begins so once in 256 times, and what follows is no JSON then.
    return opened[1:].lstrip(b" \t\r\n")[:1] in (b'"', b"}", b"") or not is_tfrecord(head)


def _is_text(head: bytes, cut: bool) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The cut may fall inside a character: up to three bytes of it may be there.
        if not (cut and error.start >= len(head) - 3 and error.reason == "unexpected end of data"):
            return False
    return not _CONTROL.search(head)
