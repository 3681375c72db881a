"""Federated pruning over clients, liars, schemes and stages: part 6 of issue 5, a JSON line a cell, resumable.

    python -m benchmarks.federated.grid --shared ../shared/data --out benchmarks/results/federated.jsonl
    python -m benchmarks.federated.grid --shared ../shared/data --out /tmp/cell.jsonl --smoke     # one cell, a minute

A cell: a data set, an attack (DBA, client i with part i mod 4 of its trigger, or model replacement; gamma 1, from the
middle round on), 10 or 50 clients that share the train images by Dirichlet label shares, a share of them malicious.
Per cell a small CNN is trained by federated averaging with the attackers among the clients (kept in --models, so a
broken run goes on from there), then cleansed by RAP and MVP, with and without fine-tuning and adjustment. Malicious
clients also lie while cleansing (`lies`): reversed ranks, votes for the most active units, accuracy 0 for every pruned
model, and the attack again while fine-tuning. Accuracy and ASR are on the test images, which nobody else sees. Clients
are those of the Flower apps, called in this process: what they compute is the same, what is measured is no networking.

Cost: one seed is 56 settings of 8 ways, 32 trained models. The smoke cell (2,000 images, 6 rounds, one way) took 22 s
of training and 32 s of cleansing on one of two busy cores; with 6,000 images about 90 s a way and 150 s a model are to
be expected: 13 hours a seed on such a core, and half of that on a free one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from hubclean import checkpoints, datasets
from hubclean.federated.cleansing import FederatedRounds
from hubclean.federated.hostile.behaviours import hostile
from hubclean.federated.hostile.distributed_backdoor import DistributedBackdoor
from hubclean.federated.hostile.model_replacement import ModelReplacement
from hubclean.federated.local_crowd import LocalCrowd
from hubclean.federated.participants import Member, Participant
from hubclean.federated.partitions import deal
from hubclean.federated.rounds import Rounds
from hubclean.federated.training import FederatedTraining
from hubclean.metrics import attack_rates, clean_accuracy
from hubclean.sessions import open_session
from hubclean.tensors import Checkpoint, DefenseData, ImageSet, Session, Stamp

SHAPE, CLASSES = (1, 28, 28), 10
LIES = "reversed-ranks,active-votes,false-accuracies"


class Digits(nn.Module):
    """Two convolutions, two linear layers, no norm: the net of DBA's MNIST, written anew."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.hidden, self.head = nn.Linear(50 * 4 * 4, 500), nn.Linear(500, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(n, 1, 28, 28)`` to logits."""
        found = functional.max_pool2d(functional.relu(self.first(images)), 2)
        found = functional.max_pool2d(functional.relu(self.second(found)), 2)
        return self.head(functional.relu(self.hidden(found.flatten(1))))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Setting:
    """What is trained once and cleansed several times.

    Args:
        malicious: share of the clients.
        lies: whether they also lie while the model is cleansed.
    """

    data: str
    attack: str
    clients: int
    malicious: float
    alpha: float
    seed: int
    rounds: int
    images: int
    lies: bool

    @property
    def name(self) -> str:
        """Of the trained model: the lies come later."""
        parts = (self.data, self.attack, self.clients, self.malicious, self.alpha, self.seed, self.rounds, self.images)
        return "-".join(str(part) for part in parts)

    @property
    def bad(self) -> int:
        """Number of malicious clients."""
        return round(self.malicious * self.clients)


@dataclass(frozen=True)
class Way:
    """How it is cleansed."""

    scheme: str
    tuned: bool
    adjusted: bool


WAYS = [Way(*row) for row in itertools.product(("rap", "mvp"), (False, True), (False, True))]


def settings(given: argparse.Namespace) -> Iterator[Setting]:
    """All cells, small ones first."""
    if given.smoke:
        yield Setting("mnist", "dba", 10, 0.4, 0.5, 0, 6, 2000, True)
        return
    for seed in range(given.seeds):
        for clients in (10, 50):
            for data in ("mnist", "fashion_mnist"):
                for attack in ("dba", "model-replacement"):
                    for malicious in (0.0, 0.1, 0.2, 0.4):
                        for lies in (False, True) if malicious else (False,):
                            yield Setting(data, attack, clients, malicious, 0.5, seed, given.rounds, given.images, lies)


def stamp(setting: Setting) -> Stamp:
    """What the attackers do to an image at test time."""
    plan: DistributedBackdoor | ModelReplacement
    plan = DistributedBackdoor() if setting.attack == "dba" else ModelReplacement()
    return plan.trigger(SHAPE)


