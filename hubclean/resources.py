"""Finds the data folders ``hooks/`` and ``model_cards/`` in a checkout, an editable install and a wheel."""

from __future__ import annotations

from pathlib import Path

from hubclean.errors import HubcleanError

PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """Return the data folder ``name``: inside the package (wheel) or beside it (checkout).

    Raises:
        HubcleanError: neither place holds it; the message names both.
    """
    inside, beside = PACKAGE / name, PACKAGE.parent / name
    for place in (inside, beside):
        if place.is_dir():
            return place
    raise HubcleanError(f"data folder {name!r} is at neither {inside} nor {beside}")
