"""The results of a bench as Markdown: models, detections with AUROC, defenses before and after, failures."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from hubclean.escaping import markdown
from hubclean.lab.bench.plans import CLEAN
from hubclean.lab.bench.rows import Case, DefenseRow, DetectionRow, FailureRow, Figures, ModelRow, Row, VerdictRow
from hubclean.measurements import Rate

_VERDICTS = ("backdoored", "not found", "undecided")


def render_tables(rows: Iterable[Row], every: bool = True) -> str:
    """All tables; a section without rows is left out.

    Models whose attack did not take (``planting.verify_planted``) are in the tables of models and of single defenses,
    where a star marks them, and not in what is summed up.

    Args:
        every: also the table with a line for every model and defense.
    """
    held = list(rows)
    models = [row for row in held if isinstance(row, ModelRow)]
    took = {row.case for row in models if row.took}
    parts = [
        _models(models),
        _detections([row for row in held if isinstance(row, DetectionRow) and row.case in took]),
        _verdicts([row for row in held if isinstance(row, VerdictRow) and row.case in took]),
        _summary([row for row in held if isinstance(row, DefenseRow) and row.case in took]),
        _matrices([row for row in held if isinstance(row, DefenseRow)], took),
        _defenses([row for row in held if isinstance(row, DefenseRow)]) if every else "",
        _failures([row for row in held if isinstance(row, FailureRow)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells that may hold a stranger's words are escaped before, by ``said``."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(lines)


def said(text: str) -> str:
    """Text of a row made harmless in Markdown; plain words, numbers and the signs of options stay as they are."""
    return text if re.fullmatch(r"[\w .,:%=/+()-]*", text) else markdown(text)


def percent(rate: Rate | None) -> str:
    return "-" if rate is None or rate.n == 0 else f"{100 * rate.value:.1f} %"


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Share of (backdoored, clean) pairs in which the backdoored model scores higher, ties half (Mann-Whitney)."""
    if not positive or not negative:
        return None
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


def _models(rows: list[ModelRow]) -> str:
    if not rows:
        return ""
    body = [
        [
            said(row.case.title),
            percent(row.figures.clean_accuracy),
            "-" if row.twin_accuracy is None else f"{100 * row.twin_accuracy:.1f} %",
            percent(row.figures.asr),
            "yes" if row.took else said(f"no: {row.why}"),
            f"{row.seconds:.0f}",
        ]
        for row in sorted(rows, key=lambda row: row.case.title)
    ]
    return "### Models\n\n" + table(["model", "CA", "CA of the clean twin", "ASR", "took", "seconds"], body)


def _detections(rows: list[DetectionRow]) -> str:
    """One line a detector and attack. Backdoored models are ranked among clean ones of the same data and net."""
    groups: dict[tuple[str, str], list[DetectionRow]] = defaultdict(list)
    for row in rows:
        groups[said(f"{row.detector} {row.options}".strip()), _attack(row.case)].append(row)
    body = []
    for (detector, attack), found in sorted(groups.items()):
        ranked, pairs = _ranked(found, groups.get((detector, CLEAN), [])) if attack != CLEAN else (None, 0)
        body.append(
            [
                detector,
                attack,
                str(len(found)),
                str(sum(row.verdict == "backdoored" for row in found)),
                str(sum(_right(row) for row in found)),
                str(sum(row.verdict == "undecided" for row in found)),
                "-" if ranked is None else f"{ranked:.2f} ({pairs} pairs)",
                f"{statistics.median(row.seconds for row in found):.0f}",
            ]
        )
    head = ["detector", "attack", "models", "backdoored", "right target", "undecided", "AUROC", "seconds"]
    return "### Detection\n\n" + table(head, body) if body else ""


def _ranked(found: list[DetectionRow], clean: list[DetectionRow]) -> tuple[float | None, int]:
    """AUROC over the pairs of a backdoored and a clean model of one kind, and their number."""
    wins, pairs = 0.0, 0
    kinds = {(row.case.data, row.case.net, row.case.epochs) for row in found}
    for kind in kinds:
        both = [
            [row.score for row in some if (row.case.data, row.case.net, row.case.epochs) == kind]
            for some in (found, clean)
        ]
        wins += (auroc(*both) or 0.0) * len(both[0]) * len(both[1])
        pairs += len(both[0]) * len(both[1])
    return (wins / pairs if pairs else None), pairs


def _right(row: DetectionRow | VerdictRow) -> bool:
    return row.verdict == "backdoored" and row.case.attack != CLEAN and row.planted in (*row.targets, None)


