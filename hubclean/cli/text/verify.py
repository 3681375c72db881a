"""What ``verify`` found, as text: a line a check, the places below it, and what it says nothing about."""

from __future__ import annotations

from hubclean.cleansing.verifying.report import Check, Place, VerifyReport
from hubclean.escaping import printable

_ENDS = {
    0: "everything that was checked is as stated",
    1: "something is not as stated",
    2: "something could not be decided",
}


def render_verify(report: VerifyReport) -> str:
    """The report as text; strings of strangers are escaped."""
    lines = [f"target    {printable(report.target.said, 300)}"]
    lines += [f"original  {printable(report.base.said, 300)}"] if report.base else []
    lines += [f"it says   {printable(report.outcome, 400)}"] if report.outcome else []
    lines.append("")
    for check in report.checks:
        lines += [f"{check.name:<9} {check.state}: {printable(check.said, 600)}", *_places(check)]
    if report.not_checked:
        lines += ["", "NOT CHECKED"]
        lines += [f"  {printable(text, 300)}" for text in report.not_checked]
    lines += ["", f"{report.requests} requests, {report.bytes_read:,} bytes"]
    return "\n".join([*lines, f"exit code {report.exit_code}: {_ENDS[report.exit_code]}"])


def _places(check: Check) -> list[str]:
    lines = [f"  {where(place)}: {printable(place.what, 600)}" for place in check.places]
    more = check.found - len(check.places)
    return [*lines, f"  and {more:,} more"] if more > 0 else lines


def where(place: Place) -> str:
    """``README.md line 12``, ``model.safetensors tensor 'fc.weight'``, or the path alone."""
    shown = printable(place.path, 200) or "the repo"
    if place.line is not None:
        return f"{shown} line {place.line}"
    return f"{shown} tensor {printable(place.tensor, 120)!r}" if place.tensor is not None else shown
