"""Scans every case of a set on a local folder, in process, and counts by kind.

PYTHONPATH=.:tests python -m benchmarks.scan.hostile.table --set a --out FILE.json

A hostile case is right with exit code 1, a twin with 0. All that is not right is listed. ``--counts`` leaves the list
out (sets B and C are held out). Another set that FILE.json already holds stays as it is. Nothing is drawn at random: no
seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.scan.hostile.cases import Case
from benchmarks.scan.hostile.sets import cases
from hubclean.scanning.engine import scan
from hubclean.version import __version__

GATE = ("high", "critical")


def judged(case: Case) -> tuple[int, list[str], float]:
    """Exit code, what the scan said (rules with paths, reasons of unchecked files), processor seconds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "repo"
        folder.mkdir()
        case.write(folder)
        start = time.process_time()
        report = scan(folder)
        spent = time.process_time() - start
    said = [
        f"{row.rule} {row.severity}{' hostile' if row.hostile else ''} {row.path}: {row.what}"[:240]
        for row in report.findings
    ]
    said += [f"unchecked {row.path}: {row.reason}"[:200] for row in report.files if row.state == "unchecked"]
    return report.exit_code, said, spent


def measured(name: str, only: str = "") -> dict[str, Any]:
    """Counts by kind and all that is not right."""
    kinds: dict[str, dict[str, int]] = {}
    wrong, seconds = [], 0.0
    for kind, held in cases(name).items():
        row = dict.fromkeys(("hostile", "exit 1", "exit 2", "exit 0", "twins", "clean", "alarm", "undecided"), 0)
        for case in held:
            if only not in f"{kind}/{case.name}":
                continue
            code, said, spent = judged(case)
            seconds += spent
            row["hostile" if case.hostile else "twins"] += 1
            row[f"exit {code}" if case.hostile else ("clean", "alarm", "undecided")[code]] += 1
            if code != case.right:
                group = "hostile" if case.hostile else "twin"
                wrong.append(
                    {"kind": kind, "case": case.name, "of": group, "loader": case.loader, "exit": code, "said": said}
                )
        kinds[kind] = row
    totals = {key: sum(row[key] for row in kinds.values()) for key in next(iter(kinds.values()))}
    return {"totals": totals, "kinds": kinds, "processor_seconds": round(seconds, 1), "not_right": wrong}


def commit() -> str:
    """The commit of the working tree, marked where it is changed."""
    found = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    return found.stdout.strip()


def main() -> None:
    """Scan, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=("a", "b", "c"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of KIND/NAME")
    parser.add_argument("--counts", action="store_true", help="no list of cases")
    options = parser.parse_args()
    found = measured(options.set, options.only)
    if options.counts:
        found["not_right"] = f"{len(found['not_right'])} cases, not listed: the set is held out"
    held = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    held |= {"hubclean": __version__, "seeds": "none: nothing is drawn at random"}
    command = (
        f"python -m benchmarks.scan.hostile.table --set {options.set}{' --counts' * options.counts} --out FILE.json"
    )
    held[f"set {options.set}"] = {"command": command, "commit": commit(), **found}
    options.out.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["totals"]))


if __name__ == "__main__":
    main()
