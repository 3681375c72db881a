"""What the tests of building nets share. ``configs`` and ``bounds`` are tested through ``classifier``."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tiny_models import KINDS, make_repo


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny repo of each kind."""
    root = tmp_path_factory.mktemp("repos")
    return {kind: make_repo(root / kind, kind) for kind in KINDS}
