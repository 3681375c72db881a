"""What the tests of federated cleansing share.

``participants``, ``questions``, ``training`` and ``local_crowd`` are tested through the rounds, ``by_files`` through
the commands in ``tests/cli/test_ballots.py``, and ``flower`` by ``make federated-test``, in a venv of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.image_sets import class_folders, image_set
from support.tiny_models import make_repo


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny repo, and pictures in class folders."""
    root = tmp_path_factory.mktemp("flower")
    make_repo(root / "model", "timm-resnet", classes=4)
    class_folders(root / "data", image_set(48, 4))
    return root
