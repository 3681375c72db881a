"""Accuracy and ASR on the test images along the pruning sequence: could any amount of pruning do it? A line a model.

    python -m benchmarks.federated.curves --shared ../shared/data --out benchmarks/results/federated_curves.jsonl

For every model that the grid trained and whose attack took, with its honest clients and ranks (RAP). No defender sees
this: it tells whether a cleansing fails for its order of units or for where it stops.
"""

from __future__ import annotations

import json
from dataclasses import fields

import torch

from benchmarks.federated.cells import Setting, loaded, measured, people, trained
from benchmarks.federated.grid import STEP, arguments
from benchmarks.federated.rows import Grid, read
from hubclean.federated.participants import Participant
from hubclean.methods.voting import participant, votes
from hubclean.nets.cut.pruning import cut_channels
from hubclean.nets.session import open_session

MODEL = ("data", "clients", "attack", "malicious", "seed", "rounds", "struck")


def main() -> None:
    """Measure and write."""
    given = arguments(__doc__).parse_args()
    grid, held = Grid.of(read(given.out.with_name("federated.jsonl"))), read(given.out)
    for row in (one for one in grid.models() if grid.took(one)):
        model = {key: row[key] for key in MODEL}
        if any(model.items() <= one.items() for one in held):
            continue
        setting = Setting(**{**{field.name: row[field.name] for field in fields(Setting)}, "lies": False})
        session = open_session("cpu", setting.seed, 512)
        pictures = loaded(given.shared, setting, given.models)
        checkpoint = trained(setting, pictures, session, given.models)
        units = participant.units_at(checkpoint, "conv")
        crowd = people(setting, checkpoint, pictures.clients, session, True).values()
        seen = [
            participant.activity(checkpoint, units, one.images, session)
            for one in crowd
            if isinstance(one, Participant)
        ]
        order = participant.order_of(seen, "rap", 1.0)
        points, copy = [], checkpoint.copy()
        for gone in votes.steps(units.count, STEP):
            cut_channels(copy.model, units, torch.tensor(order[:gone], dtype=torch.int64))
            points.append({"cut": gone, **measured(copy, setting, pictures.test, session)})
        held.append(model | {"units": units.count, "points": points})
        given.out.write_text("".join(json.dumps(one) + "\n" for one in held))


if __name__ == "__main__":
    main()
