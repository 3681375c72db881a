"""What ``scan --json`` prints: one versioned document for one target or many, the same bytes for the same repos.

``python -m hubclean.scanning.document > hubclean/scanning/scan.schema.json`` writes the schema that ships with the
package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hubclean.hub.deadline import SECONDS
from hubclean.measurements import DetectionReport, Judgement
from hubclean.records import (
    EVERY_FILE,
    SEVERITIES,
    Accepted,
    FileVerdict,
    Finding,
    LoadSet,
    RepoRef,
    ScanReport,
    Severity,
    Skipped,
    Stale,
)
from hubclean.scanning.configs.loader_fields import LIBRARIES
from hubclean.scanning.policy.effective import Policy
from hubclean.schema import json_schema
from hubclean.version import __version__

SCAN_SCHEMA = "hubclean/scan/v1"
_BY_DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class FileCounts:
    """How many files a target has, and how many of them are ok, have a finding, were not checked."""

    files: int
    ok: int
    finding: int
    unchecked: int


@dataclass(frozen=True, slots=True)
class TargetScan:
    """One target of a scan.

    Args:
        target: as the user named it.
        exit_code: 0 what will be loaded is clean, 1 findings that count, 2 no verdict.
        error: why there is no verdict at all, in one sentence; then there is no origin either.
        requests: bodies asked for, ``bytes_read`` their size.
        load_set: the files that the exit code is about.
        images: which images the deep stage took and which it left, in one line.
        policy: what it was judged by, and where each value came from.
        accepted: findings, among the others, that do not count by a baseline's word.
        stale: the baseline's entries for it that accept nothing any more.
    """

    target: str
    exit_code: int
    error: str | None = None
    origin: RepoRef | None = None
    counts: FileCounts = FileCounts(0, 0, 0, 0)
    findings: tuple[Finding, ...] = ()
    files: tuple[FileVerdict, ...] = ()
    requests: int = 0
    bytes_read: int = 0
    detections: tuple[DetectionReport, ...] = ()
    judgement: Judgement | None = None
    skipped: tuple[Skipped, ...] = ()
    load_set: LoadSet = EVERY_FILE
    images: str = ""
    policy: Policy = _BY_DEFAULT
    accepted: tuple[Accepted, ...] = ()
    stale: tuple[Stale, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedFor:
    """A library whose loading was read for the scan, and its versions: of other libraries an ok says nothing."""

    library: str
    versions: str


@dataclass(frozen=True, slots=True)
class ScanDocument:
    """All targets of one call. No time and no duration is in it, so that two runs can be compared byte by byte.

    Args:
        gate: the lowest of all targets.
        allowed_unchecked, allowed_names: of all targets together; ``policy`` of each says what was let pass for it.
        deadline: seconds that the scan of one target might take.
    """

    gate: Severity
    allowed_unchecked: tuple[str, ...]
    allowed_names: tuple[str, ...]
    exit_code: int
    scans: tuple[TargetScan, ...]
    deadline: float = SECONDS
    checked_for: tuple[CheckedFor, ...] = tuple(CheckedFor(*row) for row in LIBRARIES.items())
    hubclean: str = field(default=__version__)
    schema: str = field(default=SCAN_SCHEMA)


def document_of(scans: list[TargetScan], deadline: float = SECONDS) -> ScanDocument:
    """The document of a call."""
    policies = [scan.policy for scan in scans] or [_BY_DEFAULT]
    return ScanDocument(
        min((policy.gate for policy in policies), key=SEVERITIES.index),
        tuple(dict.fromkeys(pattern for policy in policies for pattern in policy.allow_unchecked)),
        tuple(sorted({name for policy in policies for name in policy.allow})),
        worst([scan.exit_code for scan in scans]),
        tuple(scans),
        deadline,
    )


def target_scan(target: str, report: ScanReport, policy: Policy = _BY_DEFAULT) -> TargetScan:
    """The part of the document that one report fills."""
    states = [file.state for file in report.files]
    return TargetScan(
        target,
        report.exit_code,
        None,
        report.origin,
        FileCounts(len(states), states.count("ok"), states.count("finding"), states.count("unchecked")),
        report.findings,
        report.files,
        report.requests,
        report.bytes_read,
        report.detections,
        report.judgement,
        report.skipped,
        report.load_set,
        report.images,
        policy,
        report.accepted,
        report.stale,
    )


def worst(exit_codes: list[int]) -> int:
    """One exit code of many: findings win over "no verdict", which wins over clean; of nothing there is no verdict."""
    return 1 if 1 in exit_codes else max(exit_codes, default=2)


def schema_text() -> str:
    """The JSON Schema of ``ScanDocument`` as it ships with the package."""
    return json.dumps(json_schema(ScanDocument, SCAN_SCHEMA), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
