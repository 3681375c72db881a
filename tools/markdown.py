"""Text of docstrings as Markdown."""

from __future__ import annotations

import re


def prose(text: str) -> str:
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


def cell(text: str) -> str:
    """Docstring text for a cell of a table."""
    return " ".join(prose(text).replace("|", "\\|").split())


def _link(found: re.Match[str]) -> str:
    return f"[{found[1].removesuffix('.md')}](../{found[1]})"


def text_of(lines: list[str]) -> str:
    """The lines of a page as its text."""
    return "\n".join(lines).rstrip() + "\n"
