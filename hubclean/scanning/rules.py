"""The rules of the static scan: ids are never renamed or reused. Scanners and output formats read them from here."""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.escaping import printable
from hubclean.records import Finding, Severity

_CONVERT = "do not load it; use safetensors, or convert it on an isolated machine"
_REFUSE = "do not load or unpack it; ask the author for a clean export"


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


def _rule(
    number: str,
    severity: Severity,
    text: str,
    advice: str = "",
    others: tuple[Severity, ...] = (),
    *,
    hostile: bool = False,
) -> tuple[str, Rule]:
    return f"HC-{number}", Rule(f"HC-{number}", severity, text, advice, others, hostile)


RULES: dict[str, Rule] = dict(
    (
        _rule(
            "PKL-001",
            "critical",
            "A pickle calls a name that runs code, commands, network or files.",
            "do not load it: loading runs this; report it to the Hub",
            hostile=True,
        ),
        _rule("PKL-002", "high", "A pickle references a name outside the allow-list.", _CONVERT),
        _rule(
            "PKL-003",
            "critical",
            "A pickle calls something that is not a literal listed name.",
            "do not load it: what is called is hidden from readers",
            hostile=True,
        ),
        _rule("PKL-004", "high", "A pickle uses an opcode outside the accepted set.", _CONVERT),
        _rule("PKL-005", "high", "A pickle stream is broken, or parsers may disagree on it.", _REFUSE),
        _rule("PKL-006", "high", "There are more pickle streams or bytes than the container allows.", _REFUSE),
        _rule("PKL-007", "high", "A pickle passes a budget: opcodes, depth, memo or alias expansion.", _REFUSE),
        _rule(
            "PKL-008",
            "high",
            "A storage record is missing or has the wrong length, or a tensor's item is assigned.",
            _REFUSE,
        ),
        _rule(
            "PKL-009",
            "medium",
            "There is only a pickle container, no safetensors.",
            "ask the author for safetensors, or run `hubclean convert`",
        ),
        _rule(
            "ZIP-001", "high", "Local and central records of a zip disagree, or members collide.", _REFUSE, hostile=True
        ),
        _rule(
            "ZIP-002", "high", "A zip member's path leaves the archive, or the member is a link.", _REFUSE, hostile=True
        ),
        _rule(
            "ZIP-003", "high", "A zip is a bomb by ratio or size, encrypted, or packed by an unknown method.", _REFUSE
        ),
        _rule("ZIP-004", "medium", "A zip has bytes before or after it, or a second container inside.", _REFUSE),
        _rule(
            "ZIP-005",
            "high",
            "A zip member is code or a program.",
            "do not run it; weights need no code inside them",
            hostile=True,
        ),
        _rule(
            "ST-001",
            "high",
            "The reference parser rejects the safetensors header.",
            "do not load it; get a new export",
        ),
        _rule(
            "ST-002",
            "medium",
            "Readers may disagree on a safetensors header that the reference parser accepts.",
            "re-export the file with the safetensors library",
        ),
        _rule("ST-003", "medium", "Header or tensor count of a safetensors file is out of proportion."),
        _rule("ST-004", "high", "An index names a shard that is missing, outside the repo, or different."),
        _rule(
            "NPY-001",
            "high",
            "A NumPy array holds Python objects, which are pickled.",
            "do not load it with allow_pickle=True",
        ),
        _rule(
            "CFG-001", "high", "A config asks for code of the repo or from elsewhere.", others=("low",), hostile=True
        ),
        _rule("CFG-002", "critical", "A config reaches code without consent on known library versions.", hostile=True),
        _rule(
            "CFG-003",
            "high",
            "A config redirects a loader to another path, repo or address.",
            others=("low", "info"),
            hostile=True,
        ),
        _rule(
            "CFG-004", "high", "A template reaches for attributes, or calls what templates need not call.", hostile=True
        ),
        _rule("CFG-005", "medium", "JSON does not parse, holds a key twice, or is too long or too deep."),
        _rule(
            "PY-001",
            "medium",
            "The repo holds Python files (high when a config points to one).",
            others=("high",),
            hostile=True,
        ),
        _rule(
            "FMT-001",
            "high",
            "A file's content and name disagree.",
            "do not load it; ask the author what it is",
            hostile=True,
        ),
        _rule(
            "FMT-002",
            "info",
            "A known format that hubclean does not check.",
            "convert to safetensors in an isolated machine",
        ),
        _rule(
            "REP-001",
            "high",
            "A Git LFS pointer lies where weights should be, or size or hash is wrong.",
            "fetch the LFS object, or ask the author to upload it",
        ),
        _rule(
            "REP-002",
            "medium",
            "Safetensors and pickle weights of the same repo differ.",
            "ask the author which of the two is the model; hubclean loads the safetensors file",
        ),
        _rule(
            "REP-003",
            "info",
            "The Hub's own scanners say unsafe (high), or have not finished.",
            "see the file's page on the Hub",
            ("high",),
            hostile=True,
        ),
        _rule(
            "REP-004",
            "high",
            "A file's name leaves the folder, hides characters, or collides with another.",
            "do not download this repo with a tool that trusts file names",
            ("medium",),
            hostile=True,
        ),
        _rule("INC-001", "info", "The file was not checked.", "look at the file before you load it"),
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
    rule = RULES[problem.rule]
    severity = problem.severity or rule.severity
    assert severity in (rule.severity, *rule.others), f"{rule.id} is never {severity}"
    hostile = (rule.hostile if problem.hostile is None else problem.hostile) and severity in ("high", "critical")
    what, advice = printable(problem.what, 300), problem.advice or rule.advice
    return Finding(rule.id, severity, path, what, advice, problem.offset, hostile)
