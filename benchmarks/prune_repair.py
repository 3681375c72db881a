"""Cutting positions or channels, with and without repair, on nets that other people trained and backdoored.

    python -m benchmarks.prune_repair --shared ../shared/data --out benchmarks/results/prune_repair.json \
        --models badnet_mnist_patch5 ibau_gtsrb_badnets --arms prune-repair fine-pruning mnp --seeds 0 1 2

Images are of the test split alone, which the nets have not seen: 500 to repair with, 500 to judge by, and up to 3,000
of the rest to measure on, drawn by the seed. Depths, epochs and distillation were chosen on badnet_mnist_patch5 and
ibau_gtsrb_badnets, looking at their true ASR; every other net judges. No trigger is recovered unless ``--invert`` is
given: then Neural Cleanse runs first, with its defaults, and what it recovers is handed to the defense. ``trigger.npz``
measures only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.shared_models import load
from hubclean.methods.interface import Cleansing
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import preprocessing
from hubclean.nets.datasets import Sizes, Splits, load_images
from hubclean.nets.images import ImageSet
from hubclean.nets.labels.matching import Labelling
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import Session, open_session
from hubclean.nets.triggers import Additive, Stamp, Trigger
from hubclean.registry import build_method

# What is compared: a defense and the options that differ from its defaults.
ARMS: dict[str, tuple[str, dict[str, str]]] = {
    "prune-repair": ("prune-repair", {}),
    "channels": ("prune-repair", {"site": "feature"}),
    "without repair": ("prune-repair", {"repair": "false"}),
    "without distillation": ("prune-repair", {"distill": "0"}),
    "depth 0.5": ("prune-repair", {"depths": "0.5", "max_drop": "1"}),
    "depth 0.65": ("prune-repair", {"depths": "0.65", "max_drop": "1"}),
    "depth 0.8": ("prune-repair", {"depths": "0.8", "max_drop": "1"}),
    "judged before repair": ("fine-pruning", {"site": "position"}),
    "fine-pruning": ("fine-pruning", {}),
    "mnp": ("mnp", {}),
    "mnp with positions": ("mnp", {"positions": "true"}),
}


def planted(folder: Path, config: dict[str, Any]) -> tuple[Stamp, tuple[int, ...]]:
    """The attacker's stamp, x' = clip(x (1 - mask) + pattern), and the labels it acts on (none: all but the target)."""
    arrays, attack = numpy.load(folder / "trigger.npz"), config["backdoor"]
    mask, pattern = (torch.from_numpy(arrays[key].astype("float32")) for key in ("mask", "pattern"))
    sources = tuple(attack.get("sources", ()))
    if bool((mask == 0).all()):  # a watermark is added to the whole image
        return Additive(pattern, attack["target"]), sources
    return Trigger(mask[:1], pattern, attack["target"]), sources


def measured(checkpoint: Checkpoint, test: ImageSet, stamp: Stamp, sources: tuple[int, ...], session: Session) -> Any:
    """Clean accuracy, true ASR and robust accuracy on test, in percent, each with its n."""
    attacked = test.subset(torch.isin(test.labels, torch.tensor(sources))) if sources else test
    clean = clean_accuracy(checkpoint.model, test, session)
    asr, robust = attack_rates(checkpoint.model, attacked, stamp, len(checkpoint.labels), session)
    named = {"accuracy": clean, "asr": asr, "robust": robust}
    return {key: round(100 * rate.value, 2) for key, rate in named.items()} | {"n": clean.n, "n_attacked": asr.n}


def images_of(checkpoint: Checkpoint, place: Path, session: Session) -> Splits:
    """500 images to repair with, 500 to judge by, up to 3,000 to measure on."""
    return load_images(
        str(place),
        checkpoint.labels,
        preprocessing.preprocessing(checkpoint.folder, checkpoint.facts),
        session,
        sizes=Sizes(500, 500, 3000),
        labelling=Labelling("position"),
    )


def recovered(checkpoint: Checkpoint, splits: Splits, session: Session) -> tuple[Trigger, ...]:
    """What Neural Cleanse recovers with its defaults."""
    found: tuple[Trigger, ...] = (
        build_method("detectors", "neural-cleanse", {}).detect(checkpoint, splits.defense, session).triggers
    )
    return found


def row(name: str, arm: str, seed: int, before: Any, after: Any, result: Cleansing, seconds: float) -> dict[str, Any]:
    """One line of the results."""
    method, options = ARMS[arm]
    return {
        "net": name,
        "arm": arm,
        "defense": method,
        "options": options,
        "seed": seed,
        "before": before,
        "after": after,
        "kept": result.kept,
        "cut": result.cut,
        "notes": list(result.notes),
        "passes": result.passes,
        "seconds": round(seconds, 1),
    }


def trials(folder: Path, shared: Path, arms: list[str], seed: int, invert: bool) -> list[dict[str, Any]]:
    """All arms on one net with the same images."""
    checkpoint, config = load(folder)
    session = open_session("cpu", seed)
    splits = images_of(checkpoint, shared / "images" / config["dataset"], session)
    stamp, sources = planted(folder, config)
    before = measured(checkpoint, splits.test, stamp, sources, session)
    triggers = recovered(checkpoint, splits, session) if invert else ()
    rows = []
    for arm in arms:
        method, options = ARMS[arm]
        started = time.monotonic()
        result = build_method("defenses", method, options).cleanse(checkpoint, splits.defense, triggers, session)
        seconds = time.monotonic() - started
        after = {
            stage.name: measured(stage.checkpoint, splits.test, stamp, sources, session) for stage in result.stages
        }
        line = row(folder.name, arm, seed, before, after, result, seconds) | {
            "recovered": sorted(-1 if one.target is None else one.target for one in triggers) if invert else None,
            "threads": torch.get_num_threads(),
        }
        kept = after[result.kept]
        print(folder.name, arm, seed, before, "->", kept, f"{seconds:.0f} s", flush=True)
        rows.append(line)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--invert", action="store_true")
    options = parser.parse_args()
    for name in options.models:
        for seed in options.seeds:
            made = trials(options.shared / "models" / name, options.shared, options.arms, seed, options.invert)
            rows = json.loads(options.out.read_text()) if options.out.exists() else []
            done = {(one["net"], one["arm"], one["seed"], one["recovered"] is None) for one in made}
            rows = [r for r in rows if (r["net"], r["arm"], r["seed"], r["recovered"] is None) not in done]
            options.out.write_text(json.dumps([*rows, *made], indent=1) + "\n")


if __name__ == "__main__":
    main()
