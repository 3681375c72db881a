"""The rules of the static scan: ids are never renamed or reused. Scanners and output formats read them from here.

Those about files of weights stand in ``weight_rules``, those about configs, names and the repo here.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.escaping import printable
from hubclean.records import Finding, Severity
from hubclean.scanning.rule_form import Rule, rule
from hubclean.scanning.weight_rules import WEIGHT_RULES

RULES: dict[str, Rule] = WEIGHT_RULES | dict(
    (
        rule(
            "CFG-001",
            "high",
            "A config asks for code of the repo or from elsewhere.",
            others=("low", "medium"),
            hostile=True,
        ),
        rule("CFG-002", "critical", "A config reaches code without consent on known library versions.", hostile=True),
        rule(
            "CFG-003",
            "high",
            "A config redirects a loader to another path, repo or address.",
            others=("low", "info"),
            hostile=True,
        ),
        rule(
            "CFG-004", "high", "A template reaches for attributes, or calls what templates need not call.", hostile=True
        ),
        rule("CFG-005", "medium", "JSON does not parse, holds a key twice, or is too long or too deep."),
        rule(
            "PY-001",
            "medium",
            "The repo holds Python files (high when a config points to one).",
            others=("high",),
            hostile=True,
        ),
        rule(
            "PY-002",
            "high",
            "A list of requirements installs from outside the package index.",
            "install nothing from it before you have read it; pin the packages by hash",
            ("medium", "low"),
            hostile=True,
        ),
        rule(
            "FMT-001",
            "high",
            "A file's content and name disagree.",
            "do not load it; ask the author what it is",
            hostile=True,
        ),
        rule(
            "FMT-002",
            "info",
            "A known format that hubclean does not check.",
            "convert to safetensors in an isolated machine",
        ),
        rule(
            "REP-001",
            "high",
            "A Git LFS pointer lies where weights should be, or size or hash is wrong.",
            "fetch the LFS object, or ask the author to upload it",
        ),
        rule(
            "REP-002",
            "medium",
            "Safetensors and pickle weights of the same repo differ.",
            "ask the author which of the two is the model; hubclean loads the safetensors file",
        ),
        rule(
            "REP-003",
            "info",
            "The Hub's own scanners say unsafe (high), or have not finished.",
            "see the file's page on the Hub",
            ("high",),
            hostile=True,
        ),
        rule(
            "REP-004",
            "high",
            "A file's name leaves the folder, hides characters, or collides with another.",
            "do not download this repo with a tool that trusts file names",
            ("medium", "low"),
            hostile=True,
        ),
        rule("INC-001", "info", "The file was not checked.", "look at the file before you load it"),
    )
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule broken at a byte offset of the file (``None``: nowhere in particular); ``what`` says what was seen.

    ``advice``, ``severity`` and ``hostile`` are the rule's own where they are left out; a severity must be one that the
    rule lists.
    """

    rule: str
    what: str
    offset: int | None = None
    advice: str = ""
    severity: Severity | None = None
    hostile: bool | None = None


def finding(problem: Problem, path: str) -> Finding:
    """The problem as a line of the report; its strings come from the file, so they are made printable."""
    own = RULES[problem.rule]
    severity = problem.severity or own.severity
    assert severity in (own.severity, *own.others), f"{own.id} is never {severity}"
    hostile = (own.hostile if problem.hostile is None else problem.hostile) and severity in ("high", "critical")
    what, advice = printable(problem.what, 300), problem.advice or own.advice
    return Finding(own.id, severity, path, what, advice, problem.offset, hostile)
