"""What the tests of the bench share. ``plots`` and ``rows`` are tested through the runs of ``test_cells.py``."""

from __future__ import annotations

import dataclasses

import pytest

from hubclean.lab.bench import small_nets
from hubclean.nets.training import Schedule


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch: these tests are about the book-keeping."""
    quick = {
        name: dataclasses.replace(net, schedule=Schedule(1, 1e-3, "adamw")) for name, net in small_nets.NETS.items()
    }
    monkeypatch.setattr(small_nets, "NETS", quick)
