"""One small repo on the loopback Hub, opened, with retries that do not wait: imported by the Hub's tests."""

from __future__ import annotations

import pytest

from hubclean.hub import transport
from hubclean.hub.hub_repo import HubRepo
from support.hub_server import HubServer

WEIGHTS = bytes(i * 7 % 251 for i in range(100_000))
CONFIG = b'{"architecture": "test_resnet"}'
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "sub/empty.txt": b""}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.001)


@pytest.fixture
def repo(hub: HubServer) -> HubRepo:
    hub.create("org/model", FILES)
    return HubRepo("org/model")
