"""Whether a scan costs more than linearly on anything: processor seconds and operations at a size and at four times it.

PYTHONPATH=.:tests python -m benchmarks.scan.adversarial --out benchmarks/results/scan_adversarial.json

Every shape of ``benchmarks.scan.shapes`` is written to disk at both sizes and scanned, each in a process of its own
that is ended after ``LIMIT`` seconds of processor time. Bytes are those of the repo. Operations are what the parsers
counted (``hubclean.scanning.budget``): they do not depend on the machine. A shape is above the trend if its operations,
or its seconds where it takes more than one at four times the size, grow by more than ``TREND``, in three runs of three.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks.scan.shapes import Files, Shape, binary, pickled, repos, texts

# Bytes of the smaller size by the beginning of a shape's name: four times that stays below the bounds of its format.
# Repos get a file for every 200 bytes: 10,000; zips 25,000 and 100,000 members, tars as many.
SIZES = {
    "json": 2_000_000,
    "yaml": 200_000,
    **dict.fromkeys(("python", "jinja", "pickle", "torch zip", "legacy", "txt, like"), 60_000),
    "hdf5, deep": 250_000,  # both are read whole; of larger ones pages are
    "zip, members": 3_000_000,
    "zip, torch members": 3_000_000,
    "tar, members": 12_800_000,
}
SIZE = 500_000
TREND = 5.0  # what may grow with four times the bytes
NOISE = 1.0  # seconds below which the start of a parser outweighs its work
COUNTED = 10_000  # operations below which it is chance where the next thousand begins
LIMIT = 100
RUNS = 3
SHAPES: dict[str, Shape] = {**texts.SHAPES, **pickled.SHAPES, **binary.SHAPES, **repos.SHAPES}


def measured(files: Files, folder: Path) -> dict[str, Any]:
    """Scan ``files`` in a child; seconds of the processor, operations, exit code (``None``: it was ended)."""
    for path, body in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    size = sum(map(len, files.values()))
    reading, writing = os.pipe()
    if not (child := os.fork()):
        _scanned(folder, reading, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status, used = os.wait4(child, 0)
    row = {"files": len(files), "bytes": size, "cpu": round(used.ru_utime + used.ru_stime, 3)}
    return row | (json.loads(told) if told else {"exit": None, "signal": os.waitstatus_to_exitcode(status)})


def _scanned(folder: Path, reading: int, writing: int) -> None:
    """The child: scans, tells and ends."""
    from hubclean.cli.text.scan import render_scan
    from hubclean.hub.repos import LocalRepo
    from hubclean.records import to_json
    from hubclean.scanning.budget import counted
    from hubclean.scanning.document import target_scan
    from hubclean.scanning.engine import scan

    try:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        with counted() as meter:
            started = time.process_time()
            report = scan(LocalRepo(folder))
            json.dumps(to_json(target_scan("", report)))
            render_scan(report)
            told = {"scan": round(time.process_time() - started, 3), "exit": report.exit_code}
        told["operations"] = meter.used
        os.write(writing, json.dumps(told).encode())
    except BaseException:
        traceback.print_exc()
    os._exit(0)


def compared(shape: Shape, size: int) -> dict[str, Any]:
    """Both sizes, and how much more the larger one took for each byte."""
    rows = []
    for factor in (1, 4):
        folder = Path(tempfile.mkdtemp(prefix="hubclean-sizes-"))
        try:
            rows.append(measured(shape(size * factor), folder))
        finally:
            shutil.rmtree(folder)
    small, large = rows
    found: dict[str, Any] = {"small": small, "large": large}
    if "scan" in small and "scan" in large:
        found["seconds"] = round(large["scan"] / max(small["scan"], 1e-3), 2)
        found["per_mb"] = round(large["scan"] / large["bytes"] * 1e6, 3)
        if small["operations"]:
            found["operations"] = round(large["operations"] / small["operations"], 2)
    found["above"] = above(found)
    return found


def above(found: dict[str, Any]) -> bool:
    """Whether a shape grows faster than its bytes do, or was never done."""
    if "seconds" not in found:
        return True
    growth = max(1.0, found["large"]["bytes"] / found["small"]["bytes"] / 4)
    slow = found["large"]["scan"] > NOISE and found["seconds"] > TREND * growth
    counted = found["large"]["operations"] > COUNTED and found.get("operations", 0) > TREND * growth
    return bool(slow or counted)


def condensed(row: dict[str, Any]) -> list[Any]:
    """What is kept of a shape: files and bytes at the larger size, exit code; then of both sizes seconds (``None``: it
    was ended), operations; and whether it is above the trend."""
    sizes = (row["small"], row["large"])
    large = row["large"]
    seconds, operations = ([size.get(key) for size in sizes] for key in ("scan", "operations"))
    return [large["files"], large["bytes"], large["exit"], *seconds, *operations, row["above"]]


def written(found: dict[str, Any]) -> str:
    """JSON with a line a shape."""
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in found["shapes"].items())
    head = json.dumps({**found, "shapes": None}, indent=1).replace('"shapes": null', f'"shapes": {{\n{rows}\n }}')
    return head + "\n"


def main() -> None:
    """Measure, write; exit code 1 if a shape is above the trend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes")
    parser.add_argument("--only", default="", help="shapes whose name holds this")
    options = parser.parse_args()
    import jinja2  # noqa: F401  # so that no child pays for it
    import yaml  # noqa: F401

    from hubclean.registry import methods

    methods("scanners")
    rows = {}
    for name, shape in SHAPES.items():
        if options.only in name:
            size = next((size for start, size in SIZES.items() if name.startswith(start)), SIZE)
            for _ in range(RUNS):  # other work on the machine makes a shape slow once, not three times
                rows[name] = row = compared(shape, int(size * options.scale))
                if not row["above"]:
                    break
            large = row["large"]
            mark = "ABOVE" if row["above"] else ""
            print(f"{name:30} {row.get('seconds', '-'):>7} x {row.get('operations', '-'):>6} ops "
                  f"{large.get('scan', '-'):>8} s {row.get('per_mb', '-'):>8} s/MB exit {large['exit']} {mark}",
                  file=sys.stderr, flush=True)  # fmt: skip
    found = {
        "command": "PYTHONPATH=.:tests python -m benchmarks.scan.adversarial",
        "scale": options.scale,
        "trend": TREND,
        "python": ".".join(map(str, sys.version_info[:3])),
        "shapes": {name: condensed(row) for name, row in rows.items()},
    }
    if options.out:
        options.out.write_text(written(found))
    raise SystemExit(any(row["above"] for row in rows.values()))


if __name__ == "__main__":
    main()
