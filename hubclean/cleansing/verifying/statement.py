"""Audit and card of a checkpoint: a stranger wrote both, so they are read within bounds and believed by nobody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hubclean.errors import FormatError, IntegrityError, TargetError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import AUDIT, CARD
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.records import SCHEMA, Audit, from_json, to_json
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.version import __version__

LARGEST_AUDIT, LARGEST_CARD = 16 << 20, 4 << 20  # an audit of 20,000 labels has 7 MB
_MOST_VALUES = 2_000_000
_MOST_CELLS = 20_000  # of the card's table of before and after: stages by triggers


@dataclass(frozen=True, slots=True)
class Statement:
    """What a checkpoint says of itself.

    Args:
        audit: the record.
        digest: sha256 of its bytes, in hex.
        card: text of README.md.
        ours: whether it was written by this version of hubclean, whose card templates are at hand.
    """

    audit: Audit
    digest: str
    card: str
    ours: bool


def read_statement(repo: Repo, files: dict[str, RepoEntry]) -> Statement:
    """Read both.

    Raises:
        TargetError: one is missing: nothing was stated. FormatError: the audit was written by another version, and
            cannot be read by this one. IntegrityError: one of them is not what hubclean writes.
    """
    for path, most in ((AUDIT, LARGEST_AUDIT), (CARD, LARGEST_CARD)):
        if path not in files:
            raise TargetError(f"{path} is missing: verify takes a checkpoint written by `hubclean clean`")
        if files[path].size > most:
            raise FormatError(f"{path} has {files[path].size:,} bytes, more than the {most:,} that are read")
    evidence = repo.read(AUDIT, LARGEST_AUDIT)
    audit = _audit(evidence)
    if (1 + len(audit.cleansing.stages)) * (1 + len(audit.cleansing.before)) > _MOST_CELLS:
        raise IntegrityError(f"{AUDIT} names more stages and triggers than a card can hold")
    try:
        card = repo.read(CARD, LARGEST_CARD).decode("utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{CARD} is not UTF-8 at byte {error.start}") from error
    ours = audit.versions.get("hubclean") == __version__
    return Statement(audit, hashlib.sha256(evidence).hexdigest(), card, ours)


def _audit(evidence: bytes) -> Audit:
    try:
        value, twice = read_json(evidence, _MOST_VALUES)
    except JsonProblem as error:
        raise IntegrityError(f"{AUDIT} is not JSON as hubclean writes it: {printable(str(error), 160)}") from error
    if twice:
        raise IntegrityError(f"{AUDIT} gives the key {printable(twice[0][0], 60)!r} twice")
    try:
        audit = from_json(Audit, value)
        to_json(audit)  # a number that JSON does not have
    except (ValueError, RecursionError, OverflowError) as error:
        known = value if isinstance(value, dict) else {}
        versions = known.get("versions")
        version = versions.get("hubclean") if isinstance(versions, dict) else None
        what = printable(str(error), 160)
        if known.get("schema") == SCHEMA and version == __version__:
            raise IntegrityError(f"{AUDIT} is no audit of hubclean {__version__}: {what}") from error
        shown = printable(str(version), 40)
        raise FormatError(f"{AUDIT} is of hubclean {shown}, and {__version__} cannot read it: {what}") from error
    if audit.schema != SCHEMA:
        raise FormatError(f"{AUDIT} has the schema {printable(audit.schema, 60)!r}, this hubclean reads {SCHEMA!r}")
    return audit
