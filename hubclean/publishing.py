"""``push``: publishes a sanitized folder to a Hub in one atomic commit, after checking it against its own audit."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import logging as hub_logging  # type: ignore[attr-defined]

from hubclean.errors import AccessError, HubcleanError, PublishError, TargetError, TransportError
from hubclean.escaping import printable
from hubclean.hub import api_of, intact, listing, repo_info
from hubclean.records import Audit, from_json
from hubclean.repos import LocalRepo, RepoEntry, parse_target, sha256_of
from hubclean.transport import CLIENT_ERRORS, hub_error, retrying
from hubclean.version import __version__

AUDIT, CARD = "hubclean/audit.json", "README.md"
AUDIT_LIMIT = 64 * 1024 * 1024
LFS_SIZE = 10 * 1024 * 1024  # above it the Hub makes any file an LFS file
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".mar", ".pt2", ".t7")
CODE = (".py", ".pyc", ".pyd", ".pyx", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ipynb")
How = Literal["lfs", "regular", "unchanged"]


class PushedFile(NamedTuple):
    """One file of a push: path, size in bytes, and how it goes (in a dry run: as the Hub's defaults would have it)."""

    path: str
    size: int
    how: How


@dataclass(frozen=True, slots=True)
class PushReport:
    """What ``push`` did, or with ``dry_run`` would do.

    Args:
        commit: the 40-hex commit that now holds the files; ``None`` in a dry run.
        url: where to look at it. ``pr_url``: the pull request, if one was asked for.
        files: every file of the checkpoint, in order of path.
        card: the text of README.md.
        created: the repo did not exist before.
        left_behind: files of the target that the folder does not have; they stay, and may still be loaded.
        deleted: files of the target removed in the same commit.
    """

    repo_id: str
    commit: str | None
    url: str
    pr_url: str | None
    files: tuple[PushedFile, ...]
    card: str
    created: bool
    left_behind: tuple[str, ...]
    deleted: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """A checked folder and where it goes. ``head`` is the commit to build on, ``None`` before the repo is there."""

    folder: Path
    audit: Audit
    card: bytes
    evidence: bytes
    repo_id: str
    revision: str
    create_pr: bool
    message: str
    head: str | None
    remote: dict[str, RepoEntry]
    deleted: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        sizes = {row.path: row.size for row in self.audit.outputs}
        return dict(sorted((sizes | {CARD: len(self.card), AUDIT: len(self.evidence)}).items()))

    @property
    def unchanged(self) -> set[str]:
        return {path for path in self.sizes if path in self.remote and intact(self.folder / path, self.remote[path])}


def push(
    folder: Path,
    repo_id: str,
    *,
    create_pr: bool = False,
    private: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    revision: str = "main",
    message: str | None = None,
    delete_pickles: bool = False,
) -> PushReport:
    """Publish a folder written by ``clean`` to ``repo_id`` in exactly one commit, or not at all.

    Args:
        folder: holds ``hubclean/audit.json``, ``README.md`` and the files the audit lists, nothing else.
        repo_id: ``org/model``; made if it does not exist (``private`` says how).
        create_pr: open a pull request instead of committing; a write token of anybody is enough.
        dry_run: only say what would be done; writes nothing and needs no token.
        token: as in ``huggingface_hub``; ``None`` for the one of the machine.
        revision: the branch (or ``refs/pr/N``) to commit to.
        delete_pickles: remove pickle weights of the target in the same commit.

    Raises:
        PublishError: the folder is not what its audit says, the branch moved, or the Hub refused the content.
        AccessError: token missing, read-only or without rights; gated or disabled repo.
        TargetError: no repo id, no such branch. TransportError: the Hub could not be reached.
    """
    if parse_target(repo_id) != (repo_id, None):
        raise TargetError(f"{printable(repo_id)!r} is not a repo id like org/model")
    if create_pr and revision != "main":
        raise PublishError("a pull request is always opened against main: leave --revision out")
    audit, card, evidence = check_folder(folder)
    token = token or get_token()
    if token is None and not dry_run:
        raise AccessError("pushing needs a write token: run `hf auth login` or set HF_TOKEN")
    text = message or f"hubclean {__version__}: sanitized checkpoint of {printable(str(audit.origin), 150)}"
    plan = _Plan(folder, audit, card, evidence, repo_id, revision, create_pr, text, None, {}, ())
    api = api_of(None, token)
    info = _existing(api, plan)
    if info is None and create_pr:
        raise PublishError(f"there is no {repo_id} to open a pull request on, or your token may not see it")
    if info is not None and private and not info.private:
        raise PublishError(f"{repo_id} exists already and is public; --private is for repos that push creates")
    if info is not None:
        plan = _against(plan, info, delete_pickles)
    report = _report(plan, api, created=info is None, dry_run=dry_run)
    return report if dry_run else _publish(api, plan, report, private)


def check_folder(folder: Path) -> tuple[Audit, bytes, bytes]:
    """Compare a folder with its own audit, byte for byte; the audit, the card and the audit's own bytes.

    Raises:
        PublishError: something is missing, changed, unlisted, a link, a pickle or code; the message names the file.
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
        if path not in listed and path not in (AUDIT, CARD):
            raise PublishError(f"{shown} is not in the audit, so it is not pushed: remove it")
        if place.is_symlink() or place.parent.resolve() != (folder.resolve() / path).parent:
            raise PublishError(f"{shown} is a link, which is not pushed")
        if path.lower().endswith(PICKLES + CODE) or (not path.endswith(".safetensors") and _is_pickle(place)):
            raise PublishError(f"{shown} is a pickle or code, which hubclean never publishes")
        row = listed.get(path)
        if row and (place.stat().st_size != row.size or sha256_of(place) != row.sha256):
            raise PublishError(f"{shown} is not the file the audit describes: it was changed after `hubclean clean`")
    if not any(path.endswith(".safetensors") for path in listed):
        raise PublishError("the folder holds no safetensors weights")
    return audit, (folder / CARD).read_bytes(), evidence


def _is_pickle(place: Path) -> bool:
    """By content: a pickle of protocol 2 or later, or a zip as torch writes it."""
    with place.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def _existing(api: HfApi, plan: _Plan) -> Any:
    """What the Hub says of the target branch; ``None`` if there is no such repo for this token."""
    try:
        return repo_info(api, plan.repo_id, plan.revision)
    except TargetError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError) and plan.revision == "main":
            return None
        raise


def _against(plan: _Plan, info: Any, delete_pickles: bool = False) -> _Plan:
    remote = {entry.path: entry for entry in listing(info)}
    gone = [path for path in remote if path.lower().endswith(PICKLES)] if delete_pickles else []
    return replace(plan, head=info.sha, remote=remote, deleted=tuple(sorted(gone)))


def _report(plan: _Plan, api: HfApi, *, created: bool, dry_run: bool) -> PushReport:
    unchanged = plan.unchanged
    files = []
    for path, size in plan.sizes.items():
        lfs = path.endswith(".safetensors") or size > LFS_SIZE
        files.append(PushedFile(path, size, "unchanged" if path in unchanged else "lfs" if lfs else "regular"))
    keep = {*plan.sizes, *plan.deleted, ".gitattributes"}
    left = tuple(sorted(path for path in plan.remote if path not in keep))
    url, card = f"{api.endpoint}/{plan.repo_id}", plan.card.decode("utf-8", "replace")
    return PushReport(plan.repo_id, None, url, None, tuple(files), card, created, left, plan.deleted, dry_run)


def _publish(api: HfApi, plan: _Plan, report: PushReport, private: bool) -> PushReport:
    """Make the repo if need be, commit, and compare what the Hub holds afterwards with the folder."""
    if not report.created and not plan.deleted and all(file.how == "unchanged" for file in report.files):
        if plan.create_pr:
            raise PublishError(f"{plan.repo_id} holds exactly these files already: there is nothing to propose")
        return replace(report, commit=plan.head)
    try:
        if report.created:
            _create(api, plan, private)
            plan = _against(plan, repo_info(api, plan.repo_id, plan.revision))
        commit, url, pr_url = _commit(api, plan)
        pushed = _confirm(api, plan, commit)
    except BaseException as error:
        if report.created and not isinstance(error, _NotCreatedError):
            _undo(api, plan, error)
        raise
    files = tuple(
        file if file.how == "unchanged" else PushedFile(file.path, file.size, "lfs" if pushed[file.path].sha256 else "regular")
        for file in report.files
    )
    return replace(report, commit=commit, url=url, pr_url=pr_url, files=files)


class _NotCreatedError(AccessError):
    """The repo could not be made, so there is none to remove again."""


def _create(api: HfApi, plan: _Plan, private: bool) -> None:
    try:
        api.create_repo(plan.repo_id, private=private)
    except CLIENT_ERRORS as error:
        status = _status(error)
        if status == 409:
            text = f"{plan.repo_id} exists, but your token may not see it"
        elif status in (401, 403):
            text = f"your token may not create {plan.repo_id}: it needs the write role in that namespace"
        else:
            text = f"{plan.repo_id} could not be created: {hub_error(error, plan.repo_id)}"
        raise _NotCreatedError(f"{text}; nothing was published") from error


def _commit(api: HfApi, plan: _Plan) -> tuple[str, str, str | None]:
    """One commit on top of ``plan.head``: its id, address and pull request."""
    with ExitStack() as open_files, _quiet():
        changes: list[Any] = _additions(plan, open_files)
        try:
            # The target's .gitignore would silently drop files of the checkpoint: ours replaces it for this upload.
            api.preupload_lfs_files(
                plan.repo_id, changes, revision=plan.revision, create_pr=plan.create_pr, free_memory=False,
                gitignore_content="# hubclean publishes every file its audit lists\n",
            )  # fmt: skip
            changes += [CommitOperationDelete(path, is_folder=False) for path in plan.deleted]
            done = api.create_commit(
                plan.repo_id, changes, commit_message=plan.message, revision=plan.revision,
                create_pr=plan.create_pr, parent_commit=plan.head,
            )  # fmt: skip
        except CLIENT_ERRORS as error:
            known = _refusal(error, plan)
            if (commit := _landed(api, plan, known)) is None:
                raise known from error
            return commit, f"{api.endpoint}/{plan.repo_id}/commit/{commit}", None
    return done.oid, done.commit_url, done.pr_url


def _additions(plan: _Plan, open_files: ExitStack) -> list[Any]:
    """All files as open binary files: these go over plain LFS, with and without Xet, in every release of the client."""
    expected = {row.path: row.sha256 for row in plan.audit.outputs}
    adds = []
    for path in plan.sizes:
        if path in (CARD, AUDIT):
            adds.append(CommitOperationAdd(path, io.BytesIO(plan.card if path == CARD else plan.evidence)))
            continue
        adds.append(CommitOperationAdd(path, open_files.enter_context((plan.folder / path).open("rb"))))
        if adds[-1].upload_info.sha256.hex() != expected[path]:
            raise PublishError(f"{printable(path)!r} changed while it was being pushed; nothing was published")
    return adds


@contextmanager
def _quiet() -> Iterator[None]:
    """The client explains at length that file objects do not go over Xet; that is why they are file objects."""
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(hub_logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        hub_logging.set_verbosity(level)


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of the client, which may wrap it once or twice."""
    for _ in range(4):
        if response := getattr(error, "response", None):
            return int(response.status_code)
        if error.__cause__ is None:
            return None
        error = error.__cause__
    return None
