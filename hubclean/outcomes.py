"""What a ``clean`` came to, in one word and one sentence, from what was measured. Torch-free.

The word follows the evidence: a repair made from a recovered trigger is not believed on the word of that trigger. It
must hold against triggers inverted anew, against detection repeated on the written net, and against retuning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hubclean.measurements import Rate
from hubclean.scan_records import verdicts_of

if TYPE_CHECKING:
    from hubclean.records import Audit

Word = Literal["audited", "cleansed", "covered", "not cleansed", "undecided"]
# An attack success rate above this on the written checkpoint means that the trigger still works.
REMAINING_ASR = 0.05
# What retuning may bring back beyond its control.
REVIVED = 0.05
EXIT_CODES: dict[Word, int] = {"audited": 0, "cleansed": 0, "covered": 1, "not cleansed": 1, "undecided": 2}


@dataclass(frozen=True, slots=True)
class Outcome:
    """``audited``: nothing was found. ``cleansed``: a backdoor was found, and no probe finds it any more. ``covered``:
    its triggers do not work, and it comes back or is held back. ``not cleansed``: a trigger still works, or detection
    repeated on the written net still finds one. ``undecided``: the evidence does not reach.
    """

    word: Word
    why: str

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.word]


def outcome(audit: Audit) -> Outcome:
    """Judge an audit: the first of these that holds, worst first, and ``undecided`` wherever something is missing."""
    verdicts = verdicts_of(audit.judgement, audit.detections)
    if not verdicts or "undecided" in verdicts:
        return Outcome("undecided", "detection gave no verdict")
    found = "backdoored" in verdicts
    if failure := next(_failures(audit, found), None):
        return failure
    if audit.loss:
        return Outcome("undecided", f"it is not known that it is as good as the original: {audit.loss}")
    return _held(audit, found)


def worst(audit: Audit) -> Rate | None:
    """The largest attack success rate on the written checkpoint among all triggers tried; ``None`` if none was."""
    tried = [rate for rate in _rates(audit) if rate.n]
    return max(tried, key=lambda rate: rate.value) if tried else None


def _rates(audit: Audit) -> list[Rate]:
    return [one.asr for one in audit.cleansing.after if one.asr] + [probe.after for probe in audit.probes]


def _failures(audit: Audit, found: bool) -> Iterator[Outcome]:
    if (most := worst(audit)) and most.value > REMAINING_ASR:
        yield Outcome("not cleansed", f"a trigger still works on {most.value:.1%} of the images")
    for report in audit.rechecks:
        if report.verdict == "backdoored":
            labels = f" for label {', '.join(map(str, report.targets))}" if report.targets else ""
            yield Outcome("not cleansed", f"{report.detector}, repeated on the written net, finds a backdoor{labels}")
    if found and audit.cleansing.guard:
        yield Outcome("covered", "a filter in front of the net rejects the triggers; its weights hold the backdoor")
    for row in audit.retuning:
        if row.control.n and row.after.value > row.control.value + REVIVED:
            back = f"attack success {row.after.value:.1%} ({row.control.value:.1%} in the control)"
            yield Outcome(
                "covered", f"fine-tuning on {row.triggered} triggered images brings the backdoor back: {back}"
            )


def _held(audit: Audit, found: bool) -> Outcome:
    changed = bool(audit.cleansing.changed)
    if any(rate.n == 0 for rate in _rates(audit)):
        return Outcome("undecided", "no test image could try a trigger")
    if (found or changed) and not audit.rechecks:
        return Outcome("undecided", "detection was not repeated on the written net")
    if any(report.verdict == "undecided" for report in audit.rechecks):
        return Outcome("undecided", "detection, repeated on the written net, gave no verdict")
    if not found:
        treated = "the weights were treated all the same" if changed else "the weights are those of the original"
        return Outcome("audited", f"no backdoor was found; {treated}")
    if not _rates(audit):
        return Outcome("undecided", "no trigger of the backdoor is known, so nothing shows that it is gone")
    if not audit.probes:
        return Outcome("undecided", "no trigger could be inverted anew, so only the repair's own was tried")
    if not audit.retuning or any(not row.control.n and row.after.value > REMAINING_ASR for row in audit.retuning):
        return Outcome("undecided", "whether the backdoor comes back was not measured")
    return Outcome("cleansed", "no trigger works, none is found anew, and none comes back beyond its control")
