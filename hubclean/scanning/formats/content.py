"""What a file is, from its first bytes. Content decides; a name only says what was promised (scan.md 8.2, rule 2)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from hubclean.errors import HubcleanError
from hubclean.scanning.pickles.values import Items, Made, Pairs
from hubclean.scanning.pickles.walk import walk

HEAD = 4096  # bytes enough for every signature below, tar's (offset 257) included
LFS_POINTER = b"version https://git-lfs.github.com/spec/"

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
    ("hdf5", 0, b"\x89HDF\r\n\x1a\n"),
    ("gguf", 0, b"GGUF"),
    ("tflite", 4, b"TFL3"),
    ("parquet", 0, b"PAR1"),
    ("arrow", 0, b"ARROW1"),
    ("executable", 0, b"\x7fELF"),
    ("executable", 0, b"\xcf\xfa\xed\xfe"),
    ("executable", 0, b"\xce\xfa\xed\xfe"),
    ("executable", 0, b"\xca\xfe\xba\xbe"),
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
_MEMOIZED = re.compile(rb"[(][dlt(]?p\d+\n|[(][IFSVL]")  # how protocol 0 begins a dict, list or tuple
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")

INERT_TEXT = [
    ".md",
    ".txt",
    ".rst",
    ".csv",
    ".tsv",
    ".html",
    ".htm",
    ".css",
    ".xml",
    ".svg",
    ".log",
    ".bib",
    ".toml",
    ".ini",
    ".cfg",
    ".ipynb",
    ".yaml",
    ".yml",
    ".jsonl",
    ".jinja",
    ".gitattributes",
    ".gitignore",
    ".gitkeep",
    ".dockerignore",
    ".editorconfig",
]
INERT_NAMES = [
    "license",
    "licence",
    "notice",
    "copying",
    "authors",
    "contributors",
    "citation.cff",
    "readme",
    "changelog",
    "makefile",
    "dockerfile",
]
PICKLE_NAMES = [
    ".bin",
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".ckpt",
    ".joblib",
    ".dill",
    ".sav",
    ".p",
    ".th",
    ".tar",
    ".pt2",
    ".torch",
]
_CHECKPOINTS = (".bin", ".pt", ".pth", ".ckpt", ".th")
_NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
IMAGES = [".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"]
UNCHECKED_NAMES = {
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".ggml": "GGML",
    ".h5": "HDF5 / Keras",
    ".hdf5": "HDF5 / Keras",
    ".keras": "Keras",
    ".pb": "TensorFlow SavedModel",
    ".tflite": "TFLite",
    ".msgpack": "Flax msgpack",
    ".ot": "rust-bert tensors",
    ".mlmodel": "Core ML",
    ".mlpackage": "Core ML",
    ".engine": "TensorRT",
    ".nemo": "NeMo archive",
    ".mar": "TorchServe archive",
    ".7z": "7z archive",
    ".rar": "rar archive",
    ".gz": "gzip stream",
    ".tgz": "gzip stream",
    ".bz2": "bzip2 stream",
    ".xz": "xz stream",
    ".zst": "zstd stream",
    ".lz4": "lz4 stream",
    ".parquet": "Parquet table",
    ".arrow": "Arrow table",
    ".pdf": "PDF",
}
UNCHECKED_CONTENT = {
    "7z": "7z archive",
    "rar": "rar archive",
    "gzip": "gzip stream",
    "bzip2": "bzip2 stream",
    "xz": "xz stream",
    "zstd": "zstd stream",
    "lz4": "lz4 stream",
    "tar": "tar archive",
    "hdf5": "HDF5 / Keras",
    "gguf": "GGUF",
    "tflite": "TFLite",
    "parquet": "Parquet table",
    "arrow": "Arrow table",
    "pdf": "PDF",
}


def suffix(path: str) -> str:
    """The last extension in lower case with its dot; a bare dot file (``.gitignore``) is its own extension."""
    name = path.rsplit("/", 1)[-1].lower()
    return name[name.rindex(".") :] if "." in name else ""


def sniff(head: bytes, size: int) -> str:
    """Name the format of a file of ``size`` bytes from its first bytes (up to ``HEAD`` of them).

    One of: ``empty``, ``lfs-pointer``, ``safetensors``, ``pickle``, ``zip``, ``7z``, ``rar``, ``gzip``, ``bzip2``,
    ``xz``, ``zstd``, ``lz4``, ``tar``, ``numpy``, ``hdf5``, ``gguf``, ``tflite``, ``parquet``, ``arrow``,
    ``executable``, ``image``, ``pdf``, ``json``, ``text``, ``unknown``.
    """
    if not size:
        return "empty"
    if _is_safetensors(head, size):
        return "safetensors"
    for name, offset, signature in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return "pickle"
    if head[:2] == b"MZ" and len(head) >= 64 and _CONTROL.search(head[:64]):
        return "executable"
    if is_pickle(head, size):
        return "pickle"
    if _is_text(head, cut=len(head) < size):
        return "json" if head.lstrip()[:1] in (b"{", b"[") else "text"
    return "unknown"


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) >= 10 and length <= size - 8 and head[8:].lstrip(b" \t\r\n")[:1] == b"{"


def is_pickle(head: bytes, size: int, named: bool = False) -> bool:
    """Whether a file that begins with ``head`` reads as a pickle, signature or not, broken behind ``head`` or not.

    The opcodes must do more than push a constant, so that words are not taken for them: call a name, or end in a
    container. With ``named`` (the name of the file says pickle) it is enough to refer to a name.
    """
    return _reading(head, size, named) is True


def reads_as_pickle(head: bytes, size: int, named: bool, more: Callable[[int], bytes]) -> bool | None:
    """``is_pickle``, for one that may begin with a long constant too: read on as long as nothing speaks against it.

    Args:
        more: gives that many first bytes of the file.

    Returns:
        ``None`` if it cannot be told from the first 256 KiB.
    """
    found = _reading(head, size, named)
    for length in (16 * HEAD, 64 * HEAD):
        if found is None and len(head) < min(size, length):
            head = more(min(size, length))
            found = _reading(head, size, named)
    return found


def _reading(head: bytes, size: int, named: bool) -> bool | None:
    """``None``: so far it holds constants only, and goes on."""
    try:
        found = walk(head, 0, size, partial=True, seconds=2.0)
    except HubcleanError:
        return True
    if found.called or (named and found.names):
        return True
    sound = not any(row.rule == "HC-PKL-005" for row in found.problems)
    if found.complete:
        whole = named or found.stop == size or bool(found.names)
        return sound and whole and isinstance(found.root, (Items, Pairs, Made))
    if sound and found.opcodes > 2 and (bool(found.names) or _MEMOIZED.match(head) is not None):
        return True
    return None if sound and len(head) < size else False


def is_pickled_weights(path: str) -> bool:
    """Whether a file is by its name a checkpoint of weights in torch's format, and not the state of a training."""
    return suffix(path) in _CHECKPOINTS and not path.rsplit("/", 1)[-1].lower().startswith(_NO_WEIGHTS)


