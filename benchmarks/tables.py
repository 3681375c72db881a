"""Draws the tables of docs/results from the JSON lines in results/: ``python -m benchmarks.tables``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import budget_tables, label_tables, method_tables, pages
from benchmarks.federated import tables as federated_tables
from benchmarks.scan import tables as scan_tables

HERE = Path(__file__).parent
HEAD = (
    "| model | attack | verdict | targets (planted) | norm / median | CA before | CA kept "
    "| ASR before | ASR pruned | ASR fine-tuned | kept | seconds |"
)

FINDS = {
    "hubclean": "map, axes, heads",
    "torch-cam": "map",
    "grad-cam": "map (last Conv2d)",
    "last child": "head",
    "last Linear": "head, map",
    "timm's own": "head, map",
}


def main() -> None:
    lines = method_tables.bench(HERE / "results" / "bench.jsonl")
    lines += budget_tables.budgets(bench_files())
    lines += budget_tables.papers(HERE / "results" / "bench.jsonl")
    lines += method_tables.speed(HERE / "results" / "inversion_speed.json")
    lines += method_tables.compiled(HERE / "results" / "compiled.json")
    lines += method_tables.trojanzoo(HERE / "results" / "trojanzoo.json")
    lines += federated_tables.section(HERE / "results")
    for name in ("shared_models", "end_to_end"):
        place = HERE / "results" / f"{name}.jsonl"
        if place.exists():
            rows = [json.loads(line) for line in place.read_text().splitlines()]
            lines += [f"## {name.replace('_', ' ')}", "", HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
            lines += [line(row) for row in sorted(rows, key=lambda r: (r["architecture"], r["kind"], r["seed"]))]
            lines += ["", *summary(rows), ""]
    lines += pruning(HERE / "results" / "prune_sites.json")
    lines += locating(HERE / "results" / "locate-peers.json")
    lines += ["", *capturing(HERE / "results" / "capture.json")]
    lines += ["", *label_tables.section(HERE / "results" / "labels.json")]
    lines += ["", *scan_tables.scan(HERE / "results")]
    pages.write("\n".join(lines))
    for place in (HERE.parent / "README.md", pages.DOCS / "index.md"):
        write_marked(place)


def bench_files() -> list[Path]:
    """The committed rows of the bench, by the number of images."""
    return [HERE / "results" / f"bench{name}.jsonl" for name in ("", "-50", "-5000")]


def write_marked(place: Path) -> None:
    """Put the table of advice and the paragraph on the bench into a page, where it has their marks."""
    text = place.read_text(encoding="utf-8")
    for name, block in (
        ("advice", budget_tables.advice(bench_files())),
        ("bench", budget_tables.measured(bench_files()[0])),
    ):
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"\n<!-- end {name} -->")
        text = before + mark + block + end + after if mark and end else text
    place.write_text(text, encoding="utf-8")


def pruning(place: Path) -> list[str]:
    """Fine-Pruning at two sites of the same nets."""
    if not place.exists():
        return []

    def cell(stage: dict[str, Any] | None) -> str:
        return f"{stage['clean_accuracy']:.1%} / {stage['planted']['asr']:.1%}" if stage else "-"

    lines = [
        "## Fine-Pruning at the final features and at the last convolution",
        "",
        "Clean accuracy / planted ASR; no detector watched the fine-tuning. The last convolution of a residual net has "
        "a shortcut around it, which keeps its features fed; the ViT's site is its last heads and hidden units.",
        "",
        "| model | seed | site | before | pruned | fine-tuned | cut |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in json.loads(place.read_text()):
        stages = row["stages"]
        cells = [row["architecture"], str(row["seed"]), row["site"], cell(row["before"]), cell(stages["pruned"])]
        cells += [cell(stages.get("fine-tuned")), row["notes"][0].partition(" units")[0]]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def locating(place: Path) -> list[str]:
    """Who locates how many of timm's classifiers, and in what time."""
    if not place.exists():
        return []
    found = json.loads(place.read_text())
    lines = [
        "## Locating",
        "",
        f"{found['classifiers']} classifiers among {found['models']} architectures of timm {found['versions']['timm']} "
        f"on the meta device, {found['processes']} processes on {found['machine']['cores']} cores; a bare forward "
        f"takes {found['forward_seconds']['median']:.2f} s in the median. What counts as located: `locate_peers.py`.",
        "",
        "| finder | finds | located | median s (CPU) | 90 % | worst |",
        "|---|---|---|---|---|---|",
    ]
    for label, row in found["finders"].items():
        cells = [label, FINDS[label], row["missing"], "-", "-", "-"] if "missing" in row else located(label, row)
        lines.append(f"| {' | '.join(cells)} |")
    verdicts = found["finders"]["hubclean"]["verdicts"]
    loose = found["finders"]["grad-cam"].get("verdicts", {}).get("loose", 0)
    return [
        *lines,
        "",
        f"Plain hooks confirm {verdicts.get('hit', 0)} of hubclean's against what timm calls the final map; for "
        f"{verdicts.get('nothing to compare with', 0)} more they confirm the heads, and timm names no map. grad-cam "
        f"has no rule of its own: the last convolution has the map's shape, but is an earlier value, in {loose}.",
    ]


