"""A cleansed checkpoint with its evidence: published, and checked by whoever receives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubclean.errors import OptionError, several

if TYPE_CHECKING:
    from hubclean.cleansing.verifying.report import VerifyReport
    from hubclean.hub.publish import PushReport
    from hubclean.hub.repos import Repo
    from hubclean.nets.datasets import ImageSource
    from hubclean.nets.session import Session
    from hubclean.nets.triggers import Stamp


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
    sign: str | Path | None = None,
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
        sign: a private key (PEM, on P-256, P-384 or P-521) to sign the folder with: ``model.sig`` is written into it
            and published too. Needs ``hubclean[sign]``.

    Raises:
        HubcleanError: the backdoor is not removed, the folder is not what its audit says, or the Hub refused; nothing
            was published.
    """
    from hubclean.cleansing.verifying.readme import refuse_edited
    from hubclean.hub import publish

    refuse_edited(Path(folder))
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
        sign=None if sign is None else Path(sign),
    )


def verify(
    target: str | Path | Repo,
    *,
    revision: str | None = None,
    base: str | Path | None = None,
    deadline: float = 900.0,
    data: ImageSource | None = None,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    label_map: str | Path | Mapping[str, str | int | None] | None = None,
    labels_by: Literal["name", "number", "position"] | None = None,
    planted: Sequence[Stamp] = (),
    hooks: Path | None = None,
    redo: bool = False,
    key: str | Path | bytes | None = None,
    session: Session | None = None,
) -> VerifyReport:
    """Check that a checkpoint written by ``clean`` is what its audit and its card say.

    >>> report = hubclean.verify("clean", base="model")
    >>> report.exit_code, [check.name for check in report.checks]
    (0, ['files', 'audit', 'original', 'card', 'scan'])

    Args:
        target: ``org/model``, ``org/model@rev``, a Hub URL, a local folder, or an opened repo.
        revision: branch, tag or commit; only with a target on a Hub.
        base: the original it was made of; without it the commit that the audit names.
        deadline: seconds for the static scan.
        data: images; with them the model is loaded, and accuracy and attack success are measured once more. Without
            any, nothing is loaded. Sizes and seed are those of the audit.
        split, image_column, label_column, label_map, labels_by, hooks: as for ``clean``.
        planted: the triggers that whoever ran ``clean`` knew, in the order in which they were given to it.
        redo: run the recorded command again from the original, with ``data`` if it had images, and compare. It takes
            as long as ``clean`` did. The command is read, not run: what names files of another disk is not repeated.
        key: the public key (a PEM file, or its bytes) of who is to have signed it (``model.sig``, by ``push`` or by
            OpenSSF model-signing). Needs ``hubclean[sign]``.
        session: device and batch size for ``data`` and ``redo``, from ``open_session``.

    Returns:
        The report; ``report.exit_code`` is that of the command: 0 all as stated, 1 something is not, its place is among
        ``check.places``, 2 something could not be decided. ``report.not_checked`` says what was not looked at.

    Raises:
        HubcleanError: there is no checkpoint of ``clean`` at the target, or it could not be read.
    """
    from hubclean.cleansing.verifying.verify import verify as run

    stamps = several("planted", planted, object)
    images = None
    if data is not None:
        from hubclean.cleansing.verifying.figures import Images

        images = Images(data, split, image_column, label_column, label_map, labels_by, stamps, hooks)
    try:
        public = Path(key).read_bytes() if isinstance(key, (str, Path)) else key
    except OSError as error:
        raise OptionError(f"the key cannot be read: {error.strerror}") from error
    return run(
        str(target) if isinstance(target, Path) else target,
        revision=revision,
        base=None if base is None else str(base),
        deadline=deadline,
        images=images,
        redo=redo,
        key=public,
        session=session,
    )