def _verdicts(rows: list[VerdictRow]) -> str:
    groups: dict[str, list[VerdictRow]] = defaultdict(list)
    for row in rows:
        groups[_attack(row.case)].append(row)
    body = [
        [
            attack,
            str(len(found)),
            *(
                str(sum(row.verdict == verdict for row in found))
                for verdict in ("backdoored", "not found", "undecided")
            ),
            str(sum(_right(row) for row in found)),
        ]
        for attack, found in sorted(groups.items())
    ]
    head = ["attack", "models", "backdoored", "not found", "undecided", "right target"]
    return "### The one verdict\n\n" + table(head, body) if body else ""


def _summary(rows: list[DefenseRow]) -> str:
    """Medians over the backdoored models, and how often each defense met both limits."""
    groups: dict[str, list[DefenseRow]] = defaultdict(list)
    for row in rows:
        if row.before.asr is not None:
            groups[_name(row)].append(row)
    body = []
    for name, found in sorted(groups.items()):
        asr = [row.after.asr.value for row in found if row.after.asr]
        drop = [row.before.clean_accuracy.value - row.after.clean_accuracy.value for row in found]
        both = sum(a <= 0.1 and d <= 0.04 for a, d in zip(asr, drop, strict=True))
        body.append(
            [
                name,
                str(len(found)),
                f"{100 * statistics.median(drop):.1f}",
                f"{100 * statistics.median(asr):.1f} %",
                f"{both} of {len(found)}",
                f"{statistics.median(row.rating or 0 for row in found):.2f}",
                f"{statistics.median(row.seconds for row in found):.1f}",
            ]
        )
    head = ["defense", "models", "CA lost (points)", "ASR left", "ASR <= 10 % and CA lost <= 4", "DER", "seconds"]
    return "### Defenses, medians over backdoored models\n\n" + table(head, body) if body else ""


def _matrices(rows: list[DefenseRow], took: set[Case]) -> str:
    """A table for every data set and net: what each defense leaves of each attack, medians over the seeds."""
    failed = {(row.case.data, row.case.net, _attack(row.case)) for row in rows if row.case not in took}
    groups: dict[str, dict[tuple[str, str], list[DefenseRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        star = " \\*" if (row.case.data, row.case.net, _attack(row.case)) in failed else ""
        groups[f"{row.case.data} {row.case.net}"][_name(row), _attack(row.case) + star].append(row)
    parts = []
    for name, cells in sorted(groups.items()):
        defenses, attacks = (sorted({key[side] for key in cells}) for side in (0, 1))
        head = ["defense", *attacks]
        body = [[one, *(_cell(cells.get((one, attack), [])) for attack in attacks)] for one in defenses]
        parts.append(f"### {said(name)}: ASR left / points of CA lost\n\n{table(head, body)}")
    return "\n\n".join(parts)


def _cell(rows: list[DefenseRow]) -> str:
    """``ASR left / points of CA lost``, and how many seeds where it is more than one."""
    if not rows:
        return "-"
    drop = statistics.median(row.before.clean_accuracy.value - row.after.clean_accuracy.value for row in rows)
    left = [row.after.asr.value for row in rows if row.after.asr]
    asr = f"{100 * statistics.median(left):.1f} % / " if left else ""
    return f"{asr}{100 * drop:z.1f}" + (f" (n={len(rows)})" if len(rows) > 1 else "")


def _attack(case: Case) -> str:
    return said(f"{case.attack} {case.options}".strip())


def _name(row: DefenseRow) -> str:
    return said(f"{row.defense} {row.options}".strip())


def _defenses(rows: list[DefenseRow]) -> str:
    """CA / ASR / RA before and after, every model and defense."""
    body = []
    for row in sorted(rows, key=lambda row: (row.case.title, row.defense)):
        rate = "-" if row.rating is None else f"{row.rating:.2f}"
        back = f"{percent(row.retuned.after)} ({percent(row.retuned.control)})" if row.retuned else ""
        body.append(
            [
                said(row.case.title),
                _name(row),
                _three(row.before),
                _three(row.after),
                said(row.kept),
                rate,
                back,
                f"{row.seconds:.1f}",
            ]
        )
    head = [
        "model",
        "defense",
        "CA / ASR / RA before",
        "after",
        "kept",
        "DER",
        "ASR after retuning (control)",
        "seconds",
    ]
    return "### Every model and defense\n\n" + table(head, body) if body else ""


def _three(figures: Figures) -> str:
    return " / ".join(percent(rate) for rate in (figures.clean_accuracy, figures.asr, figures.robust_accuracy))


def _failures(rows: list[FailureRow]) -> str:
    body = [[said(row.title), said(row.error)] for row in rows]
    return "### Failures\n\n" + table(["cell", "error"], body) if body else "### Failures\n\nNone."
