"""Draws benchmarks/RESULTS.md from the JSON lines in results/: ``python -m benchmarks.tables``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = (
    "| model | attack | verdict | targets (planted) | norm / median | CA before | CA kept "
    "| ASR before | ASR pruned | ASR fine-tuned | kept | seconds |"
)


def main() -> None:
    lines = [
        "# Results",
        "",
        "Made by `python -m benchmarks.tables` from `results/`; rates are on held-out test images.",
        "",
    ]
    for name in ("shared_models", "end_to_end"):
        place = HERE / "results" / f"{name}.jsonl"
        if place.exists():
            rows = [json.loads(line) for line in place.read_text().splitlines()]
            lines += [f"## {name.replace('_', ' ')}", "", HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
            lines += [line(row) for row in sorted(rows, key=lambda r: (r["architecture"], r["kind"], r["seed"]))]
            lines += ["", *summary(rows), ""]
    (HERE / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n")


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
