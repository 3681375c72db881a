"""A folder written by ``clean``, compared with its own audit before anything of it leaves this machine."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from hubclean.errors import PublishError
from hubclean.escaping import printable
from hubclean.hub.repos import PICKLE_ENDINGS, sha256_of
from hubclean.records import Audit, from_json

AUDIT, CARD = "hubclean/audit.json", "README.md"
SIGNATURE = "model.sig"  # at the root, where model-signing looks for it
AUDIT_LIMIT = 64 * 1024 * 1024
PICKLES = (*PICKLE_ENDINGS, ".joblib", ".dill", ".mar", ".pt2", ".t7")
CODE = (".py", ".pyc", ".pyd", ".pyx", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ipynb")
_STATED = re.compile(r"`hubclean/audit\.json` has the sha256 `([0-9a-f]{64})`")


def check_folder(folder: Path) -> tuple[Audit, bytes, bytes]:
    """Compare a folder with its own audit, byte for byte; the audit, the card and the audit's own bytes.

    Raises:
        PublishError: something is missing, changed, unlisted, a link, a pickle or code, or the card was made from
            another audit; the message names the file.
    """
    if not folder.is_dir():
        raise PublishError(f"{str(folder)!r} is not a folder")
    for needed in (AUDIT, CARD):
        place = folder / needed
        if not place.is_file() or place.stat().st_size > AUDIT_LIMIT:
            raise PublishError(f"{needed} is missing: push takes a folder written by `hubclean clean`")
    evidence = (folder / AUDIT).read_bytes()
    try:
        audit = from_json(Audit, json.loads(evidence))
    except (ValueError, RecursionError) as error:
        raise PublishError(f"{AUDIT} cannot be read: {printable(str(error), 160)}") from error
    listed = {row.path: row for row in audit.outputs}
    found = {place.relative_to(folder).as_posix() for place in folder.rglob("*") if not place.is_dir()}
    found |= {place.relative_to(folder).as_posix() for place in folder.rglob("*") if place.is_symlink()}
    for path in sorted(found | listed.keys()):
        shown, place = repr(printable(path, 120)), folder / path
        if path not in found:
            raise PublishError(f"{shown} is in the audit but not in the folder")
        if path not in listed and path not in (AUDIT, CARD, SIGNATURE):
            raise PublishError(f"{shown} is not in the audit, so it is not pushed: remove it")
        if place.is_symlink() or place.parent.resolve() != (folder.resolve() / path).parent:
            raise PublishError(f"{shown} is a link, which is not pushed")
        if is_program(path) or (not path.endswith(".safetensors") and _is_pickle(place)):
            raise PublishError(f"{shown} is a pickle or code, which hubclean never publishes")
        row = listed.get(path)
        if row and (place.stat().st_size != row.size or sha256_of(place) != row.sha256):
            raise PublishError(f"{shown} is not the file the audit describes: it was changed after `hubclean clean`")
    if not any(path.endswith(".safetensors") for path in listed):
        raise PublishError("the folder holds no safetensors weights")
    card = (folder / CARD).read_bytes()
    if stated_digest(card.decode("utf-8", "replace")) != hashlib.sha256(evidence).hexdigest():
        raise PublishError(f"{CARD} states another sha256 of {AUDIT} than it has: one of both was changed")
    return audit, card, evidence


def stated_digest(card: str) -> str | None:
    """The sha256 of the audit that a card states, in hex; ``None`` if it states none, or two."""
    found = set(_STATED.findall(card))
    return found.pop() if len(found) == 1 else None


def is_program(path: str) -> bool:
    """Whether a file is a pickle or code by its name."""
    return path.lower().endswith(PICKLES + CODE)


def starts_as_pickle(start: bytes) -> bool:
    """By the first four bytes of a file: a pickle of protocol 2 or later, or a zip as torch writes it."""
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def _is_pickle(place: Path) -> bool:
    with place.open("rb") as file:
        return starts_as_pickle(file.read(4))
