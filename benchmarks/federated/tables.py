"""Section of docs/results on federated cleansing, from ``results/federated*.json*``; ``benchmarks.tables`` calls it."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any

from benchmarks.federated.grid import ROUNDS
from benchmarks.federated.limits import DEFAULT, NAMES, STAGES, WORDS, failing, noise, privacy
from benchmarks.federated.rows import COST, TOOK, Grid, Row, attack, left, lost, read, way
from hubclean.lab.bench.tables import table


def section(results: Path) -> list[str]:
    """All of it; empty without rows."""
    grid = Grid.of(read(results / "federated.jsonl"))
    if not grid.rows:
        return []
    lines = ["## Federated cleansing", "", _setup(grid), "", *models(grid), *cleansed(grid), *beside(grid)]
    lines += [
        *joining(grid, Grid.of(read(results / "federated_dev.jsonl"))),
        *cost(grid),
        *failing(grid, read(results / "federated_curves.jsonl")),
    ]
    return [*lines, *privacy(results / "federated_privacy.json"), *noise(read(results / "federated_noise.jsonl"))]


def _setup(grid: Grid) -> str:
    row = grid.rows[0]
    return (
        f"`python -m benchmarks.federated.grid` (`cells.py` says how models come about): a CNN of three convolutions, "
        f"the last one pruned; {row['images']:,} images of all clients together, Dirichlet {row['alpha']:g}; the "
        f"attackers strike in {row['struck']} rounds of federated averaging and rest for one; rates on {row['n']:,} "
        f"test images. An attack took if its ASR is {TOOK:.0%} or more and the model within {100 * COST:.0f} points of "
        "the run without attackers. Lies: the malicious clients also turn ranks around, vote for the most active "
        "units, report accuracy 0 and attack the fine-tuning. Clients are called in one process and see no ASR."
    )


def models(grid: Grid) -> list[str]:
    """What was trained, with and without attackers."""
    body = []
    for row in sorted(grid.models(), key=_order):
        clean = grid.untouched(row)
        verdict = "-" if not row["malicious"] else "yes" if grid.took(row) else "**no**"
        body.append([
            NAMES[row["data"]], str(row["clients"]), attack(row), f"{row['malicious']:.0%}", str(row["seed"]),
            f"{row['before']['ca']:.1%}", "-" if clean is None else f"{clean:.1%}", f"{row['before']['asr']:.1%}",
            verdict,
        ])  # fmt: skip
    head = ["data", "clients", "attack", "malicious", "seed", "CA", "CA without attackers", "ASR", "took"]
    return ["### The models", "", table(head, body), ""]


def cleansed(grid: Grid) -> list[str]:
    """ASR left and accuracy lost, by who attacks and how it is cleansed; medians over seeds."""
    body = []
    kinds = sorted({(*_kind(row), row["lies"]) for row in grid.rows if grid.took(row)})
    for *kind, lies in kinds:
        for scheme in ("rap", "mvp"):
            cells, counts = [], []
            for tuned, adjusted in STAGES:
                picked = way(scheme, tuned, adjusted, DEFAULT if tuned else None, lies)
                found = [row for row in grid.cleansed(picked) if _kind(row) == tuple(kind)]
                cells.append(f"{left(found):.1f} / {lost(found):.1f}" if found else "-")
                counts.append(len(found))
            before = [row for row in grid.models() if _kind(row) == tuple(kind) and grid.took(row)]
            asr = statistics.median(100 * row["before"]["asr"] for row in before)
            data, clients, how, share = kind
            body.append([NAMES[data], str(clients), how, f"{share:.0%}", "yes" if lies else "no", scheme.upper(),
                         str(max(counts)), f"{asr:.1f}", *cells])  # fmt: skip
    head = ["data", "clients", "attack", "malicious", "lies", "scheme", "n", "ASR before", *WORDS.values()]
    text = (
        f"Medians over seeds (n models whose attack took). Fine-tuning joins weights by the {DEFAULT}, {ROUNDS} rounds "
        "at most; `tuned` without a better round is `pruned`."
    )
    return ["### ASR left / points of CA lost", "", text, "", table(head, body), "", *_clean(grid)]


def _clean(grid: Grid) -> list[str]:
    """What cleansing costs models that nobody attacked."""
    found = [row for row in grid.rows if not row["malicious"] and "after" in row and row["attack"] == "dba"]
    cells = []
    for scheme, (tuned, adjusted) in itertools.product(("rap", "mvp"), STAGES):
        mine = [row for row in found if way(scheme, tuned, adjusted, None, None)(row)]
        cells += [f"{scheme.upper()} {WORDS[tuned, adjusted]} {lost(mine):.1f} (n = {len(mine)})"] if mine else []
    return [f"Points of CA that models without attackers lose, medians: {'; '.join(cells)}.", ""] if cells else []


def beside(grid: Grid) -> list[str]:
    """The paper's figures beside ours: mean over attacks and shares of 10 clients, as its averages are over attacks."""
    body = []
    for data, attacks, tuned, theirs in (
        ("fashion_mnist", ("dba", "model-replacement"), False, "99.7 -> 1.9 %, -5.5 points"),
        ("fashion_mnist", ("dba", "model-replacement"), True, "99.7 -> 6.4 %, -1.7 points"),
        ("cifar10", ("dba",), True, "more than 70 points less, less than 2 lost"),
    ):
        cells = []
        for scheme in ("rap", "mvp"):
            picked = way(scheme, tuned, True, DEFAULT if tuned else None)
            every = [row for row in grid.rows if row["malicious"] and "after" in row and picked(row)]
            mine = [r for r in every if (r["data"], r["clients"]) == (data, 10) and r["attack"] in attacks]
            found = [row for row in mine if grid.took(row)]
            cells.append(
                _arrow(found) if found or not mine else f"no attack took; on those that did not: {_arrow(mine)}"
            )
        name = f"{NAMES[data]}, {'DBA' if len(attacks) == 1 else 'over attacks'}, {'' if tuned else 'not '}fine-tuned"
        body.append([name, theirs, *cells])
    text = (
        "Means over models, shares and ways of planting, adjusted last. The paper's nets, clients, split and tolerance "
        "are not known to us (its text could not be read): the figures stand beside each other, they are not the same "
        "experiment."
    )
    return ["### Beside the paper (Wu et al., ICDCS 2022)", "", text, "", table(["", "paper", "RAP", "MVP"], body), ""]


