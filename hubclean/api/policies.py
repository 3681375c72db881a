"""What a call is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubclean.errors import strings

if TYPE_CHECKING:
    from hubclean.hub.repos import Repo
    from hubclean.records import Loader, Severity
    from hubclean.scanning.policy.baseline import Baseline
    from hubclean.scanning.policy.effective import Policy


def policy_of(
    target: str | Path | Repo,
    config: str | Path | None,
    gate: Severity | None,
    loader: Loader | None,
    allow: Sequence[str],
    allow_unchecked: Sequence[str],
    baseline: str | Path | None = None,
) -> Policy:
    """The policy of a target: a call's arguments over the file that it names; without one no file is read.

    Raises:
        OptionError: a value that there is not, or the file cannot be read.
    """
    from hubclean.scanning.policy.effective import Wishes
    from hubclean.scanning.policy.search import Search

    search = Search(off=True) if config is None else Search(Path(config))
    names, patterns = strings("allow", allow), strings("allow_unchecked", allow_unchecked)
    return search.policy(target, Wishes(gate, loader, names, patterns, str(baseline or "")))


def accepted_by(policy: Policy) -> Baseline | None:
    """The accepted findings that a policy names.

    Raises:
        OptionError: they cannot be read.
    """
    from hubclean.scanning.policy.baseline import read_baseline

    return read_baseline(Path(policy.baseline)) if policy.baseline else None
