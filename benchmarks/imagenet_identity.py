"""The real ImageNet EfficientNet-Lite0 through an identity `clean`, pushed to a loopback Hub and pulled back.

    PYTHONPATH=.:tests python -m benchmarks.imagenet_identity --shared ../shared/data \
        --out benchmarks/results/imagenet_identity.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from support.hub_server import HubServer


def run(shared: Path, hub: HubServer, work: Path) -> dict[str, object]:
    """What was measured; imported late, because the client reads its environment when it is imported."""
    import hubclean
    from hubclean.hub.targets import open_target
    from hubclean.nets.datasets import Sizes
    from hubclean.nets.session import open_session

    source = shared / "models" / "imagenet_tf_efficientnet_lite0"
    hub.create("google/lite0", {name: source / name for name in ("config.json", "model.safetensors")})
    started = time.monotonic()
    result = hubclean.clean(
        "google/lite0",
        shared / "images" / "imagenet_sample",
        work / "out",
        session=open_session("cpu", batch_size=32),
        detectors=("skip",),
        defense="none",
        sizes=Sizes(1, 1, 998),
        labels_by="position",  # the model names no label
    )
    seconds = time.monotonic() - started
    hubclean.push(work / "out", "alice/lite0", token=hub.write_token)
    back = open_target("alice/lite0").fetch(["model.safetensors", "config.json"], work / "back")
    same = all(
        (back / name).read_bytes() == (source / name).read_bytes() for name in ("model.safetensors", "config.json")
    )
    accuracy, site = result.audit.cleansing.after[0].clean_accuracy, result.audit.site
    return {
        "top1": accuracy.value,
        "interval": [round(accuracy.low, 4), round(accuracy.high, 4)],
        "n": accuracy.n,
        "facts_top1": 0.866,
        "feature": site.feature,
        "channels": site.channels,
        "bit_for_bit_after_push_and_pull": same,
        "seconds": round(seconds, 1),
        "images_per_second": round(2 * 998 / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with HubServer() as hub, tempfile.TemporaryDirectory() as name:
        os.environ |= hub.env(home=Path(name) / "home")
        result = run(options.shared, hub, Path(name))
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
