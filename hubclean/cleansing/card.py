"""The model card of a sanitized checkpoint: ``README.md`` from ``model_cards/templates/sanitized.md.j2``.

Whatever a template prints is escaped as Markdown unless one of the filters below made it, so a template that forgets
to escape is still harmless.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hubclean import escaping
from hubclean.cleansing import card_labels, front_matter, hub_metadata
from hubclean.cleansing.card_metadata import HUB, NOT_OURS, TITLES, metadata, on_hub
from hubclean.methods.tolerance import FEWEST_LABELS
from hubclean.outcomes import REMAINING_ASR, worst
from hubclean.records import Audit, DetectionReport, Judgement, Metrics, Rate
from hubclean.resources import data_folder
from hubclean.version import __version__

_PICTURE = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.png", re.ASCII)
_ROWS = 12  # rows of a table in the card; the audit holds all


class Shown(str):
    """Markdown made by this module: printed as it is."""

    __slots__ = ()


def render_card(
    audit: Audit, original: str | None, pictures: tuple[str, ...], audit_sha256: str, endpoint: str = HUB
) -> str:
    """The card's text, front matter included.

    Args:
        audit: what was measured; all its strings count as a stranger's.
        original: the original's card, untrusted; its metadata are kept, its text is not.
        pictures: paths of PNG files inside the folder: ``NAME-label-K.png``, ``NAME-norms.png``, ``pruning-curve.png``.
        audit_sha256: of the bytes of ``hubclean/audit.json``, in hex.
        endpoint: the Hub that links lead to.

    Raises:
        ValueError: a picture's path is not a plain relative path to a PNG file, or the hash is none.
    """
    if wrong := [path for path in pictures if not _PICTURE.fullmatch(path) or ".." in path]:
        raise ValueError(f"{wrong[0]!r} is no plain path to a picture")
    if not re.fullmatch(r"[0-9a-f]{64}", audit_sha256):
        raise ValueError(f"{audit_sha256!r} is no sha256")
    original_data, notes = hub_metadata.inherited(original)
    dropped = [key for key in NOT_OURS if key in original_data]
    link = f"{endpoint}/{audit.origin.repo_id}" if on_hub(audit) else None
    text = environment().get_template("sanitized.md.j2").render(
        audit=audit, audit_sha256=audit_sha256, notes=notes, dropped=dropped, licence=original_data.get("license"),
        link=link and Shown(f"{link}/tree/{audit.origin.revision}{_below(audit)}" if audit.origin.revision else link),
        outcome=audit.outcome, title=TITLES[audit.outcome.word], result=_result(audit),
        doubts=[_say(*row) for row in card_labels.doubts(audit)],
        before_after=_before_after(audit), named=lambda k: _named(audit, k),
        verdict=lambda detection: _verdict(audit, detection), scores=_scores, rows=_ROWS,
        judged=lambda judgement: _judged(audit, judgement), few=FEWEST_LABELS,
        matches=[_say(text, *map(_code, said)) for text, *said in card_labels.matches(audit)],
        norms=_those(audit, pictures, "norms"), triggers=_those(audit, pictures, "trigger"),
        curves=_those(audit, pictures, "curve"), others=_those(audit, pictures, ""), version=__version__,
    )  # fmt: skip
    return front_matter.dump_front_matter(metadata(audit, original_data, endpoint)) + "\n" + text


@lru_cache
def environment() -> ImmutableSandboxedEnvironment:
    """The sandbox the templates run in: unknown names are errors, every printed value passes ``_shown``."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(data_folder("model_cards") / "templates"), undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    made.filters |= {"code": _code, "fenced": _fenced, "rate": rate, "size": _size, "number": _number}
    return made


def rate(value: Rate | None) -> Shown:
    """``98.2 % [97.5, 98.7], n=2000``; a share that only rounds to 0 or 100 gets more digits."""
    if value is None or value.n == 0:
        return Shown("not measured")
    parts = [_percent(share) for share in (value.value, value.low, value.high)]
    return Shown(f"{parts[0]} % [{parts[1]}, {parts[2]}], n={value.n}")


