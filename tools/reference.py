"""Writes the pages of docs/reference that come from the code: ``python -m tools.reference``; ``--check`` only compares.

``pages()`` is what the pages must hold; a test compares them with what is committed. The rules page scans the small
repos of ``rule_examples.py`` and shows what the scan prints of them, so that every example is true. Needs
``hubclean[models]``, since the methods cannot be listed without torch.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from hubclean import measurements, model_records, records, registry
from hubclean.cli.main import main as command
from hubclean.hub.repos import LocalRepo
from hubclean.records import Audit, Finding, MethodText
from hubclean.scanning import document
from hubclean.scanning.document import SCAN_SCHEMA, ScanDocument
from hubclean.scanning.engine import scan
from hubclean.scanning.rules import RULES
from hubclean.schema import json_schema
from tools.rule_examples import EXAMPLES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = "<!-- Made by `python -m tools.reference`; edit the code, or tools/, instead. -->"
WIDTH = 100
FAMILIES = {
    "PKL": "Pickles",
    "ZIP": "Zip archives",
    "ST": "safetensors",
    "NPY": "NumPy",
    "CFG": "Configs and templates",
    "PY": "Python files",
    "FMT": "Formats",
    "REP": "The repo",
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
        "reference/methods.md": methods(),
        "reference/cli.md": cli(),
        "reference/schemas.md": schemas(),
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
    return _text(lines)


def rule_texts() -> dict[str, dict[str, str]]:
    """Why, example and remedy of every rule, as Markdown."""
    return tomllib.loads((ROOT / "tools" / "rules.toml").read_text(encoding="utf-8"))


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
    return _text(lines)


def _method(row: MethodText) -> Iterator[str]:
    yield f"*{_prose(row.paper)}*"
    yield ""
    yield _prose(row.summary)
    if row.details:
        yield ""
        yield _details(row.details)
    if row.options:
        yield from ("", "| option | type | default | allowed | meaning |", "|---|---|---|---|---|")
        for one in row.options:
            default = "true" if one.default is True else "false" if one.default is False else str(one.default)
            allowed = one.allowed.replace(" | ", ", ")
            cells = [f"`{one.name}`", one.type, f"`{default}`" if default else "", allowed, _cell(one.text)]
            yield f"| {' | '.join(cells)} |"


def _details(text: str) -> str:
    """A docstring's paragraphs as Markdown; indented ones are formulas and stay as they are."""
    parts = []
    for block in text.split("\n\n"):
        if block.startswith("    "):
            parts.append("```text\n" + inspect.cleandoc(block) + "\n```")
        else:
            parts.append(_prose(block))
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """Docstring text as Markdown: code stays code, nothing else is taken for markup, pages of docs/ become links."""
    shown = []
    for place, part in enumerate(re.split(r"``(.+?)``", text, flags=re.DOTALL)):
        if place % 2:
            shown.append(f"`{' '.join(part.split())}`")
        else:
            plain = re.sub(r"(\b_\B|\B_\b|(?<!\s)\*|\*(?!\s)|(?m:^[>#+-](?= )))", r"\\\1", part)
            plain = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", plain)
            shown.append(re.sub(r"docs/(\w+/[\w-]+\.md(?:#[\w-]+)?)", _link, plain))
    return "".join(shown)


def _cell(text: str) -> str:
    """Docstring text for a cell of a table."""
    return " ".join(_prose(text).replace("|", "\\|").split())


def _link(found: re.Match[str]) -> str:
    return f"[{found[1].removesuffix('.md')}](../{found[1]})"


