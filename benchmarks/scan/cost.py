"""What judging 1.2 GB of weights before the download costs: requests, bytes, seconds, memory, beside other scanners.

python -m benchmarks.scan.cost --out benchmarks/results/scan.json --peer picklescan=BIN --peer modelscan=BIN ...

A Hub on loopback serves a ViT-L/16 as torch zip and as safetensors. hubclean scans the repo by range; the others need
the file, so the download by huggingface_hub's own client is measured once for each file and added to their time. Every
command runs in a process of its own, one after the other; seconds on the clock, memory is the process's peak.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.scan import large_repo, peers
from hubclean.version import __version__

RUNS = 5
LIMIT = 300.0


# Starts the command from a small process: on Linux a child's peak counts what its parent held when it was started.
_LAUNCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while True:
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    seconds = time.perf_counter() - started
    if pid:
        break
    if seconds > float(sys.argv[1]):
        child.kill()
        _, status, usage = os.wait4(child.pid, 0)
        break
    time.sleep(0.002)
done = os.waitstatus_to_exitcode(status) if pid else None
print(json.dumps({"seconds": round(seconds, 2), "cpu": round(usage.ru_utime + usage.ru_stime, 2),
                  "peak_mb": round(usage.ru_maxrss / 1024, 1), "exit": done}))
"""


def measured(command: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Seconds on the clock and of the processor, peak megabytes, exit code (``None``: stopped after ``LIMIT``)."""
    start = [sys.executable, "-S", "-c", _LAUNCH, str(LIMIT), *command]
    env = env | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with tempfile.TemporaryDirectory() as place:  # fickling leaves a report where it is started
        done = subprocess.run(start, env=env, capture_output=True, check=True, cwd=place)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def on_hub(hub: Any, command: list[str], env: dict[str, str]) -> dict[str, Any]:
    """The same, with what the server saw: answers with a body of files (redirects apart), and their bytes."""
    hub.log.clear()
    row = measured(command, env)
    asked = [one for one in hub.log if (one.method == "GET" and "/resolve/" in one.path) or one.where == "cdn"]
    bodies = [one for one in asked if one.status in (200, 206) and one.method == "GET"]
    return {"requests": len(bodies), "bytes": sum(one.sent for one in bodies), **row}


def median(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle, by seconds."""
    return sorted(rows, key=lambda row: row["seconds"])[len(rows) // 2]


def ours(hub: Any, env: dict[str, str], files: dict[str, Path], folder: Path) -> dict[str, Any]:
    """hubclean on every repo and on the same files on disk."""
    start = [sys.executable, "-m", "hubclean", "scan", "-q", "--no-cache"]
    rows = {}
    for name, wanted in REPOS.items():
        here = folder / name
        here.mkdir()
        for file in wanted:
            (here / file).hardlink_to(files[file])
        hub.create(f"org/{name}", {file: files[file] for file in wanted})
        rows[name] = {
            "hub": median([on_hub(hub, [*start, f"org/{name}"], env) for _ in range(RUNS)]),
            "folder": median([measured([*start, str(here)], env) for _ in range(RUNS)]),
        }
        print(name, json.dumps(rows[name]), file=sys.stderr)
    return rows


REPOS = {
    "torch": ("pytorch_model.bin",),
    "safetensors": ("model.safetensors",),
    "both": ("pytorch_model.bin", "model.safetensors", "config.json"),
}
DOWNLOAD = """
import sys
from huggingface_hub import hf_hub_download
hf_hub_download(sys.argv[1], sys.argv[2], cache_dir=sys.argv[3])
"""


def theirs(hub: Any, env: dict[str, str], files: dict[str, Path], chosen: list[peers.Peer]) -> dict[str, Any]:
    """The download of each file, and every peer on the files on disk."""
    rows: dict[str, Any] = {"download": {}}
    for name, (file, *_) in list(REPOS.items())[:2]:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-c", DOWNLOAD, f"org/{name}", file, cache]
            rows["download"][name] = on_hub(hub, command, env)
        for peer in chosen:
            row = rows.setdefault(peer.name, {"version": peer.version})
            row[name] = measured(peer.command(files[file]), peers.quiet() | {"HF_HUB_OFFLINE": "1"})
            print(peer.name, name, json.dumps(row[name]), file=sys.stderr)
    return rows


def startup(env: dict[str, str], chosen: list[peers.Peer], folder: Path) -> dict[str, dict[str, float]]:
    """Median seconds, on the clock and of the processor, from the call to the end on a file of a few bytes."""
    tiny = folder / "tiny.pkl"
    tiny.write_bytes(b"\x80\x02}q\x00.")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "hubclean": [sys.executable, "-m", "hubclean", "scan", str(tiny)],
        **{peer.name: peer.command(tiny) for peer in chosen},
    }
    env = env | peers.quiet() | {"HF_ENDPOINT": env["HF_ENDPOINT"]}
    rows = {name: [measured(command, env) for _ in range(RUNS)] for name, command in commands.items()}
    return {
        name: {kind: statistics.median(row[kind] for row in taken) for kind in ("seconds", "cpu")}
        for name, taken in rows.items()
    }


def ratios(hubclean: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """How many times as many bytes, seconds and megabytes each peer takes, download included, as the scan by range."""
    rows: dict[str, Any] = {}
    for name in ("torch", "safetensors"):
        base, fetched = hubclean[name]["hub"], others["download"][name]
        for peer, row in others.items():
            if peer == "download":
                continue
            memory = max(row[name]["peak_mb"], fetched["peak_mb"])
            rows.setdefault(peer, {})[name] = {
                "bytes": round(fetched["bytes"] / base["bytes"]),
                "seconds": round((fetched["seconds"] + row[name]["seconds"]) / base["seconds"], 1),
                "cpu": round((fetched["cpu"] + row[name]["cpu"]) / base["cpu"], 1),
                "memory": round(memory / base["peak_mb"], 1),
            }
    return rows


def main() -> None:
    """Build, serve, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--architecture", default=large_repo.ARCHITECTURE)
    peers.added(parser)
    options = parser.parse_args()
    from support.hub_server import HubServer

    with tempfile.TemporaryDirectory(prefix="hubclean-large-") as name, HubServer() as hub:
        folder = Path(name)
        files = large_repo.written(folder, options.architecture)
        env = hub.env(folder / "home") | {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_XET": "1"}
        env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,127.0.0.2,localhost"
        hubclean = ours(hub, env, files, folder)
        others = theirs(hub, env, files, options.peer)
        found = {
            "command": "PYTHONPATH=.:tests python -m benchmarks.scan.cost --out benchmarks/results/scan.json "
            "--peer NAME=BIN ...",
            "architecture": options.architecture,
            "cpus": os.cpu_count(),
            "file_bytes": {file: place.stat().st_size for file, place in files.items()},
            "versions": {
                "hubclean": __version__,
                **{one: importlib.metadata.version(one) for one in ("huggingface-hub", "safetensors", "timm", "torch")},
            },
            "runs": RUNS,
            "hubclean": hubclean,
            "peers": others,
            "ratios": ratios(hubclean, others),
            "startup": startup(env, options.peer, folder),
        }
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
