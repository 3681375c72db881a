"""Which modules and names a Keras config may refer to.

A class of Keras is built from plain values; a function of Keras that is no operation may fetch, read or write files.
Source: keras/src/saving/serialization_lib.py (3.0 to 3.15: ``NON_MODELING_APIS``, ``_retrieve_class_or_fn``), tf_keras
2.21; CVE-2025-1550, CVE-2025-8747, CVE-2025-9906, CVE-2026-1462.
"""

from __future__ import annotations

import re
import sys
from typing import Literal

Standing = Literal["own", "custom", "reaches", "outside", "dangerous"]

_ROOTS = (
    "tensorflow.python.keras", "tensorflow.keras", "tensorflow_core.python.keras", "keras.api._tf_keras.keras",
    "keras.api._v2.keras", "keras.api._v1.keras", "keras._tf_keras.keras", "keras.api", "keras.src", "tf_keras.src",
    "tf_keras.api._v2.keras", "tf_keras", "keras",
)  # fmt: skip
_CLASS_ROOMS = frozenset(
    [
        "layers",
        "models",
        "model",
        "engine",
        "initializers",
        "regularizers",
        "constraints",
        "losses",
        "metrics",
        "optimizers",
        "optimizer_v2",
        "optimizer_experimental",
        "activations",
        "ops",
        "dtype_policies",
        "quantizers",
        "random",
        "mixed_precision",
        "applications",
        "backend",
        "feature_column",
        "premade_models",
        "premade",
        "trainers",
        "distillation",
    ]
)
_FUNCTION_ROOMS = frozenset(["activations", "losses", "metrics", "ops", "random", "initializers", "layers"])
_REACHING = re.compile(
    r"^(load|save|get_file|download|deserialize|serialize|model_from|clear_session|enable_|set_|register_|get$|get_|.*_from_directory$)"
)
# What Keras finds by its name alone, in its activations, losses and metrics.
FUNCTIONS = frozenset(
    [
        "acc",
        "accuracy",
        "binary_accuracy",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_accuracy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_generalized_cross_entropy",
        "categorical_hinge",
        "celu",
        "circle",
        "concordance_correlation",
        "cosine_similarity",
        "crossentropy",
        "ctc",
        "dice",
        "elu",
        "exponential",
        "gelu",
        "glu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
        "hinge",
        "huber",
        "kl_divergence",
        "leaky_relu",
        "linear",
        "log_cosh",
        "log_sigmoid",
        "log_softmax",
        "mae",
        "mape",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "mean_squared_logarithmic_error",
        "mish",
        "mse",
        "msle",
        "pearson_correlation",
        "poisson",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_shrink",
        "softmax",
        "softplus",
        "softsign",
        "sparse_categorical_accuracy",
        "sparse_categorical_crossentropy",
        "sparse_plus",
        "sparse_sigmoid",
        "sparse_top_k_categorical_accuracy",
        "sparsemax",
        "squared_hinge",
        "squareplus",
        "swish",
        "tanh",
        "tanh_shrink",
        "threshold",
        "top_k_categorical_accuracy",
        "tversky",
    ]
)
_BUILTIN_CALLS = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "open",
        "input",
        "getattr",
        "setattr",
        "delattr",
        "globals",
        "locals",
        "vars",
        "breakpoint",
        "help",
        "memoryview",
        "print",
        "exit",
        "quit",
        "__import__",
        "__build_class__",
    ]
)
# Packages that stand beside Keras on most machines, and hold functions that read, run or fetch.
_COMMON = frozenset(
    [
        "IPython",
        "PIL",
        "absl",
        "cloudpickle",
        "cv2",
        "dill",
        "fire",
        "flask",
        "fsspec",
        "google",
        "h5py",
        "huggingface_hub",
        "imageio",
        "jax",
        "joblib",
        "markdown",
        "matplotlib",
        "ml_dtypes",
        "namex",
        "numpy",
        "onnx",
        "optree",
        "pandas",
        "pip",
        "pkg_resources",
        "psutil",
        "requests",
        "rich",
        "scipy",
        "setuptools",
        "sklearn",
        "skimage",
        "tensorboard",
        "tensorflow",
        "tensorflow_io",
        "torch",
        "torchvision",
        "transformers",
        "urllib3",
        "wheel",
        "yaml",
    ]
)
_TENSOR_TYPES = re.compile(
    r"^(Tensor|Sparse|Ragged|Indexed|Bounded|Variable|Optional|None|Dataset|Iterator|Resource)\w*(Spec|Shape|Tensor)$|^DType$|^TensorShape(V1)?$"
    r"|^(List|_Dict|_Tuple)Wrapper$"
)
_BESIDE_PYTHON = ("posix", "nt", "test", "pip", "setuptools", "pkg_resources", "_distutils_hack")
_BESIDE_KERAS = ("keras_hub", "keras_nlp", "keras_cv", "keras_tuner")


