"""The card says what the audit gives: rendered once more with the templates at hand, and compared line by line.

A card of another version was made by other templates. Of it the figures alone are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from hubclean.cleansing import hub_metadata
from hubclean.cleansing.card import rate, render_card
from hubclean.cleansing.card_metadata import metadata
from hubclean.cleansing.front_matter import dump_front_matter, read_front_matter
from hubclean.cleansing.verifying.origin import original_card
from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.cleansing.verifying.statement import Statement, read_statement
from hubclean.cleansing.verifying.sums import rates
from hubclean.errors import HubcleanError, PublishError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import AUDIT, CARD, stated_digest
from hubclean.hub.repos import LocalRepo
from hubclean.version import __version__

INHERITED = "what the card took over of the original's metadata"
# Whoever publishes may put the name of the repo there, and nothing else.
_BLANK, _REPO_ID = "THIS/REPO", r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
# What whoever publishes adds stands below this line, which no template has.
OWN_CHAPTER = "## From the maintainer"
OWN = "the maintainer's own chapter of the card"
_LAST = "## Metadata and licence"
_PICTURE = re.compile(r"\]\((hubclean/[\w.-]+\.png)\)", re.ASCII)
_RATE = re.compile(r"\d[\d.]{0,12} % \[\d[\d.]{0,12}, \d[\d.]{0,12}\], n=\d{1,16}")
_AROUND = 40  # signs shown before the first that differs
_MOST = 20


def check_readme(statement: Statement, original: str | None, known: bool, name: str | None = None) -> Check:
    """Compare the card with the audit.

    Args:
        original: the original's card; ``None`` if it has none.
        known: whether that is known. If not, what was taken over of it is not compared.
        name: the repo's own name, which may stand where the templates leave room for it; ``None``: any may.
    """
    places = []
    if (stated := stated_digest(statement.card)) != statement.digest:
        what = f"states the sha256 {stated} of the audit" if stated else "does not state one sha256 of the audit"
        places.append(Place(AUDIT, f"has the sha256 {statement.digest}, and {CARD} {what}"))
    if not statement.ours:
        places += _figures(statement)
        other = printable(statement.audit.versions.get("hubclean", "unknown"), 40)
        point = f"made by hubclean {other}, so its words cannot be compared by {__version__}"
        left = ("the words of the card", INHERITED)
        return concluded("card", "", places, [f"{point}; its rates are those of the audit"], left)
    stated = stated or statement.digest
    try:
        made = _rendered(statement, original if known else _own_metadata(statement.card), stated)
    except (LookupError, ValueError, TypeError, ArithmeticError, RecursionError, TemplateError) as error:
        places.append(Place(AUDIT, f"gives no card: {type(error).__name__}: {printable(str(error), 120)}"))
        return concluded("card", "", places)
    lines = statement.card.split("\n")
    own = lines.index(OWN_CHAPTER) if OWN_CHAPTER in lines else len(lines)
    places += _different(_trimmed(lines[:own]), _trimmed(made.split("\n")), known, name)
    said = f"word for word what hubclean {__version__} makes of the audit"
    own_words = (OWN,) if own < len(lines) else ()
    uncompared = (*own_words, *(() if known else (INHERITED,)))
    but = f", but for {' and '.join(uncompared)}" if uncompared else ""
    return concluded("card", said + but, places, left=uncompared)


def refuse_edited(folder: Path) -> None:
    """Let nothing be published under a card that says something else than the audit beside it.

    Raises:
        PublishError: the line that was changed. Where folder or audit cannot be read, ``push`` itself says why.
    """
    try:
        repo = LocalRepo(folder)
        statement = read_statement(repo, {entry.path: entry for entry in repo.files()})
        check = check_readme(statement, *original_card(None, statement.audit))
    except (HubcleanError, OSError):
        return
    if check.places:
        place = check.places[0]
        where = place.path if place.line is None else f"{place.path} line {place.line}"
        raise PublishError(f"{where} {place.what}: it was changed after `hubclean clean`")


def _rendered(statement: Statement, original: str | None, digest: str) -> str:
    """The card for the audit, with its pictures in the order in which the card has them."""
    there = {row.path for row in statement.audit.outputs}
    shown = [path for path in dict.fromkeys(_PICTURE.findall(statement.card)) if path in there]
    rest = sorted(path for path in there - set(shown) if re.fullmatch(r"hubclean/[^/]+\.png", path))
    return render_card(statement.audit, original, (*shown, *rest), digest)


def _own_metadata(card: str) -> str:
    """A card that stands for the original's: the metadata of this one, of which ours will be written anew."""
    return dump_front_matter(read_front_matter(card)[0])


