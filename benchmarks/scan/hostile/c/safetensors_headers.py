"""Headers whose sizes do not fit their data."""

from __future__ import annotations

import json
import struct

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import headed, safetensors
from benchmarks.scan.hostile.ordinary import Repo, vit

INDEX = {
    "metadata": {"total_size": 32},
    "weight_map": {"classifier.weight": "model-00001-of-00002.safetensors",
                   "classifier.bias": "model-00002-of-00002.safetensors"},
}  # fmt: skip


def one(kind: str, shape: list[int], start: int, end: int) -> bytes:
    """A file with a single tensor."""
    row = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    return headed(json.dumps({"classifier.bias": row}), bytes(24))


def shards(second: bytes) -> Repo:
    """Two shards and their index; the second is given."""
    repo = vit({
        "model.safetensors.index.json": INDEX,
        "model-00001-of-00002.safetensors": safetensors({"classifier.weight": (2, 3)}, {"format": "pt"}),
        "model-00002-of-00002.safetensors": second})  # fmt: skip
    del repo["model.safetensors"]
    return repo


def lora() -> bytes:
    """A LoRA of kohya's scripts: half numbers, its training in the metadata."""
    header = {
        "__metadata__": {"ss_network_dim": "16", "ss_tag_frequency": json.dumps({"img": {"cat": 3}}),
                         "ss_sd_model_name": "/workspace/models/v1-5-pruned.safetensors", "format": "pt"},
        "lora_unet.alpha": {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]},
        "lora_unet.lora_down.weight": {"dtype": "F8_E4M3", "shape": [2, 3], "data_offsets": [2, 8]},
        "steps": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
    }  # fmt: skip
    return headed(json.dumps(header), struct.pack("<8xq", 500))


CASES = [
    bad(
        "wider-than-its-type",
        "readers in C that copy by the offsets into a tensor made by type and shape write past it; "
        "in the second shard only",
        lambda: shards(one("BF16", [2], 0, 24)),
    ),
    bad(
        "half-a-byte-over",
        "readers that round: three numbers of four bits end within a byte",
        lambda: vit({"model.safetensors": one("F4", [3], 0, 24)}),
    ),
    bad(
        "offsets-wrap",
        "readers with 64 bits that check only the end: begin plus length wraps to the file's size",
        lambda: vit({"model.safetensors": one("F32", [8], 2**64 - 8, 24)}),
    ),
    twin("lora-of-kohya", "diffusers, web interfaces", lambda: vit({"lora.safetensors": lora()})),
]
