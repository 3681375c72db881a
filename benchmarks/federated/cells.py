"""The trained models that federated cleansing is tried on: data, net, clients, attack. Kept in a folder once trained.

A small CNN is trained on ``BEFORE`` images that no client has, as a public checkpoint would be, and then by federated
averaging among honest clients for ``rounds`` rounds, once for all attacks and shares. The attackers, who were honest
till then, strike in the ``struck`` rounds that follow, as DBA does with a model near convergence, and behave in a last
round; a model without attackers goes on for as many. Their updates are multiplied by 1 / (their share of the clients),
so that together they could put their model in place of the average (Bagdasaryan et al. 2020).

All clients are asked in every round. (With 10 of 50 drawn by lot, 20 % of them malicious and scaled likewise, the model
itself was wrecked: accuracy 55 to 59 % in place of 87 %. So 50 clients are tried with more attackers and less scaling.)

With ``rounds`` = 0 it is otherwise: nothing was trained before, and the attackers are there from the first of the
``struck`` rounds to the last but one, without scaling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from hubclean.federated.local_crowd import LocalCrowd
from hubclean.federated.participants import Member, Participant
from hubclean.federated.partitions import deal
from hubclean.federated.rounds import Rounds
from hubclean.federated.training import FederatedTraining
from hubclean.lab.hostile_clients.behaviours import hostile
from hubclean.lab.hostile_clients.distributed_backdoor import DistributedBackdoor
from hubclean.lab.hostile_clients.model_replacement import ModelReplacement
from hubclean.nets import datasets, loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import ImageSet
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import Schedule, train
from hubclean.nets.triggers import Stamp

CLASSES, TEST, BEFORE, EPOCHS = 10, 2000, 6000, 8
RATE, FRESH_RATE = 0.02, 0.05  # learning rates of honest clients: of a trained net, of an untrained one
SHAPES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
LIES = "reversed-ranks,active-votes,false-accuracies"
# Epochs of poisoned training a round, and its learning rate (the authors': 10, 6 for DBA, 2; fewer suffice here).
POISONED = {"dba": ("4", "0.05"), "model-replacement": ("4", "0.03")}


class Small(nn.Module):
    """Three convolutions, the last with the units that are pruned, and a linear head on its pooled map; no norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = (16, 32, 64) if channels == 1 else (24, 48, 96)
        self.first = nn.Conv2d(channels, wide[0], 5, stride=2, padding=2)
        self.second = nn.Conv2d(wide[0], wide[1], 3, padding=1)
        self.third = nn.Conv2d(wide[1], wide[2], 3, padding=1)
        self.head = nn.Linear(wide[2] * 9, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(n, c, h, w)`` to logits."""
        found = functional.max_pool2d(functional.relu(self.first(images)), 2)
        found = functional.relu(self.second(found))
        found = functional.max_pool2d(functional.relu(self.third(found)), 3, stride=2)
        return self.head(found.flatten(1))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Setting:
    """What is trained once and cleansed several times.

    Args:
        attack: ``dba`` or ``model-replacement``; with no malicious client it names the trigger that is measured.
        malicious: share of the clients.
        rounds: among honest clients alone; ``struck`` more follow, with the attackers. 0: an untrained net, see above.
        images: of all clients together.
        lies: whether the malicious ones also lie and attack while the model is cleansed.
    """

    data: str
    attack: str
    clients: int
    malicious: float
    alpha: float
    seed: int
    rounds: int
    struck: int
    images: int
    lies: bool

    @property
    def clean(self) -> str:
        """Name of the model before the attack."""
        parts = (self.data, self.clients, self.alpha, self.seed, self.rounds, self.images)
        return "-".join(str(part) for part in parts)

    @property
    def name(self) -> str:
        """Name of the trained model: the lies come later, and without attackers the attack is none."""
        attack = self.attack if self.malicious else "none"
        return f"{self.clean}-{attack}-{self.malicious}-{self.struck}"

    @property
    def bad(self) -> int:
        """Number of malicious clients."""
        return round(self.malicious * self.clients)


def stamp(setting: Setting) -> Stamp:
    """What the attackers do to an image at test time."""
    plan: DistributedBackdoor | ModelReplacement
    plan = DistributedBackdoor() if setting.attack == "dba" else ModelReplacement()
    return plan.trigger(SHAPES[setting.data])


@dataclass(frozen=True)
class Pictures:
    """Images of the clients together, ``TEST`` to measure on, and ``BEFORE`` that the net was first trained on."""

    clients: ImageSet
    test: ImageSet
    before: ImageSet


def loaded(shared: Path, setting: Setting, folder: Path) -> Pictures:
    """All three sets, no image in two of them; decoded once and kept in ``folder``."""
    found = []
    folder.mkdir(parents=True, exist_ok=True)
    for split, most in (("train", setting.images + BEFORE), ("test", TEST)):
        kept = folder / f"{setting.data}-{split}.safetensors"
        if not kept.exists():
            place = next((shared / "images" / setting.data / "data").glob(f"{split}-*.parquet"))
            read, _ = datasets.read_all(str(place), "train", _grey if SHAPES[setting.data][0] == 1 else _colours)
            save_file({"pixels": read.pixels, "labels": read.labels}, kept)
        images = ImageSet(**load_file(kept))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:most]
        found.append(images.subset(order))
    rows = torch.arange(len(found[0]))
    return Pictures(found[0].subset(rows[: setting.images]), found[1], found[0].subset(rows[setting.images :]))


def _grey(picture: Any) -> Tensor:
    """A picture as uint8 ``(1, h, w)``."""
    grey = picture.convert("L")
    return torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8).view(1, grey.height, grey.width)


def _colours(picture: Any) -> Tensor:
    """A picture as uint8 ``(3, h, w)``."""
    rgb = picture.convert("RGB")
    flat = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
    return flat.view(rgb.height, rgb.width, 3).permute(2, 0, 1).contiguous()


def fresh(setting: Setting, session: Session) -> Checkpoint:
    """The net with random weights."""
    shape = SHAPES[setting.data]
    with session.seeded("net", setting.data):
        net = Small(shape[0])
    labels = tuple(str(number) for number in range(CLASSES))
    middle = (0.3,) * shape[0]
    return loading.wrap(net, mean=middle, std=middle, input_size=shape, labels=labels, name="small")


def people(
    setting: Setting, checkpoint: Checkpoint, images: ImageSet, session: Session, cleansing: bool
) -> dict[str, Member]:
    """The clients by name; the first ones are malicious: they attack the training, and with ``lies`` the cleansing."""
    parts = deal(images.labels, setting.clients, "dirichlet", setting.seed, setting.alpha)
    rows: dict[str, Member] = {}
    for number, part in enumerate(parts):
        name = f"{number:03d}"
        own = Participant(name, checkpoint, images.subset(part), session)
        rows[name] = own
        if number < setting.bad and (setting.lies or not cleansing):
            epochs, rate = POISONED[setting.attack]
            given = {"tuning": "true", "epochs": epochs, "learning_rate": rate, "scale": _scale(setting)}
            options = {f"{setting.attack}.{key}": value for key, value in given.items()}
            rows[name] = hostile(own, number, setting.attack + (f",{LIES}" if cleansing else ""), options)
    return rows


def _scale(setting: Setting) -> str:
    return f"{1 / setting.malicious:g}" if setting.rounds else "1"


def trained(setting: Setting, pictures: Pictures, session: Session, folder: Path) -> Checkpoint:
    """The global model, from ``folder`` if it is there."""
    checkpoint = fresh(setting, session)
    if _taken(checkpoint, folder / f"{setting.name}.safetensors"):
        return checkpoint
    place, images = folder / f"{setting.clean}.safetensors", pictures.clients
    if setting.rounds and not _taken(checkpoint, place):
        train(checkpoint.model, pictures.before, Schedule(EPOCHS, 0.05, batch_size=64), session, "before")
        honest = people(replace(setting, malicious=0.0), checkpoint, images, session, False)
        _train(checkpoint, honest, setting.rounds, session, RATE)
        _keep(checkpoint, place)
    rate = RATE if setting.rounds else FRESH_RATE
    _train(checkpoint, people(setting, checkpoint, images, session, False), setting.struck, session, rate)
    _train(checkpoint, people(replace(setting, malicious=0.0), checkpoint, images, session, False), 1, session, rate)
    _keep(checkpoint, folder / f"{setting.name}.safetensors")
    return checkpoint


def _train(checkpoint: Checkpoint, crowd: dict[str, Member], rounds: int, session: Session, rate: float) -> None:
    plan = FederatedTraining(rounds=rounds, learning_rate=rate, batch_size=32)
    plan.train(checkpoint, Rounds(LocalCrowd(crowd)), session)


def _taken(checkpoint: Checkpoint, place: Path) -> bool:
    if place.exists():
        checkpoint.model.load_state_dict(load_file(place))
    return place.exists()


def _keep(checkpoint: Checkpoint, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu().contiguous() for name, value in checkpoint.model.state_dict().items()}, place)


def measured(checkpoint: Checkpoint, setting: Setting, test: ImageSet, session: Session) -> dict[str, float]:
    """Accuracy and ASR on the test images."""
    asr, _ = attack_rates(checkpoint.model, test, stamp(setting), CLASSES, session)
    return {"ca": round(clean_accuracy(checkpoint.model, test, session).value, 4), "asr": round(asr.value, 4)}