def standing(module: str | None, name: str, function: bool, registered: str) -> Standing:
    """What a reference to ``name`` of ``module`` is.

    Args:
        function: whether a function is named, else a class. registered: the name that the author gave it.

    Returns:
        ``own``: of Keras, built from plain values. ``custom``: of the author's program, found only where that is
        loaded. ``reaches``: of Keras, and reads, writes, fetches or switches something. ``outside``: of another
        package. ``dangerous``: of Python itself.
    """
    if module is None or module == "__main__":
        return "custom" if module or ">" in registered else "own"
    root = module.split(".", 1)[0]
    if module == "builtins" and function and name not in _BUILTIN_CALLS:
        return "own" if name in FUNCTIONS else "custom"
    if (room := _room(module)) is not None:
        return _of_keras(room, name, function)
    if root in _BESIDE_KERAS and not function and name[:1].isupper() and ".utils" not in module:
        return "own"
    if root in sys.stdlib_module_names or root in _BESIDE_PYTHON:
        return "dangerous"
    if root == "tensorflow" and not function and _TENSOR_TYPES.match(name):
        return "own"
    if root in _COMMON or function or ">" not in registered or not name[:1].isupper():
        return "outside"
    return "custom"


def _room(module: str) -> str | None:
    """The first part of a module's name behind Keras's own; ``None`` if it is none of Keras's."""
    for root in _ROOTS:
        if module == root or module.startswith(f"{root}."):
            return module[len(root) + 1 :].split(".", 1)[0]
    return None


def _of_keras(room: str, name: str, function: bool) -> Standing:
    if function:
        return "own" if room in _FUNCTION_ROOMS and name.isidentifier() and not _REACHING.match(name) else "reaches"
    if (not room or room in _CLASS_ROOMS) and name[:1].isupper() and name.isidentifier():
        return "own"
    return "reaches"


# Functions of TensorFlow by their exported names, as TFOpLambda layers refer to them.
_TF_ROOMS = frozenset(
    [
        "math",
        "nn",
        "linalg",
        "image",
        "signal",
        "strings",
        "random",
        "bitwise",
        "quantization",
        "sparse",
        "ragged",
        "sets",
        "dtypes",
        "compat",
        "v1",
        "keras",
        "backend",
        "activations",
        "losses",
        "metrics",
        "__operators__",
        "experimental",
        "numpy",
    ]
)
_TF_REACHING = re.compile(
    r"py_func|numpy_function|load|save|read|write|file|print|eval|exec|dataset|checkpoint|restore|gfile|summary|record|raw_ops|get$|serialize"
)


def plain_operation(symbol: str) -> bool:
    """Whether a dotted name of TensorFlow's is an operation on tensors that reaches neither files nor Python."""
    *rooms, name = symbol.removeprefix("tf.").split(".")
    return all(room in _TF_ROOMS for room in rooms) and bool(name) and not _TF_REACHING.search(name)
