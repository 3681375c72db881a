"""Against the original: its files are those of the audit, and of these nothing but named tensors was changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hubclean.cleansing.verifying.files import digest_of
from hubclean.cleansing.verifying.kinds import OURS, foreign, in_stage
from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.cleansing.verifying.tensors import compared, header_difference
from hubclean.errors import FormatError, HubcleanError, IntegrityError, TargetError
from hubclean.hub.audited_folder import AUDIT, CARD
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.hub.subfolders import below
from hubclean.hub.targets import open_target, parse_target
from hubclean.records import Audit, FileHash
from hubclean.scanning.formats.names import is_carried
from hubclean.wording import option

_COMMIT = re.compile(r"[0-9a-f]{40}")


def open_origin(audit: Audit, base: str | None) -> Repo:
    """The original: what the user names, or the commit that the audit records.

    A repo that the user names without a revision, and that the audit names too, is read at the recorded commit.

    Raises:
        HubcleanError: there is none, or it cannot be opened; the message says what to give.
    """
    origin = audit.origin
    if base is None:
        if origin.kind == "local" or not _COMMIT.fullmatch(origin.revision or ""):
            raise TargetError(f"the original, {str(origin)!r}, is on no Hub: name it with {option('base')}")
        parse_target(origin.repo_id)  # a stranger's text never names a path of this disk
        found = open_target(f"hf://{origin.repo_id}", origin.revision)
    else:
        found = open_target(base, _recorded(audit, base))
    inside = [row.path for row in found.files() if row.path.startswith(f"{origin.subfolder}/")]
    return below(found, origin.subfolder) if origin.subfolder and inside else found


def doubt(audit: Audit, base: str | None, opened: Repo) -> str:
    """Why nobody vouches for the commit of the original; empty where the user does, or its main branch.

    A pull request of anybody is a commit of the repo as well, and an audit may name it.
    """
    if opened.ref.kind == "local" or (base is not None and _recorded(audit, base) is None):
        return ""
    from hubclean.hub.history import on_main

    commit = opened.ref.revision or ""
    try:
        if on_main(opened.ref.repo_id, commit):
            return ""
    except HubcleanError as error:
        return f"whether {opened.ref} is of its main branch is not known: {error}"
    name = f"{option('base')} {opened.ref.repo_id}@{commit}"
    return (
        f"{opened.ref} is not in the history of its main branch, so it may be anybody's pull request: {name} accepts it"
    )


def _recorded(audit: Audit, base: str) -> str | None:
    """The audit's commit, where the user names that very repo on a Hub and no revision."""
    try:
        named = parse_target(base)
    except TargetError:
        return None
    return audit.origin.revision if named == (audit.origin.repo_id, None) else None


@dataclass(slots=True)
class _Found:
    places: list[Place] = field(default_factory=list)
    points: list[str] = field(default_factory=list)


def check_origin(repo: Repo, files: dict[str, RepoEntry], audit: Audit, base: Repo, named: str | None) -> Check:
    """Compare a checkpoint with its original, file by file, and its weights tensor by tensor.

    Args:
        base: the original, opened. named: how the user named it, if at all.

    Raises:
        HubcleanError: something could not be read.
    """
    found, theirs = _Found(), {entry.path: entry for entry in base.files()}
    found.points += [why] if (why := doubt(audit, named, base)) else []
    name = f"{base.ref}"
    if audit.merging:
        found.points.append("the original is an adapter merged onto its base, which is not repeated here")
        return concluded("original", "", [], found.points)
    converted = audit.conversion is not None and not _has_all(base, theirs, audit.inputs)
    rows = audit.conversion.inputs if audit.conversion and converted else audit.inputs
    if not rows:
        found.points.append("the audit lists no file of the original")
    found.places += _not_the_original(base, theirs, rows, name)
    if converted:
        found.points.append(
            f"the original's weights are a pickle: `hubclean convert` it and name that folder with {option('base')}"
        )
    inputs = {row.path: row for row in audit.inputs}
    if audit.model.library != "module":  # a net in memory has no configs
        for path in sorted(path for path in theirs if is_carried(path) and path not in inputs):
            found.places.append(Place(path, f"is a config or licence of {name}, and the audit leaves it out"))
    found.places += [*foreign(repo, files, audit.outputs), *_files(audit, inputs)]
    said = ""
    if not found.places and not converted:
        said = _weights(repo, files, audit, (base, theirs), found)
    return concluded("original", f"{name}: {said}", found.places, found.points)


