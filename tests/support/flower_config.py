"""Run configs of the Flower apps, read from their pyproject.toml as Flower does."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from support import ROOT

APP = ROOT / "hubclean" / "federated" / "flower"
HOSTILE_APP = ROOT / "hubclean" / "lab" / "hostile_clients" / "flower"
NODES = 3


def config(place: Path, out: Path, app: Path = APP, **given: Any) -> dict[str, Any]:
    """The run config of the app's pyproject with values given, as Flower hands it over."""
    text = (app / "pyproject.toml").read_text()
    rows: dict[str, Any] = {}

    def flat(table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else rows.update({prefix + key: value})

    flat(tomllib.loads(text)["tool"]["flwr"]["app"]["config"], "")
    mine = {"model": str(place / "model"), "data": str(place / "data"), "partition": "iid", "out": str(out)}
    more = {"device": "cpu", "clients": NODES, "wait": 0.0, "cleanse.step": 0.5, "cleanse.max-drop": 1.0}
    assert set(given) <= set(rows)
    return rows | mine | more | given
