"""The part of docs/results on the static scan: detection, cost, fuzzing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hubclean.lab.bench.tables import table

FAMILIES = ("pickle", "torch", "numpy", "safetensors", "archive", "keras/tf")


def scan(results: Path) -> list[str]:
    """Everything that was measured of the scan; what has no result yet is left out."""
    names = ("scan_corpus", "scan", "fuzz", "scan_hostile_first", "scan_hostile_held_out", "scan_hostile")
    places = {name: results / f"{name}.json" for name in names}
    held = {name: json.loads(place.read_text()) for name, place in places.items() if place.exists()}
    lines = ["## The static scan", ""] if held else []
    lines += detection(held["scan_corpus"]) if "scan_corpus" in held else []
    lines += hostile([held[name] for name in names[3:]]) if all(name in held for name in names[3:]) else []
    lines += cost(held["scan"]) if "scan" in held else []
    lines += fuzzing(held["fuzz"]) if "fuzz" in held else []
    return lines


def detection(found: dict[str, Any]) -> list[str]:
    """Malicious files flagged and benign ones flagged, by family and tool; then every miss by name."""
    tools = found["tools"]
    rows = [[family, *(_cell(tool["families"][family]) for tool in tools.values())] for family in FAMILIES]
    rows.append(["all", *(_cell(_summed(tool["families"])) for tool in tools.values())])
    heads = [f"{name} {tool['version']} ({tool['measured']})" for name, tool in tools.items()]
    named = found["named"]
    lines = [
        "### Detection and false alarms",
        "",
        f"`{found['command'].split(' --')[0]}` on {found['files']} files of other scanners' test suites, the "
        "development corpus of the specification, which was at hand while hubclean was made. Each file alone, default "
        "gates. Cells: malicious files flagged (+ without a verdict: exit code neither 0 nor 1) of all; benign ones "
        "flagged of all. The rest passed as clean. Behind each version, the day on which it was run.",
        "",
        table(["family", *heads], rows),
        "",
        f"Malicious and clean for hubclean: {_named(named['malicious, clean'])}. Without a verdict (exit code 2): "
        f"{_named(named['malicious, no verdict'])}.",
        "",
        f"Benign and flagged: {_named(named['benign, flagged'], rules=True)}: what asks a loader to run "
        "what a name says, which is what the policy is about.",
        "",
    ]
    return lines


STAGES = ("before any was seen", "held out: after the sets before it were mended", "now")


def hostile(stages: list[dict[str, Any]]) -> list[str]:
    """Cases of red teams that had not read the scan: before, held out, and now."""
    rows = []
    for said, stage in zip(STAGES, stages, strict=True):
        for name in sorted(key for key in stage if key.startswith("set ")):
            got, commit = stage[name]["totals"], stage[name]["commit"]
            share = f"{got['exit 1']} of {got['hostile']} ({got['exit 1'] / got['hostile']:.1%})"
            row = [name.removeprefix("set ").upper(), said, share, str(got["exit 2"]), str(got["exit 0"])]
            rows.append([*row, f"{got['alarm']} of {got['twins']}", f"`{commit}`"])
    wrong = [row for key, held in stages[-1].items() if key.startswith("set ") for row in held["not_right"]]
    names = "; ".join(f"`{row['kind']}/{row['case']}` (exit code {row['exit']})" for row in wrong)
    return [
        "### Hostile repos",
        "",
        "`python -m benchmarks.scan.hostile.table --set a --out FILE.json`: whole repos in which something would run, "
        "write, fetch or break out, and benign twins of the same kinds, by writers who had not read the scan. What was "
        "missed of set A was mended by kind before B was opened, of B before C was: only the rows *held out* say how "
        "the scan does on what nobody here has seen.",
        "",
        table(["set", "when", "hostile found (exit code 1)", "exit code 2", "exit code 0", "alarms", "commit"], rows),
        "",
        f"Not right now: {names or 'none'}.",
        "",
    ]


def _summed(families: dict[str, dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for labels in families.values():
        for label, outcomes in labels.items():
            for outcome, count in outcomes.items():
                row = total.setdefault(label, {})
                row[outcome] = row.get(outcome, 0) + count
    return total


def _cell(labels: dict[str, dict[str, int]]) -> str:
    parts = []
    for label in ("malicious", "benign"):
        outcomes = labels.get(label, {})
        flagged, none = outcomes.get("flagged", 0), outcomes.get("no verdict", 0) + outcomes.get("timed out", 0)
        extra = f" (+{none})" if none and label == "malicious" else ""
        parts.append(f"{flagged}{extra}/{sum(outcomes.values())}" if outcomes else "-")
    return ", ".join(parts)


def _named(rows: list[dict[str, Any]], rules: bool = False) -> str:
    return ", ".join(f"`{row['path']}`" + (f" ({', '.join(row['rules'])})" if rules else "") for row in rows) or "none"


def cost(found: dict[str, Any]) -> list[str]:
    """Requests, bytes, seconds and memory of hubclean by range and on disk, and of the others with their download."""
    ours, peers = found["hubclean"], found["peers"]
    rows = []
    for name, repo in ours.items():
        hub, folder = repo["hub"], repo["folder"]
        rows.append([f"hubclean, Hub, {name}", str(hub["requests"]), f"{hub['bytes']:,}", *_spent(hub), "1"])
        rows.append([f"hubclean, folder, {name}", "-", "-", *_spent(folder), "-"])
    for name in ("torch", "safetensors"):
        row = peers["download"][name]
        rows.append([f"download, {name}", str(row["requests"]), f"{row['bytes']:,}", *_spent(row), "-"])
        for peer, taken in peers.items():
            if peer != "download":
                ratio = found["ratios"][peer][name]
                times = f"{ratio['bytes']:,} / {ratio['seconds']:g} / {ratio['cpu']:g} / {ratio['memory']:g}"
                rows.append([f"{peer} {taken['version']}, {name} on disk", "-", "-", *_spent(taken[name]), times])
    started = ", ".join(f"{name} {row['seconds']:.2f} ({row['cpu']:.2f})" for name, row in found["startup"].items())
    size = found["file_bytes"]["model.safetensors"]
    heads = ["what", "requests", "bytes", "seconds", "processor s", "peak MB", "exit code"]
    return [
        "### Cost",
        "",
        f"`python -m benchmarks.scan.cost`: {found['architecture']}, {size:,} bytes a file, from a Hub on loopback, "
        f"{found['cpus']} cores shared with other work, so processor seconds say more than the clock; hubclean: the "
        f"middle one of {found['runs']} runs. The others need the file: their ratios (bytes / seconds / processor "
        "seconds / memory, of hubclean's scan by range) count the download by huggingface_hub's client.",
        "",
        table([*heads, "times hubclean by range"], rows),
        "",
        f"From the call to the end on a pickle of six bytes, seconds (of the processor): {started}.",
        "",
    ]


def _spent(row: dict[str, Any]) -> list[str]:
    code = "stopped" if row["exit"] is None else str(row["exit"])
    return [f"{row['seconds']:.2f}", f"{row['cpu']:.2f}", f"{row['peak_mb']:.0f}", code]


def fuzzing(found: dict[str, Any]) -> list[str]:
    """Executions and coverage of every fuzz target."""
    rows = [
        [name, f"{row['executions']:,}", str(row["seconds"]), str(row["branches"]), "yes" if row["crashed"] else "none"]
        for name, row in found["targets"].items()
    ]
    limits = found["limits"]
    return [
        "### Fuzzing",
        "",
        f"`{found['command']}` with atheris {found['versions']['atheris']} on Python {found['python']}: "
        f"{found['executions']:,} runs in {found['seconds']:,} s, inputs up to {limits['input_bytes']:,} bytes. A run "
        f"that raises what is not declared, takes more than {limits['seconds']:g} s of processor time, or brings the "
        f"process above {limits['megabytes']} MB, is a crash.",
        "",
        table(["target", "runs", "seconds", "branches reached", "crashes"], rows),
        "",
    ]
