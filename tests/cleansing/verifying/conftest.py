"""A tiny model, cleansed once for all tests of ``verify``; each test changes a copy of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import hubclean
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from support.image_sets import class_folders, image_set
from support.stated import Cleansed
from support.tiny_models import make_repo

BRIEF = ("steps=2", "batches=1", "neural-cleanse.batch_size=4", "seeds=1", "epochs=1", "step=0.2")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cleansed:
    place = tmp_path_factory.mktemp("verifying")
    base, pictures = make_repo(place / "base", "timm-resnet"), class_folders(place / "pictures", image_set(100))
    hubclean.clean(
        base,
        pictures,
        place / "out",
        session=open_session("cpu", seed=5, batch_size=32),
        given=BRIEF,
        sizes=Sizes(30, 30, 40),
        always=True,
        defense="fine-pruning",
        retune=False,
        accept_accuracy=True,  # random weights
    )
    return Cleansed(base, place / "out", pictures)


@pytest.fixture
def cleansed(made: Cleansed, tmp_path: Path) -> Cleansed:
    """Copies to tamper with."""
    for name in ("base", "out"):
        shutil.copytree(getattr(made, name), tmp_path / name)
    return Cleansed(tmp_path / "base", tmp_path / "out", made.pictures)
