"""What a target was judged by, in one line, and what of it no longer counts."""

from __future__ import annotations

from hubclean.escaping import printable
from hubclean.scanning.policy.effective import DEFAULT, Allowance, Policy


def policy_lines(policy: Policy) -> list[str]:
    """The policy in one line, with where each value came from, unless all of it is what hubclean does anyway.

    A line more for what has expired, and for settings that nobody read because they lie in the target.
    """
    said = [
        f"{name} {value} ({printable(policy.sources[name], 200)})"
        for name, value in (("fail-on", policy.gate), ("for", policy.loader))
        if policy.sources[name] != DEFAULT
    ]
    if policy.baseline:
        said.append(f"baseline {printable(policy.baseline, 300)} ({printable(policy.sources['baseline'], 200)})")
    said += [_allowance(row) for row in policy.allowances if not row.expired]
    if policy.file and not said:
        said = [f"nothing for this target in {printable(policy.file, 300)}"]
    lines = [f"policy: {'; '.join(said)}"] if said else []
    lines += [f"EXPIRED, does not count: {_allowance(row)}" for row in policy.expired]
    if policy.not_read:
        name = printable(policy.not_read, 300)
        lines.append(f"{name} lies in the target itself and was not read; --config {name} reads it, if it is yours")
    return lines


def _allowance(row: Allowance) -> str:
    facts = [printable(row.source, 200), printable(row.reason, 200), f"until {row.expires}" if row.expires else ""]
    return f"{row.kind} {printable(row.what, 200)} ({', '.join(filter(None, facts))})"
