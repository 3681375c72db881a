"""The pictures of a bench as PNG: what every defense leaves of the attack and costs in accuracy; detector scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from hubclean.cleansing.pictures import new_figure, save_picture
from hubclean.lab.bench.rows import DefenseRow, DetectionRow, Row

_BLUE, _ORANGE, _GREY, _INK = "#0072B2", "#E69F00", "#9AA3AD", "#24292F"


def draw_plots(rows: Iterable[Row], folder: Path) -> tuple[Path, ...]:
    """Write ``defenses.png`` and ``detectors.png`` where there is something to show; returns what was written."""
    held = list(rows)
    made = []
    defenses = [row for row in held if isinstance(row, DefenseRow) and row.after.asr is not None]
    if defenses:
        made.append(folder / "defenses.png")
        _defenses(defenses, made[-1])
    detections = [row for row in held if isinstance(row, DetectionRow)]
    if detections:
        made.append(folder / "detectors.png")
        _detectors(detections, made[-1])
    return tuple(made)


def _defenses(rows: list[DefenseRow], path: Path) -> None:
    """Two panels that share their rows: ASR left of every backdoored model, and accuracy lost; a bar at the median."""
    import statistics

    groups: dict[str, list[DefenseRow]] = defaultdict(list)
    for row in rows:
        groups[f"{row.defense} {row.options}".strip()].append(row)

    def left(row: DefenseRow) -> float:
        return 100 * (row.after.asr.value if row.after.asr else 0.0)

    def lost(row: DefenseRow) -> float:
        return 100 * (row.before.clean_accuracy.value - row.after.clean_accuracy.value)

    order = sorted(groups, key=lambda name: -statistics.median(left(row) for row in groups[name]))
    picture = new_figure(9.0, 1.2 + 0.32 * len(order))
    panels = ((left, "planted ASR left (%)", 10.0), (lost, "clean accuracy lost (points)", 4.0))
    for index, (value, title, limit) in enumerate(panels):
        axes = picture.add_subplot(1, 2, index + 1)
        for place, name in enumerate(order):
            values = [value(row) for row in groups[name]]
            axes.scatter(values, [place] * len(values), s=16, color=_GREY, alpha=0.8, linewidths=0, zorder=2)
            axes.scatter([statistics.median(values)], [place], s=60, marker="|", color=_BLUE, zorder=3)
        axes.axvline(limit, color=_ORANGE, lw=1, ls="--", label=f"{limit:g}")
        axes.set_yticks(range(len(order)))
        axes.set_yticklabels(order if index == 0 else [], fontsize=9, color=_INK, parse_math=False)
        axes.set_xlabel(title, color=_INK)
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    save_picture(picture, path)


def _detectors(rows: list[DetectionRow], path: Path) -> None:
    """Scores of clean and backdoored models, one row a detector and attack."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        groups[row.detector, row.case.attack].append(row.score)
    order = sorted(groups, key=lambda key: (key[0], key[1] != "clean", key[1]), reverse=True)
    picture = new_figure(8.0, 1.2 + 0.3 * len(order))
    axes = picture.add_subplot()
    for place, key in enumerate(order):
        colour = _BLUE if key[1] == "clean" else _ORANGE
        axes.scatter(groups[key], [place] * len(groups[key]), s=20, color=colour, alpha=0.8, linewidths=0)
    axes.set_yticks(range(len(order)))
    axes.set_yticklabels([f"{name}: {attack}" for name, attack in order], fontsize=9, color=_INK, parse_math=False)
    axes.set_xlabel("score of the detector (its own scale; larger = more suspicious)", color=_INK)
    save_picture(picture, path)
