"""Does ``torch.compile`` pay for trigger inversion? Seconds of a forward-backward pass with and without, one thread.

    python -m benchmarks.speed.compiled --out benchmarks/results/compiled.json

Nets and batches of `inversion.py`, passes to the images (what inversion does), interleaved in one run; medians. `pays
after` is the number of passes in which the time to compile comes back, with `null` where a pass is not faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.inversion import NETS

BATCH, REPEATS = 160, 15


def seconds(net: nn.Module, pixels: Tensor) -> float:
    """One forward and backward pass to the images."""
    began = time.perf_counter()
    torch.autograd.grad(net(pixels).logsumexp(1).sum(), pixels)
    return time.perf_counter() - began


def measure(name: str) -> dict[str, Any]:
    """One net, eager and compiled."""
    make, shape = NETS[name]
    torch.manual_seed(0)
    net = make(10).eval().requires_grad_(False)
    pixels = torch.rand(BATCH, *shape, requires_grad=True)
    fast: nn.Module = torch.compile(net)  # type: ignore[assignment]
    seconds(net, pixels)
    first = seconds(fast, pixels)
    pairs = [(seconds(net, pixels), seconds(fast, pixels)) for _ in range(REPEATS)]
    eager, compiled = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(two / one for one, two in pairs)
    pays = round((first - compiled) / (eager - compiled)) if compiled < eager else None
    row = {"net": name, "eager": round(eager, 5), "compiled": round(compiled, 5), "ratio": round(ratio, 3)}
    return {**row, "seconds_to_compile": round(first, 1), "pays_after": pays}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name) for name in NETS]
    record = {"command": "python -m benchmarks.speed.compiled", "batch": BATCH, "repeats": REPEATS, "rows": rows}
    given.out.write_text(json.dumps({**record, "torch": torch.__version__, "cores": os.cpu_count()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
