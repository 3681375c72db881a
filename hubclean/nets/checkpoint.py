"""``Checkpoint``: a loaded classifier and where it came from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from hubclean.records import Conversion, FeatureSite, Merging, ModelFacts, RepoRef


@dataclass(frozen=True)
class Checkpoint:
    """A loaded classifier and where it came from.

    Args:
        model: takes pixels ``(n, c, h, w)`` in [0, 1], normalises inside, returns logits ``(n, k)``; float32, eval.
        site: where feature layer and heads are; module names are those inside ``model.net``.
        facts: what the config says; ``facts.labels`` names the k classes.
        origin: pinned repo.
        folder: the files it was loaded from (``None`` for a model built in memory).
        conversion: how they were made, where the repo has its weights as a pickle only.
        merging: how they were made, where the repo is an adapter.
    """

    model: nn.Module
    site: FeatureSite
    facts: ModelFacts
    origin: RepoRef
    folder: Path | None = None
    conversion: Conversion | None = None
    merging: Merging | None = None

    def copy(self) -> Checkpoint:
        """The same checkpoint around a deep copy of the model; trials never touch the input."""
        return replace(self, model=copy.deepcopy(self.model))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.facts.labels
