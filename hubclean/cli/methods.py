"""``hubclean methods``: detectors, defenses, scanners, attacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hubclean.cli.options import json_option, print_result
from hubclean.cli.rules import explained
from hubclean.cli.text.layout import columns

if TYPE_CHECKING:
    from hubclean.records import MethodText


def render_methods(rows: Sequence[MethodText]) -> str:
    """All methods in a table, or one of them whole."""
    if len(rows) == 1:
        return _one_method(rows[0])
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows):
        lines += [kind, columns([[row.name, row.paper] for row in rows if row.kind == kind]), ""]
    return "\n".join([*lines, "hubclean methods NAME shows one with its options, defaults and ranges."])


def _one_method(row: MethodText) -> str:
    lines = [f"{row.name} ({row.kind.removesuffix('s')}): {row.paper}", "", row.summary]
    lines += ["", row.details] if row.details else []
    if not row.options:
        return "\n".join([*lines, "", "no options"])
    table = [["option", "type", "default", "allowed", "meaning"]]
    table += [[o.name, o.type, str(o.default), o.allowed, o.text] for o in row.options]
    return "\n".join([*lines, "", columns(table)])


@click.command()
@click.argument("name", required=False)
@json_option
def methods(name: str | None, as_json: bool) -> None:
    """The detectors, defenses, scanners and attacks, or one of them with options, defaults and ranges.

    The name of a rule (HC-PKL-002) is told as by hubclean rules.
    """
    from hubclean.registry import describe_methods
    from hubclean.scanning.rule_texts import describe_rules, names_a_rule

    if name is not None and names_a_rule(name):
        told = describe_rules(name)
        print_result(told, as_json, lambda: explained(name))
        return

    rows = describe_methods(name)
    print_result(rows, as_json, lambda: render_methods(rows))