def _has_all(base: Repo, theirs: dict[str, RepoEntry], rows: tuple[FileHash, ...]) -> bool:
    return all(
        row.path in theirs and theirs[row.path].size == row.size for row in rows if row.path.endswith(".safetensors")
    )


def _not_the_original(
    base: Repo, theirs: dict[str, RepoEntry], rows: tuple[FileHash, ...], name: str
) -> Iterator[Place]:
    """Files of the audit's input that the opened original has not, or has otherwise."""
    for row in rows:
        entry = theirs.get(row.path)
        if entry is None:
            yield Place(row.path, f"is an input of the audit, but {name} has no such file")
            continue
        try:
            digest = digest_of(base, entry).sha256
        except IntegrityError as error:
            yield Place(row.path, f"of {name}: {error}")
            continue
        if digest != row.sha256:
            yield Place(row.path, f"of {name} has the sha256 {digest}, the audit's input {row.sha256:.64}")


def _files(audit: Audit, inputs: dict[str, FileHash]) -> Iterator[Place]:
    """Outputs that are neither weights, nor byte for byte an input, nor hubclean's own; inputs that are left out."""
    outputs = {row.path: row for row in audit.outputs}
    for row in audit.outputs:
        stage, name = in_stage(row.path)
        if row.path.startswith(OURS) and not stage:
            continue
        original = inputs.get(name)
        if original is None:
            yield Place(row.path, "is no file of the original")
        elif not row.path.endswith(".safetensors") and row.sha256 != original.sha256:
            yield Place(row.path, f"has the sha256 {row.sha256:.64}, that of the original is {original.sha256:.64}")
    for path in inputs:
        if path not in outputs and path != CARD:
            yield Place(path, "is a file of the original, and is left out here")


def _weights(
    repo: Repo, files: dict[str, RepoEntry], audit: Audit, base: tuple[Repo, dict[str, RepoEntry]], found: _Found
) -> str:
    """Compare the tensors of every weight file; what to say where all is as stated."""
    named, originals = frozenset(audit.cleansing.changed), {row.path: row.sha256 for row in audit.inputs}
    known: set[str] = set()
    looked: set[str] = set()
    differ: set[str] = set()
    for row in audit.outputs:
        stage, path = in_stage(row.path)
        if not row.path.endswith(".safetensors") or path not in originals or row.path not in files:
            continue
        pair = (repo, files[row.path]), (base[0], base[1][path])
        try:
            if stage:
                if why := header_difference(*pair):
                    found.places.append(Place(row.path, why))
                continue
            result = compared(*pair, named, row.sha256 == originals[path])
        except FormatError as error:
            found.places.append(Place(row.path, str(error)))
            continue
        if result.header:
            found.places.append(Place(row.path, result.header))
            continue
        known.update(result.tensors)
        looked.update(result.looked_at)
        for tensor, byte in result.differing.items():
            differ.add(tensor)
            if tensor not in named:
                what = f"differs from the original's from byte {byte:,} of the file on, and the audit does not name it"
                found.places.append(Place(row.path, what, tensor=tensor))
    if not found.places:  # else not all tensors were seen
        found.places += _named_wrongly(named, known, looked, differ)
    unseen = len(named & known - looked)
    said = f"the same files, and {len(named)} of {len(known)} tensors differ, those that the audit names"
    return said + (f" (that {unseen} of them do differ was not read)" if unseen else "")


def _named_wrongly(named: frozenset[str], known: set[str], looked: set[str], differ: set[str]) -> Iterator[Place]:
    for tensor in sorted(named):
        if tensor not in known:
            yield Place(AUDIT, "names a changed tensor that no weight file holds", tensor=tensor)
        elif tensor in looked and tensor not in differ:
            yield Place(AUDIT, "names a changed tensor that has the original's bytes", tensor=tensor)


def original_card(base: Repo | None, audit: Audit) -> tuple[str | None, bool]:
    """The original's card as ``clean`` read it, and whether that is known: it may be known that there was none.

    Raises:
        HubcleanError: it could not be read.
    """
    row = next((row for row in audit.inputs if row.path == CARD), None)
    if row is None or row.size > 1_000_000:
        return None, not audit.merging
    if base is None or audit.merging:
        return None, False
    try:
        body = base.read(CARD, 1_000_000)
    except HubcleanError:
        return None, False
    return body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"), True
