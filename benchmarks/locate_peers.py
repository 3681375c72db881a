"""How many timm classifiers hubclean and its peers locate, and how long each takes, in one run on the meta device.

python -m benchmarks.locate_peers --out FOLDER --json benchmarks/results/locate-peers.json

Peers must be importable (a missing one is recorded as not installed), e.g. from a folder of their own on PYTHONPATH:
pip install --no-deps --target PEERS torchcam grad-cam ttach opencv-python-headless scikit-learn joblib threadpoolctl
cloudpickle narwhals. Nothing is downloaded: models are built on meta from their code alone, with 10 classes. FOLDER
keeps one JSON line a model; a run broken off goes on there, unless a version or a source that it loads has changed.

The finders get the same net, in eval mode on the meta device, after forwards that nobody times:

* hubclean: ``hubclean.nets.cut.features.locate``, two images.
* torch-cam: its own rule, ``torchcam.methods._utils.locate_candidate_layer``; it runs one image on the net's device.
* grad-cam: has no rule, the user names ``target_layers``. Taken here is the last of what its finder
  ``pytorch_grad_cam.utils.find_layers.find_layer_types_recursive(net, [nn.Conv2d])`` lists.
* last child: a head search of the kind BackdoorBench has, written from a description, no code of theirs: the last named
  child must contain an ``nn.Linear``; its first one is the head, and the features are what enters it, by a hook.
* last Linear: the last ``nn.Linear`` by name is the head, ``net.forward_features`` gives the map.
* timm's own: ``net.get_classifier()`` is the head, ``net.forward_features`` gives the map: what timm says, no search.

What counts, judged by ``locate_judge`` with plain hooks in a forward of its own, whatever hubclean found:

* A layer is a hit if its output (1) is the reference, the tensor that timm's ``forward_features`` returned in that
  forward; or is given out after it and has positions (EfficientViT pools in its head); or has its shape and no other
  module gives out another tensor of that shape between the two; and (2) has its channels in axis 1, where both tools
  look for them: axis 1 is as long as ``net.num_features`` or as the rows of the last weight that ran. ``loose`` layers
  have the shape and the axis, but are an earlier value, such as the last convolution inside a residual branch.
* last child: the net returns what the head gives out, and one vector an image enters it.
* last Linear and timm's own: the head is right, and the reference is a map. Right are all the layers after the
  reference that have a row a class.
* hubclean: ``locate`` returns. ``hit`` among its verdicts are those that the hooks confirm: the heads are right, and
  the layer gives out the map with its channels in the axis that it reports.
* If ``forward_features`` gives no map (class tokens, a list of branches), there is nothing to compare with, and
  hubclean's own layer is the reference for the others.

Models without logits ``(n, 10)`` are no classifiers and leave the shares. ``cpu`` is processor seconds: what the wall
clock shows on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import hubclean
from benchmarks.locate_finders import FINDERS, Finder, Found
from benchmarks.locate_judge import CLASSES, Forward, verdict, watch
from hubclean import resources

HERE = Path(__file__).parent


def trial(name: str) -> dict[str, Any]:
    """All finders on one architecture, as a row of the JSON lines."""
    with torch.device("meta"), torch.no_grad():
        try:
            started = time.perf_counter()
            net = timm.create_model(name, num_classes=CLASSES).eval()
            built = time.perf_counter()
            images = torch.zeros(2, *net.pretrained_cfg.get("input_size", (3, 224, 224)))
            seen = watch(net, images)
            watched = time.perf_counter()
            net(images)
        except Exception as error:  # a net that cannot run on meta is counted, not judged
            return {"name": name, "failed": short(error)}
        row = {"name": name, "build": round(built - started, 4), "forward": round(time.perf_counter() - watched, 4)}
        found = {label: timed(finder, name, net, images) for label, finder in FINDERS.items()}
    results = {label: outcome(seen, *values) for label, values in found.items()}
    return row | {"classifier": seen.logits is not None, "finders": results}


def timed(finder: Finder, name: str, net: nn.Module, images: Tensor) -> tuple[Found, float, float]:
    """What a finder found, its seconds and its processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        found = finder(name, net, images)
    except ImportError as error:
        found = {"missing": f"not installed ({error.name})"}
    except Exception as error:  # whatever a finder raises on a net is its result
        found = {"why": short(error)}
    return found, time.perf_counter() - wall, time.process_time() - cpu


