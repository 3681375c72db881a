"""What the tests of the Hub share. ``commits`` and ``client_errors`` are tested through pushing and reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubclean.hub.hub_repo import HubRepo
from support.audited import write_folder
from support.hub_repo import FILES
from support.hub_server import HubServer


@pytest.fixture
def repo(hub: HubServer) -> HubRepo:
    """A small repo, opened."""
    hub.create("org/model", FILES)
    return HubRepo("org/model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What ``clean`` left behind."""
    return write_folder(tmp_path / "sanitized")
