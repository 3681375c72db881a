"""One set of labelled images dealt out to clients: at random, by Dirichlet label shares, or a few labels each."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hubclean.errors import DataError

Split = Literal["iid", "dirichlet", "shards"]


def deal(
    labels: Tensor, clients: int, how: Split, seed: int, alpha: float = 0.5, per_client: int = 2
) -> tuple[Tensor, ...]:
    """Row numbers for every client ``(m_k,)`` int64: together each row of ``labels`` ``(n,)`` once.

    Args:
        how: ``iid``: at random, alike many each. ``dirichlet``: the rows of every label are split in proportions drawn
            from Dirichlet(``alpha``) over the clients (Hsu et al. 2019). ``shards``: rows sorted by label,
            cut into ``clients * per_client`` pieces, that many at random to each (McMahan et al. 2017).

    Raises:
        DataError: there are fewer rows than clients (or pieces), or a draw leaves a client without any.
    """
    generator = torch.Generator().manual_seed(seed)
    pieces = clients * (per_client if how == "shards" else 1)
    if clients < 1 or len(labels) < pieces:
        raise DataError(f"{len(labels)} images cannot be dealt out to {clients} clients")
    if how == "iid":
        parts = list(torch.randperm(len(labels), generator=generator).tensor_split(clients))
    elif how == "shards":
        cut = torch.argsort(labels, stable=True).tensor_split(pieces)
        order = torch.randperm(pieces, generator=generator).tensor_split(clients)
        parts = [torch.cat([cut[index] for index in mine.tolist()]) for mine in order]
    else:
        parts = _dirichlet(labels, clients, alpha, generator)
    if empty := sum(not len(part) for part in parts):
        raise DataError(f"the split left {empty} of {clients} clients without images: take another seed or alpha")
    return tuple(part.sort().values for part in parts)


def _dirichlet(labels: Tensor, clients: int, alpha: float, generator: torch.Generator) -> list[Tensor]:
    rows: list[list[Tensor]] = [[] for _ in range(clients)]
    for label in sorted(set(labels.tolist())):
        mine = (labels == label).nonzero().flatten()
        mine = mine[torch.randperm(len(mine), generator=generator)]
        # A Dirichlet draw is gamma draws over their sum; torch's sampler takes a generator only here.
        drawn = torch._standard_gamma(torch.full((clients,), alpha, dtype=torch.float64), generator=generator)
        share = drawn.clamp(min=1e-30).cumsum(0)
        ends = (share / share[-1] * len(mine)).round().long()[:-1]
        for client, part in enumerate(mine.tensor_split(ends)):
            rows[client].append(part)
    return [torch.cat(parts) for parts in rows]
