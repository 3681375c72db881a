"""Run configs of the Flower apps, read from their pyproject.toml as Flower does, and a tiny repo with pictures."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hubclean import federated
from support.image_sets import image_set
from support.tiny_models import make_repo

APPS = Path(federated.__path__[0])
NODES = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny repo, and pictures in class folders."""
    root = tmp_path_factory.mktemp("flower")
    make_repo(root / "model", "timm-resnet", classes=4)
    images = image_set(48, 4)
    for row, label in enumerate(images.labels.tolist()):
        folder = root / "data" / f"thing {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[row].permute(1, 2, 0).numpy()).save(folder / f"{row}.png")
    return root


def config(place: Path, out: Path, folder: str = "flower", **given: Any) -> dict[str, Any]:
    """The run config of the app's pyproject with values given, as Flower hands it over."""
    text = (APPS / folder / "pyproject.toml").read_text()
    rows: dict[str, Any] = {}

    def flat(table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else rows.update({prefix + key: value})

    flat(tomllib.loads(text)["tool"]["flwr"]["app"]["config"], "")
    mine = {"model": str(place / "model"), "data": str(place / "data"), "partition": "iid", "out": str(out)}
    more = {"device": "cpu", "clients": NODES, "wait": 0.0, "cleanse.step": 0.5, "cleanse.max-drop": 1.0}
    assert set(given) <= set(rows)
    return rows | mine | more | given
