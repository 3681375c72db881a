"""Runs every scanner over a repo pinned to one commit. Reads by range, runs nothing, imports no torch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from hubclean.errors import BudgetError, IntegrityError, OptionError, TargetError, TransportError
from hubclean.formats import HEAD, PICKLE_NAMES, suffix
from hubclean.headers import AHEAD, read_header
from hubclean.records import SEVERITIES, FileState, FileVerdict, Finding, ScanReport, Severity
from hubclean.registry import methods
from hubclean.repos import Repo, RepoEntry, open_target
from hubclean.scanners import Scanner, not_checked
from hubclean.sources import SMALL, TAIL, Spans
from hubclean.zips import planned_head

IN_FLIGHT = 8
PER_REPO = 64 << 20
PER_FILE = 16 << 20
_WHOLE = (".json", ".py", ".yaml", ".yml", ".jinja")
_CONTAINERS = (*PICKLE_NAMES, ".npz", ".zip", ".keras", ".mar")
_RANK: dict[FileState, int] = {"ok": 0, "finding": 1, "unchecked": 2}


class Progress(Protocol):
    """Told of long work: the first three methods of ``tensors.Progress``, named here without torch."""

    def start(self, what: str, total: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def finish(self) -> None: ...


def scan(
    target: str | Path | Repo,
    *,
    revision: str | None = None,
    gate: Severity = "high",
    allow_unchecked: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> ScanReport:
    """Scan a repo before its weights are downloaded.

    Args:
        target: ``org/model``, ``org/model@rev``, a Hub URL, a folder, a file, or an opened repo.
        revision: branch, tag or commit; only with a target on a Hub.
        gate: the severity from which a finding makes ``exit_code`` 1.
        allow_unchecked: patterns of paths (``fnmatch``) that may stay not checked without making ``exit_code`` 2.
        progress: told of every file read.

    Raises:
        TargetError, AccessError: the target is not understood, or not there, or not allowed.
        TransportError: the Hub could not be reached, or broke off on every file.
        OptionError: ``gate`` is no severity.
    """
    if gate not in SEVERITIES:
        raise OptionError(f"no severity named {gate!r}; there are: {', '.join(SEVERITIES)}")
    started = time.monotonic()
    repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
    files = tuple(sorted(repo.files(), key=lambda entry: entry.path))
    if not files:
        raise TargetError(f"there are no files at {repo.ref}")
    reader = Reader(repo, files)
    _read_ahead(reader, files, progress)
    findings, verdicts = _judge(reader, files)
    return ScanReport(
        origin=repo.ref,
        gate=gate,
        files=verdicts,
        findings=findings,
        allowed_unchecked=tuple(allow_unchecked),
        requests=reader.requests,
        bytes_read=reader.bytes_read,
        seconds=round(time.monotonic() - started, 3),
    )


def gate_passed(report: ScanReport) -> bool:
    """Whether the weights may be downloaded: no finding at or above the gate (files not checked do not count)."""
    at_gate = SEVERITIES.index(report.gate)
    return all(SEVERITIES.index(finding.severity) < at_gate for finding in report.findings)


class Reader:
    """A repo that reads every byte at most once, within budgets, so that scanners need not share what they read.

    It keeps what it read of each file in memory. Errors are kept too: a file that failed fails for all scanners.
    """

    def __init__(self, repo: Repo, files: tuple[RepoEntry, ...]) -> None:
        self.ref = repo.ref
        self.hub_security = getattr(repo, "hub_security", None)
        self._repo = repo
        self._entries = {entry.path: entry for entry in files}
        self._spans: dict[str, Spans] = {}
        self._locks = {entry.path: threading.Lock() for entry in files}
        self._purse = threading.Lock()
        self.requests = 0
        self.bytes_read = 0
        self.errors: dict[str, Exception] = {}

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(self._entries.values())

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        raise BudgetError("a scan downloads no whole files")

    def read(self, path: str, limit: int) -> bytes:
        entry = self._entries[path]
        if entry.size > limit:
            raise IntegrityError(f"it has {entry.size} bytes, more than the {limit} allowed here")
        return self.read_range(path, 0, entry.size)

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        entry = self._entries[path]
        if not 0 <= start <= stop <= entry.size:
            raise IntegrityError(f"bytes {start}..{stop} asked of a file of {entry.size} bytes")
        with self._locks[path]:
            if path in self.errors:
                raise self.errors[path]
            try:
                return self._bytes(entry, start, stop)
            except BudgetError:
                raise  # fewer bytes of the same file may still be had
            except Exception as error:
                self.errors[path] = error
                raise

    def _bytes(self, entry: RepoEntry, start: int, stop: int) -> bytes:
        spans = self._spans.setdefault(entry.path, Spans())
        if stop > start and not spans.size:
            self._open(entry, spans, start, stop)
        if (body := spans.get(start, stop)) is not None or start == stop:
            return body or b""
        self._load(entry, spans, *spans.missing(start, stop))
        body = spans.get(start, stop)
        assert body is not None
        return body

    def _open(self, entry: RepoEntry, spans: Spans, start: int, stop: int) -> None:
        """The first read of a file: small ones whole, archives from their end, all others from their beginning."""
        kind, size = suffix(entry.path), entry.size
        if kind == ".safetensors":
            self._load(entry, spans, 0, max(stop, min(size, AHEAD)))
        elif size <= AHEAD or (size <= SMALL and kind in _CONTAINERS) or (start, stop) == (0, size):
            self._pay(spans, size)
            spans.add(0, self._repo.read(entry.path, size))  # which checks its hash against the listing
        elif kind in _CONTAINERS:
            self._load(entry, spans, size - TAIL, size)
            end = spans.get(size - TAIL, size)
            assert end is not None
            self._load(entry, spans, *spans.missing(0, max(HEAD, planned_head(end, size))))
        else:
            self._load(entry, spans, 0, max(stop, HEAD) if start < HEAD else HEAD)

    def _load(self, entry: RepoEntry, spans: Spans, start: int, stop: int) -> None:
        self._pay(spans, stop - start)
        spans.add(start, self._repo.read_range(entry.path, start, stop))

    def _pay(self, spans: Spans, size: int) -> None:
        if spans.size + size > PER_FILE:
            raise BudgetError(f"judging it would take more than {PER_FILE} bytes of the file")
        with self._purse:
            if self.bytes_read + size > PER_REPO:
                raise BudgetError(f"the scan's budget of {PER_REPO} bytes for one repo is used up")
            self.requests += 1
            self.bytes_read += size


def _read_ahead(reader: Reader, files: tuple[RepoEntry, ...], progress: Progress | None) -> None:
    """Fetch what the scanners will ask for, several files at a time; errors wait in the reader for them.

    Raises:
        TransportError: every file failed that way.
    """
    if progress:
        progress.start("scan", len(files))

    def fetch(entry: RepoEntry) -> None:
        try:
            if suffix(entry.path) == ".safetensors":
                read_header(reader, entry)
            elif entry.size:
                whole = suffix(entry.path) in _WHOLE and entry.size <= PER_FILE // 2
                reader.read_range(entry.path, 0, entry.size if whole else min(entry.size, HEAD))
        except Exception:
            return  # the scanners meet it again and report it

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for _ in pool.map(fetch, files):
            if progress:
                progress.advance()
    if progress:
        progress.finish()
    broken = [error for error in reader.errors.values() if isinstance(error, TransportError)]
    if broken and len(broken) == sum(bool(entry.size) for entry in files):
        raise broken[0]


def _judge(reader: Reader, files: tuple[RepoEntry, ...]) -> tuple[tuple[Finding, ...], tuple[FileVerdict, ...]]:
    seen: dict[str, dict[Finding | FileVerdict, None]] = {entry.path: {} for entry in files}
    for name, method in sorted(methods("scanners").items()):
        for row in _rows(name, method(), reader, files):
            seen.setdefault(row.path, {})[row] = None
    for entry in files:
        if not seen[entry.path]:
            seen[entry.path] = dict.fromkeys(not_checked(entry, "no scanner knows this kind of file"))
    findings = [row for rows in seen.values() for row in rows if isinstance(row, Finding)]
    findings.sort(key=lambda row: (-SEVERITIES.index(row.severity), row.path, row.rule, row.offset or 0, row.what))
    return tuple(findings), tuple(_worst(entry, list(seen[entry.path])) for entry in files)


def _rows(name: str, scanner: Scanner, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Any]:
    """What a scanner yields; one that breaks (a plugin's, ours use ``each``) leaves every file not checked."""
    try:
        yield from scanner.scan(reader, files)
    except Exception as error:
        for entry in files:
            yield from not_checked(entry, f"the scanner {name} broke off: {type(error).__name__}: {error}")


def _worst(entry: RepoEntry, seen: list[Finding | FileVerdict]) -> FileVerdict:
    """One verdict of many: not checked is worse than a finding (it must stay visible), a finding worse than ok."""
    rules = sorted({row.rule for row in seen if isinstance(row, Finding) and row.severity != "info"})
    rows = [row for row in seen if isinstance(row, FileVerdict)]
    if rules:
        rows.append(FileVerdict(entry.path, entry.size, "finding", ", ".join(rules)))
    if not rows:
        rows.append(FileVerdict(entry.path, entry.size, "unchecked", "only noted, not judged"))
    state = max((row.state for row in rows), key=_RANK.__getitem__)
    return FileVerdict(entry.path, entry.size, state, "; ".join(row.reason for row in rows if row.state == state))