def cli() -> str:
    """The help text of every command, as ``--help`` prints it."""
    lines = [
        MADE,
        "# Commands",
        "",
        "Results go to stdout, everything else to stderr; `--json` gives one document "
        "([schemas](schemas.md)). The base install runs `scan`, `download`, `convert`, `push` and `hf-register`; the "
        "others, and `scan --deep`, need `hubclean[models]`.",
        "",
        "## Exit codes",
        "",
        "| code | `scan` | `download`, `convert` | `clean` | `push` |",
        "|---|---|---|---|---|",
        "| 0 | every file checked, no finding at or above `--fail-on`; with `--deep` no backdoor found | done | "
        "written; no backdoor found, or its triggers work on at most 20 % of images | published |",
        "| 1 | findings, or a backdoor found | refused for a finding | written, but a trigger still works | - |",
        "| 2 | no verdict: an error, bad input, something could not be checked or decided | refused because something "
        "could not be checked or converted | not written, or written without a verdict | nothing published |",
        "",
        '"Could not decide" is never 0, and neither is "not looked at".',
        "",
        "## hubclean",
        *_help(),
    ]
    for name in command.commands:
        lines += ["", f"## hubclean {name}", *_help(name)]
    return _text(lines)


def _help(*words: str) -> list[str]:
    shown = CliRunner().invoke(command, [*words, "--help"], prog_name="hubclean", terminal_width=WIDTH).output
    return ["", "```text", *shown.strip().splitlines(), "```"]


def schemas() -> str:
    """The two documents that other programs read, record by record."""
    lines = [
        MADE,
        "# Schemas",
        "",
        "Two documents are made for other programs. Both have a JSON Schema (draft 2020-12) in the repository, and a "
        "field `schema` that names its version. "
        "`hubclean scan --json` prints `hubclean/scan/v1`: no time and no duration is in it, so that two scans of the "
        "same commit are equal byte by byte. `hubclean clean` writes `hubclean/audit/v1` as `hubclean/audit.json` into "
        "its output folder. Rates are fractions with their number of trials and 95 % Wilson interval, sizes bytes, "
        "times seconds.",
        "",
        "`scan --format sarif` is SARIF 2.1.0 and `--format cyclonedx` CycloneDX 1.6; their schemas are published by "
        "OASIS and OWASP.",
    ]
    for title, schema in (
        ("scan.json", json_schema(ScanDocument, SCAN_SCHEMA)),
        ("audit.json", json_schema(Audit)),
    ):
        top = schema["$ref"].rpartition("/")[2]
        lines += ["", f"## {title}", ""]
        rest = [name for name in schema["$defs"] if name != top]
        for name in (top, *rest):
            heading = f"{title}: {name}"
            lines += [f"### {heading}", "", schema["$defs"][name]["description"], ""]
            lines += [*_fields(name, schema["$defs"][name], title), ""]
    return _text(lines)


def _fields(name: str, record: dict[str, Any], title: str) -> Iterator[str]:
    said = _said(name)
    yield "| field | type | |"
    yield "|---|---|---|"
    for field, kind in record["properties"].items():
        optional = "" if field in record["required"] else "Optional. "
        yield f"| `{field}` | {_kind(kind, title)} | {_cell(optional + said.get(field, ''))} |"


def _kind(kind: dict[str, Any], title: str) -> str:
    """A type of JSON Schema in words."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}](#{title.replace('.', '')}-{name.lower()})"
    if "const" in kind:
        return f"`{json.dumps(kind['const'])}`"
    if "enum" in kind:
        return ", ".join(f"`{json.dumps(value)}`" for value in kind["enum"])
    if "anyOf" in kind:
        return " or ".join(_kind(arm, title) for arm in kind["anyOf"])
    if "prefixItems" in kind:
        return f"array of {', '.join(_kind(arm, title) for arm in kind['prefixItems'])}"
    if kind.get("type") == "array":
        return f"array of {_kind(kind['items'], title)}"
    if kind.get("type") == "object":
        return f"object of {_kind(kind['additionalProperties'], title)}"
    return " or ".join([kind["type"]] if isinstance(kind["type"], str) else kind["type"])


def _said(name: str) -> dict[str, str]:
    """What the docstring of a record says of its fields, under ``Args:``."""
    places = (records, measurements, model_records, document)
    found = next(getattr(place, name) for place in places if hasattr(place, name))
    _, _, args = inspect.cleandoc(found.__doc__ or "").partition("Args:\n")
    rows: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", args, re.MULTILINE):
        rows |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return rows


def _text(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


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
