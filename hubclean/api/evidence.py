"""What a stranger says of a checkpoint, checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubclean.errors import several

if TYPE_CHECKING:
    from hubclean.cleansing.verifying.report import VerifyReport
    from hubclean.hub.repos import Repo
    from hubclean.nets.datasets import ImageSource
    from hubclean.nets.session import Session
    from hubclean.nets.triggers import Stamp


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
    opened = str(target) if isinstance(target, Path) else target
    origin = None if base is None else str(base)
    return run(opened, revision=revision, base=origin, deadline=deadline, images=images, redo=redo, session=session)
