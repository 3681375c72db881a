"""What there is in place of what a loader loads, in words: ``ONNX only``."""

from __future__ import annotations

from collections.abc import Iterable

from hubclean.scanning.formats.names import PICKLE_NAMES, is_training_state, suffix

_KINDS = {
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".hdf5": "TensorFlow",
    ".keras": "Keras",
    ".pb": "TensorFlow",
    ".tflite": "TFLite",
    ".msgpack": "Flax",
    ".gguf": "GGUF",
    ".ggml": "GGML",
    ".mlmodel": "Core ML",
    ".mlpackage": "Core ML",
    ".engine": "TensorRT",
    ".nemo": "NeMo",
    ".mar": "TorchServe",
    ".ot": "rust-bert",
    ".safetensors": "safetensors under other names",
}


def what_is_there(names: Iterable[str]) -> str:
    """The formats of weights among ``names``: ``ONNX only``; ``no weights`` where there are none."""
    kinds: dict[str, bool] = {}
    arrays = False
    for name in names:
        ending = suffix(name)
        if ending in _KINDS:
            kinds[_KINDS[ending]] = True
        elif name.endswith((".xml", "_openvino.bin")) and "openvino" in name:
            kinds["OpenVINO"] = True
        elif ending in PICKLE_NAMES and not is_training_state(name):
            kinds["pickles under other names"] = True
        elif ending == ".npz":
            arrays = True
    if arrays and not kinds:  # beside other weights they hold statistics, features, predictions
        return "NumPy only"
    return " and ".join(sorted(kinds)) + " only" if kinds else "no weights"
