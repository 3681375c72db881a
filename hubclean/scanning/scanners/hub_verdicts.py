"""What the Hub's own scanners say of the files: passed on under their name, never taken as our verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import MOST_PER_FILE


@dataclass(frozen=True)
class HubVerdicts:
    """Reads the security status that came with the listing; nothing is fetched for it.

    HC-REP-003: high for a file the Hub calls unsafe, info for a lesser level and where its scanners have not finished.
    That they are silent says nothing of the files, and is no finding.
    """

    name: ClassVar[str] = "hub-verdicts"
    paper: ClassVar[str] = "Hugging Face Hub documentation, malware and pickle scanning; huggingface_hub#1212"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        status = reader.hub_security
        issues = status.get("filesWithIssues") if isinstance(status, dict) else None
        if isinstance(status, dict) and status.get("scansDone") is False:
            what = "the Hub's own scanners have not finished with this commit"
            yield finding(Problem("HC-REP-003", what, advice="ask again later for their verdict"), ".")
        known = {entry.path for entry in files}
        for issue in issues[: MOST_PER_FILE * 20] if isinstance(issues, list) else ():
            path, level = (issue.get("path"), issue.get("level")) if isinstance(issue, dict) else (None, None)
            if isinstance(path, str) and path in known and isinstance(level, str):
                severity: Severity = "high" if level == "unsafe" else "info"
                what = f"the Hub's own scanners call it {level!r}"
                yield finding(Problem("HC-REP-003", what, severity=severity), path)
