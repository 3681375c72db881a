"""The form of a rule of the static scan."""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.records import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its id, the severity it usually fires with, what it means in one sentence, and what to do about it.

    ``advice`` is empty where it depends on what was seen; the scanner then words it. ``others`` are the severities that
    it may have beside the usual one. ``hostile`` rules count in files that no loader opens, too, from ``high`` on: they
    tell of code, commands, network or files, hidden calls, paths that leave the repo, disguises.
    """

    id: str
    severity: Severity
    text: str
    advice: str = ""
    others: tuple[Severity, ...] = ()
    hostile: bool = False


def rule(
    number: str,
    severity: Severity,
    text: str,
    advice: str = "",
    others: tuple[Severity, ...] = (),
    *,
    hostile: bool = False,
) -> tuple[str, Rule]:
    """A rule by its id: ``rule("PKL-001", ...)`` is HC-PKL-001."""
    return f"HC-{number}", Rule(f"HC-{number}", severity, text, advice, others, hostile)
