"""What the card says of labels: doubts that come first, and which label each class of the images went to."""

from __future__ import annotations

from hubclean.records import Audit

_MOST = 30  # classes shown with their labels


def doubts(audit: Audit) -> list[tuple[str, str]]:
    """What a reader must know before any number: a sentence with a place for a value, and the value."""
    rows = []
    if audit.data.check and audit.data.check.doubt:
        doubted = "**The labels of the images are in doubt**, and whoever ran this accepted it: {}."
        rows.append((doubted, audit.data.check.doubt))
    if audit.loss:
        rows.append(("**It is not known that this copy answers as well as the original:** {}.", audit.loss))
    return rows


def matches(audit: Audit) -> list[tuple[str, ...]]:
    """Classes whose name is not that of their label, the first of many; empty where all have the very same name."""
    names = audit.model.labels
    rows = [row for row in audit.data.matches if row.label is None or names[row.label] != row.name]
    shown: list[tuple[str, ...]] = [
        ("{} is left out", row.name)
        if row.label is None
        else ("{} is {} ({})", row.name, str(row.label), names[row.label])
        for row in rows[:_MOST]
    ]
    more = len(rows) - len(shown)
    return [*shown, (f"and {more} more, in the audit",)] if more else shown
