"""What the second scan of an unchanged repo costs, with the verdict that was kept: wire requests and milliseconds.

PYTHONPATH=.:tests python -m benchmarks.scan.second_scan --out benchmarks/results/scan_second.json; without --out the
committed result is put into docs/results/scan.md once more.

A Hub on loopback serves two repos: a small vision model of six files, and one of 400 files. ``command`` is the whole of
``hubclean scan -q`` in a process of its own, the start of Python included; ``call`` is ``hubclean.scan`` in a process
that has scanned another repo before, so that nothing is imported any more. Medians of ``RUNS``, on the clock and of the
processor, which holds on a machine that does other work, too; requests are those that the Hub and its CDN saw. Round
trips on loopback take no time: on a network each request adds one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pages import DOCS, RESULTS, between
from hubclean.lab.bench.tables import table
from hubclean.version import __version__

MARKS = ("<!-- second: made by `python -m benchmarks.scan.second_scan` -->\n", "<!-- end second -->")
PAGE = DOCS / "scan.md"
RUNS = 7
_CALLS = """
import json, sys, time
import hubclean
hubclean.scan("org/warm", cache=True)
rows = []
for name in sys.argv[1:]:
    for _ in range(2):
        started, used = time.perf_counter(), time.process_time()
        code = hubclean.scan(name, cache=True).exit_code
        rows.append([name, code, 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - used)])
print(json.dumps(rows))
"""


def weights(tensors: int) -> bytes:
    """A safetensors file of small tensors."""
    header = {
        f"t{n}": {"dtype": "F32", "shape": [64], "data_offsets": [256 * n, 256 * n + 256]} for n in range(tensors)
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(256 * tensors)


def repos() -> dict[str, dict[str, bytes]]:
    """The files of each repo."""
    config = json.dumps({"model_type": "vit", "architectures": ["ViTForImageClassification"]}).encode()
    small = {
        "config.json": config,
        "model.safetensors": weights(200),
        "preprocessor_config.json": b'{"size": 224}',
        "README.md": b"# a model\n",
        "all_results.json": b'{"accuracy": 0.9}',
        "runs/events.txt": b"none\n",
    }
    shards = {f"extra/part-{n:03}.safetensors": weights(2) for n in range(394)}
    return {"org/warm": {"config.json": config}, "org/small": small, "org/many": small | shards}


def command(hub: Any, env: dict[str, str], name: str, *words: str) -> dict[str, float]:
    """One ``hubclean scan``: milliseconds on the clock and of the processor, and the requests that it made."""
    hub.log.clear()
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "hubclean", "scan", "-q", name, *words], env=env, capture_output=True)
    taken = 1000 * (time.perf_counter() - started)
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}: {done.stderr.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"requests": len(hub.log), "milliseconds": taken, "processor_milliseconds": used}


def middle(rows: list[dict[str, float]]) -> dict[str, float]:
    """Medians of the runs."""
    return {key: round(statistics.median(row[key] for row in rows), 1) for key in rows[0]}


def commands(hub: Any, env: dict[str, str], name: str, home: Path) -> dict[str, Any]:
    """First scans, each with an empty cache, second ones, and scans with the cache off."""
    first, second, off = [], [], []
    for number in range(RUNS):
        own = env | {"HUBCLEAN_CACHE": str(home / f"{name.replace('/', '-')}-{number}")}
        first.append(command(hub, own, name))
        second.append(command(hub, own, name))
        off.append(command(hub, own, name, "--no-cache"))
    return {"first": middle(first), "second": middle(second), "no_cache": middle(off)}


def calls(env: dict[str, str], names: list[str], home: Path) -> dict[str, Any]:
    """Milliseconds of ``hubclean.scan``, the first and the second time, in a process that is warm."""
    rows: dict[str, list[list[dict[str, float]]]] = {name: [[], []] for name in names}
    for number in range(RUNS):
        own = env | {"HUBCLEAN_CACHE": str(home / f"calls-{number}")}
        done = subprocess.run([sys.executable, "-c", _CALLS, *names], env=own, capture_output=True, check=True)
        for place, (name, code, taken, used) in enumerate(json.loads(done.stdout)):
            if code:
                raise SystemExit(f"{name}: exit code {code}")
            rows[name][place % 2].append({"milliseconds": taken, "processor_milliseconds": used})
    return {name: {"first": middle(one), "second": middle(two)} for name, (one, two) in rows.items()}


def section(found: dict[str, Any]) -> str:
    """What was measured, as a table."""
    rows = []
    for name, count in found["files"].items():
        for which in ("first", "second"):
            one, call = found["commands"][name][which], found["calls"][name][which]
            told = [one["milliseconds"], one["processor_milliseconds"]]
            told += [call["milliseconds"], call["processor_milliseconds"]]
            rows.append([f"{count} files", which, f"{one['requests']:g}", *(f"{value:,.0f}" for value in told)])
    heads = ["repo", "scan", "requests", "command, ms", "of the processor", "call in Python, ms", "of the processor"]
    return "\n".join([
        "## The second scan",
        "",
        f"`{found['command']}`: a repo on loopback scanned, and scanned again with "
        "[the verdict that was kept](../scan/policy.md#verdicts-that-are-kept); medians of "
        f"{found['runs']}, on {found['cpus']} cores that did other work, too. The command's time is mostly that of "
        "Python and the Hub's client to start.",
        "",
        table(heads, rows),
    ])  # fmt: skip


def main() -> None:
    """Serve, scan twice, write; the page, too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.out:
        options.out.write_text(json.dumps(measured(), indent=1) + "\n")
    made = section(json.loads((RESULTS / "scan_second.json").read_text(encoding="utf-8")))
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), made, *MARKS), encoding="utf-8")


def measured() -> dict[str, Any]:
    """Both repos served, and scanned first, again, and with the cache off."""
    from support.hub_server import HubServer

    with tempfile.TemporaryDirectory(prefix="hubclean-second-") as folder, HubServer() as hub:
        home, made = Path(folder), repos()
        for name, files in made.items():
            hub.create(name, files)
        env = hub.env(home / "home") | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,127.0.0.2,localhost"
        names = [name for name in made if name != "org/warm"]
        return {
            "command": "PYTHONPATH=.:tests python -m benchmarks.scan.second_scan "
            "--out benchmarks/results/scan_second.json",
            "hubclean": __version__,
            "cpus": os.cpu_count(),
            "runs": RUNS,
            "files": {name: len(made[name]) for name in names},
            "commands": {name: commands(hub, env, name, home) for name in names},
            "calls": calls(env, names, home),
        }


if __name__ == "__main__":
    main()
