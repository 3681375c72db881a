"""Every file of a checkpoint against its audit and its commit, and nothing beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.errors import BudgetError, IntegrityError
from hubclean.hub.audited_folder import AUDIT, CARD, SIGNATURE, is_program, starts_as_pickle
from hubclean.hub.hub_repo import intact
from hubclean.hub.repos import Repo, RepoEntry, sha256_of
from hubclean.records import FileHash

# What a Hub puts into every repo by itself.
_OF_THE_HUB = ".gitattributes"
BLOCK = 4 << 20
_MOST_LOOKED_AT = 100  # files beside the audit's, of which each costs a request
READ = 1 << 20  # larger files of a Hub that have no sha256 in the listing are fetched, not read into memory


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's sha256 in hex, and its first four bytes; ``None`` where a Hub's commit says it."""

    sha256: str
    start: bytes | None


def check_files(repo: Repo, files: dict[str, RepoEntry], outputs: tuple[FileHash, ...]) -> Check:
    """Compare the listing with the audit's ``outputs``, and the bytes with the hashes of both."""
    listed = {row.path: row for row in outputs}
    places = [Place(AUDIT, f"lists {path!r} twice") for path in _twice(outputs)]
    looked, size = [0, 0], 0
    for path in sorted(files.keys() | listed.keys()):
        entry, row = files.get(path), listed.get(path)
        if entry is None:
            places.append(Place(path, "is in the audit, but not here"))
            continue
        if row is None:
            if path not in (AUDIT, CARD, SIGNATURE, _OF_THE_HUB):
                known = None if len(places) < _MOST_LOOKED_AT else b""
                loads = ", and it is a pickle or code" if _loads(repo, entry, known) else ""
                places.append(Place(path, f"is not in the audit{loads}"))
            continue
        size += entry.size
        if entry.size != row.size:
            places.append(Place(path, f"has {entry.size:,} bytes, the audit says {row.size:,}"))
            continue
        try:
            digest = digest_of(repo, entry)
        except IntegrityError as error:
            places.append(Place(path, str(error)))
            continue
        looked[digest.start is not None] += 1
        if _loads(repo, entry, digest.start):
            places.append(Place(path, "is a pickle or code, which hubclean never writes"))
        if digest.sha256 != row.sha256:
            places.append(Place(path, f"has the sha256 {digest.sha256}, the audit says {row.sha256:.64}"))
    if not any(path.endswith(".safetensors") and "/" not in path for path in listed):
        places.append(Place(AUDIT, "lists no weights"))
    how = [f"{looked[1]} read"] * bool(looked[1]) + [f"{looked[0]} as its commit says, not fetched"] * bool(looked[0])
    said = (
        f"{len(listed)} files, {size:,} bytes: each has the sha256 of the audit ({', '.join(how)}); nothing beside them"
    )
    return concluded("files", said, places)


def digest_of(repo: Repo, entry: RepoEntry) -> Digest:
    """The sha256 of a file: on a Hub the commit's own where it states one, else of the bytes, held against the commit.

    Raises:
        IntegrityError: the bytes are not those of the commit.
    """
    if repo.ref.kind == "hub":
        if entry.sha256:
            return Digest(entry.sha256, None)
        if entry.size <= READ:
            try:
                body = repo.read(entry.path, READ)
                return Digest(hashlib.sha256(body).hexdigest(), body[:4])
            except BudgetError:
                pass  # what is downloaded counts for no budget
        place = fetched(repo, entry)
        with place.open("rb") as file:
            return Digest(sha256_of(place), file.read(4))
    own, known, first = hashlib.sha256(), entry.digest(), b""
    for start in range(0, entry.size, BLOCK):
        block = repo.read_range(entry.path, start, min(entry.size, start + BLOCK))
        first = first or block[:4]
        own.update(block)
        known.update(block)
    if entry.hash not in (None, known.hexdigest()):
        raise IntegrityError("does not have the hash that its commit says")
    return Digest(own.hexdigest(), first)


def fetched(repo: Repo, entry: RepoEntry) -> Path:
    """The file on this disk, every byte checked against its commit.

    Raises:
        IntegrityError: it is another file than the commit says.
    """
    place = repo.fetch([entry.path]) / entry.path
    if entry.hash and not intact(place, entry):
        raise IntegrityError("does not have the hash that its commit says")
    return place


def _loads(repo: Repo, entry: RepoEntry, start: bytes | None) -> bool:
    """Whether a file is a pickle or code, by its name or its first four bytes, read where they are not known."""
    if is_program(entry.path):
        return True
    if entry.path.endswith(".safetensors"):
        return False
    return starts_as_pickle(repo.read_range(entry.path, 0, min(entry.size, 4)) if start is None else start)


def _twice(outputs: tuple[FileHash, ...]) -> list[str]:
    seen: set[str] = set()
    return sorted({row.path for row in outputs if row.path in seen or seen.add(row.path)})  # type: ignore[func-returns-value]
