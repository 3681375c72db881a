"""Writes the ordinary repos and their bad twins, with a manifest.

PYTHONPATH=.:tests python -m benchmarks.scan.ordinary.generate --out DIR [--old-frameworks CACHE] [--only KIND ...]

DIR/benign/KIND/ and DIR/bad/KIND--PAYLOAD/; DIR/manifest.json has a row for each. CACHE is what ``old_frameworks.py``
made in an environment of its own; without it, TensorFlow and Flax files are put together by hand and marked so.
Nothing here is loaded again: a payload that calls ``os.system`` is only written.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

ROOMS = ("base_models", "trained", "torch_files", "layouts", "exports")
HELD_OUT = ("trainers", "adapters", "checkpoints", "models", "desks", "sklearn_files", "exports")
LIBRARIES = [
    "torch",
    "transformers",
    "timm",
    "safetensors",
    "accelerate",
    "peft",
    "open_clip_torch",
    "onnx",
    "h5py",
    "msgpack",
    "tensorboard",
    "lightning",
    "skops",
    "joblib",
    "gguf",
]


def benign(out: Path, only: list[str]) -> list[dict[str, Any]]:
    """Write every kind; one that fails is reported and left out."""
    from benchmarks.scan.ordinary.kinds import KINDS
    from benchmarks.scan.ordinary.other_formats import cached

    for room in (*ROOMS, *(f"held_out.{name}" for name in HELD_OUT)):
        importlib.import_module(f"benchmarks.scan.ordinary.{room}")
    rows = []
    for name, kind in KINDS.items():
        folder = out / "benign" / name
        if only and name not in only:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            kind.make(folder)
        except Exception:
            print(f"{name}: not made\n{traceback.format_exc()}", file=sys.stderr)
            shutil.rmtree(folder)
            continue
        hand = () if cached("keras") else ("*.h5", "*.msgpack", "*.tflite", "*.keras", "saved_model*")
        by_hand = sorted(
            {
                place.relative_to(folder).as_posix()
                for pattern in (*kind.by_hand, *hand)
                for place in folder.rglob(pattern.rpartition("/")[2])
            }
        )
        rows.append(
            {
                "name": name,
                "bad": False,
                "loader": kind.loader,
                "right": list(kind.right),
                "torch_loadable": kind.torch_loadable,
                "by_hand": by_hand,
            }
        )
        print(name, sum(place.is_file() for place in folder.rglob("*")), "files", file=sys.stderr)
    return rows


def versions() -> dict[str, str]:
    """Of the libraries that are there."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not there: by hand"
    return found


def main() -> None:
    """Write, twin, list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--old-frameworks", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    os.environ.update(
        HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES=""
    )
    from benchmarks.scan.ordinary import other_formats, payloads

    if options.old_frameworks:
        os.environ[other_formats.CACHE] = str(options.old_frameworks.resolve())
    rows = benign(options.out, options.only)
    rows += payloads.twins(options.out, {row["name"]: row for row in rows})
    if options.only:  # the others stay as they are
        new = {row["name"] for row in rows}
        held = json.loads((options.out / "manifest.json").read_text())["repos"]
        rows = sorted([row for row in held if row["name"] not in new] + rows, key=lambda row: bool(row["bad"]))
    manifest = {"versions": versions(), "repos": rows}
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
