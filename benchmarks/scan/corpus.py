"""Detection and false alarms on a corpus of other scanners' test files, per family, with the misses named.

python -m benchmarks.scan.corpus --data ../shared/data/static --out benchmarks/results/scan_corpus.json

Every file is judged alone, under its own name, at the tools' default gates. Bytes only: nothing is ever loaded. With
``--peer NAME=BIN`` (see ``peers.py``) other scanners judge the same files; results of peers not given are kept.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import os
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.scan import peers
from hubclean.scanning.engine import scan
from hubclean.version import __version__

OUTCOMES = {0: "clean", 1: "flagged"}  # all else: no verdict


def unpacked(data: Path, folder: Path) -> list[tuple[dict[str, str], Path]]:
    """The manifest's files in scope, each in a folder of its own, and their rows."""
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO((data / "manifest.csv").read_text()))}
    found = []
    with tarfile.open(data / "corpus.tar.xz") as archive:
        for member in archive:
            body = archive.extractfile(member) if member.isfile() else None
            row = rows.get(member.name.removeprefix("./"))
            if body and row and row["in_scope"] == "1":
                place = folder / str(len(found)) / member.name.rsplit("/", 1)[-1]
                place.parent.mkdir()
                place.write_bytes(body.read())
                found.append((row, place))
    return sorted(found, key=lambda pair: pair[0]["path"])


def judged(files: list[tuple[dict[str, str], Path]], judge: Callable[[Path], str]) -> dict[str, Any]:
    """How often each outcome was reached, by family and label; and the outcome of every file."""
    families: dict[str, dict[str, Counter[str]]] = {}
    by_path = {}
    for row, place in files:
        outcome = by_path[row["path"]] = judge(place)
        families.setdefault(row["family"], {}).setdefault(row["label"], Counter())[outcome] += 1
    counts = {
        family: {label: dict(sorted(found.items())) for label, found in sorted(labels.items())}
        for family, labels in sorted(families.items())
    }
    return {"families": counts, "files": by_path}


def named(files: list[tuple[dict[str, str], Path]], outcomes: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Malicious files that were not flagged and benign ones that were, each with the rules and reasons given."""
    rows: dict[str, list[dict[str, Any]]] = {"malicious, clean": [], "malicious, no verdict": [], "benign, flagged": []}
    for row, place in files:
        key = f"{row['label']}, {outcomes[row['path']]}"
        if key in rows:
            report = scan(place)
            gate = sorted({found.rule for found in report.findings if found.severity in ("high", "critical")})
            rows[key].append({
                "path": row["path"], "family": row["family"], "mechanism": row["mechanism"],
                "rules": gate, "reason": report.files[0].reason[:160],
            })  # fmt: skip
    return rows


def main() -> None:
    """Judge, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    peers.added(parser)
    options = parser.parse_args()
    today = datetime.date.today().isoformat()
    held = json.loads(options.out.read_text()) if options.out.exists() else {}
    tools: dict[str, Any] = {name: row for name, row in held.get("tools", {}).items() if name != "hubclean"}
    with tempfile.TemporaryDirectory() as folder:
        files = unpacked(options.data, Path(folder))
        ours = judged(files, lambda place: OUTCOMES.get(scan(place).exit_code, "no verdict"))
        misses = named(files, ours.pop("files"))
        os.environ["HF_HUB_OFFLINE"] = "1"
        for peer in options.peer:
            row = judged(files, lambda place, peer=peer: _outcome(peers.exit_code(peer.command(place))))
            del row["files"]
            tools[peer.name] = {"version": peer.version, "measured": today, **row}
            print(peer.name, json.dumps(row["families"]), file=sys.stderr)
    found = {
        "command": "python -m benchmarks.scan.corpus --data ../shared/data/static "
        "--out benchmarks/results/scan_corpus.json --peer NAME=BIN ...",
        "files": len(files),
        "tools": {"hubclean": {"version": __version__, "measured": today, **ours}, **dict(sorted(tools.items()))},
        "named": misses,
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n")


def _outcome(code: int | None) -> str:
    return "timed out" if code is None else OUTCOMES.get(code, "no verdict")


if __name__ == "__main__":
    main()
