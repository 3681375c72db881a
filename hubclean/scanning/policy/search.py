"""The settings that hold where somebody stands: of the working directory and those above it, to the repository's root.

Never those that come with the target: a model in whose folder a ``hubclean.toml`` lies would say itself what may pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hubclean.errors import OptionError, TargetError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo
from hubclean.hub.targets import parse_target
from hubclean.scanning.policy.baseline import Baseline, read_baseline
from hubclean.scanning.policy.effective import Policy, Wishes, effective
from hubclean.scanning.policy.settings import OWN_FILE, SHARED_FILE, Settings, has_settings, read_settings


@dataclass(frozen=True, slots=True)
class Search:
    """Which settings a call goes by.

    Args:
        config: a file that the caller named, which holds for all targets.
        off: no file at all.
        start: where the search begins; ``None`` for the working directory.

    Raises:
        OptionError: both a file and none.
    """

    config: Path | None = None
    off: bool = False
    start: Path | None = None
    _read: dict[Path, Settings] = field(default_factory=dict, init=False, repr=False, compare=False)
    _accepted: dict[str, Baseline] = field(default_factory=dict, init=False, repr=False, compare=False)
    _found: list[Path] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.config is not None and self.off:
            raise OptionError("--config names a file of settings and --no-config wants none: give one of them")

    def policy(self, target: str | Path | Repo, wishes: Wishes) -> Policy:
        """The policy of a target as the user named it.

        Raises:
            OptionError: settings that hold for it cannot be read.
        """
        settings, not_read = self.settings(target)
        return effective(wishes, settings, repo_id_of(target), not_read=not_read)

    def baseline(self, policy: Policy) -> Baseline | None:
        """The accepted findings that a policy names.

        Raises:
            OptionError: they cannot be read.
        """
        if not policy.baseline:
            return None
        if policy.baseline not in self._accepted:
            self._accepted[policy.baseline] = read_baseline(Path(policy.baseline))
        return self._accepted[policy.baseline]

    def settings(self, target: str | Path | Repo) -> tuple[Settings | None, str]:
        """The settings for a target, and the name of a file that was passed over because it lies in the target."""
        if self.off:
            return None, ""
        if self.config is not None:
            return self._of(self.config, str(self.config)), ""
        passed = ""
        try:
            start = (self.start or Path.cwd()).absolute()
        except OSError:  # the working directory was removed: nothing lies in it
            return None, ""
        if not self._found:
            self._found.extend((*_folders(start), start))  # the last is none, and says that this was done
        for folder in self._found[:-1]:
            theirs = isinstance(target, (str, Path)) and _within(folder / OWN_FILE, str(target))
            try:
                place = _settings_in(folder, start)
            except OptionError:
                if not theirs:
                    raise
                place = folder / SHARED_FILE  # of whom nobody asks what it means
            if place is None:
                continue
            shown = os.path.relpath(place, start)
            if not theirs and not (isinstance(target, (str, Path)) and _within(place, str(target))):
                return self._of(place, shown), passed
            passed = passed or printable(shown, 300)
        return None, passed

    def _of(self, place: Path, shown: str) -> Settings:
        if place not in self._read:
            self._read[place] = read_settings(place, shown)
        return self._read[place]


def repo_id_of(target: str | Path | Repo) -> str | None:
    """The repo on a Hub that a target names; ``None`` for what lies on this disk, and for what is understood by nobody.

    A folder of the Hub's cache is a local one: whoever made it chose its name.
    """
    if not isinstance(target, (str, Path)):
        return target.ref.repo_id if target.ref.kind == "hub" else None
    try:
        if Path(target).exists():
            return None
        return parse_target(str(target))[0]
    except (OSError, ValueError, TargetError):
        return None


def _folders(start: Path) -> Iterator[Path]:
    """Folders with files that may be settings, from ``start`` upwards; outside of a repository only ``start``."""
    above = [start, *start.parents]
    roots = [number for number, folder in enumerate(above) if (folder / ".git").exists()]
    for folder in above[: roots[0] + 1 if roots else 1]:
        if (folder / OWN_FILE).is_file() or (folder / SHARED_FILE).is_file():
            yield folder


def _settings_in(folder: Path, start: Path) -> Path | None:
    """The settings of a folder, if one of its files holds any.

    Raises:
        OptionError: both files do, or nobody can tell.
    """
    own, shared = folder / OWN_FILE, folder / SHARED_FILE
    said = shared.is_file() and has_settings(shared, os.path.relpath(shared, start))
    if own.is_file() and said:
        where = printable(os.path.relpath(folder, start), 300)
        raise OptionError(f"{OWN_FILE} and [tool.hubclean] of {SHARED_FILE} both lie in {where!r}: keep one")
    return own if own.is_file() else shared if said else None


def _within(place: Path, target: str) -> bool:
    """Whether a file lies in the target, or in the folder of a single file: below it, by its name or by its links."""
    try:
        what = Path(target)
        if not what.exists():
            return False
        roots = [Path(os.path.abspath(target)), what.resolve()]
        roots = roots if what.is_dir() else [root.parent for root in roots]
        return any(one.is_relative_to(root) for one in (place, place.resolve()) for root in roots)
    except (OSError, ValueError):
        return False
