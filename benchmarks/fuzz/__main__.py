"""Fuzzes every parser for its share of ``--seconds``, each in a process of its own, and writes down what was run.

make fuzz [FUZZ_SECONDS=60]
python -m benchmarks.fuzz --seconds 60 --out benchmarks/results/fuzz.json

Exit code 1 if a target crashed; the input that did it is kept in ``--crashes``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEGABYTES = 300
LONGEST = 20_000


def run(name: str, seconds: int, crashes: Path, folder: Path) -> dict[str, Any]:
    """Fuzz one target; what libFuzzer counted."""
    corpus = folder / name
    corpus.mkdir()
    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LONGEST}", "-timeout=30"]
    options += ["-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-", "-seed=1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz.one", name, str(corpus), *options],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    log = done.stderr + done.stdout
    held = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", log)}
    covered = [int(value) for value in re.findall(r" cov: (\d+)", log)]
    row = {
        "executions": held.get("number_of_executed_units", 0),
        "seconds": seconds,
        "peak_mb": held.get("peak_rss_mb"),
        "branches": covered[-1] if covered else 0,
        "crashed": done.returncode != 0,
    }
    if done.returncode:
        told = [line for line in log.splitlines() if "Error" in line or "ERROR" in line or line.startswith("  File")]
        print(f"{name} CRASHED (exit {done.returncode})", *told[-12:], sep="\n  ", file=sys.stderr)
    print(name, json.dumps(row), file=sys.stderr)
    return row


def main() -> None:
    """Parse, fuzz, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of all targets together")
    parser.add_argument("--target", action="append", help="only this one; repeatable")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from benchmarks.fuzz.targets import TARGETS

    names = options.target or list(TARGETS)
    each = max(1, options.seconds // len(names))
    options.crashes.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hubclean-fuzz-") as folder:
        rows = {name: run(name, each, options.crashes, Path(folder)) for name in names}
    packages = ("atheris", "safetensors", "jinja2")
    found = {
        "command": f"python -m benchmarks.fuzz --seconds {options.seconds}",
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": ".".join(map(str, sys.version_info[:3])),
        "limits": {"seconds": 2.0, "megabytes": MEGABYTES, "input_bytes": LONGEST},
        "executions": sum(row["executions"] for row in rows.values()),
        "seconds": sum(row["seconds"] for row in rows.values()),
        "targets": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if not any(options.crashes.iterdir()):
        options.crashes.rmdir()
    raise SystemExit(any(row["crashed"] for row in rows.values()))


if __name__ == "__main__":
    main()
