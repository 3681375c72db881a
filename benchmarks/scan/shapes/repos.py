"""Repos whose cost lies between their files: many files, many shards, the same weights twice, many pointers."""

from __future__ import annotations

import json
import struct

from benchmarks.scan.shapes import Files, Shape
from support.pickled import state_dict, storage, stream, tensor, torch_zip

PIECE = 200  # bytes that stand for one file


def _header(names: list[str]) -> bytes:
    rows = {name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate(names)}
    text = json.dumps(rows).encode()
    return struct.pack("<Q", len(text)) + text + bytes(len(names))


def small_files(ending: str, body: bytes) -> Shape:
    """As many files of one kind as ``size`` has pieces."""
    return lambda size: {f"f{at}{ending}": body for at in range(size // PIECE)}


def deep_folders(size: int) -> Files:
    """Each file in a folder of its own."""
    return {f"{'/'.join(str(at))}/a.json": b"{}" for at in range(size // PIECE)}


def shards(size: int, pickled: bool = False) -> Files:
    """Shards of safetensors with their index, each of 100 tensors; also the same as pickles."""
    count = max(1, size // 4000)
    names = {f"model-{at:05d}-of-{count:05d}.safetensors": [f"t{at}.{n}" for n in range(50)] for at in range(count)}
    files = {path: _header(held) for path, held in names.items()}
    index = {name: path for path, held in names.items() for name in held}
    files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": index}).encode()
    files["config.json"] = b'{"model_type": "vit"}'
    if pickled:
        body = torch_zip(stream(state_dict(**{f"t{n}": tensor(storage()) for n in range(20)})))
        files |= {path.replace("model-", "pytorch_model-").replace("safetensors", "bin"): body for path in names}
        files["pytorch_model.bin.index.json"] = files["model.safetensors.index.json"]
    return files


def tensors_beside_texts(size: int) -> Files:
    """One file of many tensors beside many small texts."""
    texts = {f"t{at}.txt": b"text" for at in range(size // 1000)}
    return {"model.safetensors": _header([f"t{at}" for at in range(size // 80)]), **texts}


def code_and_configs(size: int) -> Files:
    """Python files beside long JSON in which their names are looked for."""
    row = json.dumps({"a": "/module" * 10})
    files = {f"c{at}.json": ("[" + ",".join([row] * (size // 8 // len(row))) + "]").encode() for at in range(4)}
    return files | {f"module{at}.py": b"import torch\n" for at in range(size // 8000)}


def checkpoints(size: int) -> Files:
    """Folders as a trainer leaves them."""
    files: Files = {"config.json": b'{"model_type": "vit"}', "model.safetensors": _header(["a"])}
    for at in range(size // 2000):
        folder = f"checkpoint-{at}"
        files |= {f"{folder}/config.json": b"{}", f"{folder}/model.safetensors": _header(["a"])}
        files |= {f"{folder}/optimizer.pt": torch_zip(), f"{folder}/trainer_state.json": b"{}"}
    return files


SHAPES: dict[str, Shape] = {
    "repo, texts": small_files(".txt", b"text"),
    "repo, configs": small_files(".json", b'{"a": 1}'),
    "repo, python": small_files(".py", b"import os\n"),
    "repo, yaml": small_files(".yaml", b"a: !b c\n"),
    "repo, pickles": small_files(".pkl", b"\x80\x02N."),
    "repo, zips": lambda size: small_files(".pt", torch_zip())(size // 8),
    "repo, templates": small_files(".jinja", b"{{ a }}"),
    "repo, no ending": small_files("", b"text"),
    "repo, pictures": small_files(".png", b"\x89PNG\r\n\x1a\n" + bytes(20)),
    "repo, folders": deep_folders,
    "repo, shards": shards,
    "repo, shards twice": lambda size: shards(size, pickled=True),
    "repo, tensors beside texts": tensors_beside_texts,
    "repo, code and configs": code_and_configs,
    "repo, checkpoints": checkpoints,
}
