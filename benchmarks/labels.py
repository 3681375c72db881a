"""Label spellings and layouts: what is matched, what is refused, and what a whole run does to the true accuracy.

    PYTHONPATH=. python -m benchmarks.labels --out benchmarks/results/labels.json

A clean net for digits is trained on ``demo_images/mnist`` (one core, a minute), then given the same pictures in many
spellings. The detector runs briefly, and flags a label only far below the others: it is not what is measured. The true
accuracy is that on all pictures of the test split with their true labels, before and after.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets as hf
import timm
import torch
from timm.models import save_for_hf
from torchvision.transforms.functional import pil_to_tensor

import hubclean
from hubclean import resources
from hubclean.errors import HubcleanError
from hubclean.hub.repos import LocalRepo
from hubclean.nets.construction.classifier import Classifier
from hubclean.nets.datasets import Sizes, read_all
from hubclean.nets.images import ImageSet
from hubclean.nets.loading import load_checkpoint
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train

DIGITS = [str(k) for k in range(10)]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SESSION = open_session("cpu", seed=0, batch_size=256)
ARGS = {"in_chans": 1, "channels": [16, 32, 64, 128], "num_classes": 10}
FACTS = {"input_size": (1, 28, 28), "mean": (0.5,), "std": (0.5,), "crop_pct": 1.0, "interpolation": "bilinear"}
BRIEF = ("neural-cleanse.steps=60", "batches=4", "neural-cleanse.batch_size=16", "seeds=1", "norm_ratio=0.2")


@dataclass(frozen=True)
class Case:
    """One way in which the pictures come.

    Args:
        names: of the ten class folders, or of the classes in a table; ``None`` = numbers without names.
        digits: which of them there are.
        options: of ``clean``.
        runs: whether it is tried to the end where the labels are accepted; else what is matched is shown alone.
    """

    what: str
    names: Sequence[str] | None
    digits: Sequence[int] = range(10)
    options: dict[str, Any] = field(default_factory=dict)
    runs: bool = False
    table: bool = False


MAP = dict(zip(WORDS, DIGITS, strict=True))
FST = {"defense": "fst", "given": (*BRIEF, "fst.epochs=4")}
CASES = [
    Case("folders `0` to `9`", DIGITS, runs=True),
    Case("folders `0` to `9`, fst", DIGITS, options=FST, runs=True),
    Case("folders `00` to `09`", [f"{k:02}" for k in range(10)]),
    Case("folders `zero` to `nine`", WORDS),
    Case("folders `zero` to `nine`, the label map offered", WORDS, options={"label_map": MAP}, runs=True),
    Case("folders `zero` to `nine` by position", WORDS, options={"labels_by": "position"}),
    Case("the same, --accept-accuracy", WORDS, options={"labels_by": "position", "accept_accuracy": True}, runs=True),
    Case(
        "the same, --accept-accuracy, fst",
        WORDS,
        options={"labels_by": "position", "accept_accuracy": True, **FST},
        runs=True,
    ),
    Case("folders `digit 0` to `digit 9`", [f"digit {k}" for k in range(10)]),
    Case("folders `LABEL_0` to `LABEL_9`", [f"LABEL_{k}" for k in range(10)]),
    Case("folders `1` to `10`", [str(k + 1) for k in range(10)]),
    Case("folders named one further, 9 as `0`", [str((k + 1) % 10) for k in range(10)]),
    Case("folders `3` and `5` exchanged", [*DIGITS[:3], "5", "4", "3", *DIGITS[6:]]),
    Case("folders `0` to `9` of three digits", DIGITS, (2, 5, 7), runs=True),
    Case("folders `two`, `five`, `seven` by position", WORDS, (2, 5, 7), {"labels_by": "position"}),
    Case("folders `0` to `8` and `none of these`", [*DIGITS[:9], "none of these"]),
    Case(
        "the same, the class mapped to null",
        [*DIGITS[:9], "none of these"],
        options={"label_map": {"none of these": None}},
    ),
    Case("folders `train` and `test`", ["train", "test"] * 5),
    Case("parquet with numbers", None, table=True),
    Case("parquet with numbers, ClassLabel names `zero` to `nine`", WORDS, table=True),
    Case("parquet with texts `0` to `9`", DIGITS, table=True),
    Case("parquet with numbers 0 to 9 of clothes (Fashion-MNIST)", None, table=True, options={"clothes": True}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shared", type=Path, help="the folder of shared images, for the case of clothes")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        rows = measured(Path(work), chosen.shared)
    text = json.dumps({"seconds": round(time.monotonic() - started), "rows": rows}, indent=1)
    chosen.out.write_text(text + "\n", encoding="utf-8")


def measured(work: Path, shared: Path | None) -> list[dict[str, Any]]:
    """A row a case."""
    source = str(resources.data_folder("demo_images") / "mnist")
    trained(work / "model", source)
    truth, _ = read_all(source, "test", grey)
    held = hf.load_dataset(source, split="test")
    before = true_accuracy(work / "model", truth)
    rows = []
    for number, case in enumerate(CASES):
        clothes = case.options.get("clothes")
        if clothes and shared is None:
            continue
        pictures = hf.load_dataset(str(shared / "images" / "fashion_mnist"), split="test") if clothes else held  # type: ignore[operator]
        data = written(case, pictures, work / f"data-{number}")
        rows.append({"case": case.what, **tried(case, work, data, work / f"out-{number}", truth, before)})
        print(rows[-1], flush=True)
    return rows


def grey(image: Any) -> torch.Tensor:
    return pil_to_tensor(image.convert("L"))


def trained(folder: Path, source: str) -> None:
    """A clean net, written as timm does."""
    images, labels = read_all(source, "train", grey)
    with SESSION.seeded("labels"):
        net = timm.create_model("resnet18", **ARGS)
    train(Classifier(net, (0.5,), (0.5,)), images, Schedule(6, 0.05, "sgd", 5e-4, shift=1), SESSION, "training")
    folder.mkdir(parents=True)
    net.pretrained_cfg = {**net.pretrained_cfg, **FACTS, "num_classes": 10}
    save_for_hf(net, folder, {"label_names": list(labels)}, {**ARGS}, safe_serialization=True)


def written(case: Case, pictures: Any, place: Path) -> Path:
    """The pictures of a case on the disk."""
    rows = [row for row in pictures.select(range(min(1500, len(pictures)))) if row["label"] in case.digits]
    if case.table:
        numbers = [row["label"] for row in rows]
        kind: Any = hf.Value("int64") if case.names is None else hf.ClassLabel(names=list(case.names))
        if case.names is DIGITS:
            kind, numbers = hf.Value("string"), [str(number) for number in numbers]
        features = hf.Features({"image": hf.Image(), "label": kind})
        place.mkdir()
        table = {"image": [row["image"] for row in rows], "label": numbers}
        hf.Dataset.from_dict(table, features=features).to_parquet(place / "test.parquet")
        return place / "test.parquet"
    assert case.names is not None
    for number, row in enumerate(rows):
        folder = place / case.names[row["label"]]
        folder.mkdir(parents=True, exist_ok=True)
        row["image"].save(folder / f"{number}.png")
    return place


def tried(case: Case, work: Path, data: Path, out: Path, truth: ImageSet, before: float) -> dict[str, Any]:
    """What ``clean`` makes of a case."""
    given = {key: value for key, value in case.options.items() if key != "clothes"}
    options: dict[str, Any] = {
        "detectors": ("neural-cleanse",),
        "given": (*BRIEF, "epochs=2"),
        "defense": "fine-pruning",
    }
    if not case.runs:
        options = {"detectors": ("skip",), "defense": "none"}
    sizes = Sizes(*(len(range(0, 1500, 5)) * len(case.digits) // 10 for _ in range(2)))
    try:
        result = hubclean.clean(
            work / "model", data, out, session=SESSION, sizes=sizes, retune=False, **(options | given)
        )
    except HubcleanError as error:
        return {"exit": 2, "refused": str(error), "offers": bool(getattr(error, "label_map", ""))}
    audit = result.audit
    row: dict[str, Any] = {
        "matched_by": audit.data.matched_by,
        "defense": audit.cleansing.defense,
        "exit": audit.exit_code if case.runs else None,
        "why": audit.loss or (audit.judgement.reason if audit.judgement else ""),
        "measured_before": audit.cleansing.before[0].clean_accuracy.value,
        "measured_after": audit.cleansing.after[0].clean_accuracy.value,
        "verdict": audit.judgement.verdict if audit.judgement else "",
    }
    return row | ({"true_before": before, "true_after": true_accuracy(out, truth)} if case.runs else {})


def true_accuracy(folder: Path, truth: ImageSet) -> float:
    return clean_accuracy(load_checkpoint(LocalRepo(folder)).model, truth, SESSION).value


if __name__ == "__main__":
    main()
