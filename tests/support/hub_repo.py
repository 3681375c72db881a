"""The files of one small repo on the loopback Hub."""

from __future__ import annotations

WEIGHTS = bytes(i * 7 % 251 for i in range(100_000))
CONFIG = b'{"architecture": "test_resnet"}'
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "sub/empty.txt": b""}
