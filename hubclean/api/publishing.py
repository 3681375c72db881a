"""Publish what was cleansed; needs the base install only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubclean.hub.publish import PushReport


def push(
    folder: str | Path,
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
) -> PushReport:
    """Publish a folder that ``clean`` wrote, in exactly one commit, or not at all.

    >>> report = hubclean.push("clean", "me/model", dry_run=True)
    >>> report.commit is None, "hubclean/audit.json" in [file.path for file in report.files]
    (True, True)

    Args:
        folder: holds ``hubclean/audit.json``, ``README.md`` and the files the audit lists, nothing else.
        repo_id: ``org/model``; made if it does not exist (``private`` says how).
        create_pr: open a pull request instead of committing; a write token of anybody is enough.
        dry_run: only say what would be done; writes nothing and needs no token.
        token: as in ``huggingface_hub``; ``None`` for the one of the machine.
        revision: branch to commit to.
        message: of the commit.
        delete_pickles: remove pickle weights of ``repo_id`` in the same commit.
        force: publish a checkpoint that still has its backdoor, or has it only covered.

    Raises:
        HubcleanError: the backdoor is not removed, the folder is not what its audit says, or the Hub refused; nothing
            was published.
    """
    from hubclean.hub import publish

    return publish.push(
        Path(folder),
        repo_id,
        create_pr=create_pr,
        private=private,
        dry_run=dry_run,
        token=token,
        revision=revision,
        message=message,
        delete_pickles=delete_pickles,
        force=force,
    )
