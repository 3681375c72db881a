"""Repos for the guard of downloads: a safe one, one with code, one with a file that nobody checks."""

from __future__ import annotations

from support.hub_server import HubServer
from support.scanned_files import safetensors

WEIGHTS = safetensors({"a": {"dtype": "F32", "shape": [1 << 15], "data_offsets": [0, 1 << 17]}}, bytes(1 << 17))
SAFE = {"config.json": b'{"architecture": "test_resnet"}', "model.safetensors": WEIGHTS, "sub/labels.json": b"[1]"}
CODE = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
UNSAFE = SAFE | {"pytorch_model.bin": CODE}
UNCHECKED = SAFE | {"model.onnx": b"\x08\x01" * 9}


def begin(hub: HubServer) -> None:
    hub.log.clear()
