"""Defenses that need no recovered trigger, on the same images of the nets that other people trained; a row a run.

    python -m benchmarks.no_trigger --shared ../shared/data --out benchmarks/results/no_trigger.json \
        --models badnet_mnist_patch5 --defenses i-bau sau ft-sam fst fine-pruning

`--defenses NAME:key=value,key=value` sets options; without them a defense runs as shipped. Defaults of i-bau and sau
were chosen on badnet_mnist_patch5 and ibau_gtsrb_badnets alone (`part` "chosen on"); every other net was judged once.
The nets have seen their train split: everything here is drawn from the test split, in disjoint parts. `trigger.npz`
measures only; a source-specific trigger is tried on images of its sources. Rows that are there are not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.shared_models import load, planted
from hubclean.nets import datasets
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import preprocessing
from hubclean.nets.datasets import Sizes, Splits
from hubclean.nets.labels.matching import Labelling
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session, open_session
from hubclean.nets.triggers import Additive, Trigger
from hubclean.registry import build_method

CHOSEN_ON = ("badnet_mnist_patch5", "ibau_gtsrb_badnets")


@dataclass(frozen=True)
class Case:
    """A net, its images in three parts, and the planted trigger with the labels it is tried on (none: all)."""

    checkpoint: Checkpoint
    splits: Splits
    triggers: tuple[Trigger | Additive, ...]
    sources: tuple[int, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)


def opened(shared: Path, name: str, sizes: Sizes, session: Session) -> Case:
    """The net ``name`` of the shared folder and the images that a seed draws for it."""
    folder = shared / "models" / name
    checkpoint, config = load(folder)
    splits = datasets.load_images(
        str(shared / "images" / config["dataset"]),
        checkpoint.labels,
        preprocessing.preprocessing(folder, checkpoint.facts),
        session,
        sizes=sizes,
        labelling=Labelling(by="position"),
    )
    sources = tuple(config.get("backdoor", {}).get("sources", ()))
    case = Case(checkpoint, splits, planted(folder, config), sources)
    return replace(case, before=figures(checkpoint, case, session))


def figures(checkpoint: Checkpoint, case: Case, session: Session) -> dict[str, Any]:
    """Clean accuracy, true ASR and robust accuracy on test."""
    test, classes = case.splits.test, len(checkpoint.labels)
    found: dict[str, Any] = {"clean_accuracy": round(clean_accuracy(checkpoint.model, test, session).value, 4)}
    tried = test.subset(torch.isin(test.labels, torch.tensor(case.sources))) if case.sources else test
    for trigger in case.triggers:
        asr, robust = attack_rates(checkpoint.model, tried, trigger, classes, session)
        found |= {"asr": round(asr.value, 4), "robust_accuracy": round(robust.value, 4), "attacked": asr.n}
    return found


def trial(case: Case, name: str, options: dict[str, str], session: Session) -> dict[str, Any]:
    """One defense on one net."""
    started = time.monotonic()
    cleansing = build_method("defenses", name, options).cleanse(case.checkpoint, case.splits.defense, (), session)
    seconds = time.monotonic() - started
    return {
        "before": case.before,
        "after": figures(cleansing.checkpoint, case, session),
        "kept": cleansing.kept,
        "passes": cleansing.passes,
        "seconds": round(seconds, 1),
        "notes": list(cleansing.notes),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as docs/methods/tuning.md shows them: accuracy, ASR and robust accuracy, before and after."""
    lines = [
        "| net | defense | accuracy | true ASR | robust accuracy | passes | n (fit, val, test) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        before, after = row["before"], row["after"]
        cells = [
            f"{100 * before[key]:.1f} -> {100 * after[key]:.1f}" if key in after else "-"
            for key in ("clean_accuracy", "asr", "robust_accuracy")
        ]
        name = f"{row['net']}{' *' if row['part'] == 'chosen on' else ''}"
        sizes = ", ".join(map(str, row["n"]))
        lines.append(f"| {name} | {row['defense']} | {' | '.join(cells)} | {row['passes']:,} | {sizes} |")
    return "\n".join(lines)


def asked(text: str) -> tuple[str, dict[str, str]]:
    """Name and options of ``NAME:key=value,key=value``."""
    name, _, rest = text.partition(":")
    return name, dict(pair.split("=", 1) for pair in rest.split(",") if pair)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--defenses", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs=3, default=(500, 500, 2000), help="fit, val, test")
    chosen = parser.parse_args()
    rows = json.loads(chosen.out.read_text()) if chosen.out.exists() else []
    session = open_session("cpu", chosen.seed)
    for model in chosen.models:
        case = None
        for text in chosen.defenses:
            name, options = asked(text)
            facts = {"net": model, "defense": name, "options": options, "seed": chosen.seed, "n": list(chosen.sizes)}
            if any(all(row[key] == value for key, value in facts.items()) for row in rows):
                continue
            case = case or opened(chosen.shared, model, Sizes(*chosen.sizes), session)
            part = "chosen on" if model in CHOSEN_ON else "judged once"
            rows.append(facts | {"part": part} | trial(case, name, options, session))
            chosen.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
            print(
                model, text, rows[-1]["before"], rows[-1]["after"], rows[-1]["seconds"], *rows[-1]["notes"], flush=True
            )


if __name__ == "__main__":
    main()
