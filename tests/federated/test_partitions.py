"""Images dealt out to clients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hubclean.errors import DataError
from hubclean.federated.partitions import deal


@pytest.mark.parametrize("how", ["iid", "dirichlet", "shards"])
def test_every_image_is_dealt_out_once(how: Any) -> None:
    labels = torch.arange(400) % 10
    parts = deal(labels, 8, how, 3)
    assert sorted(torch.cat(parts).tolist()) == list(range(400))
    assert [part.tolist() for part in parts] == [part.tolist() for part in deal(labels, 8, how, 3)]
    if how == "shards":
        assert max(len(set(labels[part].tolist())) for part in parts) <= 4
    if how == "iid":
        assert {len(part) for part in parts} == {50}


def test_a_small_alpha_gives_fewer_labels_to_each() -> None:
    labels = torch.arange(2000) % 10
    seen = {
        alpha: sum(len(set(labels[part].tolist())) for part in deal(labels, 10, "dirichlet", 1, alpha))
        for alpha in (0.1, 100.0)
    }
    assert seen[0.1] < 70
    assert seen[100.0] == 100


def test_too_few_images_to_deal() -> None:
    with pytest.raises(DataError, match="cannot be dealt out"):
        deal(torch.zeros(3, dtype=torch.int64), 4, "iid", 0)