def _arrow(found: list[Row]) -> str:
    if not found:
        return "not run"
    before, after = (statistics.fmean(100 * row[when]["asr"] for row in found) for when in ("before", "after"))
    drop = statistics.fmean(100 * (row["before"]["ca"] - row["after"]["ca"]) for row in found)
    return f"{before:.1f} -> {after:.1f} %, {-drop:+.1f} points (n = {len(found)})"


def joining(grid: Grid, dev: Grid) -> list[str]:
    """Fine-tuning among clients that attack: how updates are joined."""
    body = []
    for name, held, lies in (("chosen on", dev, None), ("table", grid, True)):
        rows = [
            row for row in held.rows if row["tuned"] and row["scheme"] == "rap" and "after" in row and row["malicious"]
        ]
        rows = [row for row in rows if lies in (None, row["lies"]) and row["before"]["asr"] >= TOOK]
        for kind in sorted({(row["merging"], row["clipping"], row["lies"]) for row in rows}):
            cells = []
            for adjusted in (False, True):
                found = [
                    r for r in rows if (r["merging"], r["clipping"], r["lies"]) == kind and r["adjusted"] == adjusted
                ]
                cells += [f"{left(found):.1f} / {lost(found):.1f}" if found else "-", str(len(found))]
            merging, clipping, lying = kind
            words = merging + (", updates cut to the median norm" if clipping == "median" else "")
            body.append([name, words, "yes" if lying else "no", cells[0], cells[2], cells[1]])
    text = (
        "RAP, ASR left / points of CA lost, medians over models with an ASR of 90 % or more. The default was chosen on "
        "the cells of `results/federated_dev.jsonl` (other seeds), which are in no other table."
    )
    head = ["cells", "weights joined by", "malicious clients attack the fine-tuning", "tuned", "tuned, adjusted", "n"]
    return ["### Fine-tuning among attackers", "", text, "", table(head, body), ""] if body else []


def cost(grid: Grid) -> list[str]:
    """Seconds and bytes of one client, by the number of clients."""
    body = []
    for scheme, tuned in itertools.product(("rap", "mvp"), (False, True)):
        for clients in sorted({row["clients"] for row in grid.rows}):
            picked = way(scheme, tuned, True, DEFAULT if tuned else None)
            found = [
                row for row in grid.rows
                if picked(row) and row["clients"] == clients and row["data"] == "fashion_mnist" and "client_cpu" in row
            ]  # fmt: skip
            if found:
                each = found[0]["images"] // clients
                figures = [statistics.median(row[key] for row in found) for key in _COSTS]
                seconds, down, up, asked = figures
                body.append([f"{scheme.upper()}, {WORDS[tuned, True]}", str(clients), str(each), f"{asked:.0f}",
                             f"{seconds:.1f}", f"{clients * seconds:.0f}", f"{down / 1e6:.2f}", f"{up / 1e6:.2f}",
                             str(len(found))])  # fmt: skip
    text = (
        "Fashion-MNIST; medians over runs. Processor seconds of one thread, bytes of weights and numbers without "
        "envelope; the images are shared out, so more clients have fewer each."
    )
    head = ["way", "clients", "images each", "questions", "s a client", "s all", "MB to a client", "MB from it", "n"]
    return ["### What it costs", "", text, "", table(head, body), ""] if body else []


_COSTS = ("client_cpu", "client_down", "client_up", "asked")


def _kind(row: Row) -> tuple[str, int, str, float]:
    return row["data"], row["clients"], attack(row), row["malicious"]


def _order(row: Row) -> tuple[Any, ...]:
    return row["data"], row["clients"], row["seed"], row["malicious"], row["attack"]
