"""What a scan says: origin, a verdict a file, findings, what will be loaded, and the exit code that follows."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hubclean.measurements import DetectionReport, Judgement, Verdict

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
FileState = Literal["ok", "finding", "unchecked"]
Loader = Literal["transformers", "timm", "peft", "open_clip", "torch", "all"]
LOADERS: tuple[Loader, ...] = ("transformers", "timm", "peft", "open_clip", "torch", "all")


@dataclass(frozen=True, slots=True)
class RepoRef:
    """Where a checkpoint comes from, pinned.

    Args:
        repo_id: ``org/model`` on a Hub, or the bare name of a local folder or file.
        revision: the 40-hex commit on a Hub (never a branch); ``None`` for local files.
        kind: ``hub``, ``cache`` (a commit of a Hub as far as the cache of this machine holds it) or ``local``.
        subfolder: where in it the model lies; empty for its root.
    """

    repo_id: str
    revision: str | None
    kind: Literal["hub", "cache", "local"]
    subfolder: str = ""

    @property
    def said(self) -> str:
        """The name, and that nobody asked the Hub, if so."""
        return f"{self} (as the cache holds it; the Hub was not asked)" if self.kind == "cache" else str(self)

    def __str__(self) -> str:
        pinned = f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id
        return f"{pinned} (subfolder {self.subfolder})" if self.subfolder else pinned


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a scanner saw. ``rule`` is a stable id (``HC-ST-001``), ``offset`` a byte offset.

    ``hostile`` is whether it counts in files that no loader opens, too: code, commands, network or files, a hidden
    call, a path that leaves the repo, a disguise.
    """

    rule: str
    severity: Severity
    path: str
    what: str
    advice: str
    offset: int | None = None
    hostile: bool = False


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """What the scan can say of one file: ``ok`` (how it was checked), ``finding`` or ``unchecked`` (why).

    ``sha256`` is the listing's, known for LFS files of a Hub; nobody hashes a file for the scan. ``pickled``: it is not
    checked, and by its content it is a pickle that was not walked to its end; that counts wherever the file lies.
    """

    path: str
    size: int
    state: FileState
    reason: str
    sha256: str | None = None
    pickled: bool = False


@dataclass(frozen=True)
class LoadSet:
    """What will be loaded: the files that a loader opens of the repo, in order, under their paths in it.

    Args:
        loader: who loads; ``all`` stands for every file, whoever may open it.
        files: the files, only those that are there; empty for ``all``.
        loadable: whether there is anything that the loader can load.
        note: why this loader, or what there is in place of what it loads (``ONNX only``).
        base: other repos that it loads from, too (the base model of an adapter).
    """

    loader: Loader = "all"
    files: tuple[str, ...] = ()
    loadable: bool = True
    note: str = ""
    base: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether a file will be opened."""
        return self.loader == "all" or path in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)  # asked for every file and finding of a repo


EVERY_FILE = LoadSet()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that does not count, because a baseline accepts it for this very content of its file.

    ``expires`` is the last day (UTC) on which it is accepted, as ``2027-03-01``; empty for no end.
    """

    finding: Finding
    reason: str
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """An entry of a baseline for this repo that accepts nothing any more, and why: it can go."""

    rule: str
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step that was not done, and why. Never ``None`` in place of a result."""

    step: str
    reason: str


def verdicts_of(judgement: Judgement | None, detections: tuple[DetectionReport, ...]) -> set[Verdict]:
    """The one verdict over all detectors, or theirs where nobody drew it; hints count where there is nothing else."""
    if judgement:
        return {judgement.verdict}
    deciding = [detection for detection in detections if detection.decides]
    return {detection.verdict for detection in deciding or detections}


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The result of ``scan``: what was read, what was found, what was not checked.

    ``requests`` and ``bytes_read`` count the bodies asked for; the deep stage's weights are not in them.
    ``allowed_unchecked`` holds path patterns (``fnmatch``) of files that may stay not checked, ``allowed_names`` the
    exact names (``timm.models.resnet.ResNet``) that pickles may hold by the caller's wish. ``load_set`` is what the
    verdict is about; of the other files only hostile findings count. ``images`` says in one line which images the deep
    stage took and which it left. ``accepted`` are findings, among the others, that do not count by a baseline's word,
    and ``stale`` its entries for this repo that accept nothing.
    """

    origin: RepoRef
    gate: Severity
    files: tuple[FileVerdict, ...]
    findings: tuple[Finding, ...]
    allowed_unchecked: tuple[str, ...]
    requests: int
    bytes_read: int
    seconds: float
    detections: tuple[DetectionReport, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    judgement: Judgement | None = None
    allowed_names: tuple[str, ...] = ()
    load_set: LoadSet = EVERY_FILE
    images: str = ""
    accepted: tuple[Accepted, ...] = ()
    stale: tuple[Stale, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 what will be loaded was checked and nothing counts, 1 a finding counts, 2 something was not decided."""
        if self.at_gate:
            return 1
        verdicts = verdicts_of(self.judgement, self.detections)
        if "backdoored" in verdicts:
            return 1
        unsure = "undecided" in verdicts or bool(self.skipped) or not self.load_set.loadable
        return 2 if unsure or self.unchecked else 0

    @property
    def at_gate(self) -> tuple[Finding, ...]:
        """The findings that count, the worst first: with any, no weight is to be loaded.

        They are at or above the gate, not accepted, and in a file that will be loaded, or of the repo as a whole, or
        hostile.
        """
        known = {file.path for file in self.files}
        return tuple(
            row for row in self.severe if row.hostile or row.path not in known or self.load_set.holds(row.path)
        )

    @property
    def severe(self) -> tuple[Finding, ...]:
        """The findings at or above the gate that nobody accepted, wherever they are."""
        least, accepted = SEVERITIES.index(self.gate), {row.finding for row in self.accepted}
        rows = (row for row in self.findings if SEVERITIES.index(row.severity) >= least)
        return tuple(row for row in rows if row not in accepted)

    @property
    def loaded(self) -> tuple[FileVerdict, ...]:
        """The verdicts on the files that will be loaded, in the order in which they are opened."""
        if self.load_set.loader == "all":
            return self.files
        known = {file.path: file for file in self.files}
        return tuple(known[path] for path in self.load_set.files if path in known)

    @property
    def unchecked(self) -> tuple[FileVerdict, ...]:
        """The files that nobody judged and that count, without those that a pattern of ``allowed_unchecked`` names.

        They are those to be loaded, and pickles of which not all could be looked at: some program will load them.
        """
        rows = (*self.loaded, *(row for row in self.files if row.pickled and not self.load_set.holds(row.path)))
        return tuple(row for row in rows if row.state == "unchecked" and not self.is_allowed(row.path))

    def is_allowed(self, path: str) -> bool:
        """Whether a file may stay not checked by the caller's wish."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.allowed_unchecked)
