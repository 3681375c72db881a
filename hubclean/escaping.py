"""Strings from a repo come from the attacker: made harmless here before they are shown anywhere.

Every function takes any ``str`` (lone surrogates too) and gives one line that encodes to UTF-8. YAML has no function
here: ``front_matter.dump_front_matter`` writes it through the YAML dumper and nothing else does.
"""

from __future__ import annotations

import html
import re
import unicodedata

# Letters and marks that draw nothing: Unicode's Default_Ignorable_Code_Point outside the categories below, and the
# blank of braille.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
_MARKS = frozenset(("Mn", "Me", "Mc"))
_STACKED = 2  # more combining marks than this on one letter climb over neighbouring lines

# What could start or end markup; a hyphen, plus or equals sign inside a word or between words cannot.
_ESCAPED = re.compile(r"[\\`*_{}\[\]#!|<>~$:@&^\"]|(?<!\w)[-+]|[-+](?!\w)|(?<![\w ])=|=(?![\w ])|^ *\d+[.)]")
# A word joiner draws nothing and splits what renderers look for after they have undone the entities:
# mail addresses, mentions, issue numbers, emoji names, math and bare host names (cmark-gfm, remark-gfm, linkify).
_JOINER = "&#8288;"
_SPLIT_AFTER = frozenset("@:#$\\")
_DOT = re.compile(r"(?<=[^\W_])\.(?=[^\W\d_])|(?<=;)\.(?=[^\W\d_])")
_ISOLATE, _POP = "&#8296;", "&#8297;"


def printable(text: str, limit: int = 200) -> str:
    """One line of ``text`` for a terminal: whatever is invisible, moves the cursor or turns the reading direction
    (control, format, surrogate, private, unassigned characters, odd spaces, stacked marks) is shown as an escape.

    Text longer than ``limit`` characters is cut there and marked with an ellipsis; the result has at most
    ``10 * limit + 1`` characters.
    """
    shown, marks = [], _STACKED  # a mark in first place would sit on a character that is not part of the text
    for character in text[:limit]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        hidden = category in _HIDDEN and character != " "
        if hidden or marks > _STACKED or _BLANK.match(character):
            character = character.encode("unicode_escape", "backslashreplace").decode("ascii")
            marks = _STACKED
        shown.append(character)
    return "".join(shown) + ("…" if len(text) > limit else "")


def markdown(text: str, limit: int = 200) -> str:
    """``text`` as literal Markdown in a paragraph, heading, list item or table cell, also at the start of a line.

    ASCII punctuation becomes numeric entities, which CommonMark (section 6.2 of 0.29 and later) never takes for
    structure. Word joiners keep renderers from linking what they read after decoding; they draw nothing.
    """
    shown = printable(text, limit)
    out = _ESCAPED.sub(_entity, shown)
    out = _DOT.sub(f"{_JOINER}&#46;{_JOINER}", out)
    body = out.strip(" ")
    left = len(out) - len(out.lstrip(" "))
    out = "&#32;" * left + body + "&#32;" * (len(out) - left - len(body)) if body else "&#32;" * len(out)
    return f"{_ISOLATE}{out}{_POP}" if _right_to_left(shown) else out


def code(text: str, limit: int = 200) -> str:
    """``text`` as inline code that cannot be left, also inside a table cell, where a code span cannot hold ``|``."""
    shown = printable(text, limit)
    if not shown or shown != shown.strip(" ") or set("`|") & set(shown) or _right_to_left(shown):
        return f"<code>{markdown(text, limit)}</code>"
    return f"`{shown}`"


def fenced(text: str, language: str = "", limit: int = 2000) -> str:
    """``text`` as a fenced code block of one line, to be put at the start of a line. ``language`` is ours."""
    shown = printable(text, limit)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def markup(text: str, limit: int = 200) -> str:
    """``text`` for HTML content and quoted attributes."""
    return html.escape(printable(text, limit), quote=True)


def _entity(match: re.Match[str]) -> str:
    sign = match[0][-1]
    return f"{match[0][:-1]}&#{ord(sign)};{_JOINER if sign in _SPLIT_AFTER else ''}"


def _right_to_left(text: str) -> bool:
    """Hebrew or Arabic letters reorder the digits and punctuation that follow them unless they are isolated."""
    return any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)