def _is_text(head: bytes, cut: bool) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The cut may fall inside a character: up to three bytes of it may be there.
        if not (cut and error.start >= len(head) - 3 and error.reason == "unexpected end of data"):
            return False
    return not _CONTROL.search(head)


MOST_VALUES = 400_000  # of one JSON text: a tokenizer has up to 300,000; one takes 300 bytes to hold


class JsonProblem(ValueError):
    """JSON text that loaders may read in different ways, or not at all; ``str`` says why."""


def values_in(text: bytes) -> int:
    """How many values a JSON text holds at most, without parsing it: none comes without one of three signs."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def read_json(text: bytes, most: int = MOST_VALUES) -> tuple[object, tuple[tuple[str, object], ...]]:
    """Parse JSON strictly: UTF-8, one value.

    Returns:
        The value, and the keys given twice in one object with the earlier value that the later one hides.

    Raises:
        JsonProblem: not UTF-8, not JSON, more than ``most`` values, nested too deep for the parser, or more than 20
            keys given twice.
    """
    if values_in(text) > most:
        raise JsonProblem(f"more than {most:,} values")
    hidden: list[tuple[str, object]] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        seen: dict[str, object] = {}
        for key, value in items:
            if key in seen:
                hidden.append((key, seen[key]))
            seen[key] = value
        if len(hidden) > 20:
            raise JsonProblem("more than 20 keys are given twice")
        return seen

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=pairs), tuple(hidden)
    except UnicodeDecodeError as error:
        raise JsonProblem(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise JsonProblem("nested too deep") from error
    except JsonProblem:
        raise
    except ValueError as error:
        raise JsonProblem(str(error)) from error
