"""Are backdoors that lead one class to another found, and clean nets left alone? Own nets and other people's.

    python -m benchmarks.source_specific --shared ../shared/data --nets DIR --half development --out FILE
    python -m benchmarks.source_specific --shared ../shared/data --nets DIR --half held-out --out FILE

Thresholds of the detector were chosen on the development half alone; the held-out half was then judged once. Own nets
are trained here (12,000 images, under a minute each) and kept in DIR. Images: 500 fit, 500 val, disjoint parts of the
test split. ``--beside`` runs Neural Cleanse, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.shared_models import load
from hubclean.cleansing.inputs import load_with_data
from hubclean.cleansing.verdict import judge
from hubclean.lab.attacks.badnets import BadNets
from hubclean.lab.attacks.source_specific import SourceSpecific
from hubclean.methods.detectors import source_specific
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Sizes, read_all
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.labels.matching import labelling
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule, train
from hubclean.version import versions

ATTACKS = {
    "clean": None,
    "1to0": SourceSpecific(1, 0),
    "3to8": SourceSpecific(3, 8, size=4),
    "7to2": SourceSpecific(7, 2, cover_rate=0.1),
    "8to1": SourceSpecific(8, 1),
    "2to6-no-cover": SourceSpecific(2, 6, cover_rate=0.0, size=4, margin=0),
    "5to9-no-cover": SourceSpecific(5, 9, cover_rate=0.0),
    "6to5-no-cover": SourceSpecific(6, 5, cover_rate=0.0, size=5, margin=2),
    "0to4": SourceSpecific(0, 4),
    "9to4": SourceSpecific(9, 4),
    "6to2": SourceSpecific(6, 2),
    "all-to-3": BadNets(target=3),
    "all-to-5": BadNets(target=5, size=4, margin=1),
}
# data, net, attack, seed
DEVELOPMENT = (
    ("mnist", "plain", "clean", 0),
    ("mnist", "plain", "1to0", 0),
    ("mnist", "plain", "3to8", 0),
    ("mnist", "plain", "2to6-no-cover", 0),
    ("mnist", "plain", "all-to-3", 0),
    ("mnist", "norm", "clean", 1),
    ("mnist", "norm", "7to2", 1),
    ("mnist", "norm", "5to9-no-cover", 1),
    ("fashion_mnist", "plain", "clean", 0),
    ("fashion_mnist", "plain", "1to0", 0),
    ("fashion_mnist", "norm", "clean", 1),
    ("fashion_mnist", "norm", "8to1", 1),
    ("fashion_mnist", "norm", "all-to-5", 1),
    ("fashion_mnist", "plain", "6to5-no-cover", 2),
)
HELD_OUT = (
    ("mnist", "plain", "clean", 11),
    ("mnist", "norm", "clean", 12),
    ("fashion_mnist", "plain", "clean", 13),
    ("fashion_mnist", "norm", "clean", 14),
    ("mnist", "norm", "0to4", 12),
    ("mnist", "plain", "9to4", 11),
    ("fashion_mnist", "plain", "0to4", 13),
    ("fashion_mnist", "norm", "6to2", 14),
)
THIRD_PARTY = ("badnet_mnist_source4to7", "badnet_mnist_patch5", "cifar10_resnet20", "ibau_cifar10_badnets",
               "ibau_cifar10_trojan_wm", "ibau_gtsrb_badnets")  # fmt: skip
NORMS = {"mnist": ((0.1307,), (0.3081,)), "fashion_mnist": ((0.286,), (0.353,))}


class Plain(nn.Module):
    """Two convolutions, hidden layer, head; no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.p = nn.Conv2d(1, 16, 5), nn.Conv2d(16, 32, 5), nn.MaxPool2d(2)
        self.f1, self.f2 = nn.Linear(512, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.p(torch.relu(self.c2(self.p(torch.relu(self.c1(x))))))
        return self.f2(torch.relu(self.f1(x.flatten(1))))


class Norm(nn.Module):
    """Three convolutions with BatchNorm, mean over positions, head."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


def images_of(shared: Path, data: str, split: str, count: int) -> ImageSet:
    """``count`` grey images of a split, drawn with seed 0."""

    def grey(picture: Any) -> Tensor:
        return torch.frombuffer(bytearray(picture.convert("L").tobytes()), dtype=torch.uint8).view(1, 28, 28)

    found, _ = read_all(str(shared / "images" / data), split, grey)
    return found.subset(torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:count])


def own_net(
    shared: Path, place: Path, data: str, net: str, attack: str, seed: int
) -> tuple[Checkpoint, DefenseData, dict[str, Any]]:
    """The net, trained or as it lies in ``place``, images for a defender, and what it does."""
    session, planted = open_session("cpu", seed, 256), ATTACKS[attack]
    with session.seeded("net"):
        made: nn.Module = Plain() if net == "plain" else Norm()
    mean, std = NORMS[data]
    labels = tuple(f"class {index}" for index in range(10))
    checkpoint = loading.wrap(made, labels=labels, name=net, mean=mean, std=std, input_size=(1, 28, 28))
    test = images_of(shared, data, "test", 4000)
    file = place / f"{data}-{net}-{attack}-{seed}.safetensors"
    if not file.exists():
        schedule = Schedule(6, 0.05, "sgd", 5e-4, batch_size=64)
        training = images_of(shared, data, "train", 12_000)
        facts: dict[str, Any] = {}
        if planted is None:
            train(checkpoint.model, training, schedule, session, "clean")
        else:
            stamp = planted.plant(checkpoint.model, training, 10, schedule, session)
            facts["asr"] = attack_rates(checkpoint.model, test, stamp, 10, session)[0].value
            if isinstance(planted, SourceSpecific):
                everyone = replace(stamp, source=None)  # type: ignore[type-var]
                leaked, _ = attack_rates(checkpoint.model, test, everyone, 10, session)
                facts |= {"pair": [planted.source, planted.target], "asr_all_classes": leaked.value}
        facts["accuracy"] = clean_accuracy(checkpoint.model, test, session).value
        place.mkdir(parents=True, exist_ok=True)
        save_file(checkpoint.model.state_dict(), file, {"facts": json.dumps(facts)})
    with safe_open(file, framework="pt") as held:
        facts = json.loads(held.metadata()["facts"])
    checkpoint.model.load_state_dict(load_file(file))
    return checkpoint, DefenseData(test.subset(torch.arange(500)), test.subset(torch.arange(500, 1000))), facts


def others_net(shared: Path, name: str) -> tuple[Checkpoint, DefenseData, dict[str, Any]]:
    """One that other people trained; its published trigger is not read."""
    checkpoint, config = load(shared / "models" / name)
    images = str(shared / "images" / config["dataset"])
    loaded = load_with_data(checkpoint, images, None, Sizes(500, 500, 500), open_session("cpu"), True,
                            labelling("position", None))  # fmt: skip
    return loaded.checkpoint, loaded.splits.defense, {}


def nets(half: str, shared: Path, place: Path) -> Iterator[tuple[str, Any]]:
    """Names, and functions that make the nets."""
    for spec in DEVELOPMENT if half == "development" else HELD_OUT:
        yield "-".join(map(str, spec)), lambda spec=spec: own_net(shared, place, *spec)
    for name in THIRD_PARTY if half == "held-out" else ():
        yield name, lambda name=name: others_net(shared, name)


def row(name: str, made: Any, session: Session, beside: bool) -> dict[str, Any]:
    """One net judged, small enough to commit; ``beside``: with Neural Cleanse and the one verdict."""
    checkpoint, data, facts = made()
    found = source_specific.SourceSpecific().detect(checkpoint, data, session).report
    said = {key: round(value, 3) for key, value in found.measures.items()}
    line = {"net": name, **facts, "verdict": found.verdict, "pairs": [list(pair) for pair in found.pairs],
            "reason": found.reason, "measures": said, "pairs_examined": found.pairs_examined,
            "pairs_of": found.pairs_of, "passes": found.forward_backwards,
            "seconds": round(found.seconds, 1)}  # fmt: skip
    if beside:
        other = NeuralCleanse().detect(checkpoint, data, session).report
        judged = judge((other, found))
        line |= {"neural_cleanse": other.verdict, "neural_cleanse_seconds": round(other.seconds, 1),
                 "neural_cleanse_passes": other.forward_backwards, "one_verdict": judged.verdict,
                 "one_verdict_targets": list(judged.targets),
                 "one_verdict_pairs": [list(pair) for pair in judged.pairs]}  # fmt: skip
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--nets", type=Path, required=True)
    parser.add_argument("--half", choices=("development", "held-out"), required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--beside", action="store_true", help="run Neural Cleanse, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    document = json.loads(options.out.read_text()) if options.out.exists() else {}
    rows = document.get("rows", [])
    done = {(line["half"], line["net"]) for line in rows}
    for name, made in nets(options.half, options.shared, options.nets):
        if (options.half, name) in done or (options.only and name not in options.only):
            continue
        rows.append({"half": options.half, **row(name, made, open_session("cpu", options.seed, 256), options.beside)})
        print(json.dumps(rows[-1]), flush=True)
        document = {"command": "python -m benchmarks.source_specific --shared ../shared/data --nets DIR --half HALF "
                    "--out FILE", "seed": options.seed, "images": "500 fit, 500 val of the test split",
                    "versions": versions(), "rows": rows}  # fmt: skip
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
