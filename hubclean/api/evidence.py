"""What a stranger says of a checkpoint, checked before it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubclean.cleansing.verifying.report import VerifyReport
    from hubclean.hub.repos import Repo


def verify(
    target: str | Path | Repo,
    *,
    revision: str | None = None,
    base: str | Path | None = None,
    deadline: float = 900.0,
) -> VerifyReport:
    """Check that a checkpoint written by ``clean`` is what its audit and its card say. Nothing is loaded.

    >>> report = hubclean.verify("clean", base="model")
    >>> report.exit_code, [check.name for check in report.checks]
    (0, ['files', 'audit', 'original', 'card', 'scan'])

    Args:
        target: ``org/model``, ``org/model@rev``, a Hub URL, a local folder, or an opened repo.
        revision: branch, tag or commit; only with a target on a Hub.
        base: the original it was made of; without it the commit that the audit names.
        deadline: seconds for the static scan.

    Returns:
        The report; ``report.exit_code`` is that of the command: 0 all as stated, 1 something is not, its place is among
        ``check.places``, 2 something could not be decided. ``report.not_checked`` says what was not looked at.

    Raises:
        HubcleanError: there is no checkpoint of ``clean`` at the target, or it could not be read.
    """
    from hubclean.cleansing.verifying.verify import verify as run

    opened = str(target) if isinstance(target, Path) else target
    return run(opened, revision=revision, base=None if base is None else str(base), deadline=deadline)
