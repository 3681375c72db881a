"""Where federated cleansing fails, what a ballot tells, what noise costs: parts of ``benchmarks.federated.tables``."""

from __future__ import annotations

import itertools
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.federated.rows import MODEL, Grid, Row, attack, gone, left, lost, way
from hubclean.federated.cleansing import FederatedRounds
from hubclean.lab.bench.tables import table

NAMES = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST", "cifar10": "CIFAR-10"}
STAGES = [(tuned, adjusted) for tuned in (False, True) for adjusted in (False, True)]
WORDS = dict(zip(STAGES, ("pruned", "pruned, adjusted", "tuned", "tuned, adjusted"), strict=True))
DEFAULT = FederatedRounds.merging


def failing(grid: Grid, curves: list[dict[str, Any]]) -> list[str]:
    """Where it fails, in words made of the rows.

    Args:
        curves: accuracy and ASR along the pruning sequence of models whose attack took.
    """
    best = {}
    for scheme, (tuned, adjusted) in itertools.product(("rap", "mvp"), STAGES):
        found = grid.cleansed(way(scheme, tuned, adjusted, DEFAULT if tuned else None))
        if found:
            best[f"{scheme.upper()} {WORDS[tuned, adjusted]}"] = found
    if not best:
        return []
    figures = "; ".join(f"{name} {gone(found):.0f}" for name, found in best.items())
    every = [row for found in best.values() for row in found]
    well = sum(100 * (row["before"]["asr"] - row["after"]["asr"]) >= 70 for row in every)
    failed = sum("failed" in row for row in grid.rows)
    text = (
        f"Points of ASR that each way takes away, medians over models whose attack took, without lies: {figures}. "
        f"{well} of {len(every)} runs take away 70 points or more. {_reachable(curves)}{_revived(grid)}{failed} "
        f"runs ended without a model. Attacks that did not take: {_missed(grid)}."
    )
    return ["### Where it fails", "", text, ""]


def _reachable(curves: list[dict[str, Any]]) -> str:
    """Whether any point of the pruning sequence would have done."""
    if not curves:
        return ""
    able, still = 0, []
    for curve in curves:
        start = curve["points"][0]
        near = [one for one in curve["points"] if start["ca"] - one["ca"] <= 0.06 + 1e-9]
        able += any(one["asr"] <= 0.1 for one in near)
        still.append(near[-1] | {"share": near[-1]["cut"] / curve["units"]})
    share, asr = (100 * statistics.median(one[key] for one in still) for key in ("share", "asr"))
    text = (
        "Along the whole RAP sequence (`curves.py`, looked at on the test images) an ASR of 10 % or less for 6 points "
        f"of accuracy or less can be had in {able} of {len(curves)} models; with the {share:.0f} % of units cut that 6 "
        f"points pay for, the median ASR is {asr:.0f} %. "
    )
    if 2 * able < len(curves):
        text += "So it is the order of units that fails, not where clients stop: units that clean images use carry the "
        text += "backdoor, and whoever prunes what is asleep does not reach them. "
    return text


def _revived(grid: Grid) -> str:
    """How often fine-tuning brought the backdoor back, among clients that attack it and among those that do not."""
    said = []
    for lies in (False, True):
        moves = []
        for scheme in ("rap", "mvp"):
            pruned = {_cell(row): row["after"]["asr"] for row in grid.cleansed(way(scheme, False, False, None, lies))}
            tuned = grid.cleansed(way(scheme, True, False, DEFAULT, lies))
            moves += [100 * (row["after"]["asr"] - pruned[_cell(row)]) for row in tuned if _cell(row) in pruned]
        if moves:
            who = "where malicious clients attack it" if lies else "among clients that behave while cleansing"
            said.append(f"in {sum(move > 1 for move in moves)} of {len(moves)} runs {who} (at most {max(moves):+.1f})")
    return (
        f"Fine-tuning raises the ASR by more than a point over the pruned model {' and '.join(said)}. " if said else ""
    )


def _cell(row: Row) -> tuple[Any, ...]:
    return (*(row[key] for key in MODEL), row["attack"], row["malicious"], row["lies"], row["scheme"])


def _missed(grid: Grid) -> str:
    missed = {
        f"{NAMES[row['data']]} {attack(row)} {row['malicious']:.0%} of {row['clients']} (seed {row['seed']})"
        for row in grid.models()
        if row["malicious"] and not grid.took(row)
    }
    return ", ".join(sorted(missed)) or "none"


def privacy(place: Path) -> list[str]:
    """How well labels are guessed from one ballot."""
    if not place.exists():
        return []
    found: dict[str, Any] = json.loads(place.read_text())
    setup = found["setup"]
    body = [
        [
            row["split"],
            _ballot(row),
            _interval(row["presence"]),
            _interval(row["largest"]),
            f"{row['largest']['right']:.0%}",
        ]
        for row in found["rows"]
    ]
    text = (
        f"`python -m benchmarks.federated.privacy`: {setup['units']} units, {setup['images']} images a participant, "
        f"{setup['victims']} victims and {setup['shadows']:,} shadow participants of other images a seed, "
        f"{setup['seeds']} seeds; shards have {setup['labels_each']} labels, Dirichlet {setup['alpha']:g}. A linear "
        "attacker; AUC with 95 % intervals, 0.5 is blind guessing (10 % for the label with most images)."
    )
    head = ["split", "ballot", "is a label there (AUC)", "which has most images (AUC)", "right at once"]
    return ["### What a ballot tells of labels", "", text, "", table(head, body), ""]


def _ballot(row: dict[str, Any]) -> str:
    if row["scheme"] == "rap":
        return "ranks (RAP)"
    return f"votes at {row['rate']:g}" + ("" if row["epsilon"] is None else f", epsilon {row['epsilon']:g}")


def _interval(one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{one['auc']:.3f} [{low:.3f}, {high:.3f}]"


def noise(rows: list[Row]) -> list[str]:
    """What noise on votes costs: MVP, adjusted, without fine-tuning."""
    if not rows:
        return []
    body = []
    for (clients, how, malicious, epsilon), found in itertools.groupby(rows, _noisy):
        mine = list(found)
        spread = ", ".join(f"{100 * row['after']['asr']:.0f}" for row in mine)
        cut, before = statistics.median(row["cut"] for row in mine), 100 * mine[0]["before"]["asr"]
        shown = "none" if epsilon is None else f"{epsilon:g}"
        cells = [f"{cut:.0f}", f"{before:.1f}", f"{left(mine):.1f} ({spread})", f"{lost(mine):.1f}"]
        body.append([str(clients), how, f"{malicious:.0%}", shown, str(len(mine)), *cells])
    text = (
        f"`python -m benchmarks.federated.noise`: {NAMES[rows[0]['data']]}, every client's votes "
        "(MVP at rate 0.5) drawn with noise; adjusted, not fine-tuned; medians over draws, each draw in brackets."
    )
    head = [
        "clients",
        "attack",
        "malicious",
        "epsilon",
        "draws",
        "units cut",
        "ASR before",
        "ASR left",
        "points of CA lost",
    ]
    return ["### What noise on votes costs", "", text, "", table(head, body), ""]


def _noisy(row: Row) -> tuple[Any, ...]:
    return row["clients"], attack(row), row["malicious"], row["epsilon"]
