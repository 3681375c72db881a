"""``hubclean rules``: the rules of the static scan, or one of them with its why, an example, and what to do."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hubclean.cli.options import json_option, print_result
from hubclean.cli.text.layout import columns

if TYPE_CHECKING:
    from hubclean.scanning.rule_texts import RuleText

_WIDEST = 100


def render_rules(rows: Sequence[RuleText], width: int = _WIDEST) -> str:
    """All rules in a table, or one of them whole, in lines of at most ``width`` characters."""
    if len(rows) == 1:
        return _one_rule(rows[0], width)
    head = columns([[row.id, row.severity, ""] for row in rows], "").splitlines()
    indent = max(map(len, head)) + 2
    lines = []
    for start, row in zip(head, rows, strict=True):
        text = textwrap.wrap(row.text, max(width - indent, 20))
        lines += [f"{start:<{indent}}{text[0]}", *(f"{'':<{indent}}{line}" for line in text[1:])]
    return "\n".join([*lines, "", "hubclean rules RULE tells one: why, an example, what to do."])


def _one_rule(row: RuleText, width: int) -> str:
    also = f", also {', '.join(row.others)}" if row.others else ""
    counts = "; counts in files that nobody loads, too, from high on" if row.hostile else ""
    parts = [f"{row.id} ({row.severity}{also}{counts})", row.text]
    parts += [f"{head}: {plain(text)}" for head, text in (("Why", row.why), ("Example", row.example))]
    parts.append(f"What to do: {plain(row.remedy)}")
    return "\n\n".join(textwrap.fill(part, width, break_long_words=False, break_on_hyphens=False) for part in parts)


def plain(text: str) -> str:
    """Markdown of the page of rules as it is read on a terminal: one line, a link as its text and where it leads."""

    def link(found: re.Match[str]) -> str:
        place = found[2].removeprefix("../")
        return f"{found[1]} ({place[1:].upper() if place.startswith('#') else f'docs/{place}'})"

    return " ".join(re.sub(r"\[([^\]]+)\]\(([^)]+)\)", link, text).split())


def explained(name: str) -> str:
    """One rule as text, as wide as the terminal.

    Raises:
        OptionError: there is no such rule.
    """
    from hubclean.scanning.rule_texts import describe_rules

    return render_rules(describe_rules(name), _width())


def explain_option(command: Any) -> Any:
    """``--explain RULE`` of a command that reports findings: tells the rule and ends."""

    def tell(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            click.echo(explained(value))
            context.exit()

    text = "Tell what a rule of the report means, why, and what to do; scans nothing."
    return click.option("--explain", metavar="RULE", is_eager=True, expose_value=False, callback=tell, help=text)(
        command
    )


def _width() -> int:
    return min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns)


@click.command()
@click.argument("rule", required=False)
@json_option
def rules(rule: str | None, as_json: bool) -> None:
    """The rules of the static scan, or one of them with its why, an example, and what to do.

    RULE is the name that a finding has, e.g. HC-PKL-002.
    """
    from hubclean.scanning.rule_texts import describe_rules

    rows = describe_rules(rule)
    print_result(rows, as_json, lambda: render_rules(rows, _width()))
