"""Scans the ordinary repos and their bad twins, counts, and draws the table of docs/results/scan.md.

PYTHONPATH=.:tests python -m benchmarks.scan.ordinary.table DIR --out benchmarks/results/scan_ordinary.json

DIR is what ``generate.py`` wrote. Every repo is scanned as a folder with the default options; one of twenty files from
a Hub on loopback too. ``--draw`` only draws the page from the committed results.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import pages
from hubclean.records import ScanReport
from hubclean.scanning.engine import scan
from hubclean.version import __version__

MARKS = (
    "<!-- ordinary: made by `python -m benchmarks.scan.ordinary.table` -->\n",
    "<!-- end ordinary -->",
)
COMMITTED = Path(__file__).resolve().parents[2] / "results" / "scan_ordinary.json"
HELD_OUT = COMMITTED.with_name("scan_ordinary_held_out.json")
GATE = ("high", "critical")
TWENTY = "trainer-push-with-scripts"


def decided(report: ScanReport, named: str | None = None) -> tuple[str, str]:
    """The file and the rule (or the reason) that decided: the worst finding, the one of ``named`` first."""
    found = [row for row in report.findings if row.severity in GATE]
    found.sort(key=lambda row: row.path != named)
    if report.exit_code == 1 and found:
        return found[0].path, found[0].rule
    open_ones = [row for row in report.files if row.state == "unchecked"]
    if report.exit_code == 2 and open_ones:
        return open_ones[0].path, open_ones[0].reason[:100]
    return "", ""


def row_of(place: Path, known: dict[str, Any]) -> dict[str, Any]:
    """One repo: what was expected, what came out, and why."""
    report = scan(place)
    file, rule = decided(report, known.get("file"))
    on_file = sorted({one.rule for one in report.findings if one.path == known.get("file") and one.severity in GATE})
    row = {
        key: known[key]
        for key in ("name", "loader", "right", "by_hand", "torch_loadable", "of", "file")
        if key in known
    }
    row |= {"files": len(report.files), "exit": report.exit_code, "decided_by": file, "rule": rule}
    return row | ({"rules_on_file": on_file} if known["bad"] else {})


def on_hub(folder: Path) -> dict[str, Any]:
    """Requests and bytes of a scan from a Hub on loopback; the floor is the listing alone."""
    from support.hub_server import HubServer

    with HubServer() as hub, tempfile.TemporaryDirectory() as home:
        os.environ.update(hub.env(Path(home)))
        os.environ["HF_HUB_DISABLE_XET"] = "1"
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,127.0.0.2,localhost"
        from huggingface_hub import constants

        constants.ENDPOINT = hub.url
        files = {place.relative_to(folder).as_posix(): place for place in folder.rglob("*") if place.is_file()}
        hub.create("org/ordinary", files)
        hub.log.clear()
        report = scan("org/ordinary")
        return {
            "repo": folder.name,
            "files": len(files),
            "repo_bytes": sum(place.stat().st_size for place in files.values()),
            "http_requests": len(hub.log),
            "http_bytes": sum(one.sent for one in hub.log),
            "reads": report.requests,
            "bytes_read": report.bytes_read,
            "exit": report.exit_code,
        }


def totals(rows: list[dict[str, Any]], twins: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of the goal: torch-loadable in exit 0, false alarms, bad twins by exit code."""
    loadable = [row for row in rows if row["torch_loadable"]]
    other = [row for row in rows if not row["torch_loadable"] and 1 not in row["right"]]
    policy = [row for row in rows if 1 in row["right"]]
    return {
        "torch_loadable": len(loadable),
        "torch_loadable_clean": sum(row["exit"] == 0 for row in loadable),
        "torch_loadable_false_alarms": sum(row["exit"] == 1 for row in loadable),
        "torch_loadable_no_verdict": sum(row["exit"] == 2 for row in loadable),
        "without_torch_weights": len(other),
        "without_torch_weights_clean": sum(row["exit"] == 0 for row in other),
        "without_torch_weights_false_alarms": sum(row["exit"] == 1 for row in other),
        "by_policy": len(policy),
        "by_policy_right": sum(row["exit"] in row["right"] for row in policy),
        "bad_twins": len(twins),
        "bad_twins_flagged": sum(row["exit"] == 1 for row in twins),
        "bad_twins_flagged_on_the_file": sum(bool(row["rules_on_file"]) for row in twins),
        "bad_twins_no_verdict": sum(row["exit"] == 2 for row in twins),
        "bad_twins_clean": sum(row["exit"] == 0 for row in twins),
    }


