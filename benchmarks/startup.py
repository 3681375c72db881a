"""How long `hubclean --help` and a local `scan` take, as ratios to a bare interpreter, and that neither imports torch.

python -m benchmarks.startup --out benchmarks/results/startup.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7


def seconds(command: list[str]) -> float:
    """Median wall seconds of ``RUNS`` runs after one to warm the caches."""
    taken = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        Path(name, "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        Path(name, "config.json").write_text('{"architecture": "resnet18"}')
        cases = {
            "python -c pass": ["-c", "pass"],
            "hubclean --help": ["-m", "hubclean", "--help"],
            "hubclean scan FOLDER": ["-m", "hubclean", "scan", name],
            "import torch": ["-c", "import torch"],
        }
        taken = {label: round(seconds([sys.executable, *words]), 3) for label, words in cases.items()}
        script = f"from hubclean.cli.main import main; main(['scan', {name!r}], standalone_mode=False)"
        check = f"try:\n  {script}\nexcept SystemExit: pass\nprint('TORCH', 'torch' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", f"import sys\n{check}"], capture_output=True, text=True, check=True
        )
    base = taken["python -c pass"]
    result = {
        "seconds": taken,
        "ratio_to_bare_python": {label: round(value / base, 1) for label, value in taken.items()},
        "scan_imports_torch": done.stdout.splitlines()[-1] == "TORCH True",
        "runs": RUNS,
        "command": "python -m benchmarks.startup --out benchmarks/results/startup.json",
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