def capturing(place: Path) -> list[str]:
    """What activation statistics add to the forward passes that they ride on."""
    if not place.exists():
        return []
    found = json.loads(place.read_text())
    cases = ("features", "last units", "all units", "noise")
    lines = [
        "## Capturing",
        "",
        f"Time that statistics add to a forward over {found['images']} images of {found['size'][1]} px in one batch, "
        f"one thread, median of {found['repeats']} pairs: processor seconds and, in brackets, on the clock. Noise is a "
        "plain pass against a plain pass; all units are read at every layer of the net.",
        "",
        f"| model | forward s | {' | '.join(cases)} | layers, units |",
        "|---" * (len(cases) + 3) + "|",
    ]
    for name, row in found["models"].items():
        added = [f"{row['overhead'][case]['cpu']:+.1%} ({row['overhead'][case]['clock']:+.1%})" for case in cases]
        cells = [name, f"{row['forward_seconds']:.2f}", *added, f"{row['groups']}, {row['units']:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def located(label: str, row: dict[str, Any]) -> list[str]:
    """The cells of one finder: seconds on the clock and, in brackets, of the processor."""
    times = [f"{row['seconds'][key]:.3f} ({row['cpu'][key]:.3f})" for key in ("median", "p90", "worst")]
    return [label, FINDS[label], f"{row['hits']} ({row['share']:.1%})", *times]


def line(row: dict[str, Any]) -> str:
    """One model as a table row."""
    norms = sorted(score["norm"] for score in row["scores"])
    middle = (norms[(len(norms) - 1) // 2] + norms[len(norms) // 2]) / 2
    stages = row["stages"]
    asr = [percent(stage.get("planted")) for stage in (row["before"], stages["pruned"], stages.get("fine-tuned", {}))]
    planted = "-" if row["planted_target"] is None else row["planted_target"]
    targets = f"{', '.join(map(str, row['targets'])) or 'none'} ({planted})"
    accuracy = [f"{stage['clean_accuracy']:.1%}" for stage in (row["before"], stages[row["kept"]])]
    cells = [f"{row['architecture']} s{row['seed']}", row["kind"], row["verdict"], targets, f"{norms[0] / middle:.2f}"]
    return "| " + " | ".join([*cells, *accuracy, *asr, row["kept"], f"{row['seconds']['all']:.0f}"]) + " |"


def percent(rates: dict[str, float] | None) -> str:
    """ASR with its interval."""
    return "-" if rates is None else f"{rates['asr']:.1%} [{rates['low']:.1%}, {rates['high']:.1%}]"


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Misses and false alarms, counted, by our rule and by the paper's on the same norms."""
    bad = [row for row in rows if row["kind"] != "clean"]
    clean = [row for row in rows if row["kind"] == "clean"]
    found = sum(bool(row["found"]) for row in bad)
    extra = sum(len(set(row["targets"]) - {row["planted_target"]}) for row in bad)
    alarms = sum(row["verdict"] == "backdoored" for row in clean)
    paper_found = sum(row["planted_target"] in paper(row) for row in bad)
    paper_alarms = sum(bool(paper(row)) for row in clean)
    return [
        f"Planted target found in {found} of {len(bad)}; {extra} innocent labels named beside it; false alarms on "
        f"{alarms} of {len(clean)} clean models. The paper's rule alone (median over seeds of the linear index > 2) "
        f"on the same norms: found in {paper_found} of {len(bad)}, false alarms on "
        f"{paper_alarms} of {len(clean)}.",
    ]


def paper(row: dict[str, Any]) -> set[int]:
    """Labels that the paper's rule flags."""
    return {score["label"] for score in row["scores"] if score["index"] > 2}


if __name__ == "__main__":
    main()