def drawn(found: dict[str, Any], before: dict[str, Any] | None) -> str:
    """The section of the page."""
    now = found["totals"]
    lines = [
        "## Ordinary repos and their bad twins",
        "",
        f"`{found['command']}`: folders in the layouts of popular and ordinary vision repos, tiny, written by the real "
        "libraries (the results say which, and what was made by hand); each bad twin is one of them with one "
        "payload in one file. Scanned with the default options, hubclean " + found["hubclean"] + ".",
        "",
        f"| | of | exit 0 | exit 1 | exit 2 |{' exit 0 before |' if before else ''}",
        f"|---|---|---|---|---|{'---|' if before else ''}",
    ]
    groups = (
        ("torch-loadable, benign", "torch_loadable"),
        ("without torch weights, benign (0 or 2 is right)", "without_torch_weights"),
    )
    for label, key in groups:
        clean, alarms = now[f"{key}_clean"], now[f"{key}_false_alarms"]
        cells = [label, now[key], clean, alarms, now[key] - clean - alarms]
        cells += [f"{before['totals'][f'{key}_clean']} of {before['totals'][key]}"] if before else []
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    cells = [
        "bad twins",
        now["bad_twins"],
        now["bad_twins_clean"],
        now["bad_twins_flagged"],
        now["bad_twins_no_verdict"],
    ]
    cells += [f"{before['totals']['bad_twins_clean']} of {before['totals']['bad_twins']}"] if before else []
    lines += ["| " + " | ".join(map(str, cells)) + " |", ""]
    lines += [_held_out(HELD_OUT), ""] if HELD_OUT.exists() else []
    hub = found["on_hub"]
    lines += [
        f"`{hub['repo']}`, {hub['files']} files of {hub['repo_bytes']:,} bytes, from a Hub on loopback: "
        f"{hub['http_requests']} requests and {hub['http_bytes']:,} bytes, listing and redirects included.",
        "",
        f"By policy a finding (whole pickled models, code of the repo) or no verdict: {now['by_policy_right']} of "
        f"{now['by_policy']} as it should be.",
        "",
        "| kind | loader | files | exit | file | rule |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["benign"]:
        code = str(row["exit"]) if row["exit"] in row["right"] else f"**{row['exit']}**"
        cells = [row["name"], row["loader"], row["files"], code, _code(row["decided_by"]), _short(row["rule"])]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| bad twin of | payload | file | exit | rules on it |", "|---|---|---|---|---|"]
    for row in found["bad"]:
        code = str(row["exit"]) if row["exit"] == 1 else f"**{row['exit']}**"
        cells = [row["of"], row["name"].partition("--")[2], _code(row["file"]), code, ", ".join(row["rules_on_file"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _held_out(place: Path) -> str:
    """What the kinds that were thought of last showed before anything was mended on them."""
    first = json.loads(place.read_text(encoding="utf-8"))
    wrong = ", ".join(f"{row['name']} ({row['rule']})" for row in first["wrong"] if row["rule"])
    clean, loadable = first["torch_loadable_clean"], first["torch_loadable"]
    return (
        f"{first['benign']} of these kinds and {first['bad_twins']} of the twins were built after the scan was mended "
        f"on all others, and scanned once as it was: {clean} of {loadable} torch-loadable ones ended in exit 0, "
        f"{first['torch_loadable_false_alarms']} in a false alarm, {first['torch_loadable_no_verdict']} without a "
        f"verdict; {first['others_right']} of {first['others']} others as they should; {first['bad_twins_flagged']} of "
        f"{first['bad_twins']} twins in exit 1, {first['bad_twins_clean']} in exit 0. That is the figure to expect on "
        f"repos that nobody here has seen. What was wrong, and is mended: {wrong}. {first['note']}"
    )


def _code(path: str) -> str:
    return f"`{path}`" if path else ""


def _short(reason: str) -> str:
    return reason.split(": the", 1)[0][:70].replace("|", "/")


def draw(results: Path) -> None:
    """Put the section into its page."""
    found = json.loads(results.read_text(encoding="utf-8"))
    place = results.with_name("scan_ordinary_before.json")
    before = json.loads(place.read_text(encoding="utf-8")) if place.exists() and place != results else None
    page = pages.DOCS / "scan.md"
    page.write_text(pages.between(page.read_text(encoding="utf-8"), drawn(found, before), *MARKS), encoding="utf-8")


def main() -> None:
    """Scan, count, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="write totals and exit codes only, draw nothing")
    options = parser.parse_args()
    if options.folder is None:
        draw(options.out)
        return
    manifest = json.loads((options.folder / "manifest.json").read_text())
    rows: dict[str, list[dict[str, Any]]] = {"benign": [], "bad": []}
    for known in manifest["repos"]:
        group = "bad" if known["bad"] else "benign"
        rows[group].append(row_of(options.folder / group / known["name"], known))
        print(rows[group][-1]["name"], rows[group][-1]["exit"], file=sys.stderr)
    found = {
        "command": "python -m benchmarks.scan.ordinary.table DIR --out benchmarks/results/scan_ordinary.json",
        "hubclean": __version__,
        "versions": manifest["versions"],
        "totals": totals(rows["benign"], rows["bad"]),
        "on_hub": on_hub(options.folder / "benign" / TWENTY),
        **rows,
    }
    if options.small:
        for group in ("benign", "bad"):
            found[group] = {row["name"]: row["exit"] for row in rows[group]}
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        return
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.out.resolve() == COMMITTED.resolve():
        draw(options.out)


if __name__ == "__main__":
    main()
