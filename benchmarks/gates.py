"""The acceptance gates of the specification over the rows of a bench, as a Markdown table.

    python -m benchmarks.gates benchmarks/results/bench.jsonl

Gate 4 is answered by the federated grid (``results/federated.jsonl``).

A gate passes or fails on the median over its models whose attack took (``planting.verify_planted``), 500 + 500 images
of the defender's; ``not run`` is a gate that no row of the file can answer. The specification asks for three seeds:
fewer are named. Gate 8 asks whether methods run, so attacks that did not take are in.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.federated import rows as federated
from hubclean.lab.bench import rows, tables

SMALL_RESNETS = ("hf-resnet", "resnet18-slim")
OTHERS = ("vit-slim", "swin-slim", "mobilenetv3-small", "convnext-atto", "hf-vit")
ASKED = ("vit-slim", "mobilenetv3-small", "convnext-atto")
IMAGES = 1000
EMPTY = federated.Grid(())
Answer = tuple[str, bool | None]


class Bench:
    """The rows of a bench and of the federated grid, to be asked."""

    def __init__(self, held: Iterable[rows.Row], grid: federated.Grid = EMPTY) -> None:
        self.held, self.grid = list(held), grid
        self.took = {row.case for row in self.held if isinstance(row, rows.ModelRow) and row.took}

    def cleansed(
        self, defense: str, attack: str, data: str = "", nets: tuple[str, ...] = (), options: str = ""
    ) -> list[rows.DefenseRow]:
        """Rows of one defense, at its defaults or with ``options``, on models with one attack (BadNets: all to one).

        Where the attack took on none of them, on all of them: their figures are shown and answer no gate.
        """
        found = [
            row
            for row in self.held
            if isinstance(row, rows.DefenseRow) and (row.defense, row.options) == (defense, options)
            if row.case.attack == attack and "mode=" not in row.case.options and data in ("", row.case.data)
            if row.images == IMAGES
            if not nets or row.case.net in nets
        ]
        return [row for row in found if row.case in self.took] or found

    def detected(self, detector: str, attack: str, data: str = "") -> list[rows.DetectionRow]:
        return [
            row
            for row in self.held
            if isinstance(row, rows.DetectionRow) and row.detector == detector
            if row.case.attack == attack and "mode=" not in row.case.options and data in ("", row.case.data)
            if row.case in self.took and row.images == IMAGES
        ]


def lost(row: rows.DefenseRow, stage: str = "") -> float:
    """Clean accuracy lost, in points."""
    after = row.stages[stage] if stage else row.after
    return 100 * (row.before.clean_accuracy.value - after.clean_accuracy.value)


def left(row: rows.DefenseRow, stage: str = "") -> float:
    """Planted ASR left, in percent."""
    after = row.stages[stage] if stage else row.after
    return 100 * after.asr.value if after.asr else 0.0


def repaired(bench: Bench, found: list[rows.DefenseRow], asr: float, drop: float, stage: str = "") -> Answer:
    """Medians of ASR left and accuracy lost, against both limits; no answer where the attack did not take."""
    found = [row for row in found if not stage or stage in row.stages]
    if not found:
        return "-", None
    residue = statistics.median(left(row, stage) for row in found)
    price = statistics.median(lost(row, stage) for row in found)
    each = ", ".join(f"{left(row, stage):.0f}" for row in found)
    figures = f"ASR {residue:.1f} % ({each}), CA {-price:+.1f} points, n = {len(found)}"
    if found[0].case not in bench.took:
        return f"no attack took; on those that did not: {figures}", None
    return figures, residue <= asr and price <= drop


def gate_2(bench: Bench) -> Answer:
    """Target smallest in all, an index above 2 in two of three; no linear flag on two of three clean twins."""
    bad = bench.detected("neural-cleanse", "badnets", "mnist")
    clean = bench.detected("neural-cleanse", "clean", "mnist")
    if not bad or not clean:
        return "-", None
    smallest = sum(row.norms.index(min(row.norms)) == row.planted for row in bad)
    above = sum(max(row.indices[row.planted or 0], row.log_indices[row.planted or 0]) > 2 for row in bad)
    quiet = sum(max(row.indices) <= 2 for row in clean)
    text = (
        f"target smallest in {smallest} of {len(bad)}, index > 2 in {above}; {quiet} of {len(clean)} clean without flag"
    )
    return text, smallest == len(bad) and 3 * above >= 2 * len(bad) and 3 * quiet >= 2 * len(clean)


def gate_4(bench: Bench, scheme: str, attack: str, lies: bool) -> Answer:
    """Pruned and adjusted, not fine-tuned, over the models of 10 clients whose attack took, whatever share attacked."""
    picked = federated.way(scheme, False, True, None, lies)
    found = [row for row in bench.grid.cleansed(picked) if (row["data"], row["clients"]) == ("fashion_mnist", 10)]
    found = [row for row in found if row["attack"] == attack]
    if not found:
        return "-", None
    gone, price = federated.gone(found), federated.lost(found)
    seeds = len({row["seed"] for row in found})
    text = f"ASR -{gone:.1f} points (left {federated.left(found):.1f} %), CA -{price:.1f} points, n = {len(found)}, "
    return f"{text}{seeds} seed{'s' * (seeds > 1)}", gone >= 70 and price <= 6


def gate_7(bench: Bench) -> Answer:
    """Pruning alone fails against the pruning-aware attack, the whole method works."""
    found = [row for row in bench.cleansed("fine-pruning", "pruning-aware") if row.case in bench.took]
    found = [row for row in found if "fine-tuned" in row.stages]
    if not found:
        return "-", None
    alone = statistics.median(left(row, "pruned") for row in found)
    whole = statistics.median(left(row, "fine-tuned") for row in found)
    places = ", ".join(sorted({f"{row.case.data} {row.case.net}" for row in found}))
    return (
        f"{places}: ASR pruned {alone:.1f} %, fine-tuned {whole:.1f} %, n = {len(found)}",
        alone >= 70 and whole <= 15,
    )


def gate_8(bench: Bench) -> Answer:
    """Every method ran, was written, and gave the same logits when loaded again."""
    found = [row for row in bench.held if isinstance(row, rows.DefenseRow) and row.case.net in OTHERS]
    failed = [row for row in bench.held if isinstance(row, rows.FailureRow) and any(net in row.title for net in OTHERS)]
    if not found:
        return "-", None
    worst = max(row.reloads for row in found)
    within = sum(lost(row) <= 4 for row in found)
    nets = sorted({row.case.net for row in found})
    ran = [{row.defense for row in found if row.case.net == net} for net in ASKED]
    whole = all(one == set().union(*ran) for one in ran)
    text = f"{', '.join(nets)}: {len(found)} runs, {len(failed)} failed, worst reload {worst:.0e}; "
    text += f"CA lost <= 4 points in {within}"
    passed = not failed and worst < 1e-3
    text += (
        "" if whole else f"; methods run: {', '.join(f'{net} {len(one)}' for net, one in zip(ASKED, ran, strict=True))}"
    )
    return text, None if passed and not whole else passed


def gate_9(bench: Bench) -> Answer:
    """Repairs of clean twins; how often Neural Cleanse and MM-BD accuse them."""
    repairs = [row for row in bench.held if isinstance(row, rows.DefenseRow) and row.case.attack == "clean"]
    cleanse, mm_bd = bench.detected("neural-cleanse", "clean"), bench.detected("mm-bd", "clean")
    if not repairs or not cleanse:
        return "-", None
    over = sorted({row.defense for row in repairs if lost(row) > 4})
    accused = sum(row.verdict == "backdoored" for row in cleanse)
    low = sum(row.measures.get("p", 1.0) < 0.05 for row in mm_bd)
    text = f"{sum(lost(row) > 4 for row in repairs)} of {len(repairs)} repairs lose more than 4 points"
    text += f" ({', '.join(over) or 'none'}); Neural Cleanse accuses {accused} of {len(cleanse)}"
    return f"{text}; MM-BD p < .05 on {low} of {len(mm_bd)}", not over and 6 * accused <= len(cleanse)


GATES: tuple[tuple[str, str, Callable[[Bench], Answer]], ...] = (
    *(
        ("1", f"MNIST, BadNets, Fine-Pruning{words}, pruned alone: ASR <= 20 %, CA lost <= 4",
         lambda b, options=options: repaired(  # type: ignore[misc]
             b, b.cleansed("fine-pruning", "badnets", "mnist", options=options), 20, 4, "pruned"))
        for words, options in (("", ""), (" at the last convolution", "site=conv"))
    ),
    ("2", "MNIST, BadNets, Neural Cleanse finds the target; clean twins quiet", gate_2),
    ("3", "MNIST, BadNets, nc-unlearn: ASR <= 5 %, CA lost <= 4",
     lambda b: repaired(b, b.cleansed("nc-unlearn", "badnets", "mnist"), 5, 4)),
    ("3", "GTSRB, BadNets, nc-unlearn: ASR <= 5 %, CA lost <= 4",
     lambda b: repaired(b, b.cleansed("nc-unlearn", "badnets", "gtsrb_roi"), 5, 4)),
    *(
        ("4", f"Fashion-MNIST, 10 clients, {attack}{', lies' * lies}, "
              f"{scheme.upper()} + AW: ASR gone >= 70, CA lost <= 6",
         lambda b, scheme=scheme, attack=attack, lies=lies: gate_4(b, scheme, attack, lies))  # type: ignore[misc]
        for lies in (False, True) for attack in ("model-replacement", "dba") for scheme in ("rap", "mvp")
    ),
    *(
        ("5", f"CIFAR-10, small ResNets, {attack}, FST: ASR <= 10 %, CA lost <= 4",
         lambda b, attack=attack: repaired(b, b.cleansed("fst", attack, "cifar10", SMALL_RESNETS), 10, 4))  # type: ignore[misc]
        for attack in ("badnets", "blended")
    ),
    *(
        ("6", f"CIFAR-10, small ResNets, BadNets, {name}: ASR <= 10 %, CA lost <= 4",
         lambda b, name=name: repaired(b, b.cleansed(name, "badnets", "cifar10", SMALL_RESNETS), 10, 4))  # type: ignore[misc]
        for name in ("mnp", "rnp", "anp")
    ),
    ("7", "pruning-aware: pruned alone ASR >= 70 %, Fine-Pruning whole ASR <= 15 %", gate_7),
    ("8", "ViT, Swin, MobileNetV3, ConvNeXt, BadNets: every method runs, saves, reloads", gate_8),
    ("9", "clean twins: CA lost <= 4 by every repair; Neural Cleanse accuses <= 1 of 6", gate_9),
)  # fmt: skip


def render(held: Iterable[rows.Row], grid: federated.Grid = EMPTY) -> str:
    """The table: gate, what it asks, what was measured, pass or fail; ``grid`` answers gate 4."""
    bench, body = Bench(held, grid), []
    for number, asks, answer in GATES:
        figure, passed = answer(bench)
        body.append([number, asks, figure, {True: "pass", False: "**fail**", None: "not run"}[passed]])
    return tables.table(["gate", "asks", "measured", "result"], body)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(render(rows.read_rows(place), federated.Grid.of(federated.read(place.with_name("federated.jsonl")))))
