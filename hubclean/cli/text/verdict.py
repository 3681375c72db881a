"""One verdict, one detection, as lines."""

from __future__ import annotations

from collections.abc import Sequence

from hubclean.escaping import printable
from hubclean.records import DetectionReport, Judgement

_MOST_EVIDENCE = 20


def judged(judgement: Judgement) -> list[str]:
    """The one verdict, what it rests on, its measured error rates, and what it cannot see."""
    lines = [f"verdict: {judgement.verdict} ({printable(judgement.reason, 300)})"]
    width = max((len(row.name) for row in judgement.evidence), default=0)
    for row in judgement.evidence[:_MOST_EVIDENCE]:
        label = "" if row.label is None else f"label {row.label}"
        lines.append(f"  {printable(row.name):<{width}}  {label:<10} {row.value:9.3f}  says {row.says}")
    if len(judgement.evidence) > _MOST_EVIDENCE:
        lines.append(f"  and {len(judgement.evidence) - _MOST_EVIDENCE} more rows (--json)")
    if judgement.errors:
        found, accused = judgement.errors.found, judgement.errors.accused
        lines.append(
            f"  on known models this rule found {found.value:.0%} of {found.n} backdoored and accused "
            f"{accused.value:.0%} of {accused.n} clean ones"
        )
    return [*lines, f"  it cannot see: {'; '.join(judgement.blind_to)}"]


def verdict(report: DetectionReport, labels: Sequence[str]) -> str:
    """One sentence that claims no more than was measured."""
    named = ", ".join(f"{target} ({printable(labels[target], 40)})" for target in report.targets)
    if report.pairs:
        ends = ([f"{label} ({printable(labels[label], 40)})" for label in pair] for pair in report.pairs)
        found = "; ".join(f"images of class {source} become class {target}" for source, target in ends)
        return f"backdoor found by {report.detector}: {found}"
    seeds = f"{len(report.seeds)} seed{'s' * (len(report.seeds) != 1)}"
    examined = len(report.scores) or len(report.per_label)
    setting = f"{report.detector} ({examined} labels, {seeds})"
    if report.pairs_of:
        setting = f"{report.detector} ({report.pairs_examined:,} of {report.pairs_of:,} pairs of classes, {seeds})"
    if report.verdict == "backdoored":
        return f"backdoor found by {setting}: target label {named or 'the next one (all-to-all)'}"
    if report.verdict == "not found":
        return f"no backdoor found by {setting}: {report.reason}"
    return f"undecided by {setting}: {report.reason}"