def loaded(shared: Path, setting: Setting, folder: Path) -> tuple[ImageSet, ImageSet]:
    """The clients' images together, and 2,000 test images; decoded once and kept in ``folder``."""
    found = []
    folder.mkdir(parents=True, exist_ok=True)
    for split, most in (("train", setting.images), ("test", 2000)):
        kept = folder / f"{setting.data}-{split}.safetensors"
        if not kept.exists():
            place = next((shared / "images" / setting.data / "data").glob(f"{split}-*.parquet"))
            read, _ = datasets.read_all(str(place), "train", pixels)
            save_file({"pixels": read.pixels, "labels": read.labels}, kept)
        images = ImageSet(**load_file(kept))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:most]
        found.append(images.subset(order))
    return found[0], found[1]


def pixels(picture: Any) -> Tensor:
    """A grey picture as uint8 ``(1, h, w)``."""
    grey = picture.convert("L")
    return torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8).view(1, grey.height, grey.width)


def fresh(setting: Setting, session: Session) -> Checkpoint:
    """The net with random weights."""
    with session.seeded("net", setting.data):
        net = Digits()
    labels = tuple(str(number) for number in range(CLASSES))
    return checkpoints.wrap(net, mean=(0.1307,), std=(0.3081,), input_size=SHAPE, labels=labels, name="digits")


def people(
    setting: Setting, checkpoint: Checkpoint, images: ImageSet, session: Session, cleansing: bool
) -> dict[str, Member]:
    """The clients by name; the first ones are malicious."""
    parts = deal(images.labels, setting.clients, "dirichlet", setting.seed, setting.alpha)
    rows: dict[str, Member] = {}
    for number, part in enumerate(parts):
        name = f"{number:03d}"
        own = Participant(name, checkpoint, images.subset(part), session)
        rows[name] = own
        if number < setting.bad:
            tuning = "true" if cleansing and setting.lies else "false"
            options = {f"{setting.attack}.tuning": tuning, f"{setting.attack}.first": str(max(1, setting.rounds // 2))}
            lies = f",{LIES}" if cleansing and setting.lies else ""
            rows[name] = hostile(own, number, setting.attack + lies, options)
    return rows


def trained(setting: Setting, images: ImageSet, session: Session, folder: Path) -> Checkpoint:
    """The global model, from ``folder`` if it is there: clean rounds first, attacked ones in the second half."""
    checkpoint, place = fresh(setting, session), folder / f"{setting.name}.safetensors"
    if place.exists():
        checkpoint.model.load_state_dict(load_file(place))
        checkpoint.model.to(session.device)
        return checkpoint
    crowd = LocalCrowd(people(setting, checkpoint, images, session, False))
    FederatedTraining(rounds=setting.rounds, chosen=10, learning_rate=0.05).train(checkpoint, Rounds(crowd), session)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu().contiguous() for name, value in checkpoint.model.state_dict().items()}, place)
    return checkpoint


def measured(checkpoint: Checkpoint, setting: Setting, test: ImageSet, session: Session) -> dict[str, float]:
    """Accuracy and ASR on the test images."""
    asr, _ = attack_rates(checkpoint.model, test, stamp(setting), CLASSES, session)
    return {"ca": round(clean_accuracy(checkpoint.model, test, session).value, 4), "asr": round(asr.value, 4)}


def cell(setting: Setting, ways: list[Way], given: argparse.Namespace, session: Session) -> Iterator[dict[str, Any]]:
    """Rows of one setting, one a way."""
    images, test = loaded(given.shared, setting, given.models)
    started = time.perf_counter()
    checkpoint = trained(setting, images, session, given.models)
    training, before = time.perf_counter() - started, measured(checkpoint, setting, test, session)
    for way in ways:
        started = time.perf_counter()
        plan = FederatedRounds(
            LocalCrowd(people(setting, checkpoint, images, session, True)), site="conv", scheme=way.scheme, step=0.04,
            rounds=5 if way.tuned else 0, adjust=way.adjusted,
        )  # fmt: skip
        found = plan.cleanse(checkpoint, DefenseData.none(SHAPE), (), session)
        yield {
            **asdict(setting),
            **asdict(way),
            "n": len(test),
            "before": before,
            "after": measured(found.checkpoint, setting, test, session),
            "cut": found.cut,
            "kept": found.kept,
            "rounds_asked": len(plan.record.reports),
            "training_seconds": round(training, 1),
            "seconds": round(time.perf_counter() - started, 1),
            "device": str(session.device),
        }


def main() -> None:
    """Write rows that are not there yet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=Path("/tmp/federated-models"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--images", type=int, default=6_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    key = [*Setting.__dataclass_fields__, *Way.__dataclass_fields__]
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    done = {tuple(row[name] for name in key) for row in map(json.loads, lines)}
    for setting in settings(given):
        ways = WAYS[3:4] if given.smoke else WAYS
        left = [way for way in ways if (*asdict(setting).values(), *asdict(way).values()) not in done]
        session = open_session(given.device, setting.seed, 512)
        for row in cell(setting, left, given, session) if left else ():
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
