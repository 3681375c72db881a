"""What a file's name promises: endings of pickles, images, texts that do nothing, formats that nobody here checks."""

from __future__ import annotations

from hubclean.hub.repos import PICKLE_ENDINGS
from hubclean.scanning.formats.inert import MORE_IMAGES

HEAD = 4096  # bytes enough for every signature below, tar's (offset 257) included
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
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
    ".jinja2",
    ".j2",
    ".vocab",
    ".tiktoken",
    ".bpe",
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
    *PICKLE_ENDINGS,
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
SAFETENSORS_INDEX = "model.safetensors.index.json"
_NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "random_states", "scaler")
IMAGES = [".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", *MORE_IMAGES]
UNCHECKED_NAMES = {
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".ggml": "GGML",
    ".h5": "HDF5 / Keras",
    ".hdf5": "HDF5 / Keras",
    ".keras": "Keras",
    ".pb": "TensorFlow SavedModel",
    ".tflite": "TFLite",
    ".ot": "rust-bert tensors",
    ".mlmodel": "Core ML",
    ".mlpackage": "Core ML",
    ".engine": "TensorRT",
    ".mar": "TorchServe archive",
    ".7z": "7z archive",
    ".rar": "rar archive",
    ".zst": "zstd stream",
    ".lz4": "lz4 stream",
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
}


def suffix(path: str) -> str:
    """The last extension in lower case with its dot; a bare dot file (``.gitignore``) is its own extension."""
    name = path.rsplit("/", 1)[-1].lower()
    return name[name.rindex(".") :] if "." in name else ""


def is_pickled_weights(path: str) -> bool:
    """Whether a file is by its name a checkpoint of weights in torch's format, and not the state of a training."""
    ending = suffix(path.lower().removesuffix(".tar"))  # ``.pth.tar`` is a name alone: no archive since torch 0.1
    return ending in _CHECKPOINTS and not is_training_state(path)


def is_training_state(path: str) -> bool:
    """Whether a file is by its name the state of a training: arguments, optimizer, scheduler, random numbers."""
    return path.rsplit("/", 1)[-1].lower().startswith(_NO_WEIGHTS)


LICENCES = ("license", "licence", "notice", "copying")


def is_carried(name: str) -> bool:
    """Whether a file of the original goes along with the weights: configs and licences at the root, no code or card."""
    lower = name.lower()
    if "/" in name or lower.endswith(".index.json") or lower == "adapter_config.json":
        return False
    return lower.endswith(".json") or lower.startswith(("license", "licence", "notice"))
