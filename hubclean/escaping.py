"""Strings from a repo come from the attacker: made harmless here before they are shown anywhere."""

from __future__ import annotations

import html
import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:@/&=])")


def printable(text: str, limit: int = 200) -> str:
    """One line of ``text`` for a terminal: control, format (bidi) and surrogate characters shown as escapes.

    Longer text is cut at ``limit`` characters and marked with an ellipsis.
    """
    shown = "".join(
        character.encode("unicode_escape", "backslashreplace").decode("ascii")
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else character
        for character in text[: limit + 1]
    )
    return shown if len(text) <= limit else shown[:limit] + "…"


def markdown(text: str, limit: int = 200) -> str:
    """``text`` as literal Markdown: no markup, link, mention, table cell break or HTML can come of it."""
    return (
        _MARKDOWN.sub(r"\\\1", printable(text, limit))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
        .replace("\\&", "&amp;")
    )


def code(text: str, limit: int = 200) -> str:
    """``text`` as an inline Markdown code span that cannot be left, also inside a table cell."""
    shown = printable(text, limit).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    return f"{fence} {shown} {fence}" if "`" in shown else f"`{shown}`"


def markup(text: str, limit: int = 200) -> str:
    """``text`` for HTML content and quoted attributes."""
    return html.escape(printable(text, limit), quote=True)
