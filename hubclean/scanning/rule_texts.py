"""What is said of every rule beside its sentence: why it is there, an example, what to do. One source, ``rules.toml``,
for ``hubclean rules`` and the page of rules.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hubclean.errors import OptionError
from hubclean.escaping import printable
from hubclean.records import Severity
from hubclean.scanning.rules import RULES

PAGE = "docs/reference/rules.md"


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule, told whole.

    Args:
        id: ``HC-PKL-002``.
        severity: the usual one, ``others`` those that it may have besides.
        text: what it means in one sentence.
        hostile: whether it counts in files that no loader opens, too, from ``high`` on.
        why, example, remedy: Markdown, with links from the page of rules.
    """

    id: str
    severity: Severity
    others: tuple[Severity, ...]
    text: str
    hostile: bool
    why: str
    example: str
    remedy: str


@cache
def rule_texts() -> dict[str, dict[str, str]]:
    """``why``, ``example`` and ``remedy`` of every rule, as Markdown."""
    return tomllib.loads((Path(__file__).parent / "rules.toml").read_text(encoding="utf-8"))


def describe_rules(name: str | None = None) -> tuple[RuleText, ...]:
    """All rules in their order, or the one that is meant: ``HC-PKL-002``, ``hc-pkl-002`` or ``PKL-002``.

    Raises:
        OptionError: there is no such rule; the message names the nearest.
    """
    if name is None:
        return tuple(_told(rule) for rule in RULES)
    meant = name.upper() if name.upper().startswith("HC-") else f"HC-{name.upper()}"
    if meant not in RULES:
        close = difflib.get_close_matches(meant, RULES, 1, 0.6)
        hint = f"did you mean {close[0]}?" if close else "`hubclean rules` lists them"
        raise OptionError(f"no rule is called {printable(name, 60)!r}; {hint}")
    return (_told(meant),)


def names_a_rule(name: str) -> bool:
    """Whether a name is written as rules are, and as no method is."""
    return name.upper().startswith("HC-")


def _told(name: str) -> RuleText:
    rule, texts = RULES[name], rule_texts()[name]
    said = {key: texts[key].strip() for key in ("why", "example", "remedy")}
    return RuleText(rule.id, rule.severity, rule.others, rule.text, rule.hostile, **said)
