"""``verify``: whether a checkpoint is what its audit and its card say, as far as a stranger can check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubclean.cleansing.verifying.files import check_files
from hubclean.cleansing.verifying.origin import check_origin, open_origin, original_card
from hubclean.cleansing.verifying.readme import check_readme
from hubclean.cleansing.verifying.report import Check, Place, VerifyReport, concluded, guarded, joint
from hubclean.cleansing.verifying.safety import check_scan
from hubclean.cleansing.verifying.signed import check_signature
from hubclean.cleansing.verifying.statement import Statement, read_statement
from hubclean.cleansing.verifying.sums import check_sums
from hubclean.errors import HubcleanError, IntegrityError
from hubclean.hub import deadline as deadlines
from hubclean.hub.audited_folder import AUDIT, CARD, SIGNATURE
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.hub.targets import open_target

if TYPE_CHECKING:
    from hubclean.cleansing.verifying.figures import Images
    from hubclean.nets.session import Session

_UNSIGNED = "who wrote it: audit and card are not signed, and whoever can write both can make them fit each other"
_UNKNOWN = f"who wrote it: {SIGNATURE} was not checked, for want of the public key of whom you trust"
_UNREAD = (
    "accuracy, attack success and what the detectors measured: no image was read, the figures are those of the audit"
)
_UNREPEATED = (
    "what the detectors, the retuning check and the search for triggers anew measured: none of it was repeated"
)


def verify(
    target: str | Repo,
    *,
    revision: str | None = None,
    base: str | None = None,
    deadline: float = deadlines.SECONDS,
    images: Images | None = None,
    redo: bool = False,
    session: Session | None = None,
    key: bytes | None = None,
) -> VerifyReport:
    """Check a checkpoint that ``clean`` wrote; without ``images`` nothing of it is loaded.

    Args:
        target: what ``open_target`` takes, or an opened repo.
        revision: branch, tag or commit; only with a target on a Hub.
        base: the original; without it the commit that the audit records.
        deadline: seconds for the static scan.
        images: measure the audit's figures again with them. session: where; its seed is that of the audit.
        redo: run the recorded command again from the original.
        key: the public key (PEM) of who is to have signed it.

    Raises:
        TargetError: there is no checkpoint of ``clean`` at the target.
        HubcleanError: it could not be read.
    """
    repo = open_target(target, revision) if isinstance(target, str) else target
    files = {entry.path: entry for entry in repo.files()}
    try:
        statement = read_statement(repo, files)
    except IntegrityError as error:
        check = concluded("audit", "", [Place(CARD if str(error).startswith(CARD) else AUDIT, str(error))])
        return _report(repo, None, None, [check], ())
    original, why = _opened(statement, base)
    name = None if repo.ref.kind == "local" else repo.ref.repo_id
    checks = [
        guarded("files", "", lambda: check_files(repo, files, statement.audit.outputs)),
        guarded("audit", AUDIT, lambda: check_sums(statement.audit)),
        _against(repo, files, statement, original, base, why),
        guarded("card", CARD, lambda: check_readme(statement, *original_card(original, statement.audit), name)),
        guarded("scan", "", lambda: check_scan(repo, statement.audit.scan, deadline)),
    ]
    if key is not None:
        checks.append(guarded("signature", SIGNATURE, lambda: check_signature(repo, files, key)))
    if images:
        checks.append(_figures(repo, original, statement, checks, images, session))
    if redo:
        checks.append(_redo(original, statement, checks, images, session))
    left = dict.fromkeys(text for check in checks for text in check.left)
    if not redo:
        left |= {_UNREPEATED if images else _UNREAD: None}
    if key is None:
        left |= {_UNKNOWN if SIGNATURE in files else _UNSIGNED: None}
    return _report(repo, original, statement, checks, tuple(left))


def _opened(statement: Statement, base: str | None) -> tuple[Repo | None, str]:
    """The original, or why it cannot be opened."""
    try:
        return open_origin(statement.audit, base), ""
    except HubcleanError as error:
        return None, str(error)


def _against(
    repo: Repo, files: dict[str, RepoEntry], statement: Statement, original: Repo | None, base: str | None, why: str
) -> Check:
    if original is None:
        return concluded("original", "", [], [why])
    return guarded("original", "", lambda: check_origin(repo, files, statement.audit, original, base))


def _figures(
    repo: Repo,
    original: Repo | None,
    statement: Statement,
    checks: list[Check],
    images: Images,
    session: Session | None,
) -> Check:
    """The figures measured again, of a checkpoint whose files are those of the audit, and which may be loaded."""
    if bad := [check.name for check in checks if check.name in ("files", "scan") and check.state != "as stated"]:
        return concluded("figures", "", [], [f"not measured, nothing is loaded while {bad[0]} is not as stated"])
    from hubclean.cleansing.verifying.figures import check_figures  # torch, for those who have images
    from hubclean.nets.session import open_session

    open_here = session or open_session()
    return guarded("figures", AUDIT, lambda: check_figures(repo, original, statement.audit, images, open_here))


def _redo(
    original: Repo | None, statement: Statement, checks: list[Check], images: Images | None, session: Session | None
) -> Check:
    """The recorded command again, from an original that is the recorded one."""
    state = next(check.state for check in checks if check.name == "original")
    if original is None or state == "not as stated":
        return concluded("redo", "", [], ["not run, for want of the original that the audit records"])
    from hubclean.cleansing.verifying.redo import check_redo
    from hubclean.nets.session import open_session

    open_here = session or open_session()
    return guarded("redo", AUDIT, lambda: check_redo(original, statement.audit, images, open_here))


def _report(
    repo: Repo, original: Repo | None, statement: Statement | None, checks: list[Check], left: tuple[str, ...]
) -> VerifyReport:
    repos = [row for row in (repo, original) if row is not None]
    return VerifyReport(
        target=repo.ref,
        base=original.ref if original else None,
        audit_sha256=statement.digest if statement else "",
        outcome=_outcome(statement) if statement else "",
        checks=tuple(checks),
        not_checked=left,
        requests=sum(row.requests for row in repos),
        bytes_read=sum(row.bytes_read for row in repos),
        exit_code=joint(checks),
    )


def _outcome(statement: Statement) -> str:
    """What the audit comes to by the rules of this version; empty where it contradicts itself."""
    try:
        found = statement.audit.outcome
    except (LookupError, ValueError, TypeError, ArithmeticError):
        return ""
    return f"{found.word}: {found.why}"
