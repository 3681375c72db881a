"""``push``: publishes a sanitized folder to a Hub in one atomic commit, after checking it against its own audit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError

from hubclean.errors import AccessError, HubcleanError, PublishError, TargetError, TransportError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import AUDIT, PICKLES, SIGNATURE, check_folder
from hubclean.hub.commits import CommitPlan, commit, confirm, create_repo, remove_repo
from hubclean.hub.hub_repo import api_of, listing, repo_info
from hubclean.hub.signing import sign_folder
from hubclean.hub.targets import parse_target
from hubclean.version import __version__
from hubclean.whole_folder import whole_folder
from hubclean.wording import option

LFS_SIZE = 10 * 1024 * 1024  # above it the Hub makes any file an LFS file
How = Literal["lfs", "regular", "unchanged"]


@dataclass(frozen=True, slots=True)
class PushedFile:
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
        unasked: why the Hub was not asked what it holds (a dry run without it); empty if it was.
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
    unasked: str = ""

    @property
    def unchanged(self) -> bool:
        """The Hub held exactly these files already, so that no commit was, or would be, made."""
        return not self.created and not self.deleted and all(file.how == "unchanged" for file in self.files)


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
    force: bool = False,
    sign: Path | None = None,
) -> PushReport:
    """Publish a folder written by ``clean`` to ``repo_id`` in exactly one commit, or not at all.

    Args:
        folder: holds ``hubclean/audit.json``, ``README.md`` and the files the audit lists, nothing else.
        repo_id: ``org/model``; made if it does not exist (``private`` says how).
        create_pr: open a pull request instead of committing; a write token of anybody is enough.
        dry_run: only say what would be done; writes nothing and needs no token. Where the Hub cannot be reached, the
            report says so in ``unasked``, and speaks of the folder alone.
        token: as in ``huggingface_hub``; ``None`` for the one of the machine.
        revision: the branch (or ``refs/pr/N``) to commit to.
        delete_pickles: remove pickle weights of the target in the same commit.
        force: publish a checkpoint that still has its backdoor, or has it only covered.
        sign: a private key (PEM) to sign the folder with; ``model.sig`` is written into it and published. Not in a dry
            run.

    Raises:
        PublishError: its backdoor is not removed, the folder is not what its audit says, the branch moved, or the Hub
            refused the content.
        AccessError: token missing, read-only or without rights; gated or disabled repo.
        TargetError: no repo id, no such branch. TransportError: the Hub could not be reached.
    """
    if parse_target(repo_id) != (repo_id, None):
        raise TargetError(f"{printable(repo_id)!r} is not a repo id like org/model")
    if create_pr and revision != "main":
        raise PublishError(f"a pull request is always opened against main: leave {option('revision')} out")
    audit, card, evidence = check_folder(folder)
    if audit.exit_code == 1 and not force and not dry_run:
        why = f"{audit.outcome.word}: {printable(audit.outcome.why)}"
        raise PublishError(f"this checkpoint is {why}; --force publishes it all the same, and its card says so")
    token = token or get_token()
    if token is None and not dry_run:
        raise AccessError("pushing needs a write token: run `hf auth login` or set HF_TOKEN")
    if sign and not dry_run:
        sign_folder(folder, sign)
    text = message or f"hubclean {__version__}: {audit.outcome.word} checkpoint of {printable(str(audit.origin), 150)}"
    plan = CommitPlan(folder, audit, card, evidence, repo_id, revision, create_pr, text, None, {}, ())
    api = api_of(None, token)
    try:
        info = _existing(api, plan)
    except TransportError as error:
        if not dry_run:
            raise
        return replace(_report(plan, api, created=False, dry_run=True), unasked=str(error))
    if info is None and create_pr:
        raise PublishError(f"there is no {repo_id} to open a pull request on, or your token may not see it")
    if info is not None and private and not info.private:
        raise PublishError(f"{repo_id} is public already; {option('private', True)} is for repos that push makes")
    if info is not None:
        plan = _against(plan, info, delete_pickles)
    report = _report(plan, api, created=info is None, dry_run=dry_run)
    return report if dry_run else _publish(api, plan, report, private)


def _existing(api: HfApi, plan: CommitPlan) -> Any:
    """What the Hub says of the target branch; ``None`` if there is no such repo for this token."""
    try:
        return repo_info(api, plan.repo_id, plan.revision)
    except TargetError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError) and plan.revision == "main":
            return None
        raise


def _against(plan: CommitPlan, info: Any, delete_pickles: bool = False) -> CommitPlan:
    remote = {entry.path: entry for entry in listing(info)}
    gone = [path for path in remote if path.lower().endswith(PICKLES)] if delete_pickles else []
    return replace(plan, head=info.sha, remote=remote, deleted=tuple(sorted(gone)))


def _report(plan: CommitPlan, api: HfApi, *, created: bool, dry_run: bool) -> PushReport:
    unchanged = plan.unchanged
    files = []
    for path, size in plan.sizes.items():
        lfs = path.endswith(".safetensors") or size > LFS_SIZE
        files.append(PushedFile(path, size, "unchanged" if path in unchanged else "lfs" if lfs else "regular"))
    keep = {*plan.sizes, *plan.deleted, ".gitattributes"}
    left = tuple(sorted(path for path in plan.remote if path not in keep))
    url, card = f"{api.endpoint}/{plan.repo_id}", plan.card.decode("utf-8", "replace")
    return PushReport(plan.repo_id, None, url, None, tuple(files), card, created, left, plan.deleted, dry_run)


def _publish(api: HfApi, plan: CommitPlan, report: PushReport, private: bool) -> PushReport:
    """Make the repo if need be, commit, and compare what the Hub holds afterwards with the folder."""
    if report.unchanged:
        if plan.create_pr:
            raise PublishError(f"{plan.repo_id} holds exactly these files already: there is nothing to propose")
        return replace(report, commit=plan.head)
    if report.created:
        create_repo(api, plan, private)
    try:
        if report.created:
            plan = _against(plan, repo_info(api, plan.repo_id, plan.revision))
        oid, url, pr_url = commit(api, plan)
    except BaseException as error:
        if report.created and not remove_repo(api, plan) and isinstance(error, HubcleanError):
            raise type(error)(f"{error}; the empty repo {plan.repo_id} was made and could not be removed") from error
        raise
    stored = confirm(api, plan, oid)
    files = [
        file if file.how == "unchanged" else replace(file, how="lfs" if stored[file.path].sha256 else "regular")
        for file in report.files
    ]
    return replace(report, commit=oid, url=url, pr_url=pr_url, files=tuple(files))


def publish_to_folder(folder: Path, place: Path) -> tuple[str, ...]:
    """Copy a folder written by ``clean`` to ``place`` after the same checks as ``push``, whole or not at all.

    Returns:
        The paths copied.

    Raises:
        PublishError: the folder is not what its audit says.
        OutputError: ``place`` is taken or cannot be written.
    """
    audit, _, _ = check_folder(folder)
    paths = ("README.md", AUDIT, *(file.path for file in audit.outputs))
    paths += (SIGNATURE,) if (folder / SIGNATURE).is_file() else ()
    with whole_folder(place) as copy:
        for path in paths:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, copy / path)
    return paths
