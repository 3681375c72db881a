"""Results of ``site``, ``clean``, ``push``, ``methods``, ``demo`` as text for a terminal. Repo strings are escaped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hubclean.cli.text.layout import columns, percent
from hubclean.cli.text.verdict import judged, verdict
from hubclean.escaping import printable
from hubclean.hub.audited_folder import AUDIT
from hubclean.records import Audit, Metrics

_MOST_MATCHES = 12


def before_after(audit: Audit) -> str:
    """The table of clean accuracy, ASR and robust accuracy before, after each stage, and in the kept checkpoint."""
    cleansing = audit.cleansing
    rows = [["", "clean accuracy", "ASR", "robust accuracy", "trigger"]]
    rows += _metric_rows("before", cleansing.before)
    for stage in cleansing.stages:
        rows += _metric_rows(stage.name + (" (kept)" if stage.name == cleansing.kept else ""), stage.metrics)
    return columns(rows)


def _metric_rows(name: str, metrics: Iterable[Metrics]) -> list[list[str]]:
    rows = []
    for one in metrics:
        asr = percent(one.asr) if one.asr else "not measured"
        robust = percent(one.robust_accuracy) if one.robust_accuracy else "not measured"
        rows.append([name, percent(one.clean_accuracy), asr, robust, one.asr_of or "-"])
    return rows


def render_clean(audit: Audit, folder: Path) -> str:
    """What was found, done and measured, and where it lies."""
    lines = [
        f"{printable(audit.origin.said, 300)}: {printable(audit.model.architecture)}, {audit.site.channels} channels"
    ]
    lines += [f"  {audit.outcome.word}: {printable(audit.outcome.why)}"]
    lines += [f"  assumed: {printable(what, 300)}" for what in audit.model.assumed]
    if merged := audit.merging:
        changed = f"{merged.modules} modules and {len(merged.saved)} whole tensors"
        lines.append(f"  a {merged.kind} adapter, merged onto {printable(str(merged.base), 200)}: {changed}")
    lines += [f"  images: {printable(audit.data.taken, 1000)}"] if audit.data.taken else []
    lines += [f"  {verdict(report, audit.model.labels)}" for report in audit.detections]
    lines += [f"  {line}" for line in (judged(audit.judgement) if audit.judgement else [])]
    lines += [f"  not done: {skipped.step}: {printable(skipped.reason)}" for skipped in audit.skipped]
    cleansing = audit.cleansing
    notes = "; ".join(printable(note, 1000) for note in cleansing.notes)
    lines += [f"  {cleansing.defense}: {notes or 'nothing changed'}", "", before_after(audit), ""]
    lines += [*_refused(audit), *_trials(audit), *_retuning(audit), *_probes(audit)]
    measured = f"measured on {audit.data.test} test images never used before"
    lines += _labels(audit)
    lines += [f"  {len(cleansing.changed)} tensors changed; {measured if audit.data.test else _unmeasured(audit)}"]
    lines += [
        columns(
            [
                ["checkpoint", str(folder)],
                ["audit", str(folder / AUDIT)],
                ["card", str(folder / "README.md")],
            ]
        )
    ]
    pictures = [file.path for file in audit.outputs if file.path.endswith(".png")]
    lines += [columns([["picture", str(folder / path)] for path in pictures])] if pictures else []
    came_to = audit.outcome
    lines += [f"  {audit.seconds:.0f} s on {audit.device}, seed {audit.seed}"]
    lines += [f"  {came_to.word}: {printable(came_to.why)}. Exit code {came_to.exit_code}"]
    return "\n".join(lines)


def _refused(audit: Audit) -> list[str]:
    """Ballots and feedback that were not counted."""
    rows = [row for row in audit.cleansing.ballots if row.refused]
    return [f"  {row.kind} refused: {printable(row.file, 80)}: {printable(row.refused)}" for row in rows]


def _trials(audit: Audit) -> list[str]:
    """What ``auto`` tried, judged on val."""
    head = ["tried", "stage", "accuracy (val)", "worst ASR (val)", "within tolerance"]
    rows = [
        [
            printable(row.defense),
            printable(row.stage) or "-",
            f"{row.clean_accuracy.value:.1%}",
            "-" if row.asr is None else f"{row.asr:.1%}",
            "yes" if row.accepted else "no",
        ]
        for row in audit.cleansing.trials
    ]
    return [columns([head, *rows]), ""] if rows else []


def _retuning(audit: Audit) -> list[str]:
    """Whether the backdoor comes back after a short fine-tuning."""
    return [
        f"  after {row.epochs} epochs on {row.images} images, {row.triggered} of them triggered ({row.asr_of}): "
        f"attack success {percent(row.before).strip()} -> {percent(row.after).strip()}, "
        f"turned trigger {percent(row.control).strip()}"
        for row in audit.retuning
    ]


def _unmeasured(audit: Audit) -> str:
    """Why nothing was measured on test images."""
    return "nothing was measured: the images have no labels" if audit.data.fit else "nothing was measured: no images"


def _probes(audit: Audit) -> list[str]:
    """Triggers and detections that the repair was not made from."""
    lines = [f"  on the written net: {verdict(report, audit.model.labels)}" for report in audit.rechecks]
    if audit.probes:
        most = max(audit.probes, key=lambda one: one.after.value)
        rates = f"{percent(most.before).strip()} -> {percent(most.after).strip()}"
        lines.append(f"  {len(audit.probes)} triggers inverted anew, which no defense saw; the worst: {rates}")
    return lines


def _labels(audit: Audit) -> list[str]:
    """How classes went to labels, what the original answers, and what is not known of the loss."""
    data, lines = audit.data, []
    if data.matched_by != "none":
        moved = [row for row in data.matches if row.label is None or audit.model.labels[row.label] != row.name]
        shown = [f"{printable(row.name, 40)} -> {_label(audit, row.label)}" for row in moved[:_MOST_MATCHES]]
        more = f"; and {len(moved) - len(shown)} more (audit)" if len(moved) > len(shown) else ""
        found = f"{data.classes} classes matched to the labels by {data.matched_by}"
        lines.append(f"  {found}{': ' if shown else ''}{'; '.join(shown)}{more}")
    if data.check and data.check.doubt:
        lines.append(f"  the labels are in doubt, which was accepted: {printable(data.check.doubt, 1000)}")
    if audit.loss and audit.exit_code != 2:
        lines.append(f"  it is not known that it is as good as the original: {printable(audit.loss, 300)}")
    return lines


def _label(audit: Audit, label: int | None) -> str:
    return "left out" if label is None else f"{label} ({printable(audit.model.labels[label], 40)})"
