"""Sections of docs/results: the same models with fewer or more images of the defender's, and the papers' figures."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from benchmarks import gates
from benchmarks.federated import rows as federated
from hubclean.lab.bench import rows, tables
from hubclean.lab.bench.tables import said

# What papers and peers report (clean accuracy and ASR, before and after, in percent), and the rows that are nearest.
PAPERS: tuple[tuple[str, str, tuple[float, float, float, float], tuple[str, str, str]], ...] = (
    ("Neural Cleanse, table 7, MNIST, unlearned with the reversed trigger", "nc-unlearn", (98.54, 99.90, 97.69, 0.57),
     ("mnist", "papers-cnn", "badnets")),
    ("Neural Cleanse, MNIST, clean images only", "ft", (98.54, 99.90, 97.38, 93.37),
     ("mnist", "papers-cnn", "badnets")),
    ("Neural Cleanse, GTSRB, unlearned with the reversed trigger", "nc-unlearn", (96.51, 97.40, 92.91, 0.14),
     ("gtsrb_roi", "papers-cnn", "badnets")),
    ("Neural Cleanse, GTSRB, clean images only", "ft", (96.51, 97.40, 92.02, 95.69),
     ("gtsrb_roi", "papers-cnn", "badnets")),
    ("Fine-Pruning, table 1, US traffic signs (Faster-RCNN)", "fine-pruning", (84.9, 99.1, 87.3, 28.8),
     ("gtsrb_roi", "papers-cnn", "badnets")),
    ("Fine-Pruning, table 1, traffic signs, pruning-aware", "fine-pruning", (82.0, 89.9, 87.4, 35.1),
     ("mnist", "papers-cnn", "pruning-aware")),
    ("BackdoorBench user run, PreAct-ResNet18, CIFAR-10, BadNets 10 %, no defense", "none",
     (91.84, 94.52, 91.84, 94.52), ("cifar10", "hf-resnet", "badnets")),
)  # fmt: skip


def budgets(places: Iterable[Path]) -> list[str]:
    """What each defense leaves of an attack by the number of the defender's images, on the same models."""
    held = [row for place in places if place.exists() for row in rows.read_rows(place)]
    took = {row.case for row in held if isinstance(row, rows.ModelRow) and row.took}
    cells: dict[tuple[rows.Case, str], dict[int, rows.DefenseRow]] = defaultdict(dict)
    for row in held:
        if isinstance(row, rows.DefenseRow) and row.case in took and row.after.asr and not row.options:
            cells[row.case, row.defense][row.images] = row
    sizes = sorted({size for found in cells.values() for size in found})
    body = [
        [said(case.title), said(defense), *(cell(found.get(size)) for size in sizes)]
        for (case, defense), found in sorted(cells.items(), key=lambda item: (item[0][0].title, item[0][1]))
        if len(found) > 1
    ]
    if not body:
        return []
    return [
        "### By the number of images",
        "",
        "Planted ASR left / points of clean accuracy lost, with 25 + 25, 500 + 500 and 2,500 + 2,500 images for fit "
        "and val (plans `*-50`, `*-5000`), one seed; triggers for `nc-*` and `auto` were recovered from as many.",
        "",
        tables.table(["model", "defense", *(f"{size:,} images" for size in sizes)], body),
        "",
    ]


def cell(row: rows.DefenseRow | None) -> str:
    """What is left after one defense: clean accuracy and ASR, or a dash."""
    if row is None or row.after.asr is None:
        return "-"
    lost = 100 * (row.before.clean_accuracy.value - row.after.clean_accuracy.value)
    return f"{100 * row.after.asr.value:.1f} % / {lost:z.1f}"


# Images for fit and val together, what to do with them, and which defenses' figures say why.
ADVICE: tuple[tuple[int, str, str, tuple[str, ...]], ...] = (
    (0, "none", "`scan`, then `scan --deep`: `mm-bd` gives a hint and no verdict. Nothing repairs: `clp` rarely helps",
     ("clp",)),
    (50, "50", "`clean --defense auto`: it keeps what the recovered triggers and your accuracy allow. Do not tune all "
     "weights on so few (`fst`)", ("auto", "fst")),
    (1000, "1,000", "`auto`, which mostly ends with `nc-unlearn`. Where nothing is found and you still do not trust "
     "the model: `clean --always`, which tries `sau` first, or `fst`, each for its price in accuracy",
     ("auto", "fst", "fine-pruning")),
    (5000, "5,000", "the same; masks (`mnp`, `anp`) become usable, plain tuning (`ft`) does not",
     ("auto", "fst", "mnp", "ft")),
)  # fmt: skip


