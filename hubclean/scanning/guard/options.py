"""What a download guard lets pass, and what a guarded call of the Hub client asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from hubclean.errors import OptionError, hold_several
from hubclean.records import SEVERITIES, Loader, ScanReport, Severity
from hubclean.scanning.load_sets.opened import Asked
from hubclean.scanning.pickles.allowed_names import check_names
from hubclean.scanning.policy.effective import Wishes

REPO_TYPES = ("dataset", "space", "kernel")


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What a guard lets pass.

    Args:
        gate, allow, allow_unchecked, loader: as for ``engine.scan``; ``loader`` says what of a whole snapshot will be
            opened.
        unscanned: types of repos (``dataset``, ``space``, ``kernel``) that pass without a scan; others are refused.
        on_report: called once with the report of every scan, before the repo passes or is refused.
        config: a file of settings (``hubclean.toml``), over which the others win; without it, none is read.
        baseline: a file of accepted findings.

    Raises:
        OptionError: a gate, a name or a type that there is not.
    """

    gate: Severity | None = None
    allow: tuple[str, ...] = ()
    allow_unchecked: tuple[str, ...] = ()
    unscanned: tuple[str, ...] = ()
    on_report: Callable[[ScanReport], None] | None = None
    loader: Loader | None = None
    config: str | Path | None = None
    baseline: str | Path | None = None

    def __post_init__(self) -> None:
        hold_several(self, str, "allow", "allow_unchecked", "unscanned")
        if self.gate is not None and self.gate not in SEVERITIES:
            raise OptionError(f"no severity named {self.gate!r}; there are: {', '.join(SEVERITIES)}")
        if odd := [kind for kind in self.unscanned if kind not in REPO_TYPES]:
            raise OptionError(f"no type of repo named {odd[0]!r} goes unscanned; there are: {', '.join(REPO_TYPES)}")
        check_names(self.allow)
        Asked(self.loader)

    @property
    def wishes(self) -> Wishes:
        """What was asked for over a file of settings."""
        return Wishes(self.gate, self.loader, self.allow, self.allow_unchecked, str(self.baseline or ""))


@dataclass(frozen=True, slots=True)
class GuardedCall:
    """What a call of the client asks for. ``revision`` is a branch, a tag or a commit."""

    repo_id: str
    repo_type: str
    revision: str
    token: str | bool | None
    endpoint: str
    offline: bool

    @classmethod
    def of(cls, given: dict[str, Any]) -> GuardedCall:
        """From the arguments of any of the three functions."""
        revision = given.get("revision")
        return cls(
            given["repo_id"],
            given.get("repo_type") or "model",
            str(getattr(revision, "resolved", None) or revision or constants.DEFAULT_REVISION),
            given.get("token"),
            given.get("endpoint") or constants.ENDPOINT,
            bool(given.get("local_files_only")) or constants.HF_HUB_OFFLINE,
        )
