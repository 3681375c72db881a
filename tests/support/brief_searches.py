"""Searches of Neural Cleanse that end at once, for what must not depend on the number of processes."""

from __future__ import annotations

from hubclean.methods.detectors.neural_cleanse import NeuralCleanse

BRIEF = {"steps": 4, "batches": 1, "batch_size": 4, "seeds": 2}
SHARED = (
    NeuralCleanse(**BRIEF, labels_at_once=3),
    *(
        NeuralCleanse(**BRIEF, labels_at_once=1, scheduler=scheduler, top=2, reference=6, all_to_all=False)
        for scheduler in ("screen", "k-arm")
    ),
)
