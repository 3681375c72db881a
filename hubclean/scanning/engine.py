"""Runs every scanner over a repo pinned to one commit. Reads by range, runs nothing, imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any

from hubclean.errors import AccessError, DeadlineError, OptionError, TargetError, TransportError, strings
from hubclean.hub import deadline as deadlines
from hubclean.hub.repos import FILE_BUDGET, Repo, RepoEntry
from hubclean.hub.targets import open_target
from hubclean.progress import Progress
from hubclean.records import SEVERITIES, FileState, FileVerdict, Finding, Loader, ScanReport, Severity
from hubclean.registry import methods
from hubclean.scanning.budget import of_scan
from hubclean.scanning.formats.names import HEAD, suffix
from hubclean.scanning.formats.safetensors_header import header_bytes
from hubclean.scanning.load_sets.choosing import load_set
from hubclean.scanning.load_sets.opened import Asked
from hubclean.scanning.pickles.allowed_names import check_names
from hubclean.scanning.policy.baseline import Baseline, accept
from hubclean.scanning.policy.contents import Contents
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import BROKE_OFF, FAILED, Scanner, handled_by, not_checked

IN_FLIGHT = 8
_WHOLE = (".json", ".py", ".yaml", ".yml", ".jinja", ".jinja2", ".j2")
_ACCUSING = SEVERITIES.index("medium")
_OF_NAMES = ("HC-PKL-009",)  # said of a file's name, so no byte of it can be wrong
_RANK: dict[FileState, int] = {"ok": 0, "finding": 1, "unchecked": 2}


def scan(
    target: str | Path | Repo,
    *,
    revision: str | None = None,
    gate: Severity = "high",
    allow_unchecked: tuple[str, ...] = (),
    allow: tuple[str, ...] = (),
    loader: Loader | None = None,
    variant: str | None = None,
    subfolder: str = "",
    deadline: float = deadlines.SECONDS,
    progress: Progress | None = None,
    baseline: Baseline | None = None,
    settled: Callable[[ScanReport], None] | None = None,
) -> ScanReport:
    """Scan a repo before its weights are downloaded. The exit code is about what will be loaded of it.

    Args:
        target: ``org/model``, ``org/model@rev``, a Hub URL, a folder, a file, or an opened repo.
        revision: branch, tag or commit; only with a target on a Hub.
        gate: the severity from which a finding makes ``exit_code`` 1.
        allow_unchecked: patterns of paths (``fnmatch``) that may stay not checked without making ``exit_code`` 2.
        allow: exact names (``timm.models.resnet.ResNet``) that pickles may hold; recorded in the report.
        loader: who loads (``transformers``, ``timm``, ``peft``, ``open_clip``, ``torch``), or ``all`` for every file;
            without it, whom the repo is for.
        variant, subfolder: as of ``from_pretrained``.
        deadline: seconds for the whole scan; what was not judged by then is not checked.
        progress: told of every file read.
        baseline: findings that were accepted and do not count while their files are what they were.
        settled: told of the report if another scan of the same commit would give it again: no read failed, no scanner
            broke off, and the time was not over.

    Raises:
        TargetError, AccessError: the target is not understood, or not there, or not allowed.
        TransportError: the Hub could not be reached, or broke off on every file.
        OptionError: ``gate`` is no severity, ``loader`` no loader, ``deadline`` no time, or a name of ``allow`` is
            none or can never be allowed.
        DeadlineError: the time was over before the files were listed.
    """
    if gate not in SEVERITIES:
        raise OptionError(f"no severity named {gate!r}; there are: {', '.join(SEVERITIES)}")
    allow, allow_unchecked = strings("allow", allow), strings("allow_unchecked", allow_unchecked)
    check_names(allow)
    asked = Asked(loader, variant, subfolder)
    started = time.monotonic()
    with deadlines.within(deadline), of_scan() as budget:
        repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
        files = tuple(sorted(repo.files(), key=lambda entry: entry.path))
        if not files:
            raise TargetError(f"there are no files at {repo.ref}")
        reader = reader_of(repo, files, allow)
        _read_ahead(reader, files, progress)
        findings, verdicts = _judge(_scanners(), reader, files)
        same = [reader.confirm(path) for path in _accused(findings, gate)]
        if not all(same):
            budget.files.clear()
            findings, verdicts = _judge(_scanners(), reader, files)
        loaded = load_set(reader, asked)
        report = ScanReport(
            origin=replace(repo.ref, subfolder=subfolder.strip("/")),
            gate=gate,
            files=verdicts,
            findings=findings,
            allowed_unchecked=tuple(allow_unchecked),
            requests=reader.requests,
            bytes_read=reader.bytes_read,
            seconds=round(time.monotonic() - started, 3),
            allowed_names=tuple(sorted(set(allow))),
            load_set=loaded,
        )
        if baseline:
            report = accept(report, baseline, Contents(repo, reader.read))
        if settled and _is_settled(reader, report):
            settled(report)
    return report


def _is_settled(reader: Reader, report: ScanReport) -> bool:
    """Whether nothing kept a scanner from its answer that may be otherwise the next time."""
    reasons = [file.reason for file in report.files if file.state == "unchecked"]
    broken = any(FAILED in reason or BROKE_OFF in reason for reason in reasons)
    return not reader.errors and not reader.starved and not broken and deadlines.left() > 0


def _scanners() -> dict[str, Any]:
    return {name: method() for name, method in sorted(methods("scanners").items())}


def _accused(findings: Iterable[Finding], gate: Severity) -> list[str]:
    """The files that are read again before anything is said of their bytes."""
    least = min(_ACCUSING, SEVERITIES.index(gate))
    return sorted(
        {row.path for row in findings if SEVERITIES.index(row.severity) >= least and row.rule not in _OF_NAMES}
    )


def reader_of(repo: Repo, files: tuple[RepoEntry, ...], allow: Iterable[str] = ()) -> Reader:
    """What the scanners read a repo by: within budgets, and told which files one of them speaks of alone."""
    return Reader(repo, files, allow, handled_by(methods("scanners").values()))


def _read_ahead(reader: Reader, files: tuple[RepoEntry, ...], progress: Progress | None) -> None:
    """Fetch what the scanners will ask for, several files at a time; errors wait in the reader for them.

    Raises:
        TransportError, AccessError: every file failed that way.
    """
    if progress:
        progress.start("scan", len(files))

    def fetch(entry: RepoEntry) -> None:
        try:
            if suffix(entry.path) == ".safetensors":
                header_bytes(reader, entry)  # judged one by one: eight large ones at once would fill the memory
            elif entry.size:
                whole = suffix(entry.path) in _WHOLE and entry.size <= FILE_BUDGET // 2
                reader.read_range(entry.path, 0, entry.size if whole else min(entry.size, HEAD))
        except Exception:
            return  # the scanners meet it again and report it

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for _ in pool.map(lambda one: one[0].run(fetch, one[1]), [(copy_context(), entry) for entry in files]):
            if progress:
                progress.advance()
    if progress:
        progress.finish()
    broken = [error for error in reader.errors.values() if isinstance(error, (TransportError, AccessError))]
    if broken and len(broken) == sum(bool(entry.size) for entry in files):
        raise broken[0]


def _judge(
    scanners: Mapping[str, Scanner], reader: Reader, files: tuple[RepoEntry, ...]
) -> tuple[tuple[Finding, ...], tuple[FileVerdict, ...]]:
    seen: dict[str, dict[Finding | FileVerdict, None]] = {entry.path: {} for entry in files}
    for name, scanner in scanners.items():
        for row in _rows(name, scanner, reader, files):
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
    except DeadlineError as error:
        for entry in files:
            yield from not_checked(entry, str(error))
    except Exception as error:
        for entry in files:
            yield from not_checked(entry, f"the scanner {name} {BROKE_OFF}: {type(error).__name__}: {error}")


def _worst(entry: RepoEntry, seen: list[Finding | FileVerdict]) -> FileVerdict:
    """One verdict of many: not checked is worse than a finding (it must stay visible), a finding worse than ok."""
    rules = sorted({row.rule for row in seen if isinstance(row, Finding) and row.severity != "info"})
    rows = [row for row in seen if isinstance(row, FileVerdict)]
    if rules:
        rows.append(FileVerdict(entry.path, entry.size, "finding", ", ".join(rules)))
    if not rows:
        rows.append(FileVerdict(entry.path, entry.size, "unchecked", "only noted, not judged"))
    state = max((row.state for row in rows), key=_RANK.__getitem__)
    reason = "; ".join(dict.fromkeys(row.reason for row in rows if row.state == state))
    pickled = any(row.pickled for row in rows if row.state == state)
    return FileVerdict(entry.path, entry.size, state, reason, entry.sha256, pickled)
