"""Sections of docs/results on the bench, its gates, the cost of inverting triggers, and trojanzoo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import gates
from benchmarks.federated import rows as federated
from hubclean.lab.bench import plots, rows, tables

PICTURES = Path(__file__).parents[1] / "docs" / "results" / "plots"
HEADING = """## The bench

`hubclean bench benchmarks/plans/NAME.toml --out OUT` for the plans of `plans/` (see each one's first line), then
`python -m benchmarks.condense OUT/results.jsonl --out benchmarks/results/bench.jsonl`. 500 images fit, 500 val, 3,000
test (rates are on test); methods at their defaults; every model, took or not, is in, but not every cell of every plan
was run (MM-BD, retuning checks and later seeds were left out where time was short). Detectors and defenses never see
the planted trigger. Seconds are of one thread on a machine that ran two benches at once."""

GATES = """### Gates of the specification

`python -m benchmarks.gates benchmarks/results/bench.jsonl`; medians, with the models' own figures in brackets. Gate
4 is answered by the federated grid (`results/federated.jsonl`, over every share of malicious clients at which the
attack took), and gate 10 is the test suite."""


def bench(place: Path) -> list[str]:
    """Gates, models, detections, verdicts and defenses of a condensed bench."""
    if not place.exists():
        return []
    held = list(rows.read_rows(place))
    took = {row.case for row in held if isinstance(row, rows.ModelRow) and row.took}
    drawn = plots.draw_plots([row for row in held if getattr(row, "case", None) in took], PICTURES)
    shown = [f"![{path.stem}: one dot a model whose attack took](plots/{path.name})" for path in drawn]
    grid = federated.Grid.of(federated.read(place.with_name("federated.jsonl")))
    return [HEADING, "", GATES, "", gates.render(held, grid), "", *shown, "", tables.render_tables(held, every=False)]


def speed(place: Path) -> list[str]:
    """Inversion against the bare passes, a plain loop and trojanzoo; growth with the labels."""
    if not place.exists():
        return []
    found = json.loads(place.read_text())
    ways = list(found["compare"][0]["times_ours"])
    body = [[f"{one['net']}, {one['labels']} labels", *(_times(one, way) for way in ways)] for one in found["compare"]]
    growth = [
        [str(one["labels"]), str(one["at_once"]), f"{one['seconds_a_label']:.4f}", f"{one['floor_share']:.0%}"]
        for one in found["growth"]
    ]
    return [
        "## Cost of inverting triggers",
        "",
        "`python -m benchmarks.speed.inversion`: seconds a label of a few steps, one thread, and in brackets how many "
        "times ours that is (median of the repeats). The floor is bare forward-backward passes of the same batches.",
        "",
        tables.table(["net", *ways], body),
        "",
        tables.table(["labels", "at once", "seconds a label", "floor / ours"], growth),
        "",
    ]


def compiled(place: Path) -> list[str]:
    """Whether torch.compile pays."""
    if not place.exists():
        return []
    found = json.loads(place.read_text())
    body = [
        [
            one["net"],
            f"{one['eager']:.4f}",
            f"{one['compiled']:.4f} ({one['ratio']:.2f})",
            f"{one['seconds_to_compile']:.0f}",
            "never" if one["pays_after"] is None else f"{one['pays_after']:,}",
        ]
        for one in found["rows"]
    ]
    return [
        "### torch.compile",
        "",
        f"`{found['command']}`: a pass over {found['batch']} images, one thread of a busy machine, medians of pairs. "
        "Neural Cleanse makes some 2,000 such passes over 10 labels: compiling costs what it gains on a CPU, so it "
        "is not used. Not measured on a GPU: none was lent.",
        "",
        tables.table(["net", "seconds", "compiled (ratio)", "seconds to compile", "pays after passes"], body),
        "",
    ]


def _times(one: dict[str, Any], way: str) -> str:
    if way not in one["times_ours"]:
        return "-"
    return f"{one['seconds_a_label'][way]:.4f} ({one['times_ours'][way][1]:.2f})"


def trojanzoo(place: Path) -> list[str]:
    """Neural Cleanse and Fine-Pruning of trojanzoo and ours, on one checkpoint in one run."""
    if not place.exists():
        return []
    found = json.loads(place.read_text())
    body = [
        [
            f"{one['of']} (seed {one['seed']})",
            f"{one['smallest']}",
            f"{one['index']:.1f}",
            f"{one['norm']:.1f}",
            f"{one['held_out_asr']:.1%}",
            f"{one['seconds']:.0f}",
        ]
        for one in found["neural_cleanse"]
    ]
    pruned = [
        [name, str(one["cut"]), _both(one["pruned"]), _both(one["fine-tuned"]), f"{one['seconds']:.1f}"]
        for name, one in found["fine_pruning"].items()
    ]
    return [
        "## Beside trojanzoo",
        "",
        f"`python -m benchmarks.trojanzoo.compare`: `{found['model']}`, target {found['target']}, clean accuracy / ASR "
        f"{_both(found['before'])}, one thread, one run.",
        "",
        tables.table(["Neural Cleanse", "smallest label", "index", "norm", "held-out ASR", "seconds"], body),
        "",
        tables.table(["Fine-Pruning, last convolution", "cut", "pruned", "fine-tuned", "seconds"], pruned),
        "",
    ]


def _both(rates: dict[str, float]) -> str:
    return f"{rates['clean_accuracy']:.1%} / {rates['asr']:.1%}"
