"""Paths that a model names: whether they stay in the repo, and which file of the listing they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:/")
_OF_TFJS = re.compile(r"^group\d+-shard\d+of\d+|\.weights\.bin$")  # by the converter, and by the browser
_MEMORY = "*/_ORT_"  # onnxruntime: the tensor lies at an address of the process, given as the offset


def leaves(location: str) -> str | None:
    """Why a path does not stay in the folder of what names it, read as POSIX and as Windows; ``None`` if it does."""
    parts = location.replace("\\", "/").split("/")
    if location.startswith(_MEMORY):
        return "an address in the memory of the process that loads it"
    if ".." in [part.strip() for part in parts]:
        return "a path with '..'"
    if location.startswith(("/", "\\", "~")) or _DRIVE.match(location):
        return "an absolute path"
    if _SCHEME.match(location):
        return "an address"
    if any(ord(sign) < 32 for sign in location):
        return "a path with control characters"
    return None


def resolved(path: str, location: str) -> str:
    """The path in the listing of what a file at ``path`` names; ``location`` must not leave its folder."""
    folder = path.rpartition("/")[0]
    inside = "/".join(part for part in location.split("/") if part not in ("", "."))
    return f"{folder}/{inside}" if folder else inside


def may_be_described(paths: Iterable[str]) -> Callable[[str], bool]:
    """Which paths a file among ``paths`` may say of that they hold the numbers of its tensors, and nothing else.

    An ONNX model in its folder or above, an OpenVINO XML of the same name, a Core ML model above a folder ``weights``,
    a JSON of TensorFlow.js in its folder (by its name, or by that of the weights). The scanner of that format speaks of
    such a file, or nobody does, and then it is not checked.
    """
    onnx, openvino, coreml, tfjs, jsons = set(), set(), set(), set(), set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        stem, _, ending = name.rpartition(".")
        match ending.lower():
            case "onnx":
                onnx.add(folder)
            case "xml":
                openvino.add((folder, stem))
            case "mlmodel":
                coreml.add(folder)
            case "json":
                jsons.add(folder)
                if "model" in stem.lower():
                    tfjs.add(folder)

    def described(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        parts = folder.split("/")
        return (
            "" in onnx
            or (folder, name.rpartition(".")[0]) in openvino
            or folder in tfjs
            or (folder in jsons and _OF_TFJS.search(name) is not None)
            or (folder.endswith("weights") and folder.rpartition("/")[0] in coreml)
            or any("/".join(parts[:depth]) in onnx for depth in range(1, len(parts) + 1))
        )

    return described
