"""Trains the models of a bench once: clean twins and poisoned ones, cached by a hash of all that makes them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.lab import planting
from hubclean.lab.bench import rows, small_nets
from hubclean.lab.bench.plans import CLEAN, Method, Plan, digest
from hubclean.nets import triggers
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import read_all
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.memory import fitted
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.training import train
from hubclean.nets.triggers import Stamp
from hubclean.registry import chosen_options
from hubclean.whole_folder import whole_folder

_STAMP, _ROW, _REPO = "stamp.safetensors", "row.jsonl", "model"


@dataclass(frozen=True)
class Pictures:
    """One image set: what attackers train on, what defenders hold, what everyone is measured on."""

    name: str
    fingerprint: str
    train: ImageSet
    defense: DefenseData
    test: ImageSet
    labels: tuple[str, ...]

    @property
    def shape(self) -> small_nets.Shape:
        _, c, h, w = self.train.pixels.shape
        return c, h, w


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo: ``stamp`` measures it, and no detector or defense sees it."""

    row: rows.ModelRow
    checkpoint: Checkpoint
    stamp: Stamp | None
    folder: Path


def pictures(source: str, plan: Plan, session: Session) -> Pictures:
    """Read both splits of ``source``; fit, val and test are disjoint parts of the test split.

    Raises:
        DataError: not readable, without a train or test split, with classes in test that train lacks, with images of
            several sizes where the plan names none, or too small for the plan.
    """
    mode = ""

    def prepare(image: Any) -> torch.Tensor:
        nonlocal mode
        if not isinstance(image, Image.Image):
            raise DataError(f"{source!r} holds arrays; the bench trains on pictures of one or three channels")
        mode = mode or ("L" if image.mode in ("L", "1") else "RGB")
        side = (plan.size, plan.size) if plan.size else image.size
        pixels: torch.Tensor = pil_to_tensor(image.convert(mode).resize(side))
        return pixels

    training, labels = read_all(source, "train", prepare)
    held_out, names = read_all(source, "test", prepare)
    held_out = with_labels_of(held_out, names, labels, source)
    wanted = plan.fit + plan.val
    if len(held_out) <= wanted:
        raise DataError(f"{source!r} has {len(held_out)} test images; fit and val alone take {wanted}")
    order = torch.randperm(len(held_out), generator=session.generator("bench", "held out"))
    parts = order[: plan.fit], order[plan.fit : wanted], order[wanted : wanted + plan.test]
    fit, val, test = (held_out.subset(part) for part in parts)
    if plan.train:
        first = torch.randperm(len(training), generator=session.generator("bench", "train"))[: plan.train]
        training = training.subset(first)
    marks = [int(training.pixels.long().sum()), int(held_out.pixels.long().sum()), len(training), len(held_out)]
    name = Path(source).resolve().name if Path(source).exists() else source
    return Pictures(name, digest(data=name, marks=marks), training, DefenseData(fit, val), test, labels)


def with_labels_of(images: ImageSet, names: tuple[str, ...], labels: tuple[str, ...], source: str) -> ImageSet:
    """Images whose label numbers stand for ``names`` with the numbers of ``labels``: each split has its own."""
    if unknown := [name for name in names if name not in labels]:
        raise DataError(f"{source!r} has the class {printable(unknown[0], 60)!r} in its test split alone")
    places = torch.tensor([labels.index(name) for name in names])
    return ImageSet(images.pixels, places[images.labels])


def planted(
    cache: Path, images: Pictures, net: small_nets.Net, attack: Method, seed: int, twin: float | None, session: Session
) -> ZooModel:
    """The model from the cache, else trained now, checked, and put there whole.

    Args:
        cache: folder of folders named by content: images, net, schedule, attack, options, seed.
        twin: clean accuracy of the clean twin on the same test images.
        session: seeded with ``seed``.
    """
    made = None if attack.name == CLEAN else attack.build()
    facts = {"images": images.fingerprint, "net": net.name, "schedule": net.schedule, "attack": attack.name,
             "options": chosen_options(made) if made else {}, "seed": seed}  # fmt: skip
    key = digest(**facts)
    folder = cache / key
    if not folder.exists():
        with whole_folder(folder) as place:
            train_and_store(place, key, images, net, attack, made, seed, twin, session)
    row = next(iter(rows.read_rows(folder / _ROW)))
    assert isinstance(row, rows.ModelRow)
    row = replace(row, case=replace(row.case, options=attack.options))  # the same model, whoever named its defaults
    stamp = triggers.load_stamp(folder / _STAMP) if (folder / _STAMP).exists() else None
    checkpoint = small_nets.restore_net(net, images.labels, images.shape, folder / _REPO)
    return ZooModel(row, checkpoint, stamp, folder)


def train_and_store(
    place: Path,
    key: str,
    images: Pictures,
    net: small_nets.Net,
    attack: Method,
    made: Any,
    seed: int,
    twin: float | None,
    session: Session,
) -> None:
    """Train one net, clean or attacked, measure what was planted, and store both in ``place``."""
    if made is not None and twin is None:
        raise DataError("the clean twin could not be trained, so nothing can be compared with it")
    started, classes = time.monotonic(), len(images.labels)
    with session.seeded("bench", net.name):
        model, args = small_nets.fresh_net(net, images.shape, classes)
    session = fitted(session, model, images.shape)
    if made is None:
        train(model, images.train, net.schedule, session, "clean twin")
        stamp = None
    else:
        stamp = made.plant(model, images.train, classes, net.schedule, session)
    seconds = time.monotonic() - started
    figures = measure_planted(model, images.test, classes, stamp, session)
    check = None if stamp is None else planting.verify_planted(model, stamp, images.test, classes, twin or 0.0, session)
    case = rows.Case(images.name, net.name, attack.name, attack.options, seed, len(images.train), net.schedule.epochs)
    target = None if stamp is None else stamp.target
    row = rows.ModelRow(
        id=key,
        case=case,
        figures=figures,
        twin_accuracy=twin,
        target=target,
        took=check.took if check else True,
        why=check.reason if check else "",
        seconds=seconds,
    )
    model.cpu()
    small_nets.store_net(net, model, args, images.labels, images.shape, place / _REPO)
    if stamp is not None:
        triggers.save_stamp(stamp, place / _STAMP, attack.name)
    rows.append_row(place / _ROW, row)


def measure_planted(model: Any, test: ImageSet, classes: int, stamp: Stamp | None, session: Session) -> rows.Figures:
    """Clean accuracy, and with a stamp ASR and RA, on ``test``."""
    accuracy = clean_accuracy(model, test, session)
    if stamp is None:
        return rows.Figures(accuracy)
    return rows.Figures(accuracy, *attack_rates(model, test, stamp, classes, session))
