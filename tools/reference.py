"""Writes the pages of docs/reference that come from the code: ``python -m tools.reference``; ``--check`` only compares.

``pages()`` is what the pages must hold; a test compares them with what is committed. The rules page scans the small
repos of ``rule_examples.py`` and shows what the scan prints of them, so that every example is true. Needs
``hubclean[models]``, since the methods cannot be listed without torch.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from hubclean import registry
from hubclean.cli.main import main as command
from hubclean.hub.repos import LocalRepo
from hubclean.records import Finding, MethodText
from hubclean.scanning.engine import scan
from hubclean.scanning.rule_texts import rule_texts as rule_texts
from hubclean.scanning.rules import RULES
from tools import field_page, schema_page
from tools.markdown import cell, prose, text_of
from tools.rule_examples import EXAMPLES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = "<!-- Made by `python -m tools.reference`; edit the code, or tools/, instead. -->"
WIDTH = 100
FAMILIES = {
    "PKL": "Pickles",
    "ZIP": "Zip archives",
    "TS": "TorchScript",
    "ST": "safetensors",
    "NPY": "NumPy",
    "MSG": "MessagePack",
    "SKO": "skops",
    "ARW": "Arrow and Parquet",
    "CFG": "Configs and templates",
    "NET": "Graphs of other runtimes",
    "PY": "Python files",
    "FMT": "Formats",
    "REP": "The repo",
    "H5": "HDF5",
    "KER": "Keras",
    "TF": "TensorFlow",
    "INC": "Not checked",
}
KINDS = {
    "detectors": "Backdoor detectors: `hubclean scan --deep`, `hubclean clean --detector NAME`.",
    "defenses": "Defenses: `hubclean clean --defense NAME`.",
    "scanners": "Static checks; `hubclean scan` runs all of them.",
    "attacks": "Attacks, for the bench, the demo and red teams; no defender's code can reach them.",
}


def pages() -> dict[str, str]:
    """Every generated page by its path below docs/."""
    return {
        "reference/rules.md": rules(),
        "reference/fields.md": field_page.fields(MADE),
        "reference/methods.md": methods(),
        "reference/cli.md": cli(),
        "reference/schemas.md": schema_page.schemas(MADE),
    }


def rules() -> str:
    """One section a rule: what fires it and why, an example with what the scan prints, what to do."""
    texts = rule_texts()
    lines = [
        MADE,
        "# Rules of the static scan",
        "",
        f"`hubclean scan` reports a finding under one of {len(RULES)} rules. Ids are never renamed or reused. The "
        "severity is the usual one; where a rule has others, it names them. Findings from `--fail-on` on (default "
        "`high`) make the exit code 1. What the scan reads, and what it does not judge, is told in "
        "[the scan policy](../scan/policy.md).",
        "",
        "The examples are the small repos of `tools/rule_examples.py`, scanned when this page is "
        "made: what stands in the grey boxes is what is printed (only the lines of that rule).",
        "",
        "| rule | severity | fires when |",
        "|---|---|---|",
        *(f"| [{rule.id}](#{rule.id.lower()}) | {rule.severity} | {rule.text} |" for rule in RULES.values()),
    ]
    family = ""
    for name, rule in RULES.items():
        if name.split("-")[1] != family:
            family = name.split("-")[1]
            lines += ["", f"## {FAMILIES[family]}"]
        told = texts[name]
        shown = [_line(row) for row in example(name)[:3]]
        also = f" (also {', '.join(rule.others)})" if rule.others else ""
        lines += ["", f"### {name}", "", f"**{rule.severity}{also}.** {rule.text}", "", told["why"].strip(), ""]
        lines += [f"*Example.* {told['example']}", "", "```text", *shown, "```", ""]
        lines += [f"*What to do.* {told['remedy'].strip()}"]
    return text_of(lines)


def example(rule: str) -> list[Finding]:
    """What the scan finds under ``rule`` in its example."""
    with tempfile.TemporaryDirectory() as folder:
        for path, body in EXAMPLES[rule]().items():
            (Path(folder) / path).write_bytes(body)
        repo: Any = LocalRepo(Path(folder))
        if rule == "HC-REP-003":  # what a Hub would have said
            repo.hub_security = {
                "scansDone": True,
                "filesWithIssues": [{"path": "model.safetensors", "level": "unsafe"}],
            }
        return [row for row in scan(repo).findings if row.rule == rule]


def _line(row: Finding) -> str:
    """A finding as the command prints it."""
    place = row.path.encode("unicode_escape").decode() + ("" if row.offset is None else f" at byte {row.offset}")
    return f"{row.severity}  {row.rule}  {place}: {row.what} -> {row.advice}"


def methods() -> str:
    """Every registered method with its text and options."""
    rows = registry.describe_methods()
    lines = [
        MADE,
        "# Methods",
        "",
        "What `hubclean methods NAME` prints, for every method that comes with hubclean. An option is given as "
        "`-o NAME=VALUE`, or `-o METHOD.NAME=VALUE` where several methods run. The formulas with their symbols, and "
        "where hubclean departs from the papers, are on the pages under [Methods](../methods/index.md).",
    ]
    for kind, said in KINDS.items():
        lines += ["", f"## {kind.capitalize()}", "", said]
        for row in rows:
            if row.kind == kind:
                lines += ["", f"### {row.name}", "", *_method(row)]
    return text_of(lines)


def _method(row: MethodText) -> Iterator[str]:
    yield f"*{prose(row.paper)}*"
    yield ""
    yield prose(row.summary)
    if row.details:
        yield ""
        yield _details(row.details)
    if row.options:
        yield from ("", "| option | type | default | allowed | meaning |", "|---|---|---|---|---|")
        for one in row.options:
            default = "true" if one.default is True else "false" if one.default is False else str(one.default)
            allowed = one.allowed.replace(" | ", ", ")
            cells = [f"`{one.name}`", one.type, f"`{default}`" if default else "", allowed, cell(one.text)]
            yield f"| {' | '.join(cells)} |"


def _details(text: str) -> str:
    """A docstring's paragraphs as Markdown; indented ones are formulas and stay as they are."""
    parts = []
    for block in text.split("\n\n"):
        if block.startswith("    "):
            parts.append("```text\n" + inspect.cleandoc(block) + "\n```")
        else:
            parts.append(prose(block))
    return "\n\n".join(parts)


