"""Layouts on a Hub: ``python -m benchmarks.images.hub`` prints its rows as JSON; ``run`` calls it.

The Hub is that of the tests, on loopback, answered by the real client. A process of its own, as the client reads its
environment when it is imported.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from typing import Any

from support.hub_server import HubServer

CARD = """---
configs:
- config_name: big
  data_files: [{split: train, path: big/train-*}, {split: test, path: big/test-*}]
- config_name: small
  default: true
  data_files: {train: small/train.parquet, dev: small/dev.parquet}
---
"""
#: What is given, the options, and how many images are drawn at most.
ASKED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("two configs, one of them the default", "org/pets", {}),
    ("a config and a split by name", "org/pets:big/test", {}),
    ("train of a config in 4 shards, 10 images drawn", "org/pets:big", {"split": "train", "most": 10}),
    ("class folders as loose files, 5 images drawn", "org/files@main", {"most": 5}),
    ("a converted set of two configs, none named", "org/converted", {}),
    ("a set made by a script", "org/script", {}),
    ("a split that is not there", "org/pets:big", {"split": "validation"}),
)


def _parquet(count: int) -> bytes:
    import pandas as pd

    from benchmarks.images.layouts import LABELS, png

    body = io.BytesIO()
    pd.DataFrame({"image": [png(n) for n in range(count)], "label": [LABELS[n % 3] for n in range(count)]}).to_parquet(
        body
    )
    return body.getvalue()


def _fill(hub: HubServer) -> None:
    from benchmarks.images.layouts import LABELS, each, png

    shards = {f"big/train-0000{n}-of-00004.parquet": _parquet(12) for n in range(4)}
    small = {f"small/{split}.parquet": _parquet(6) for split in ("train", "dev")}
    pets = {"README.md": CARD.encode(), "big/test-00000-of-00001.parquet": _parquet(9), **shards, **small}
    hub.create("org/pets", pets, repo_type="dataset")
    paths = each("train/{name}/{number}.png", LABELS) + each("test/{name}/{number}.png", LABELS)
    hub.create("org/files", {path: png(n) for n, path in enumerate(paths)}, repo_type="dataset")
    parts = {f"{one}/train/0000.parquet": _parquet(6) for one in ("first", "second")}
    hub.create("org/converted", parts, repo_type="dataset")
    hub.create("org/script", {"script.py": b"import os\n"}, repo_type="dataset")


def _outcome(asked: str, source: str, options: dict[str, Any]) -> dict[str, Any]:
    from huggingface_hub import constants

    from benchmarks.images.layouts import LABELS
    from hubclean.errors import HubcleanError
    from hubclean.nets.sources.drawing import line
    from hubclean.nets.sources.opening import open_pictures
    from hubclean.nets.sources.pictures import Request

    with tempfile.TemporaryDirectory(prefix="hub-cache-") as cache:
        constants.HF_HUB_CACHE = cache
        try:
            pictures = open_pictures(source, Request(labels=LABELS, **options))
        except HubcleanError as error:
            return {"layout": f"{source}: {asked}", "refused": str(error)}
        taken = min(len(pictures), options.get("most", len(pictures)))
        assert len(list(pictures.read(range(taken)))) == taken
        files = sorted({os.path.join(*place.split(os.sep)[4:]) for place in _files(cache)})
    text, left = line(pictures, taken, 0)
    return {"layout": f"{source}: {asked}", "taken": text, "left": left, "fetched": files}


def _files(cache: str) -> list[str]:
    return [
        os.path.relpath(os.path.join(folder, name), cache)
        for folder, _, names in os.walk(cache)
        for name in names
        if f"{os.sep}snapshots{os.sep}" in folder and name != "README.md"
    ]


def main() -> None:
    hub = HubServer().start()
    quiet = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK", "HF_HUB_DISABLE_XET")
    os.environ |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **dict.fromkeys(quiet, "1")}
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,127.0.0.2,localhost"
    try:
        _fill(hub)
        print(json.dumps([_outcome(*one) for one in ASKED]))
    finally:
        hub.stop()


if __name__ == "__main__":
    main()