def _trimmed(lines: list[str]) -> list[str]:
    """Without empty lines at the end."""
    stop = next((row + 1 for row in range(len(lines) - 1, -1, -1) if lines[row].strip()), 0)
    return lines[:stop]


def _different(lines: list[str], wanted: list[str], whole: bool, name: str | None) -> Iterator[Place]:
    """The first lines that differ, up to the last chapter where not the whole is compared."""
    if not whole:
        lines, wanted = _before(lines), _before(wanted)
    if len(lines) == len(wanted):
        rows = [row for row, pair in enumerate(zip(lines, wanted, strict=True)) if not _same(*pair, name)]
    else:
        shorter = min(len(lines), len(wanted))
        rows = [next((row for row in range(shorter) if not _same(lines[row], wanted[row], name)), shorter)]
    for row in rows[:_MOST]:
        said, gives = (texts[row] if row < len(texts) else None for texts in (lines, wanted))
        yield Place(CARD, _told(said, gives), line=row + 1)


def _before(lines: list[str]) -> list[str]:
    last = next((row for row in range(len(lines) - 1, -1, -1) if lines[row] == _LAST), len(lines))
    return lines[:last]


def _same(line: str, wanted: str, name: str | None) -> bool:
    if line == wanted:
        return True
    filled = re.escape(name) if name else _REPO_ID
    return _BLANK in wanted and re.fullmatch(re.escape(wanted).replace(_BLANK, filled), line, re.ASCII) is not None


def _told(said: str | None, gives: str | None) -> str:
    if said is None or gives is None:
        text, who = (said, "the audit gives no such line") if gives is None else (gives, "and the audit gives one more")
        return f"{who}: {printable(text or '', 100)!r}"
    at = next((i for i, (a, b) in enumerate(zip(said, gives, strict=False)) if a != b), min(len(said), len(gives)))
    start = max(0, at - _AROUND)
    cut = "…" * bool(start)
    shown, wanted = (cut + printable(text[start:], 100) for text in (said, gives))
    return f"says {shown!r}, the audit gives {wanted!r}"


def _figures(statement: Statement) -> Iterator[Place]:
    """Rates and results of the metadata that are not among those of the audit."""
    known = {str(rate(row)) for _, row in rates(statement.audit)}
    for number, line in enumerate(statement.card.split("\n"), 1):
        for found in _RATE.findall(line):
            if found not in known:
                yield Place(CARD, f"says {found!r}, which is no rate of the audit", line=number)
    original, _ = hub_metadata.inherited(statement.card)
    said, gives = (
        _results(data) for data in (read_front_matter(statement.card)[0], metadata(statement.audit, original))
    )
    if said != gives:
        yield Place(CARD, f"model-index says {printable(str(said), 120)}, the audit gives {printable(str(gives), 120)}")


def _results(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Type and value of every metric in a ``model-index``, whatever else a stranger put there."""
    found = []
    for model in _list(data, "model-index"):
        for result in _list(model, "results"):
            found += [(str(row.get("type")), str(row.get("value"))) for row in _list(result, "metrics")]
    return found


def _list(data: Any, key: str) -> list[Any]:
    rows = data.get(key) if isinstance(data, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