def cli() -> str:
    """The help text of every command, as ``--help`` prints it."""
    lines = [
        MADE,
        "# Commands",
        "",
        "Results go to stdout, everything else to stderr; `--json` gives one document "
        "([schemas](schemas.md)). The base install runs `scan`, `baseline`, `download`, `convert`, `push`, `verify`, "
        "`rules` and `hf-register`; the others, `scan --deep` and `verify --data`, need `hubclean[models]`.",
        "",
        "## Exit codes",
        "",
        "| code | `scan` | `download`, `convert` | `clean` | `push` | `verify` |",
        "|---|---|---|---|---|---|",
        "| 0 | every file checked, no finding at or above `--fail-on`; with `--deep` no backdoor found | done | "
        "written; no backdoor found, or its triggers work on at most 20 % of images | published | all as stated |",
        "| 1 | findings, or a backdoor found | refused for a finding | written, but a trigger still works | - | "
        "something is not as stated, and its place is named |",
        "| 2 | no verdict: an error, bad input, something could not be checked or decided | refused because something "
        "could not be checked or converted | not written, or written without a verdict | nothing published | "
        "something could not be decided |",
        "",
        '"Could not decide" is never 0, and neither is "not looked at".',
        "",
        "## hubclean",
        *_help(),
    ]
    for name in command.commands:
        lines += ["", f"## hubclean {name}", *_help(name)]
    return text_of(lines)


def _help(*words: str) -> list[str]:
    shown = CliRunner().invoke(command, [*words, "--help"], prog_name="hubclean", terminal_width=WIDTH).output
    return ["", "```text", *shown.strip().splitlines(), "```"]


def stale() -> list[str]:
    """The committed pages that are not what the code says."""
    made = pages()
    return [
        path for path, text in made.items() if not (DOCS / path).is_file() or (DOCS / path).read_text("utf-8") != text
    ]


def write() -> None:
    """Write every generated page."""
    for path, text in pages().items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        old = stale()
        print("\n".join(f"docs/{path} is not what the code says: run `python -m tools.reference`" for path in old))
        sys.exit(bool(old))
    write()
