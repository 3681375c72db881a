"""One atomic commit of a checked folder: made on top of a known head, compared afterwards, taken back if it failed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import DisabledRepoError, GatedRepoError
from huggingface_hub.utils import logging as hub_logging

from hubclean.errors import AccessError, HubcleanError, PublishError, TransportError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import AUDIT, CARD, SIGNATURE
from hubclean.hub.client_errors import CLIENT_ERRORS, NONSENSE, hub_error
from hubclean.hub.client_watch import watched
from hubclean.hub.hub_repo import intact, listing, repo_info
from hubclean.hub.repos import RepoEntry
from hubclean.records import Audit
from hubclean.wording import option


@dataclass(frozen=True, slots=True)
class CommitPlan:
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
        if (signature := self.folder / SIGNATURE).is_file():
            sizes[SIGNATURE] = signature.stat().st_size
        return dict(sorted((sizes | {CARD: len(self.card), AUDIT: len(self.evidence)}).items()))

    @property
    def unchanged(self) -> set[str]:
        return {path for path in self.sizes if path in self.remote and intact(self.folder / path, self.remote[path])}


def create_repo(api: HfApi, plan: CommitPlan, private: bool) -> None:
    """Make the repo, and look whether it is there where the answer was lost or makes no sense."""
    try:
        with watched(api.endpoint):
            api.create_repo(plan.repo_id, private=private)
    except (*CLIENT_ERRORS, *NONSENSE, HubcleanError) as error:
        status = _status(error)
        known = hub_error(error, plan.repo_id)
        if status is None and not isinstance(error, HubcleanError) and _is_empty(api, plan):
            return  # made, but the answer was lost or makes no sense
        if status == 409:
            known = AccessError(f"{plan.repo_id} exists, but your token may not see it")
        elif status in (401, 403):
            known = AccessError(f"your token may not create {plan.repo_id}: it needs the write role in that namespace")
        raise type(known)(f"{known}; nothing was published") from error


def _is_empty(api: HfApi, plan: CommitPlan) -> bool:
    """Whether the repo is there and holds nothing yet."""
    try:
        return all(entry.path == ".gitattributes" for entry in listing(repo_info(api, plan.repo_id, plan.revision)))
    except HubcleanError:
        return False


def commit(api: HfApi, plan: CommitPlan) -> tuple[str, str, str | None]:
    """One commit on top of ``plan.head``: its id, address and pull request."""
    with ExitStack() as open_files, _quiet():
        changes: list[Any] = _additions(plan, open_files)
        try:
            # The target's .gitignore would silently drop files of the checkpoint: ours replaces it for this upload.
            with watched(api.endpoint):
                api.preupload_lfs_files(
                    plan.repo_id, changes, revision=plan.revision, create_pr=plan.create_pr, free_memory=False,
                    gitignore_content="# hubclean publishes every file its audit lists\n",
                )  # fmt: skip
                changes += [CommitOperationDelete(path, is_folder=False) for path in plan.deleted]
                done = api.create_commit(
                    plan.repo_id, changes, commit_message=plan.message, revision=plan.revision,
                    create_pr=plan.create_pr, parent_commit=plan.head,
                )  # fmt: skip
        except (*CLIENT_ERRORS, *NONSENSE, HubcleanError) as error:
            return _settle(api, plan, error), f"{api.endpoint}/{plan.repo_id}", None
    return done.oid, done.commit_url, done.pr_url


def _additions(plan: CommitPlan, open_files: ExitStack) -> list[Any]:
    """Files as open binary files: with one in the batch, all goes over plain LFS, Xet or not, in every release."""
    expected = {row.path: row.sha256 for row in plan.audit.outputs}
    adds = []
    for path in plan.sizes:
        if path in (CARD, AUDIT):
            adds.append(CommitOperationAdd(path, plan.card if path == CARD else plan.evidence))
            continue
        adds.append(CommitOperationAdd(path, open_files.enter_context((plan.folder / path).open("rb"))))
        if path in expected and adds[-1].upload_info.sha256.hex() != expected[path]:
            raise PublishError(f"{printable(path)!r} changed while it was being pushed; nothing was published")
    return adds


@contextmanager
def _quiet() -> Iterator[None]:
    """The client explains at length that file objects do not go over Xet; that is why they are file objects."""
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        hub_logging.set_verbosity(level)


def _settle(api: HfApi, plan: CommitPlan, error: Exception) -> str:
    """After a failed commit: its id if it was made all the same (the answer was lost), else the error, put clearly."""
    known = _refusal(error, plan)
    if not isinstance(known, TransportError) and not isinstance(error, NONSENSE):
        raise known from error
    unknown = "whether the commit was made is not known: look before you push again"
    try:
        info = repo_info(api, plan.repo_id, plan.revision)
        remote = {entry.path: entry for entry in listing(info)}
    except HubcleanError:
        raise TransportError(f"{known}; {unknown}") from error
    if plan.create_pr:
        raise TransportError(f"{known}; whether a pull request was opened is not known: look at the repo") from error
    if info.sha == plan.head:
        raise TransportError(f"{known}; nothing was published") from error
    if not all(path in remote and intact(plan.folder / path, remote[path]) for path in plan.sizes):
        raise TransportError(f"{known}; {unknown}") from error
    return str(info.sha)


def _refusal(error: Exception, plan: CommitPlan) -> HubcleanError:
    """Why the Hub did not take the commit, in one sentence."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None and len(chain) < 5:
        chain.append(chain[-1].__cause__)
    status = _status(error)
    if status == 412:
        return PublishError(
            f"{plan.revision} of {plan.repo_id} moved while it was being pushed to (it was at {plan.head});"
            " nothing was published: look at the new commit, then push again"
        )
    if isinstance(error, ValueError) and "Invalid metadata" in str(error):
        why = printable(" ".join(str(error).split("\n")[1:]), 160)
        return PublishError(f"the Hub does not take the metadata of README.md: {why}; nothing was published")
    known = hub_error(error, plan.repo_id, plan.revision)
    if isinstance(known, TransportError) or isinstance(error, NONSENSE):
        return known
    if status in (401, 403) and not any(isinstance(link, (GatedRepoError, DisabledRepoError)) for link in chain):
        what = "open a pull request on" if plan.create_pr else "write to"
        hint = "" if plan.create_pr else f", or use {option('create_pr', True)} to propose the files"
        return AccessError(
            f"your token may not {what} {plan.repo_id}: use one with the write role{hint}; nothing was published"
        )
    return type(known)(f"{known}; nothing was published")


def confirm(api: HfApi, plan: CommitPlan, oid: str) -> dict[str, RepoEntry]:
    """What the Hub holds at the new commit, compared with the folder file by file."""
    try:
        stored = {entry.path: entry for entry in listing(repo_info(api, plan.repo_id, oid))}
    except HubcleanError as error:
        raise type(error)(f"published as {oid}, but it could not be compared with the folder: {error}") from error
    for path in plan.sizes:
        if path not in stored or not intact(plan.folder / path, stored[path]):
            raise PublishError(f"commit {oid} was made, but {printable(path)!r} is not on the Hub as it is here")
    return stored


def remove_repo(api: HfApi, plan: CommitPlan) -> bool:
    """Take back a repo that this push created and could not fill."""
    try:
        api.delete_repo(plan.repo_id)
    except (*CLIENT_ERRORS, *NONSENSE) as error:
        return _status(error) == 404  # it is not there
    return True


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of the client, which may wrap it once or twice."""
    for _ in range(4):
        if response := getattr(error, "response", None):
            return int(response.status_code)
        if error.__cause__ is None:
            return None
        error = error.__cause__
    return None
