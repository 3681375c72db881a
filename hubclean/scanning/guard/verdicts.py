"""What a download guard knows: which commits and cached folders were scanned, and whether a file is one of these."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError

from hubclean.errors import AccessError, IntegrityError, RefusedError, TargetError, UnsafeRepoError
from hubclean.escaping import printable
from hubclean.hub.hub_repo import HubRepo, discard, intact
from hubclean.hub.repos import LocalRepo, Repo, RepoEntry
from hubclean.records import ScanReport
from hubclean.scanning.engine import scan
from hubclean.scanning.guard.options import GuardedCall, GuardOptions
from hubclean.scanning.policy.baseline import read_baseline
from hubclean.scanning.policy.effective import effective
from hubclean.scanning.policy.settings import read_settings
from hubclean.scanning.refusal import refusal_of_files, unfit

# A whole snapshot: of the files in it those count that will be opened.
ALL: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scan of one commit, with the sizes and hashes its files must have."""

    report: ScanReport
    commit: str
    entries: dict[str, RepoEntry]


class Verdicts:
    """The scans of one guard. Threads that ask for the same repo wait for one scan of it."""

    def __init__(self, options: GuardOptions) -> None:
        self.options = options
        self._settings = None if options.config is None else read_settings(Path(options.config))
        place = effective(options.wishes, self._settings).baseline
        self._baseline = read_baseline(Path(place)) if place else None
        self._commits: dict[tuple[str, str, str], str] = {}
        self._verdicts: dict[tuple[str, str, str], Verdict] = {}
        self._folders: dict[Path, tuple[Hashable, ScanReport]] = {}
        self._intact: set[Hashable] = set()
        self._turns: dict[Hashable, threading.RLock] = {}
        self._lock = threading.Lock()

    @property
    def reports(self) -> tuple[ScanReport, ...]:
        """Every scan so far."""
        return (*(row.report for row in self._verdicts.values()), *(report for _, report in self._folders.values()))

    def check_type(self, call: GuardedCall) -> bool:
        """Whether the repo is one to scan; ``False`` for one of a type that may pass.

        Raises:
            RefusedError: it is of a type that nobody scans and that was not allowed.
        """
        if call.repo_type == "model":
            return True
        if call.repo_type not in self.options.unscanned:
            raise RefusedError(
                f"{printable(call.repo_id)} is a {printable(call.repo_type)} repo, which hubclean does not scan, so it"
                f" is refused; guard(unscanned=({printable(call.repo_type)!r},)) lets such repos pass"
            )
        return False

    def of_commit(self, call: GuardedCall) -> Verdict:
        """Scan the repo at the commit that the revision names, once; a branch keeps naming that commit.

        Raises:
            UnsafeRepoError: a finding that counts wherever it is.
            HfHubHTTPError: the client's own, where there is no such repo or revision. HubcleanError: as ``scan``.
        """
        where = (call.endpoint, call.repo_id)
        fresh = None
        with self._turn(where):
            commit = self._commits.get((*where, call.revision))
            if commit is None:
                repo = _opened(call)
                commit = repo.commit
                if (*where, commit) not in self._verdicts:
                    fresh = self._scan(repo, call.repo_id)
                    self._verdicts[*where, commit] = Verdict(fresh, commit, {row.path: row for row in repo.files()})
                self._commits[*where, call.revision] = self._commits[*where, commit] = commit
            verdict = self._verdicts[*where, commit]
        self._tell(fresh)
        refuse(verdict.report, ())
        return verdict

    def of_folder(self, root: Path, paths: Iterable[str], repo_id: str) -> None:
        """Scan what lies in a folder, once as long as no file of it changes, and judge the files asked for.

        Settings for some repos hold for folders of the cache alone: what else lies on a disk has no repo's name.

        Raises:
            UnsafeRepoError: as ``refuse``. HubcleanError: the folder cannot be read.
        """
        fresh = None
        with self._turn(root):
            repo = LocalRepo(root)
            state = tuple((row.path, row.size, (root / row.path).stat().st_mtime_ns) for row in repo.files())
            if root not in self._folders or self._folders[root][0] != state:
                fresh = self._scan(repo, repo_id if root.parent.name == "snapshots" else None)
                self._folders[root] = (state, fresh)
            report = self._folders[root][1]
        self._tell(fresh)
        refuse(report, opened_of(report) if paths is ALL else paths)

    def commit_known(self, call: GuardedCall) -> str | None:
        """The commit that a revision was found to name; ``None`` before the first scan."""
        named = [commit for (_, *rest), commit in list(self._commits.items()) if rest == [call.repo_id, call.revision]]
        return named[0] if named else None

    def vouch_cached(self, call: GuardedCall, root: Path, path: str) -> bool:
        """Whether a file of the cache may be handed out; ``False`` while nobody has scanned its commit or folder.

        Raises:
            UnsafeRepoError: its commit or folder was scanned and refused. IntegrityError: it is not what was scanned.
        """
        for (_, repo_id, commit), verdict in list(self._verdicts.items()):
            if (repo_id, commit) == (call.repo_id, root.name):
                refuse(verdict.report, (path,))
                self.vouch(verdict, root, path)
                return True
        if root not in self._folders and not call.offline:
            return False
        self.of_folder(root, (path,), call.repo_id)
        return True

    def vouch(self, verdict: Verdict, root: Path, path: str, keep: bool = False) -> None:
        """See that a downloaded or cached file has the hash the scanned commit gives it; hashed once while unchanged.

        Raises:
            IntegrityError: it has not, or the commit has no such file; unless ``keep`` says that it was in the user's
                folder before, the file is removed.
        """
        place, entry = root / path, verdict.entries.get(path)
        if entry is not None:
            facts = place.stat()
            mark = (entry, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if mark in self._intact:
                return
            if intact(place, entry):
                self._intact.add(mark)
                return
        if not keep:
            discard(place, root.parents[2] if root.parent.name == "snapshots" else root)
        what = "is not in" if entry is None else "does not have the hash it has in"
        name = printable(f"{verdict.report.origin.repo_id}@{verdict.commit}")
        done = f"do not load {printable(str(place), 500)}" if keep else "it was removed from this disk"
        raise IntegrityError(f"{printable(path)!r} {what} the scanned commit {name}; {done}")

    def _scan(self, repo: Repo, repo_id: str | None) -> ScanReport:
        policy = effective(self.options.wishes, self._settings, repo_id)
        return scan(
            repo,
            gate=policy.gate,
            allow=policy.allow,
            allow_unchecked=policy.allow_unchecked,
            loader=policy.loader,
            baseline=self._baseline,
        )

    def _tell(self, report: ScanReport | None) -> None:
        if report is not None and self.options.on_report is not None:
            self.options.on_report(report)

    def _turn(self, what: Hashable) -> threading.RLock:
        with self._lock:
            return self._turns.setdefault(what, threading.RLock())


def _opened(call: GuardedCall) -> HubRepo:
    """The repo at its commit. That it is not there is said by the client's own error, which callers wait for."""
    try:
        return HubRepo(call.repo_id, call.revision, token=call.token, endpoint=call.endpoint)
    except (TargetError, AccessError) as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise error.__cause__ from None
        raise


def opened_of(report: ScanReport) -> tuple[str, ...]:
    """The files that will be opened of a whole repo; all, where the loader finds nothing that it could load."""
    return tuple(file.path for file in (report.loaded if report.load_set.loadable else report.files))


def refuse_snapshot(report: ScanReport, asked: Iterable[str]) -> set[str]:
    """Refuse a snapshot of the files ``asked`` for if one that will be opened is not fit.

    Returns:
        The other files among them that are not fit: to be left out.

    Raises:
        UnsafeRepoError: as ``refuse``.
    """
    asked, opened = list(asked), set(opened_of(report))
    refuse(report, [path for path in asked if path in opened])
    return set(unfit(report, asked))


def refuse(report: ScanReport, paths: Iterable[str]) -> None:
    """Refuse the repo for a hostile finding anywhere, and the files asked for if they are not fit.

    Raises:
        UnsafeRepoError: one of both.
    """
    refused = refusal_of_files(report, paths)
    if refused is None:
        return
    name, why = printable(str(report.origin), 300), refused.why
    if not refused.finding:
        why += "; allow_unchecked=(...) of the guard lets some pass"
    raise UnsafeRepoError(f"{name} is refused, nothing of it is loaded: {why}", report)
