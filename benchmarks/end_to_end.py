"""Detect, cleanse and measure every model of the zoo through the real pipeline; one JSON line a model, then a summary.

    python -m benchmarks.zoo --images ../shared/data/images/cifar10 --out out/zoo
    python -m benchmarks.end_to_end --zoo out/zoo --images ../shared/data/images/cifar10 \
        --out benchmarks/results/end_to_end.jsonl

The planted trigger is handed to the measuring part only. Models already in the results file are not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.pipeline import clean
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.nets.triggers import load_trigger
from hubclean.records import Audit, Metrics


def row(audit: Audit, facts: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What one run showed, small enough to commit."""
    (detection,) = audit.detections
    planted = facts.get("target")
    return {
        **{key: facts[key] for key in ("architecture", "kind", "seed")},
        "planted_target": planted,
        "verdict": detection.verdict,
        "targets": list(detection.targets),
        "found": planted in detection.targets if planted is not None else None,
        "smallest": min(detection.scores, key=lambda score: score.norm).label,
        "scores": [
            {
                "label": s.label,
                "norm": round(s.norm, 2),
                "index": round(s.index, 2),
                "log_index": round(s.log_index, 2),
                "flagged": s.flagged,
                "asr": round(s.asr.value, 4),
            }
            for s in detection.scores
        ],
        "norms_by_seed": [[round(norm, 2) for norm in norms] for norms in detection.norms_by_seed],
        "before": measured(audit.cleansing.before),
        "stages": {stage.name: measured(stage.metrics) for stage in audit.cleansing.stages},
        "kept": audit.cleansing.kept,
        "notes": list(audit.cleansing.notes),
        "forward_backwards": detection.forward_backwards,
        "seconds": {
            "detect": round(detection.seconds, 1),
            "cleanse": round(audit.cleansing.seconds, 1),
            "all": round(seconds, 1),
        },
        "n": {"fit": audit.data.fit, "val": audit.data.val, "test": audit.data.test},
        "threads": torch.get_num_threads(),
    }


def measured(metrics: tuple[Metrics, ...]) -> dict[str, Any]:
    """Clean accuracy, and ASR and robust accuracy by whose trigger it was, with their intervals."""
    found: dict[str, Any] = {"clean_accuracy": round(metrics[0].clean_accuracy.value, 4)}
    for one in metrics:
        if one.asr is not None and one.asr_of is not None and one.robust_accuracy is not None:
            values = {
                "asr": one.asr.value,
                "low": one.asr.low,
                "high": one.asr.high,
                "robust_accuracy": one.robust_accuracy.value,
            }
            found.setdefault(one.asr_of, {key: round(value, 4) for key, value in values.items()})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="*", help="glob over the models")
    parser.add_argument("-o", dest="given", action="append", default=[])
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = options.out.read_text().splitlines() if options.out.exists() else []
    names = {"-".join(map(str, (r["architecture"], r["kind"], r["seed"]))) for r in map(json.loads, done)}
    for folder in sorted(options.zoo.glob(options.only)):
        if folder.name in names or not (folder / "train.json").exists():
            continue
        facts = json.loads((folder / "train.json").read_text())
        planted = (load_trigger(folder / "planted.safetensors"),) if facts["kind"] != "clean" else ()
        work, started = Path(tempfile.mkdtemp()), time.monotonic()
        settings = CleanOptions(given=tuple(options.given), sizes=Sizes(500, 500, 4000), planted=planted)
        session = open_session("cpu", seed=facts["seed"])
        result = clean(str(folder / "repo"), options.images, work / "out", session, settings)
        shutil.rmtree(work)
        with options.out.open("a") as file:
            file.write(json.dumps(row(result.audit, facts, time.monotonic() - started)) + "\n")
        print(folder.name, result.audit.detections[0].verdict, flush=True)


if __name__ == "__main__":
    main()
