"""Fine-Pruning at the final features and at the last convolution (or hidden units and heads) of the same nets.

    python -m benchmarks.zoo --images ../shared/data/images/cifar10 --out out/zoo
    python -m benchmarks.prune_sites --zoo out/zoo --images ../shared/data/images/cifar10 \
        --json benchmarks/results/prune_sites.json

No detector runs, so no recovered trigger watches the fine-tuning; the planted one is handed to the measuring part only.
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

from benchmarks.end_to_end import measured
from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.pipeline import clean
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.nets.triggers import load_trigger

SITES = ("feature", "conv")


def trial(folder: Path, images: str, site: str, step: float) -> dict[str, Any]:
    """One model, one site: clean accuracy and planted ASR before and after every stage."""
    facts = json.loads((folder / "train.json").read_text())
    work, started = Path(tempfile.mkdtemp()), time.monotonic()
    options = CleanOptions(
        detectors=("skip",),
        given=(f"site={site}", f"step={step}"),
        sizes=Sizes(500, 500, 4000),
        planted=(load_trigger(folder / "planted.safetensors"),),
    )
    audit = clean(str(folder / "repo"), images, work / "out", open_session("cpu", seed=facts["seed"]), options).audit
    shutil.rmtree(work)
    return {
        **{key: facts[key] for key in ("architecture", "kind", "seed")},
        "site": site,
        "before": measured(audit.cleansing.before),
        "stages": {stage.name: measured(stage.metrics) for stage in audit.cleansing.stages},
        "kept": audit.cleansing.kept,
        "notes": list(audit.cleansing.notes),
        "seconds": round(time.monotonic() - started, 1),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--step", type=float, default=0.02)
    chosen = parser.parse_args()
    rows = json.loads(chosen.json.read_text()) if chosen.json.exists() else []
    done = {(row["architecture"], row["kind"], row["seed"], row["site"]) for row in rows}
    for folder in sorted(chosen.zoo.glob("*")):
        if not (folder / "train.json").exists() or not (folder / "planted.safetensors").exists():
            continue
        facts = json.loads((folder / "train.json").read_text())
        for site in SITES:
            if (facts["architecture"], facts["kind"], facts["seed"], site) not in done and facts["kind"] != "clean":
                rows.append(trial(folder, chosen.images, site, chosen.step))
                chosen.json.write_text(json.dumps(rows, indent=1) + "\n")
                print(folder.name, site, flush=True)


if __name__ == "__main__":
    main()