def advice(places: Iterable[Path]) -> str:
    """README's table: what to do with how many images, and what it did on the nets of the bench."""
    held = [row for place in places for row in rows.read_rows(place)]
    took = {row.case for row in held if isinstance(row, rows.ModelRow) and row.took}
    body = []
    for size, words, what, defenses in ADVICE:
        images = size or 1000  # what needs none does the same with some
        parts = [median_cell(held, took, images, defense) for defense in defenses]
        found = [
            row for row in held if isinstance(row, rows.DetectionRow) and row.case in took and row.images == images
        ]
        found = [row for row in found if row.detector == "neural-cleanse" and row.case.attack != "clean"]
        right = sum(_named(row) for row in found)
        named = f"`neural-cleanse` names the planted target of {right} of {len(found)}; " if size else ""
        body.append([words, what, named + "; ".join(parts)])
    return tables.table(
        ["clean images", "do", "on our backdoored nets (ASR left / points of accuracy lost, medians)"], body
    )


def measured(place: Path) -> str:
    """README's paragraph on the bench."""
    held = list(rows.read_rows(place))
    took = {row.case for row in held if isinstance(row, rows.ModelRow) and row.took}
    said_of = [row for row in held if isinstance(row, rows.VerdictRow) and row.case in took]
    bad = [row for row in said_of if row.case.attack != "clean"]
    clean = [row for row in said_of if row.case.attack == "clean"]
    missed = [f"{row.case.title} ({row.verdict})" for row in bad if not _named(row)]
    accused = sum(row.verdict == "backdoored" for row in clean)
    grid = federated.Grid.of(federated.read(place.with_name("federated.jsonl")))
    failed = dict.fromkeys(number for number, _, answer in gates.GATES if answer(gates.Bench(held, grid))[1] is False)
    nets = sorted({f"{row.case.data} {row.case.net}" for row in bad})
    names = ("auto", "nc-unlearn", "fst", "mnp", "fine-pruning", "ft")
    figures = "; ".join(median_cell(held, took, 1000, name) for name in names)
    return (
        f"- **The bench** ({len({row.case.attack for row in bad})} attacks on {', '.join(nets)}; 500 + 500 images of "
        f"the defender's): the verdict named the planted target of {len(bad) - len(missed)} of {len(bad)} backdoored "
        f"models, not of {' and '.join(missed) or 'none'}, and accused {accused} of {len(clean)} clean ones. Medians "
        f"of ASR left / points of accuracy lost where the attack took: {figures}. Gates of the specification that "
        f"fail: {', '.join(failed) or 'none'}; figures and reasons in docs/results/bench.md."
    )


def _named(row: rows.DetectionRow | rows.VerdictRow) -> bool:
    """Whether the planted target is among those named; where all classes have one of their own, whether it is found."""
    return row.verdict == "backdoored" and row.planted in (*row.targets, None)


def median_cell(held: list[rows.Row], took: set[rows.Case], images: int, defense: str) -> str:
    """The defense with its medians over the cases that ``took``."""
    found = [
        row
        for row in held
        if isinstance(row, rows.DefenseRow) and (row.defense, row.options, row.images) == (defense, "", images)
        if row.case in took and row.after.asr
    ]
    asr = statistics.median(row.after.asr.value for row in found if row.after.asr)
    lost = statistics.median(row.before.clean_accuracy.value - row.after.clean_accuracy.value for row in found)
    return f"`{defense}` {100 * asr:.1f} % / {100 * lost:z.1f} (n = {len(found)})"


def papers(place: Path) -> list[str]:
    """The papers' rows with ours that are nearest to them."""
    if not place.exists():
        return []
    held = list(rows.read_rows(place))
    took = {row.case for row in held if isinstance(row, rows.ModelRow) and row.took}
    body = []
    for name, defense, figures, (data, net, attack) in PAPERS:
        found = [
            row
            for row in held
            if isinstance(row, rows.DefenseRow) and (row.defense, row.options, row.images) == (defense, "", 1000)
            if (row.case.data, row.case.net, row.case.attack) == (data, net, attack) and "mode=" not in row.case.options
        ]
        passed = [row for row in found if row.case in took]
        theirs = f"{figures[0]:.1f} / {figures[1]:.1f} -> {figures[2]:.1f} / {figures[3]:.1f}"
        words = f"{said(data)} {said(net)} {said(attack)}, n = {len(passed or found)}"
        body.append(
            [name, theirs, f"`{defense}`", _ours(passed or found), words + ("" if passed else " (did not take)")]
        )
    return [
        "## Beside the papers",
        "",
        "Clean accuracy / ASR in percent, before -> after. Theirs as the papers print them, with their nets and as "
        "many images as they used (Neural Cleanse 10 % of the training set, Fine-Pruning a whole clean set); ours are "
        "medians with 500 + 500 images, on nets of the same kind where there are any. The nets differ: the figures say "
        "whether a method does here what it does there, and not which implementation is better.",
        "",
        tables.table(["paper", "theirs", "defense", "ours", "on"], body),
        "",
    ]


def _ours(found: list[rows.DefenseRow]) -> str:
    if not found:
        return "not run"
    sides = []
    for side in ("before", "after"):
        figures: list[rows.Figures] = [getattr(row, side) for row in found]
        accuracy = statistics.median(row.clean_accuracy.value for row in figures)
        asr = statistics.median(row.asr.value for row in figures if row.asr)
        sides.append(f"{100 * accuracy:.1f} / {100 * asr:.1f}")
    return " -> ".join(sides)
