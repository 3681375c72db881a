"""What participants of federated pruning send each other as files: ballots, pruning sequences, accuracies fed back.

A ballot holds ranks or votes (docs/methods/federated.md#rap) of one data owner: no activation, no image,
no label. The format is ours: JSON of the records in ``ballots``, each with the sha256 of its own content and of
the weights it was made for. The hash tells damage and names a ballot; it does not tell who sent it. Files come from
strangers: they are read within bounds and checked to the last number, and nothing in them is shown unescaped.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hubclean.errors import BallotError, OutputError
from hubclean.escaping import printable
from hubclean.json_records import from_json, to_json
from hubclean.methods.voting.ballots import BALLOT, FEEDBACK, SEQUENCE, Ballot, Feedback, PruningSequence, fault
from hubclean.wording import option

MOST_BYTES = 8 << 20  # ranks of 500,000 units
Document = TypeVar("Document", Ballot, PruningSequence, Feedback)
_SCHEMAS: dict[type, str] = {Ballot: BALLOT, PruningSequence: SEQUENCE, Feedback: FEEDBACK}
_WORDS: dict[type, str] = {Ballot: "ballot", PruningSequence: "pruning sequence", Feedback: "feedback"}


def digest(document: Ballot | PruningSequence | Feedback) -> str:
    """Sha256 in hex of the content without its own hash and an empty epsilon: JSON, keys sorted, no blanks, ASCII."""
    content = to_json(replace(document, sha256=""))
    if content.get("epsilon", 0) is None:  # ballots without noise have the hash they had before there was any
        del content["epsilon"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def sealed(document: Document) -> Document:
    """The document with its hash.

    Raises:
        BallotError: it breaks its own rules.
    """
    made = replace(document, sha256=digest(document))
    if wrong := fault(made):
        raise BallotError(f"this is no {_WORDS[type(document)]}: {wrong}")
    return made


def fresh_nonce() -> str:
    """A new ``nonce``. It is no choice of the method, so it does not come from the session's seed."""
    return secrets.token_hex(16)


def check_new(place: Path) -> None:
    """Refuse a place that is taken, before any work is done.

    Raises:
        OutputError: there is something at ``place``.
    """
    if place.exists() or place.is_symlink():
        raise OutputError(f"{place} exists already; choose another {option('out')} or remove it")


def write_document(document: Ballot | PruningSequence | Feedback, place: Path) -> None:
    """Write a document as a new file.

    Raises:
        OutputError: there is something at ``place``, or it cannot be written.
    """
    text = json.dumps(to_json(document), indent=None, ensure_ascii=True, allow_nan=False) + "\n"
    try:
        with place.open("x", encoding="ascii") as file:
            file.write(text)
    except FileExistsError as error:
        raise OutputError(f"{place} exists already; choose another {option('out')} or remove it") from error
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {error.strerror}") from error


def read_bytes(place: Path) -> bytes:
    """The bytes of a file that a stranger handed in.

    Raises:
        BallotError: it is no file, cannot be read, or has more than ``MOST_BYTES``.
    """
    try:
        if not place.is_file():
            raise BallotError("there is no such file")
        with place.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BallotError(f"it cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise BallotError(f"it is too large: more than {MOST_BYTES:,} bytes")
    return data


def parse_document(kind: type[Document], data: bytes) -> Document:
    """A document from its bytes, all of its own rules checked. Whose checkpoint it is for is not asked.

    Raises:
        BallotError: why it is refused, as a sentence about "it".
    """
    word = _WORDS[kind]
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_once)
    except BallotError:
        raise
    except (ValueError, RecursionError) as error:
        raise BallotError("it is not JSON") from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != _SCHEMAS[kind]:
        shown = f"of the form {printable(str(schema), 60)!r}" if schema is not None else "of no form that it names"
        raise BallotError(f"it is {shown}; a {word} for this hubclean is of the form {_SCHEMAS[kind]!r}")
    try:
        document = from_json(kind, value)
        claimed, actual = document.sha256, digest(document)
    except (ValueError, RecursionError) as error:
        raise BallotError(f"it is no {word}: {printable(str(error), 160)}") from error
    if claimed != actual:
        raise BallotError("its content does not have the hash that it names: it was damaged or edited")
    if wrong := fault(document):
        raise BallotError(wrong)
    return document


def read_document(kind: type[Document], place: Path) -> Document:
    """``parse_document`` of a file.

    Raises:
        BallotError: names the file and why it is refused.
    """
    try:
        return parse_document(kind, read_bytes(place))
    except BallotError as error:
        raise BallotError(f"the {_WORDS[kind]} {printable(place.name, 80)!r} is refused: {error}") from error


def same_weights(document: Ballot | PruningSequence | Feedback, weights: Mapping[str, str]) -> None:
    """Refuse a document that was made for other weights than ``weights`` (sha256 by file name).

    Raises:
        BallotError: as a sentence about "it".
    """
    if document.weights != dict(weights):
        raise BallotError("it was made for another checkpoint: the sha256 of the weights differs")


def _no_number(name: str) -> Any:
    raise BallotError(f"it holds {printable(name, 20)}, which is no number")


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BallotError("it gives a field twice")
        found[key] = value
    return found
