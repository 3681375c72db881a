"""Federated pruning over clients, liars, schemes and stages: part 6 of issue 5, a JSON line a way, resumable.

    python -m benchmarks.federated.grid --shared ../shared/data --out benchmarks/results/federated.jsonl
    python -m benchmarks.federated.grid --shared ../shared/data --out /tmp/rows.jsonl --plan smoke      # one setting

A setting (``cells.Setting``): a data set, an attack (DBA, client i with part i mod 4 of its trigger, or model
replacement), clients that share the train images by Dirichlet label shares, a share of them malicious. Each trained
model is cleansed by RAP and MVP at the last convolution, with and without fine-tuning and adjustment. With ``lies`` the
malicious clients lie while cleansing (reversed ranks, votes for the most active units, accuracy 0 for every changed
model) and attack the fine-tuning as they did the training. Accuracy and ASR are on test images that nobody else sees;
whether an attack took is decided when tables are drawn (``benchmarks.federated.tables``), rows are written either way.

Clients are those of the Flower apps, called in this process one after the other: what they compute is the same, no
networking is measured. The seeds of plan ``dev`` chose how fine-tuning joins updates and are in no table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.federated.cells import Setting, loaded, measured, people, trained
from benchmarks.federated.remembering import Memory, Remembering
from hubclean.errors import BallotError
from hubclean.federated.cleansing import FederatedRounds
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import Session, open_session

STEP, MAX_DROP, ROUNDS = 0.04, 0.04, 3
DEV_SEEDS, SEEDS = (100, 101), (0, 1, 2)


@dataclass(frozen=True)
class Way:
    """How it is cleansed; ``merging`` and ``clipping`` are those of fine-tuning."""

    scheme: str
    tuned: bool
    adjusted: bool
    merging: str = "mean"
    clipping: str = "none"


JOINED = {"fedavg": ("mean", "none"), "clip": ("mean", "median"), "median": ("median", "none"),
          "trimmed": ("trimmed", "none"), "clip+median": ("median", "median")}  # fmt: skip


def ways(plan: str, setting: Setting) -> list[Way]:
    """The ways of one setting: all stages with the default joining, and plain averaging beside it where clients lie."""
    if plan == "dev":
        return [Way("rap", True, adjusted, *joined) for adjusted in (False, True) for joined in JOINED.values()]
    default = (FederatedRounds.merging, FederatedRounds.clipping)
    rows = [
        Way(scheme, tuned, adjusted, *(default if tuned else ()))
        for scheme, tuned, adjusted in itertools.product(("rap", "mvp"), (False, True), (False, True))
    ]
    if not setting.malicious and (setting.seed, setting.struck) != (SEEDS[0], 4):
        return rows[:1]  # what cleansing costs a clean model is asked once; the others are there to compare with
    plain = [Way("rap", True, adjusted) for adjusted in (False, True)] if setting.lies else []
    return rows + [way for way in plain if way not in rows]


def settings(plan: str) -> Iterator[Setting]:
    """The settings of a plan, what answers most first."""

    def made(
        data: str,
        clients: int,
        shares: tuple[float, ...],
        seed: int,
        attacks: tuple[str, ...] = ("dba", "model-replacement"),
        lies: tuple[bool, ...] = (False, True),
        rounds: tuple[int, int] = (3, 4),
    ) -> Iterator[Setting]:
        for share, attack in itertools.product(shares, attacks):
            for lying in lies if share else (False,):
                yield Setting(data, attack, clients, share, 0.5, seed, *rounds, 4000, lying)

    if plan == "smoke":
        yield Setting("mnist", "dba", 10, 0.4, 0.5, 0, 1, 2, 1500, True)
    elif plan == "dev":
        yield from made("fashion_mnist", 10, (0.2,), DEV_SEEDS[0], lies=(True,))
        yield from made("fashion_mnist", 10, (0.2,), DEV_SEEDS[1], ("dba",), (False,))
        yield from made("fashion_mnist", 10, (0.4,), DEV_SEEDS[1], ("dba",), (True,))
    else:
        yield from made("fashion_mnist", 10, (0.0, 0.1, 0.2, 0.4), SEEDS[0])
        yield from made("fashion_mnist", 50, (0.0, 0.4), SEEDS[0], lies=(False,))
        yield from made("cifar10", 10, (0.0, 0.4), SEEDS[0], ("dba",), (False,))
        for seed in SEEDS[1:]:
            yield from made("fashion_mnist", 10, (0.0, 0.2, 0.4), seed, lies=(False,))
        yield from made("cifar10", 10, (0.0, 0.4), SEEDS[0], ("dba",), (False,), rounds=(3, 10))
        yield from made("mnist", 10, (0.0, 0.4), SEEDS[0], ("dba",), (False,))
        yield from made("mnist", 10, (0.4,), SEEDS[0], ("model-replacement",), (False,))
        both = ("model-replacement", "dba")
        yield from made("fashion_mnist", 10, (0.0, 0.4), SEEDS[0], both, (False,), rounds=(0, 25))
        for seed in SEEDS[1:]:
            yield from made("fashion_mnist", 10, (0.1, 0.2, 0.4), seed, lies=(True,))
        yield from made("fashion_mnist", 50, (0.4,), SEEDS[0], lies=(True,))


def cell(plan: str, setting: Setting, left: list[Way], given: Given, memory: Memory) -> Iterator[dict[str, Any]]:
    """Rows of one setting, one a way."""
    session = open_session("cpu", setting.seed, 512)
    pictures = loaded(given.shared, setting, given.models)
    checkpoint = trained(setting, pictures, session, given.models)
    before = measured(checkpoint, setting, pictures.test, session)
    for way in left:
        started = time.perf_counter()
        kept, found = cleansed(setting, way, checkpoint, pictures.clients, session, memory)
        row = {"plan": plan, **asdict(setting), **asdict(way), "n": len(pictures.test), "before": before, **found}
        if kept is not None:
            row["after"] = measured(kept, setting, pictures.test, session)
        yield row | {"here_seconds": round(time.perf_counter() - started, 1)}


@dataclass(frozen=True)
class Given:
    """Where the data are and where trained models are kept."""

    shared: Path
    models: Path


def cleansed(
    setting: Setting, way: Way, checkpoint: Checkpoint, images: ImageSet, session: Session, memory: Memory
) -> tuple[Checkpoint | None, dict[str, Any]]:
    """One cleansing: the checkpoint that is kept and what it took; a run that ends without one says why."""
    lying = frozenset(f"{number:03d}" for number in range(setting.bad)) if setting.lies else frozenset[str]()
    crowd = Remembering(people(setting, checkpoint, images, session, True), memory, lying)
    plan = FederatedRounds(
        crowd, site="conv", scheme=way.scheme, step=STEP, max_drop=MAX_DROP, rounds=ROUNDS if way.tuned else 0,
        adjust=way.adjusted, merging=way.merging, clipping=way.clipping,
    )  # fmt: skip
    try:
        found = plan.cleanse(checkpoint, DefenseData.none(checkpoint.facts.input_size), (), session)
    except BallotError as error:
        return None, {"failed": str(error)}
    cost, asked = crowd.cost, len(plan.record.reports)
    return found.checkpoint, {
        "stage": found.kept,
        "cut": found.cut,
        "asked": asked,
        "client_cpu": round(cost.seconds / setting.clients, 2),
        "client_down": cost.down // setting.clients,
        "client_up": cost.up // setting.clients,
        "notes": list(found.notes),
    }


def arguments(text: str | None) -> argparse.ArgumentParser:
    """What the scripts of this folder are told: the shared data, the file to write, where trained models are kept."""
    parser = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "federated-models")
    return parser


def main() -> None:
    """Write rows that are not there yet."""
    parser = arguments(__doc__)
    parser.add_argument("--plan", default="table", choices=("table", "dev", "smoke"))
    given = parser.parse_args()
    key = ["plan", *Setting.__dataclass_fields__, *Way.__dataclass_fields__]
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    done = {tuple(row[name] for name in key) for row in map(json.loads, lines)}
    memory, trained_name = Memory(), ""
    for setting in settings(given.plan):
        if setting.name != trained_name:
            memory, trained_name = Memory(), setting.name
        rows = ways(given.plan, setting)
        left = [way for way in rows if (given.plan, *asdict(setting).values(), *asdict(way).values()) not in done]
        for row in cell(given.plan, setting, left, Given(given.shared, given.models), memory) if left else ():
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