def outcome(seen: Forward, found: Found, wall: float, cpu: float) -> dict[str, Any]:
    if "missing" in found:
        return found
    kept = {key: value for key, value in found.items() if key in ("layer", "heads", "why")}
    return kept | {"seconds": round(wall, 4), "cpu": round(cpu, 4), "verdict": verdict(seen, found)}


def short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def warm() -> None:
    """What only the first model of a process pays for: imports, threads, torch's tables for meta."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    trial("test_resnet")


def spread(rows: list[tuple[float, str]]) -> dict[str, Any]:
    """Median, 90th percentile, worst and sum of seconds; ``rows`` are (seconds, name)."""
    if not rows:
        return {}
    ordered = sorted(rows)
    values = [seconds for seconds, _ in ordered]
    middle, tenth = statistics.median(values), values[min(len(values) - 1, int(len(values) * 0.9))]
    figures = {"median": middle, "p90": tenth, "worst": values[-1], "sum": sum(values)}
    return {key: round(value, 4) for key, value in figures.items()} | {"worst_model": ordered[-1][1]}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and times of every finder."""
    able, others = ([row for row in rows if row.get("classifier") is kind] for kind in (True, False))
    result: dict[str, Any] = {
        "models": len(rows),
        "failed": {row["name"]: row["failed"] for row in rows if "failed" in row},
        "classifiers": len(able),
        "not_classifiers": {row["name"]: row["finders"]["hubclean"].get("why", "located") for row in others},
        "build_seconds": spread([(row["build"], row["name"]) for row in able]),
        "forward_seconds": spread([(row["forward"], row["name"]) for row in able]),
        "finders": {},
    }
    for label in FINDERS:
        found = {row["name"]: row["finders"][label] for row in able}
        if missing := next((value["missing"] for value in found.values() if "missing" in value), ""):
            result["finders"][label] = {"missing": missing}
            continue
        verdicts = Counter(value["verdict"] for value in found.values())
        hits = sum("why" not in value for value in found.values()) if label == "hubclean" else verdicts["hit"]
        result["finders"][label] = {
            "hits": hits,
            "share": round(hits / max(1, len(able)), 4),
            "verdicts": dict(verdicts.most_common()),
            **{key: spread([(value[key], name) for name, value in found.items()]) for key in ("seconds", "cpu")},
        }
    return result


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "hubclean": hubclean.__version__}
    for package in ("torch", "timm", "torchcam", "grad-cam"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def digest() -> str:
    """Of all versions and sources that a row depends on, so that no two states are mixed in one result."""
    ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "hubclean"]
    files = [*HERE.glob("locate_*.py"), *resources.data_folder("hooks").glob("*.toml"), *map(Path, filter(None, ours))]
    state = hashlib.sha256(json.dumps(versions()).encode())
    for file in sorted(set(files)):
        state.update(file.read_bytes())
    return state.hexdigest()[:16]


def rows_of(names: list[str], place: Path, processes: int) -> tuple[list[dict[str, Any]], int]:
    """One row a name, and how many of them an earlier start left in ``place``; the others run and are appended."""
    place.parent.mkdir(parents=True, exist_ok=True)
    text = place.read_text() if place.exists() else ""
    text = text[: text.rfind("\n") + 1]  # a start that was killed may have left half a line
    place.write_text(text)
    rows = [row for row in map(json.loads, text.splitlines()) if row["name"] in set(names)]
    done = {row["name"] for row in rows}
    todo, started = [name for name in names if name not in done], time.monotonic()
    with (
        place.open("a") as file,
        ProcessPoolExecutor(processes, get_context("spawn"), initializer=warm) as pool,
    ):
        for future in as_completed([pool.submit(trial, name) for name in todo]):
            rows.append(future.result())
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            count = len(rows) - len(done)
            print(f"{count}/{len(todo)} {time.monotonic() - started:.0f} s {rows[-1]['name']}", file=sys.stderr)
    return rows, len(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON lines")
    parser.add_argument("--json", type=Path, help="where the summary goes")
    parser.add_argument("--every", type=int, default=1, help="take every n-th architecture")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    warm()  # loads what locating loads, all of which the digest covers
    state = digest()
    place = options.out / f"located-{state}.jsonl"
    rows, earlier = rows_of(timm.list_models()[:: options.every], place, options.processes)
    result = summary(rows) | {
        "every": options.every,
        "versions": versions(),
        "digest": state,
        "rows_of_an_earlier_start": earlier,
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": round(os.getloadavg()[2], 1)},
        "processes": options.processes,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python -m benchmarks.locate_peers " + " ".join(sys.argv[1:]),
    }
    text = json.dumps(result, indent=1) + "\n"
    if options.json:
        options.json.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
