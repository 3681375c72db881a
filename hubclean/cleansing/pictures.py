"""The pictures beside an audit, as PNG: recovered triggers, mask norms per label, the pruning curve.

Arrays are whatever ``numpy.asarray`` takes, pixels in [0, 1]. Drawn on a canvas of their own, never through pyplot's
global state; the same input gives the same bytes. Names of labels come from a repo and are never read as math.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubclean.escaping import printable
from hubclean.records import CurvePoint, DetectionReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision; readable on the panel, which is white in dark mode too.
_BLUE, _ORANGE, _RED, _GREY, _INK = "#0072B2", "#E69F00", "#D55E00", "#9AA3AD", "#24292F"
_FEW = 50  # up to so many labels each gets a column of dots; beyond it, labels are sorted by norm
_NAMED = 8
_MAD_TO_SIGMA = 1.4826
_FLOOR = 0.05  # pixels; a log axis has no zero


def trigger_picture(path: Path, mask: Any, pattern: Any, example: Any | None, title: str) -> None:
    """Draw a trigger: mask, pattern where the mask is, and (with an example) the image before and after stamping.

    Args:
        mask: ``(h, w)`` in [0, 1].
        pattern: ``(c, h, w)`` in [0, 1], c = 1 or 3 (of other counts the first channel is shown).
        example: a clean image ``(c, h, w)`` in [0, 1], or ``None``.
    """
    import numpy as np

    strength = np.clip(np.asarray(mask, dtype=np.float64), 0, 1)
    colours = _pixels(pattern)
    panels: list[tuple[str, Any]] = [
        ("mask m", strength),
        ("trigger m·p", strength[..., None] * colours),
    ]
    if example is not None:
        image = _pixels(example)
        stamped = (1 - strength[..., None]) * image + strength[..., None] * colours
        panels = [("clean image x", image), *panels, ("stamped (1−m)·x + m·p", stamped)]
    drawn = new_figure(2.3 * len(panels) + 0.5, 3.15)
    for index, (name, pixels) in enumerate(panels):
        axes = drawn.add_subplot(1, len(panels), index + 1)
        shown = axes.imshow(pixels, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(name, fontsize=10, color=_INK)
        for spine in axes.spines.values():
            spine.set_color(_GREY)
        if name == "mask m":
            bar = drawn.colorbar(shown, ax=axes, fraction=0.046, pad=0.03, ticks=[0, 0.5, 1])
            bar.ax.tick_params(labelsize=8, colors=_INK)
    share = float(strength.mean())
    note = f"L1 norm {float(strength.sum()):.1f} px, {100 * share:.2f} % of {strength.shape[0]}×{strength.shape[1]}"
    drawn.suptitle(f"{_plain(title, 90)}\n{note}", fontsize=11, color=_INK, parse_math=False)
    save_picture(drawn, path)


def norms_picture(path: Path, report: DetectionReport, labels: tuple[str, ...]) -> None:
    """Draw the mask norm of every label and seed, their median, and where both anomaly indices reach the threshold.

    Labels are in their order up to 50 of them, beyond that sorted by norm. Suspects are coloured and named.
    """
    scores = sorted(report.scores, key=lambda score: score.norm) if len(report.scores) > _FEW else report.scores
    drawn = new_figure(max(6.4, min(11.0, 3 + 0.28 * len(scores))) if len(scores) <= _FEW else 9.0, 4.2)
    axes = drawn.add_subplot()
    place = {score.label: index for index, score in enumerate(scores)}
    position = {score.label: index for index, score in enumerate(report.scores)}
    for norms in report.norms_by_seed:
        dots = [(place[label], max(norms[index], _FLOOR)) for label, index in position.items() if index < len(norms)]
        size = 16 if len(scores) <= _FEW else 4
        axes.scatter([x for x, _ in dots], [y for _, y in dots], s=size, color=_GREY, alpha=0.7, linewidths=0, zorder=2)
    suspects = set(report.targets)
    for chosen, colour, size in ((False, _BLUE, 34), (True, _RED, 60)):
        rows = [score for score in scores if (score.label in suspects) is chosen]
        size = size if len(scores) <= _FEW or chosen else 6
        marker = "D" if chosen else "o"
        xs, ys = [place[score.label] for score in rows], [max(score.norm, _FLOOR) for score in rows]
        axes.scatter(xs, ys, s=size, color=colour, marker=marker, linewidths=0, zorder=4 if chosen else 3)
    log_threshold = report.options.get("log_threshold", report.threshold)
    _thresholds(axes, [score.norm for score in scores], report.threshold, float(log_threshold))
    _name(axes, report, place, labels)
    axes.set_yscale("log")
    _plain_ticks(axes)
    axes.set_ylabel("L1 norm of the inverted mask (pixels)", color=_INK)
    axes.set_title(
        f"{_plain(report.detector, 40)}: {_plain(report.verdict, 40)}", fontsize=11, loc="left", parse_math=False
    )
    _label_axis(axes, [score.label for score in scores], labels)
    _legend(axes, bool(suspects), len(report.norms_by_seed))
    save_picture(drawn, path)


def curve_picture(path: Path, curve: tuple[CurvePoint, ...], kept: int, max_drop: float | None = None) -> None:
    """Draw clean accuracy and the proxy ASR (recovered trigger) on val over the number of units cut.

    Args:
        kept: how many cut units the kept state has; marked by a line.
        max_drop: largest loss of clean accuracy that was allowed, as a fraction; its floor is drawn.
    """
    from matplotlib.ticker import MaxNLocator

    drawn = new_figure(6.8, 4.0)
    axes = drawn.add_subplot()
    xs = [point.cut for point in curve]
    marker = "o" if len(xs) <= 40 else None
    accuracy = [100 * point.clean_accuracy for point in curve]
    axes.plot(xs, accuracy, color=_BLUE, marker=marker, ms=4, lw=1.8, label="clean accuracy (val)")
    proxy = [(point.cut, 100 * point.proxy_asr) for point in curve if point.proxy_asr is not None]
    if proxy:
        ys = [y for _, y in proxy]
        axes.plot([x for x, _ in proxy], ys, color=_RED, marker=marker and "s", ms=4, lw=1.8, ls="--",
                  label="attack success, recovered trigger (val)")  # fmt: skip
    if max_drop is not None and curve:
        floor = accuracy[0] - 100 * max_drop
        axes.axhline(floor, color=_BLUE, lw=1, ls=":", label=f"accuracy floor ({100 * max_drop:g} points below)")
    axes.axvline(kept, color=_INK, lw=1, ls="-.", label=f"kept: {kept} units cut")
    axes.set_ylim(-3, 103)
    axes.set_xlabel("units cut", color=_INK)
    axes.set_ylabel("share of images (%)", color=_INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    save_picture(drawn, path)


def threshold_norms(norms: list[float], threshold: float) -> dict[str, float]:
    """Norms below which the linear and the log anomaly index exceed ``threshold``.

    Empty without spread, and the linear one is left out where it would be no positive norm.
    """
    from math import exp, log

    positive = [max(norm, 1e-6) for norm in norms]
    lines = {}
    for name, values, back in (("linear", positive, float), ("log", [log(norm) for norm in positive], exp)):
        middle = statistics.median(values)
        spread = _MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in values)
        line = back(middle - threshold * spread)
        if spread > 0 and line > 0:
            lines[name] = line
    return lines


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import LogFormatter, NullFormatter

    few = axes.get_ylim()[1] < 100 * axes.get_ylim()[0]
    axes.yaxis.set_major_formatter(LogFormatter(labelOnlyBase=False))
    axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False) if few else NullFormatter())


def _thresholds(axes: Axes, norms: list[float], threshold: float, log_threshold: float) -> None:
    if not norms:
        return
    axes.axhline(max(statistics.median(norms), _FLOOR), color=_INK, lw=1, label="median of the labels")
    for name, limit, style in (("linear", threshold, "--"), ("log", log_threshold, ":")):
        height = threshold_norms(norms, limit).get(name)
        if height is not None:
            axes.axhline(height, color=_ORANGE, lw=1.5, ls=style, label=f"{name} anomaly index = {limit:g}")


def _name(axes: Axes, report: DetectionReport, place: dict[int, int], labels: tuple[str, ...]) -> None:
    found = [score for score in report.scores if score.label in report.targets][:_NAMED]
    for score in found:
        right = place[score.label] > 0.6 * max(len(place) - 1, 1)
        text = f"{score.label}: {_plain(_label(labels, score.label), 24)}"
        axes.annotate(text, (place[score.label], max(score.norm, _FLOOR)), xytext=(-9 if right else 9, 0), va="center",
                      textcoords="offset points", ha="right" if right else "left", fontsize=9, color=_RED,
                      weight="bold", parse_math=False, zorder=5)  # fmt: skip


def _label_axis(axes: Axes, order: list[int], labels: tuple[str, ...]) -> None:
    axes.set_xlim(-0.6, max(len(order), 1) - 0.4)
    if len(order) > _FEW:
        axes.set_xlabel(f"{len(order)} labels, sorted by norm", color=_INK)
        return
    names = [f"{label} {_plain(_label(labels, label), 14)}" for label in order]
    shown = names if len(order) <= 20 else [str(label) for label in order]
    slanted = len(order) > 4 and len(order) <= 20
    axes.set_xticks(range(len(order)))
    axes.set_xticklabels(shown, rotation=40 if slanted else 0, ha="right" if slanted else "center", parse_math=False,
                         fontsize=9 if len(order) <= 20 else 7)  # fmt: skip
    axes.set_xlabel("label", color=_INK)


def _legend(axes: Axes, suspects: bool, seeds: int) -> None:
    from matplotlib.lines import Line2D

    dots: list[Any] = [Line2D([], [], ls="", marker="o", color=_BLUE, label="median of the seeds")]
    if suspects:
        dots.append(Line2D([], [], ls="", marker="D", color=_RED, label="flagged label"))
    if seeds > 1:
        dots.append(Line2D([], [], ls="", marker="o", ms=4, color=_GREY, label=f"one of {seeds} seeds"))
    handles = dots + axes.get_legend_handles_labels()[0]
    axes.legend(handles=handles, fontsize=8.5, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _label(labels: tuple[str, ...], index: int) -> str:
    return labels[index] if 0 <= index < len(labels) else "?"


def _plain(text: str, limit: int) -> str:
    """One short line that the bundled font can draw: what it has no glyph for is shown as an escape."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    shown = printable(text, limit)
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode("ascii") for c in shown)


def _pixels(image: Any) -> Any:
    """``(c, h, w)`` to ``(h, w, 3)`` in [0, 1]; one channel becomes grey."""
    import numpy as np

    pixels = np.clip(np.asarray(image, dtype=np.float64), 0, 1)
    return np.moveaxis(pixels if len(pixels) == 3 else np.repeat(pixels[:1], 3, axis=0), 0, -1)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure on a canvas of its own, inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write a PNG; the same figure gives the same bytes."""
    for axes in figure.axes:
        axes.set_axisbelow(True)
        if axes.get_ylabel():
            axes.grid(axis="y", color="#E4E7EB", lw=0.8)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(colors=_INK)
    figure.savefig(path, format="png", metadata={"Software": None})
