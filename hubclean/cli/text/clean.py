"""Results of ``site``, ``clean``, ``push``, ``methods``, ``demo`` as text for a terminal. Repo strings are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hubclean.cli.text.scan import judged
from hubclean.escaping import printable
from hubclean.hub.publish import PushReport
from hubclean.records import (
    Audit,
    DemoReport,
    DetectionReport,
    FeatureSite,
    MethodText,
    Metrics,
    ModelFacts,
    Rate,
    SiteReport,
    UnitSummary,
)

_SIDES = {"both": "where made and where read", "producer": "where made", "consumer": "where read"}
_WORDS = {
    "pool": "pooling",
    "norm": "pooling and a norm; channels are cut after the norm",
    "hidden": "a hidden layer; channels are its outputs",
    "flatten": "flattening; a channel is a block of head columns",
    "token": "a token that is picked out",
}


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows of cells as left-aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def percent(rate: Rate) -> str:
    """``98.2% [97.5%, 98.7%] n=2000``; without trials there is nothing to show."""
    if rate.n == 0:
        return "not measured"
    return f"{rate.value:6.1%} [{rate.low:.1%}, {rate.high:.1%}] n={rate.n}"


def render_site(report: SiteReport) -> str:
    """Feature layer, layout, channels, heads, input size and normalisation of one model."""
    lines = [f"{printable(str(report.origin))}", *_model(report.model), *_site(report.site), *_units(report)]
    if report.proof is not None:
        lines.append(f"zeros in the file do what a hook does: worst difference {report.proof:.1e} of the largest logit")
    return "\n".join(lines)


def _units(report: SiteReport) -> list[str]:
    """Prunable units of the whole network, layers of the same kind on one line; reasons with an example."""
    kinds: dict[tuple[str, str], list[UnitSummary]] = {}
    for unit in report.units:
        side = _SIDES[unit.cut] if unit.cut != "none" else f"no: {_reason(unit)}"
        kinds.setdefault((unit.kind, side + (" (residual branch)" if unit.residual else "")), []).append(unit)
    rows = [
        [f"{kind} x {len(units)}", f"{sum(unit.count for unit in units):,} units", side, printable(units[-1].layer, 60)]
        for (kind, side), units in sorted(kinds.items(), key=lambda item: (item[0][1].startswith("no"), item[0]))
    ]
    named = ", ".join(printable(name, 80) for name in report.conv) or "none"
    heading = "units of the whole network: layers, units, cut in the file, last example"
    return [columns([["site=conv".ljust(13), named]]), heading, columns(rows)] if rows else []


def _reason(unit: UnitSummary) -> str:
    if unit.kind == "gate":
        return "a zero there is no zero where it is used"
    return printable(unit.why.partition(" in '")[0].partition("'")[0] or unit.why, 70)


def _model(facts: ModelFacts) -> list[str]:
    channels, height, width = facts.input_size
    cut = f", made square, in patches of {facts.patch}" if facts.patch else ""
    labels = ", ".join(printable(name, 24) for name in facts.labels[:4]) + (", …" if len(facts.labels) > 4 else "")
    numbers = [", ".join(f"{value:.4g}" for value in values) for values in (facts.mean, facts.std)]
    rows = [
        ["architecture", f"{printable(facts.architecture)} ({facts.library}), {facts.parameters:,} parameters"],
        ["input", f"{channels} x {height} x {width}, {printable(facts.interpolation)}, crop {facts.crop:g}{cut}"],
        ["normalisation", f"mean {numbers[0]}; std {numbers[1]}"],
        ["labels", f"{len(facts.labels)}: {labels}"],
    ]
    return [columns(rows)]


def _site(site: FeatureSite) -> list[str]:
    shape = " x ".join(map(str, site.shape))
    count = site.prefix_tokens
    tokens = f", {count} prefix token{'s' * (count > 1)}" if count else ""
    rows = [
        ["feature layer", f"{printable(site.feature, 60) or '(none before the head)'}: {site.layout} {shape}{tokens}"],
        ["channels", f"{site.channels} prunable" + (f", {site.block} head columns each" if site.block > 1 else "")],
        ["in between", _WORDS.get(site.between, site.between)],
    ]
    rows += [
        ["head", f"{printable(head.path, 60)}: {head.kind} {head.in_features} -> {head.out_features}"]
        for head in site.heads
    ]
    return [columns([*rows, ["located by", printable(site.adapter, 60)]])]


def verdict(report: DetectionReport, labels: Sequence[str]) -> str:
    """One sentence that claims no more than was measured."""
    named = ", ".join(f"{target} ({printable(labels[target], 40)})" for target in report.targets)
    seeds = f"{len(report.seeds)} seed{'s' * (len(report.seeds) != 1)}"
    setting = f"{report.detector} ({len(report.scores) or len(report.per_label)} labels, {seeds})"
    if report.verdict == "backdoored":
        return f"backdoor found by {setting}: target label {named or 'the next one (all-to-all)'}"
    if report.verdict == "not found":
        return f"no backdoor found by {setting}: {report.reason}"
    return f"undecided by {setting}: {report.reason}"


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
    lines = [f"{printable(str(audit.origin))}: {printable(audit.model.architecture)}, {audit.site.channels} channels"]
    lines += [f"  {verdict(report, audit.model.labels)}" for report in audit.detections]
    lines += [f"  {line}" for line in (judged(audit.judgement) if audit.judgement else [])]
    lines += [f"  not done: {skipped.step}: {printable(skipped.reason)}" for skipped in audit.skipped]
    cleansing = audit.cleansing
    notes = "; ".join(printable(note, 1000) for note in cleansing.notes)
    lines += [f"  {cleansing.defense}: {notes or 'nothing changed'}", "", before_after(audit), ""]
    lines += [*_refused(audit), *_trials(audit), *_retuning(audit)]
    measured = f"measured on {audit.data.test} test images never used before"
    lines += [f"  {len(cleansing.changed)} tensors changed; {measured if audit.data.test else _unmeasured(audit)}"]
    lines += [
        columns(
            [
                ["checkpoint", str(folder)],
                ["audit", str(folder / "hubclean/audit.json")],
                ["card", str(folder / "README.md")],
            ]
        )
    ]
    pictures = [file.path for file in audit.outputs if file.path.endswith(".png")]
    lines += [columns([["picture", str(folder / path)] for path in pictures])] if pictures else []
    lines += [f"  {audit.seconds:.0f} s on {audit.device}, seed {audit.seed}. {_meaning(audit.exit_code)}"]
    return "\n".join(lines)


def _refused(audit: Audit) -> list[str]:
    """Ballots and feedback that were not counted."""
    rows = [row for row in audit.cleansing.ballots if row.refused]
    return [f"  {row.kind} refused: {printable(row.file, 80)}: {printable(row.refused)}" for row in rows]


def _trials(audit: Audit) -> list[str]:
    """What ``auto`` tried, judged on val."""
    head = ["tried", "stage", "accuracy (val)", "recovered ASR (val)", "within tolerance"]
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


def _meaning(code: int) -> str:
    return {
        0: "Exit code 0: no backdoor was found, or its recovered triggers no longer work.",
        1: "Exit code 1: a trigger still works on the written checkpoint.",
        2: "Exit code 2: written, but detection gave no verdict, or no test image could try its trigger.",
    }[code]


def render_push(report: PushReport) -> str:
    """What was, or with a dry run would be, published."""
    rows = [["path", "size", "how"], *([printable(file.path), f"{file.size:,}", file.how] for file in report.files)]
    rest = []
    if report.deleted:
        rest.append(f"removed in the same commit: {', '.join(map(printable, report.deleted))}")
    if report.left_behind:
        names = ", ".join(map(printable, report.left_behind))
        rest.append(f"still in the repo, and not part of the sanitized checkpoint: {names}")
    if report.dry_run:
        head = f"dry run: nothing was sent. One commit to {report.repo_id} would hold {len(report.files)} files:"
        return "\n".join(
            [
                head,
                columns(rows),
                *rest,
                "",
                "README.md:",
                *(printable(line, 4000) for line in report.card.splitlines()),
            ]
        )
    where = report.pr_url or report.url or report.repo_id
    head = f"published {len(report.files)} files in one commit: {printable(where)}"
    return "\n".join([head, columns(rows), *rest])


def render_methods(rows: Sequence[MethodText]) -> str:
    """All methods in a table, or one of them whole."""
    if len(rows) == 1:
        return _one_method(rows[0])
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows):
        lines += [kind, columns([[row.name, row.paper] for row in rows if row.kind == kind]), ""]
    return "\n".join([*lines, "hubclean methods NAME shows one with its options, defaults and ranges."])


def _one_method(row: MethodText) -> str:
    lines = [f"{row.name} ({row.kind.removesuffix('s')}): {row.paper}", "", row.summary]
    lines += ["", row.details] if row.details else []
    if not row.options:
        return "\n".join([*lines, "", "no options"])
    table = [["option", "type", "default", "allowed", "meaning"]]
    table += [[o.name, o.type, str(o.default), o.allowed, o.text] for o in row.options]
    return "\n".join([*lines, "", columns(table)])


def render_demo(report: DemoReport) -> str:
    """The demo's story in one screen."""
    audit = report.audit
    lines = [f"planted {report.attack} with target label {report.planted_target} in {report.architecture}"]
    lines += [f"{verdict(one, audit.model.labels)}" for one in audit.detections]
    lines += ["", before_after(audit), ""]
    base = Path(report.folder)
    rows = [
        ["card", str(base / "README.md")],
        ["audit", str(base / "hubclean/audit.json")],
        ["published to", report.published],
    ]
    rows += [["picture", str(base / file.path)] for file in audit.outputs if file.path.endswith(".png")]
    return "\n".join([*lines, columns(rows), f"{report.seconds:.0f} s in all, nothing fetched"])