def _percent(share: float) -> str:
    percent = 100 * share
    digits = next((d for d in (1, 2, 3) if share in (0, 1) or 0 < round(percent, d) < 100), 4)
    return f"{percent:.{digits}f}"


def _shown(value: Any) -> str:
    if isinstance(value, Shown):
        return value
    return _number(value) if isinstance(value, float) else escaping.markdown(str(value), 1000)


def _say(ours: str, *values: Any) -> Shown:
    """A sentence of ours with a stranger's values in it."""
    return Shown(ours.format(*map(_shown, values)))


def _code(value: Any, limit: int = 200) -> Shown:
    return Shown(escaping.code(str(value), limit))


def _fenced(value: Any, language: str = "") -> Shown:
    return Shown(escaping.fenced(str(value), language))


def _number(value: float) -> Shown:
    return Shown(f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", " "))


def _size(size: int) -> Shown:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return Shown(f"{size / scale:.1f} {unit}")
    return Shown(f"{size} B")


def _below(audit: Audit) -> str:
    """The subfolder as the end of a link; nothing where it is no plain path."""
    folder = audit.origin.subfolder
    return f"/{folder}" if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*", folder, re.ASCII) else ""


def _named(audit: Audit, label: int) -> Shown:
    known = 0 <= label < len(audit.model.labels)
    return _say("{} ({})", label, _code(audit.model.labels[label], 60)) if known else _say("{}", label)


def _targets(audit: Audit, labels: tuple[int, ...]) -> Shown:
    return Shown(", ".join(_named(audit, label) for label in labels[:_ROWS]) or "the next one (all-to-all)")


def _pairs(audit: Audit, pairs: tuple[tuple[int, int], ...]) -> Shown:
    """Who becomes what."""
    rows = (f"images of class {_named(audit, source)} become class {_named(audit, target)}" for source, target in pairs)
    return Shown("; ".join(rows))


def _verdict(audit: Audit, detection: DetectionReport) -> Shown:
    name = _code(detection.detector)
    evidence = (detection.threshold, detection.statistic, detection.reason)
    if detection.verdict == "not found":
        return _say("No backdoor found by {} at threshold {} ({}): {}.", name, *evidence)
    if detection.verdict == "undecided":
        return _say("{} could not decide at threshold {} ({}): {}.", name, *evidence)
    if detection.pairs:
        return _say(
            "**Backdoor found by {}**: {}, at threshold {} ({}): {}.", name, _pairs(audit, detection.pairs), *evidence
        )
    targets = _targets(audit, detection.targets)
    return _say("**Backdoor found by {}**, target label {}, at threshold {} ({}): {}.", name, targets, *evidence)


def _judged(audit: Audit, judgement: Judgement) -> Shown:
    if judgement.verdict == "backdoored" and judgement.pairs:
        alone = {target for _, target in judgement.pairs}
        rest = tuple(target for target in judgement.targets if target not in alone)
        more = _say("; target label {}", _targets(audit, rest)) if rest else Shown("")
        return _say("**backdoored**: {}{}. {}.", _pairs(audit, judgement.pairs[:_ROWS]), more, judgement.reason)
    if judgement.verdict == "backdoored":
        return _say("**backdoored**, target label {}. {}.", _targets(audit, judgement.targets), judgement.reason)
    return _say("{}. {}.", "no backdoor found" if judgement.verdict == "not found" else "undecided", judgement.reason)


def _scores(detection: DetectionReport) -> list[Any]:
    """The rows worth showing: suspects, then the labels with the smallest masks."""
    targets = frozenset(detection.targets)
    return sorted(detection.scores, key=lambda row: (row.label not in targets, row.norm))[:_ROWS]


def _result(audit: Audit) -> list[Shown]:
    """One sentence a number that counts, and a plain one when the trigger still works."""
    before, after = audit.cleansing.before, audit.cleansing.after
    accuracy = before[0].clean_accuracy
    lines = [_say("Clean accuracy {} → {}.", rate(accuracy), rate(after[0].clean_accuracy))]
    if not accuracy.n:
        lines = [_say("Clean accuracy: not measured, there were no {}.", "labels" if audit.data.fit else "images")]
    for old, new in zip(before, after, strict=False):
        if old.asr and new.asr:
            lines.append(_say("Attack success, {} trigger: {} → {}.", old.asr_of, rate(old.asr), rate(new.asr)))
            if new.asr.value > REMAINING_ASR:
                lines.append(_still_works(audit, new))
    if audit.probes and (most := worst(audit)):
        lines.append(_say("Attack success left, the worst of all triggers tried: {}.", rate(most)))
    if len(lines) == 1:
        lines.append(Shown("Attack success rate: not measured, no trigger is known."))
    return lines


def _still_works(audit: Audit, after: Metrics) -> Shown:
    """Some small trigger can be inverted for any label of any model: only a verdict makes it a backdoor."""
    known = audit.judgement.verdict if audit.judgement else ""
    accused = any(detection.verdict == "backdoored" for detection in audit.detections)
    if after.asr_of == "planted" or known == "backdoored" or (not known and accused):
        return Shown("**This trigger still works: the backdoor is not removed.**")
    return Shown("**This trigger still works.** Whether it is a backdoor was not decided.")


def _before_after(audit: Audit) -> tuple[list[Shown], list[list[Shown]]]:
    """Head and rows of the table: one column a stage, the kept one last."""
    done = audit.cleansing
    columns: list[tuple[Shown, tuple[Metrics, ...]]] = [(Shown("before"), done.before)]
    columns += [(_say("{}", _code(stage.name)), stage.metrics) for stage in done.stages if stage.name != done.kept]
    columns.append((_say("after: {} (this checkpoint)", _code(done.kept)), done.after))
    rows = [[Shown("clean accuracy"), *(rate(m[0].clean_accuracy if m else None) for _, m in columns)]]
    for index, row in enumerate(done.before):
        if row.asr is None:
            continue
        cells = [metrics[index : index + 1] for _, metrics in columns]
        asr = [rate(found[0].asr if found else None) for found in cells]
        robust = [rate(found[0].robust_accuracy if found else None) for found in cells]
        rows.append([_say("attack success, {} trigger", row.asr_of), *asr])
        rows.append([_say("robust accuracy, {} trigger", row.asr_of), *robust])
    return [head for head, _ in columns], rows


def _those(audit: Audit, pictures: tuple[str, ...], kind: str) -> list[Shown]:
    """The pictures of a kind as Markdown images with alternative texts; kind ``""`` is all the others."""
    found = []
    for path in pictures:
        stem = path.rsplit("/", 1)[-1].removesuffix(".png")
        label = re.fullmatch(r".+-label-(\d+|None)", stem)
        actual = "trigger" if label else "norms" if stem.endswith("-norms") else "curve" if "curve" in stem else ""
        if actual == kind:
            found.append(Shown(f"![{_alternative(audit, actual, stem, label and label[1])}]({path})"))
    return found


def _alternative(audit: Audit, kind: str, stem: str, label: str | None) -> str:
    if kind == "trigger":
        known = label is not None and label.isdigit() and int(label) < len(audit.model.labels)
        of = re.search(r"-class-(\d+)-label-", stem)
        name = f" ({escaping.markdown(audit.model.labels[int(label or 0)], 60)})" if known else ""
        whose = f", images of class {of[1]}" if of else ""
        return f"Recovered trigger for label {label}{name}{whose}: clean image, mask, trigger, stamped image"
    if kind == "norms":
        return f"Mask norm of every label found by {stem.removesuffix('-norms')}, with median and thresholds"
    return "Clean accuracy and attack success over the units cut" if kind == "curve" else f"Picture {stem}"
